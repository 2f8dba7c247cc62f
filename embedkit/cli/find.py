"""The commands that add photos and search them: add, search, distance, demo."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from embedkit._internal.paths import shown
from embedkit.cli import show, show_find
from embedkit.cli.complete import complete_backbones, complete_labels
from embedkit.cli.options import (
    PAGE,
    PATH,
    TABLE,
    WORD_OR_PATH,
    backbone_option,
    on_option,
    options,
    store_option,
    workers_option,
    workspace_options,
)
from embedkit.errors import BadInput
from embedkit.results import AddReport


@click.command()
@click.argument("paths", nargs=-1, type=WORD_OR_PATH, metavar="[PATH]...")
@click.option(
    "-b",
    "--backbone",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_backbones,
    help="Backbone; repeatable.",
)
@click.option("--labels-from-folders", is_flag=True, help="Label by the first folder below PATH.")
@click.option(
    "--fingerprints-only", is_flag=True, help="Run no network: enough for duplicates and clean."
)
@click.option(
    "--exclude",
    multiple=True,
    metavar="PATTERN",
    help="Exclude files and folders: '*.gif', 'thumbs/', '2019/raw/**'; repeatable.",
)
@click.option("--no-exclude", is_flag=True, help="Clear the patterns of earlier runs.")
@click.option(
    "--min-size",
    type=click.IntRange(min=0),
    metavar="PX",
    help="Skip images whose short side is below PX pixels.",
)
@click.option(
    "--tolerate-truncated/--no-tolerate-truncated",
    default=None,
    help="Decode truncated JPEG and PNG files as far as possible.",
)
@store_option
@on_option
@workers_option
@options
def add(
    paths: tuple[str, ...],
    backbone: tuple[str, ...],
    labels_from_folders: bool,
    fingerprints_only: bool,
    exclude: tuple[str, ...],
    no_exclude: bool,
    min_size: int | None,
    tolerate_truncated: bool | None,
    store: str | None,
    on: str | None,
    workers: int | None,
    workspace: Path,
    as_json: bool,
) -> None:
    """Add photos, or bring the workspace up to date with them.

    Without PATH, everything that was added before or that the recipe lists is scanned again. Files
    that cannot be used are listed and do not stop the run: the exit status is 0 if any photo could
    be used, 1 if all failed. If a PATH does not exist, nothing is added and the status is 2. The
    command can be interrupted at any time and repeated to continue.

    --exclude, --min-size and --tolerate-truncated apply to the whole workspace, and to later runs
    until they are given again. A pattern without / is compared with the name of every file and
    folder, one with / with the path below PATH; a pattern that ends with / matches folders only.

    --store adds to a store on shared or object storage, with workers on Ray. PATH may then be a URL
    or a listing, and the status is also 1 if a file could not be listed or read: the same command
    tries it again.

    Examples:

    \b
        embedkit add photos --labels-from-folders --exclude 'thumbs/'
        embedkit add s3://bucket/photos --store s3://bucket/store --on ray
    """
    from embedkit.workspace import Workspace

    if store is not None:
        for name, value in (
            ("--exclude", exclude),
            ("--no-exclude", no_exclude),
            ("--min-size", min_size is not None),
            ("--tolerate-truncated", tolerate_truncated is not None),
        ):
            if value:
                raise BadInput(f"{name} cannot be used with --store")
        from embedkit.cluster.facade import Store

        with show.progress_bar() as progress:
            report = Store(store, progress).add(
                paths,
                backbones=backbone,
                labels_from_folders=labels_from_folders,
                fingerprints_only=fingerprints_only,
                on=on or "ray",
                workers=workers,
            )
        _show_added(report, fingerprints_only, as_json, "--json lists all")
        if any(failure.stage in ("scan", "read") for failure in report.failures):
            click.get_current_context().exit(1)
        return
    if on is not None or workers is not None:
        raise BadInput("--on and --workers are for a store; name it with --store URI")
    if exclude and no_exclude:
        raise BadInput("--exclude sets patterns and --no-exclude clears them; give one of them")
    with show.progress_bar() as progress:
        report = Workspace(workspace, progress).add(
            paths,
            backbones=backbone,
            labels_from_folders=labels_from_folders or None,
            fingerprints_only=fingerprints_only,
            exclude=exclude if exclude or no_exclude else None,
            min_size=min_size,
            tolerate_truncated=tolerate_truncated,
        )
    _show_added(report, fingerprints_only, as_json, "'embedkit info --json' lists all")


def _show_added(
    report: AddReport,
    fingerprints_only: bool,
    as_json: bool,
    all_failures: str,
) -> None:
    """Print the result of ``add``; exit with 1 if there is no usable photo."""
    if as_json:
        show.print_json(asdict(report))
    else:
        show_find.add_summary(
            report, fingerprints_only=fingerprints_only, all_failures=all_failures
        )
    for warning in report.warnings:
        show.print_warning(f"warning: {warning}")
    if report.failed and not report.images:
        click.get_current_context().exit(1)


@click.command()
@click.argument("image", required=False, type=WORD_OR_PATH)
@click.option("--text", metavar="WORDS", help="Words instead of a photo, for CLIP-like backbones.")
@click.option(
    "-k", type=click.IntRange(min=1), default=10, show_default=True, help="Number of matches."
)
@backbone_option
@click.option("--max-distance", type=float, metavar="D", help="Maximum distance of a match.")
@click.option(
    "--label", metavar="L", shell_complete=complete_labels, help="Only photos with this label."
)
@click.option("--folder", type=WORD_OR_PATH, metavar="P", help="Only photos below this folder.")
@click.option(
    "--verify",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Compare the first N point by point, and rank them by agreement.",
)
@click.option("--html", type=PAGE, metavar="FILE", help="Write a page of thumbnails.")
@click.option("--csv", type=TABLE, metavar="FILE", help="Write the matches as CSV.")
@store_option
@options
def search(
    image: str | None,
    text: str | None,
    k: int,
    backbone: str | None,
    max_distance: float | None,
    label: str | None,
    folder: str | None,
    verify: int,
    html: Path | None,
    csv: Path | None,
    store: str | None,
    workspace: Path,
    as_json: bool,
) -> None:
    """Find the photos most similar to IMAGE, which need not be in the workspace.

    An embedding depends on a photo's composition as much as on its content. With --verify the
    first N matches are compared with IMAGE point by point: photos that show the same object come
    first, ranked by the agreement of the region where they agree least.

    --store searches a store; it reads no photo but IMAGE and takes no --verify.

    Examples:

    \b
        embedkit search photos/temple/1.jpg
        embedkit search photos/temple/1.jpg -k 5 --verify 20 --html matches.html
    """
    from embedkit.workspace import Workspace

    request: dict[str, Any] = {
        "text": text,
        "backbone": backbone,
        "max_distance": max_distance,
        "label": label,
        "folder": folder,
    }
    with show.progress_bar() as progress:
        if store is not None:
            if verify:
                raise BadInput("--verify cannot be used with --store")
            from embedkit.cluster.facade import Store

            matches = Store(store, progress).search(image, k, **request)
        else:
            matches = Workspace(workspace, progress).search(image, k, verify=verify, **request)
    if html is not None:
        matches.save_html(html)
    if csv is not None:
        matches.to_csv(csv)
    if as_json:
        show.print_json(matches.to_dict())
        return
    show_find.matches_table(matches)
    if html is not None:
        show.print_line(f"page: {shown(str(html))}")
    if csv is not None:
        show.print_line(f"table: {shown(str(csv))}")


@click.command()
@click.argument("first", type=PATH, metavar="A")
@click.argument("second", type=PATH, metavar="B")
@backbone_option
@options
def distance(
    first: Path, second: Path, backbone: str | None, workspace: Path, as_json: bool
) -> None:
    """Print the cosine distance between two photos: 0 for equal embeddings, at most 2.

    Example:

    \b
        embedkit distance photos/temple/1.jpg photos/temple/2.jpg
    """
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        value = Workspace(workspace, progress).distance(first, second, backbone=backbone)
    if as_json:
        show.print_json({"a": str(first), "b": str(second), "distance": value})
    else:
        show.print_line(f"{value:.6f}")


@click.command()
@workspace_options("indexes/demo")
def demo(workspace: Path, as_json: bool) -> None:
    """Build a small workspace of sample photos and search it: embedkit in a minute.

    Example:

    \b
        embedkit demo
    """
    from embedkit.demo import build_demo

    with show.progress_bar() as progress:
        result = build_demo(workspace, progress)
    if as_json:
        show.print_json(
            {
                "add": asdict(result.report),
                "searches": [matches.to_dict() for matches in result.searches],
                "page": str(result.page),
            }
        )
        return
    show_find.add_summary(result.report)
    for matches in result.searches:
        show.print_line(f"\nPhotos similar to {os.path.basename(matches.query)}:")
        show_find.matches_table(matches)
    show.print_line(f"\nThe same with pictures: {shown(os.path.relpath(result.page))}")
    for line in result.next_steps:
        show.print_line(line)


COMMANDS: Sequence[click.Command] = (add, search, distance, demo)
