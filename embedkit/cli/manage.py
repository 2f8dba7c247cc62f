"""The commands that manage a workspace: its photos, labels, folders and embeddings."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from embedkit._internal.paths import absolute, shown
from embedkit.cli import show, show_manage
from embedkit.cli.complete import complete_backbones
from embedkit.cli.options import PATH, backbone_option, options, store_option
from embedkit.errors import BadInput
from embedkit.results.wording import counted


@click.command()
@store_option
@options
def info(store: str | None, workspace: Path, as_json: bool) -> None:
    """Show the photos, labels, backbones, unusable files and size of the workspace or store.

    Example:

    \b
        embedkit info
    """
    from embedkit.workspace import Workspace

    if store is not None:
        from embedkit.cluster.facade import Store

        found = Store(store).info()
        if as_json:
            show.print_json(asdict(found))
        else:
            show_manage.store_summary(found)
        return
    content = Workspace(workspace).info()
    if as_json:
        show.print_json(content.to_dict())
    else:
        show_manage.info_summary(content)


@click.command()
@click.option(
    "--from-folders", type=PATH, metavar="DIR", help="Label by the first folder below DIR."
)
@click.option("--from-csv", type=PATH, metavar="FILE", help="A CSV with columns path and label.")
@click.option(
    "--root",
    type=PATH,
    metavar="DIR",
    help="Folder that relative paths in FILE are resolved in.  [default: FILE's folder]",
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

    FILE can have commas, semicolons or tabs, and Windows paths: with --root, DIR replaces the drive
    letter. Lines without a label, and paths that are not in the workspace, are listed and skipped.
    Labels from FILE take precedence over those from folders, and follow photos that are moved.

    Examples:

    \b
        embedkit labels --from-folders photos
        embedkit labels --from-csv labels.csv
    """
    from embedkit.workspace import Workspace

    ws = Workspace(workspace)
    if from_folders is not None and from_csv is not None:
        raise BadInput("give either --from-folders or --from-csv")
    if root is not None and from_csv is None:
        raise BadInput("--root is for the paths in --from-csv FILE; give both")
    report = None
    if from_folders is not None:
        report = ws.labels.from_folders(from_folders)
    if from_csv is not None:
        report = ws.labels.from_csv(from_csv, root=root)
    content = ws.info()
    if report is not None:
        show_manage.skipped_labels(report)
    if as_json:
        counts = {"labels": content.labels, "relabelled": content.relabelled}
        show.print_json(counts | ({} if report is None else asdict(report)))
    else:
        for label, count in content.labels.items():
            show.print_line(f"{count:>8}  {shown(label)}")
        if content.relabelled:
            show.print_line(f"{content.relabelled} of them from verdicts")


@click.command()
@click.argument("paths", nargs=-1, type=PATH, metavar="[PATH]...")
@click.option(
    "--missing",
    is_flag=True,
    help="Forget the missing files; with --store, those at or below PATH.",
)
@click.option(
    "-b",
    "--backbone",
    metavar="NAME",
    shell_complete=complete_backbones,
    help="Forget the embeddings of this backbone.",
)
@store_option
@options
def remove(
    paths: tuple[Path, ...],
    missing: bool,
    backbone: str | None,
    store: str | None,
    workspace: Path,
    as_json: bool,
) -> None:
    """Forget photos or the embeddings of a backbone. Photos themselves are not touched.

    Labels from a CSV go to other files with the same bytes, or are kept until the photos are added
    again. Only --store takes several PATHs.

    Examples:

    \b
        embedkit remove --missing
        embedkit remove photos/temple
    """
    from embedkit.workspace import Workspace

    if store is not None:
        if backbone is not None:
            raise BadInput("--backbone cannot be used with --store")
        from embedkit.cluster.facade import Store

        with show.progress_bar() as progress:
            removal = Store(store, progress).remove([*map(absolute, paths)], missing=missing)
    else:
        if len(paths) > 1:
            raise BadInput("name one file or folder; several need --store URI")
        path = paths[0] if paths else None
        removal = Workspace(workspace).remove(path, missing=missing, backbone=backbone)
    if as_json:
        show.print_json(asdict(removal))
        return
    show.print_line(
        f"forgot {counted(removal.files, 'file')}, {counted(removal.images, 'image')}, "
        f"{counted(removal.embeddings, 'embedding')}; no photo was touched"
    )
    if removal.kept:
        show.print_line(
            f"labels and columns of {counted(removal.kept, 'photo')} from CSVs are kept until "
            "the photos are added again"
        )
    if removal.unlabelled:
        show.print_warning(
            f"warning: {counted(removal.unlabelled, 'photo')} lost the label of a forgotten "
            "folder and have no other label; 'embedkit labels --from-folders DIR' labels them"
        )


@click.command()
@click.argument("old", type=PATH, metavar="OLD")
@click.argument("new", type=PATH, metavar="NEW")
@options
def relocate(old: Path, new: Path, workspace: Path, as_json: bool) -> None:
    """Record that the whole folder OLD was moved to NEW. No photo is read again.

    Use it after a mount point, disk or folder name has changed. At least half of the files must be
    in NEW with the same size; the others count as missing.

    Example:

    \b
        embedkit relocate photos moved
    """
    from embedkit.workspace import Workspace

    report = Workspace(workspace).relocate(old, new)
    if as_json:
        show.print_json(asdict(report))
    else:
        show.print_line(
            f"{counted(report.files, 'file')} found in {shown(str(new))}; {report.missing} "
            f"missing, {report.changed} changed (the next add reads them)"
        )
    for warning in report.warnings:
        show.print_warning(f"warning: {warning}")


@click.command()
@options
def compact(workspace: Path, as_json: bool) -> None:
    """Rewrite the catalog without the gaps that removals left.

    Example:

    \b
        embedkit compact
    """
    from embedkit.workspace import Workspace

    before, after = Workspace(workspace).compact()
    if as_json:
        show.print_json({"bytes_before": before, "bytes_after": after})
    else:
        show.print_line(f"{before / 1e6:.1f} MB before, {after / 1e6:.1f} MB now")


@click.command()
@click.argument("folder", type=PATH)
@backbone_option
@options
def export(folder: Path, backbone: str | None, workspace: Path, as_json: bool) -> None:
    """Write embeddings to FOLDER: vectors.npy, images.parquet, spec.json.

    Example:

    \b
        embedkit export vectors
    """
    from embedkit.workspace import Workspace

    count = Workspace(workspace).embeddings.export(folder, backbone=backbone)
    if as_json:
        show.print_json({"folder": str(folder), "embeddings": count})
    else:
        show.print_line(f"{counted(count, 'embedding')} in {shown(str(folder))}")


@click.command("import")
@click.argument("folder", type=PATH)
@options
def import_(folder: Path, workspace: Path, as_json: bool) -> None:
    """Read embeddings that export wrote. Photos that are added later use them.

    Example:

    \b
        embedkit import vectors
    """
    from embedkit.workspace import Workspace

    count = Workspace(workspace).embeddings.import_(folder)
    if as_json:
        show.print_json({"folder": str(folder), "embeddings": count})
    else:
        show.print_line(f"{counted(count, 'new embedding')} from {shown(str(folder))}")


COMMANDS: Sequence[click.Command] = (info, labels, remove, relocate, compact, export, import_)
