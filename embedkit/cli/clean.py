"""The commands that find and clean up duplicates: from duplicates to quarantine and undo."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from embedkit._internal.paths import shown
from embedkit.cleaning.links import KINDS
from embedkit.cli import show, show_clean
from embedkit.cli.complete import complete_labels, complete_quarantines
from embedkit.cli.options import (
    PAGE,
    PATH,
    TABLE,
    backbone_option,
    on_option,
    options,
    split_items,
    store_argument,
    store_option,
    workers_option,
    workspace_argument,
)
from embedkit.cli.verdict import verdict
from embedkit.errors import BadInput, PlanInterrupted
from embedkit.results import ApplyReport, EmptyReport, UndoReport
from embedkit.results.wording import counted

if TYPE_CHECKING:
    from embedkit.cleaning.planned import PlannedRows

_Report = TypeVar("_Report", ApplyReport, UndoReport)

_kinds = click.option(
    "--kind",
    "--kinds",
    "kinds",
    multiple=True,
    metavar="KIND",
    help="exact, pixels, combined, perceptual or semantic; repeatable, or a list with commas."
    "  [default: exact,pixels,combined]",
)
_verify = click.option(
    "--verify", is_flag=True, help="Also open pairs with weak evidence; finds more, takes longer."
)


@click.command()
@_kinds
@click.option(
    "--max-hamming",
    type=int,
    metavar="N",
    help="Maximum number of different bits of perceptual duplicates.",
)
@click.option(
    "--hash-bits", type=int, default=64, metavar="N", help="Size of perceptual hashes: 64 or 256."
)
@click.option(
    "--any-orientation", is_flag=True, help="Find rotated and mirrored perceptual duplicates too."
)
@click.option(
    "--max-distance", type=float, metavar="D", help="Maximum distance of semantic duplicates."
)
@_verify
@click.option(
    "--of", type=PATH, metavar="FILE", help="Only the group of this photo, in the workspace or not."
)
@backbone_option
@click.option("--html", type=PAGE, metavar="FILE", help="Write a page of thumbnails.")
@click.option("--csv", type=TABLE, metavar="FILE", help="Write the files of the groups as CSV.")
@store_option
@on_option
@workers_option
@options
def duplicates(
    kinds: tuple[str, ...],
    max_hamming: int | None,
    hash_bits: int,
    any_orientation: bool,
    max_distance: float | None,
    verify: bool,
    of: Path | None,
    backbone: str | None,
    html: Path | None,
    csv: Path | None,
    store: str | None,
    on: str | None,
    workers: int | None,
    workspace: Path,
    as_json: bool,
) -> None:
    """Find groups of photos that show the same picture, strongest evidence first.

    --store searches a store, and writes the groups to a dataset of the store.

    Examples:

    \b
        embedkit duplicates --html duplicates.html
        embedkit duplicates --of photos/temple/1.jpg
    """
    from embedkit.workspace import Workspace

    if store is not None:
        for name, value in (
            ("--hash-bits", hash_bits != 64),
            ("--verify", verify),
            ("--of", of),
            ("--html", html),
            ("--csv", csv),
        ):
            if value:
                raise BadInput(f"{name} cannot be used with --store")
        from embedkit.cluster.facade import Store

        with show.progress_bar() as progress:
            of_store = Store(store, progress).duplicates(
                split_items(kinds),
                max_hamming=max_hamming,
                max_distance=max_distance,
                any_orientation=any_orientation,
                backbone=backbone,
                on=on or "ray",
                workers=workers,
            )
        if as_json:
            show.print_json(asdict(of_store))
        else:
            show_clean.store_duplicates_summary(of_store, store)
        return
    if on is not None or workers is not None:
        raise BadInput("--on and --workers are for a store; name it with --store URI")
    with show.progress_bar() as progress:
        found = Workspace(workspace, progress).duplicates(
            split_items(kinds),
            max_hamming=max_hamming,
            max_distance=max_distance,
            hash_bits=hash_bits,
            any_orientation=any_orientation,
            verify=verify,
            of=of,
            backbone=backbone,
        )
    if html is not None:
        from embedkit.reports.result_page import write_result_page

        with show.progress_bar() as progress:
            write_result_page(html, found, progress)
    if csv is not None:
        found.to_csv(csv)
    if as_json:
        show.print_json(found.to_dict())
        return
    show_clean.duplicates_summary(found)
    if html is not None:
        show.print_line(f"page: {shown(str(html))}")
    if csv is not None:
        show.print_line(f"table: {shown(str(csv))}")


@click.command()
@click.option("--plan", type=TABLE, required=True, metavar="FILE", help="The CSV to write.")
@click.option(
    "--conflicts",
    default="review",
    show_default=True,
    metavar="POLICY",
    help="For copies with different labels: review, or drop-all (remove every copy).",
)
@click.option(
    "--kind",
    "--kinds",
    "kinds",
    multiple=True,
    metavar="KIND",
    help="exact, pixels, combined, perceptual or semantic duplicates, and photos that you marked "
    "off-topic or poor; repeatable, or a list with commas.  [default: exact,pixels,combined]",
)
@click.option(
    "--protect",
    type=PATH,
    multiple=True,
    metavar="DIR",
    help="In this plan, keep everything below this folder of photos; repeatable, not stored.",
)
@click.option(
    "--prefer",
    multiple=True,
    metavar="DIR|PATTERN",
    help="Prefer to keep files in this folder or of this name ('*.heic'); repeatable, most "
    "preferred first.",
)
@click.option(
    "--allow",
    multiple=True,
    metavar="CHANGE",
    help="Remove copies with this change without review: mirrored, cropped, damaged, ...; "
    "repeatable.",
)
@_verify
@backbone_option
@store_option
@options
def clean(
    plan: Path,
    conflicts: str,
    kinds: tuple[str, ...],
    protect: tuple[Path, ...],
    prefer: tuple[str, ...],
    allow: tuple[str, ...],
    verify: bool,
    backbone: str | None,
    store: str | None,
    workspace: Path,
    as_json: bool,
) -> None:
    """Plan a clean-up: a CSV to read and edit, and a page of thumbnails beside it.

    Nothing is moved before 'embedkit apply FILE'. --store plans for the groups that 'embedkit
    duplicates' last found in a store, and for the files that this machine reaches by a path.

    Examples:

    \b
        embedkit clean --plan plan.csv
        embedkit clean --plan plan.csv --prefer '*.heic' --protect photos/temple
    """
    from embedkit.cleaning.plan import rename_edited_plan, write_plan
    from embedkit.reports.plan_page import plan_of_page, write_plan_page
    from embedkit.workspace import Workspace

    page = plan.absolute().with_suffix(".html")
    if plan.is_dir():
        raise BadInput(f"{shown(str(plan))} is a folder; name a CSV file")
    if store is not None:
        for name, value in (("--verify", verify), ("--backbone", backbone)):
            if value:
                raise BadInput(f"{name} cannot be used with --store")
    arguments: dict[str, Any] = {
        "conflicts": conflicts,
        "protect": protect,
        "prefer": prefer,
        "allow": split_items(allow),
    }
    with show.progress_bar() as progress:
        planned: PlannedRows
        place, unreachable = None, 0
        if store is not None:
            from embedkit.cluster.facade import Store

            planned = of_store = Store(store, progress).clean(split_items(kinds), **arguments)
            place, unreachable = of_store.store, of_store.unreachable
        else:
            planned = Workspace(workspace, progress).clean(
                split_items(kinds), **arguments, verify=verify, backbone=backbone
            )
        renamed = rename_edited_plan(plan, plan_of_page(page))
        write_plan(plan.absolute(), planned.rows)
        write_plan_page(page, planned.rows, workspace=workspace, progress=progress, store=place)
    if as_json:
        show.print_json(
            {
                "plan": str(plan),
                "page": str(page),
                "set_aside": renamed and str(renamed),
                **({} if place is None else {"store": place, "unreachable": unreachable}),
                **planned.to_dict(),
            }
        )
    else:
        if renamed:
            show.print_line(
                f"{shown(str(plan))} had been edited; it was renamed to {shown(str(renamed))}"
            )
        where = store_argument(store) + workspace_argument(workspace)
        show_clean.plan_summary(planned.rows, plan, page, where, unreachable)


def _report_of(run: Callable[[], _Report]) -> tuple[_Report, PlanInterrupted | None]:
    """Return the report of a run, and the error that has stopped it after files had moved."""
    try:
        return run(), None
    except PlanInterrupted as error:
        return error.report, error


def _print_report(
    report: ApplyReport | UndoReport | EmptyReport,
    summary: Callable[[Any], None],
    as_json: bool,
    error: PlanInterrupted | None = None,
) -> None:
    """Print a report, then raise ``error``; exit with status 1 if any file was skipped."""
    if as_json:
        show.print_json(asdict(report))
    else:
        summary(report)
    if error is not None:
        raise error
    if report.skipped:
        click.get_current_context().exit(1)


@click.command()
@click.argument("plan", type=PATH, metavar="FILE")
@click.option("--trash", is_flag=True, help="Move to the system's trash instead of quarantine.")
@click.option(
    "--link",
    type=click.Choice(KINDS),
    help="Replace each exact copy by a hard or symbolic link to the kept file.",
)
@click.option("--store", metavar="URI", help="Path or URL of the store that the plan is for.")
@options
def apply(
    plan: Path,
    trash: bool,
    link: str | None,
    store: str | None,
    workspace: Path,
    as_json: bool,
) -> None:
    """Move the files that the plan FILE removes to quarantine; undo puts them back.

    A file is moved only if its content matches the plan and a file that is kept for it exists. The
    exit status is 1 if any file was skipped. After an interruption, repeat the command to continue.

    With --trash, undo only reports where the files are. With --link, the copy itself is moved to
    quarantine; files that are not exact copies are moved without a link. Symbolic links are
    relative, or absolute across devices. A label, another column or a verdict that the kept file
    does not have is copied to it. The quarantine is in the workspace, with --store too.

    Example:

    \b
        embedkit apply plan.csv
    """
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        loaded = Workspace(workspace, progress).load_plan(plan, store=store)
        report, error = _report_of(lambda: loaded.apply(trash=trash, link=link))
    _print_report(report, show_clean.apply_summary, as_json, error)


@click.command()
@click.argument("quarantine", required=False, metavar="[ID]", shell_complete=complete_quarantines)
@options
def undo(quarantine: str | None, workspace: Path, as_json: bool) -> None:
    """Put back the files that a plan moved: the plan ID, or the last one.

    Nothing is overwritten except links that apply created. The exit status is 1 if a file cannot be
    put back: another file is in its place, it is in the system's trash, or it was deleted.

    Example:

    \b
        embedkit undo
    """
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        report, error = _report_of(lambda: Workspace(workspace, progress).undo(quarantine))
    _print_report(report, show_clean.undo_summary, as_json, error)


@click.group()
def quarantine() -> None:
    """List the applied plans, or delete the files that they moved.

    Examples:

    \b
        embedkit quarantine list
        embedkit quarantine empty --older-than 30d
    """


@quarantine.command("list")
@options
def list_quarantines(workspace: Path, as_json: bool) -> None:
    """List the applied plans and the state of their files.

    The most recent plan comes first.

    Example:

    \b
        embedkit quarantine list
    """
    from embedkit.workspace import Workspace

    found = Workspace(workspace).quarantine.list()
    if as_json:
        show.print_json({"quarantines": [asdict(item) for item in found]})
    else:
        show_clean.quarantines_table(found)


def _age(_context: click.Context, _option: click.Parameter, value: str | None) -> timedelta | None:
    """Parse a length of time: days (``30`` or ``30d``) or hours (``12h``)."""
    if value is None:
        return None
    parts = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)([dh]?)", value.strip().lower(), re.ASCII)
    if parts is None:
        raise click.BadParameter(f"{value!r} is not an age; give days (30 or 30d) or hours (12h)")
    count = float(parts[1])
    return timedelta(hours=count) if parts[2] == "h" else timedelta(days=count)


@quarantine.command("empty")
@click.argument(
    "quarantine_id", required=False, metavar="[ID]", shell_complete=complete_quarantines
)
@click.option(
    "--older-than",
    callback=_age,
    metavar="AGE",
    help="Only plans applied at least this long ago: days (30 or 30d) or hours (12h).",
)
@click.option(
    "--dry-run", is_flag=True, help="Report the files that would be deleted; delete nothing."
)
@options
def empty(
    quarantine_id: str | None,
    older_than: timedelta | None,
    dry_run: bool,
    workspace: Path,
    as_json: bool,
) -> None:
    """Delete files in quarantine permanently.

    Give an ID, --older-than, or both. A file is deleted only while a file that was kept for it
    exists unchanged. Where a plan removes every copy (rule drop-all), the quarantine may
    contain the last copies: they are deleted only if the ID is given. The exit status is 1 if a
    file was skipped. There is no confirmation prompt.

    Example:

    \b
        embedkit quarantine empty --older-than 30d --dry-run
    """
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        report = Workspace(workspace, progress).quarantine.empty(
            quarantine_id, older_than=older_than, dry_run=dry_run
        )
    _print_report(report, show_clean.empty_summary, as_json)


@click.command()
@click.option(
    "--label", metavar="L", shell_complete=complete_labels, help="Only the photos with this label."
)
@click.option(
    "--out", type=PATH, metavar="FOLDER", help="Folder to write to.  [default: DIR/sheets]"
)
@options
def sheets(label: str | None, out: Path | None, workspace: Path, as_json: bool) -> None:
    """Write a contact sheet for each label, its most unusual photos first.

    Example:

    \b
        embedkit sheets --label temple
    """
    from embedkit.reports.sheet_pages import write_sheet_pages
    from embedkit.workspace import Workspace

    folder = (out or workspace / "sheets").absolute()
    with show.progress_bar() as progress:
        found = Workspace(workspace, progress).sheets(label)
        pages = write_sheet_pages(folder, found, progress)
    if as_json:
        show.print_json(
            {
                "folder": str(folder),
                "pages": [
                    {"label": sheet.label, "photos": len(sheet.photos), "page": str(page)}
                    for sheet, page in zip(found, pages, strict=True)
                ],
            }
        )
    else:
        first = pages[0] if len(pages) == 1 else folder / "index.html"
        sheets_text = counted(len(pages), "contact sheet")
        show.print_line(f"{sheets_text}; open {shown(os.path.relpath(first))}")


COMMANDS: Sequence[click.Command] = (
    duplicates,
    verdict,
    clean,
    apply,
    undo,
    quarantine,
    sheets,
)
