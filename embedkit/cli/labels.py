"""The commands about what is known of photos: their labels, where they are, and forgetting them."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from embedkit._internal.paths import shown
from embedkit._internal.text import counted
from embedkit.cli import show
from embedkit.cli.options import PATH, options
from embedkit.errors import BadInput
from embedkit.results import LabelReport

LINES_SHOWN = 10


@click.command()
@click.option("--from-folders", type=PATH, metavar="DIR", help="By the first folder below DIR.")
@click.option("--from-csv", type=PATH, metavar="FILE", help="A CSV with columns path and label.")
@click.option(
    "--root", type=PATH, metavar="DIR", help="What paths in FILE start at; else FILE's folder."
)
@options
def labels(
    from_folders: Path | None,
    from_csv: Path | None,
    root: Path | None,
    workspace: Path,
    as_json: bool,
) -> None:
    """Label photos that were added; without options, count the labels.

    FILE may have commas, semicolons or tabs, and paths of Windows: with --root, a drive letter
    stands for DIR. Lines without a label, and paths that are not in the workspace, are listed and
    skipped. Labels from FILE come before those from folders, and follow photos that are moved.
    """
    from embedkit.workspace import Workspace

    here = Workspace(workspace)
    if from_folders is not None and from_csv is not None:
        raise BadInput("give either --from-folders or --from-csv")
    if root is not None and from_csv is None:
        raise BadInput("--root is for the paths in --from-csv FILE")
    report = None
    if from_folders is not None:
        report = here.labels.from_folders(from_folders)
    if from_csv is not None:
        report = here.labels.from_csv(from_csv, root=root)
    counts = here.info().labels
    if report is not None:
        _skipped(report)
    if as_json:
        show.document({"labels": counts} | ({} if report is None else asdict(report)))
    else:
        for label, count in counts.items():
            show.say(f"{count:>8}  {label}")


def _skipped(report: LabelReport) -> None:
    """What was not labelled, on stderr."""
    _list([f"line {item.line}: {item.reason}" for item in report.skipped], "skipped")
    _list([shown(path) for path in report.unknown], "not in the workspace:")
    for warning in report.warnings:
        show.warn(f"warning: {warning}")
    if report.skipped or report.unknown:
        show.warn(f"{counted(report.labelled, 'photo')} labelled")


def _list(items: Sequence[str], what: str) -> None:
    for item in items[:LINES_SHOWN]:
        show.warn(f"{what} {item}")
    if len(items) > LINES_SHOWN:
        show.warn(f"{what} {len(items) - LINES_SHOWN} more; --json lists all")


@click.command()
@click.argument("path", required=False, type=PATH)
@click.option("--missing", is_flag=True, help="Forget the files that are gone.")
@click.option("--spec", metavar="NAME", help="Forget the embeddings of this backbone.")
@options
def remove(
    path: Path | None, missing: bool, spec: str | None, workspace: Path, as_json: bool
) -> None:
    """Forget photos or a backbone's embeddings. Photos themselves are not touched.

    Labels from a CSV go to other files with the same bytes, or are kept and come back with the
    photos.
    """
    from embedkit.workspace import Workspace

    removal = Workspace(workspace).remove(path, missing=missing, backbone=spec)
    if as_json:
        show.document(asdict(removal))
        return
    show.say(
        f"forgot {counted(removal.files, 'file')}, {counted(removal.images, 'image')}, "
        f"{counted(removal.embeddings, 'embedding')}; no photo was touched"
    )
    if removal.kept:
        show.say(f"what CSVs say of {counted(removal.kept, 'photo')} is kept for its return")
    if removal.unlabelled:
        show.warn(
            f"warning: {counted(removal.unlabelled, 'photo')} had a label from a folder that was "
            "forgotten and have none where they are now; 'embedkit labels --from-folders DIR' "
            "labels them"
        )


@click.command()
@click.argument("old", type=PATH, metavar="OLD")
@click.argument("new", type=PATH, metavar="NEW")
@options
def relocate(old: Path, new: Path, workspace: Path, as_json: bool) -> None:
    """Say that the folder OLD was moved as a whole, and is NEW now: no photo is read again.

    For another mount point, disk or folder name. At least half of the files have to be at NEW with
    the sizes they had; the others count as missing.
    """
    from embedkit.workspace import Workspace

    report = Workspace(workspace).relocate(old, new)
    if as_json:
        show.document(asdict(report))
    else:
        show.say(
            f"{counted(report.files, 'file')} found in {shown(str(new))}; {report.absent} missing, "
            f"{report.changed} changed since, which the next add reads"
        )
    for warning in report.warnings:
        show.warn(f"warning: {warning}")
