"""The commands that move what a plan removes, put it back, and delete it for ever."""

import re
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

from embedkit.cleaning.links import KINDS
from embedkit.cli import show, show_quarantine
from embedkit.cli.options import PATH, options


def _age(_context: click.Context, _option: click.Parameter, value: str | None) -> timedelta | None:
    """A length of time: days (``30`` or ``30d``) or hours (``12h``)."""
    if value is None:
        return None
    parts = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)([dh]?)", value.strip().lower(), re.ASCII)
    if parts is None:
        raise click.BadParameter(f"{value!r} is no age; give days (30 or 30d) or hours (12h)")
    count = float(parts[1])
    return timedelta(hours=count) if parts[2] == "h" else timedelta(days=count)


def _tell(report: Any, summary: Callable[[Any], None], as_json: bool) -> None:
    """What became of files; the exit status is 1 when any was left."""
    if as_json:
        show.document(asdict(report))
    else:
        summary(report)
    if report.left:
        click.get_current_context().exit(1)


@click.command()
@click.argument("plan", type=PATH, metavar="FILE")
@click.option("--trash", is_flag=True, help="To the system's trash instead of quarantine.")
@click.option(
    "--link",
    type=click.Choice(KINDS),
    help="Put a hard or a symbolic link to the file that stays in place of each exact copy.",
)
@options
def apply(plan: Path, trash: bool, link: str | None, workspace: Path, as_json: bool) -> None:
    """Move the files that the plan FILE removes to quarantine; undo puts them back.

    A file goes only if it has the content that the plan says, and only while a file that its group
    keeps is there. The exit status is 1 when any was left where it is. The same command again
    continues after an interruption.

    With --trash files go to the system's trash, where undo only says where they are. With --link
    the copy itself goes to quarantine, and what is no exact copy is moved as without it; symbolic
    links are relative, or absolute across devices. A label, another column or a verdict that the
    kept file lacks is carried over to it.
    """
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        report = Workspace(workspace, progress).load_plan(plan).apply(trash=trash, link=link)
    _tell(report, show_quarantine.apply_summary, as_json)


@click.command()
@click.argument("quarantine", required=False, metavar="[ID]")
@options
def undo(quarantine: str | None, workspace: Path, as_json: bool) -> None:
    """Put back every file that a plan moved: the last one with files away, or that called ID.

    Nothing is overwritten, but links that apply made. The exit status is 1 when any file is not
    put back: because its place has another one by now, because it is in the system's trash, or
    because it was deleted.
    """
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        report = Workspace(workspace, progress).undo(quarantine)
    _tell(report, show_quarantine.undo_summary, as_json)


@click.group()
def quarantine() -> None:
    """List the plans that were applied, or delete the files in quarantine for them."""


@quarantine.command("list")
@options
def list_quarantines(workspace: Path, as_json: bool) -> None:
    """List the plans that were applied, the last one first, and where their files are."""
    from embedkit.workspace import Workspace

    found = Workspace(workspace).quarantine.list()
    if as_json:
        show.document({"quarantines": [asdict(item) for item in found]})
    else:
        show_quarantine.quarantines_table(found)


@quarantine.command("empty")
@click.argument("quarantine_id", required=False, metavar="[ID]")
@click.option(
    "--older-than",
    callback=_age,
    metavar="AGE",
    help="Only of plans applied longer ago: days (30 or 30d) or hours (12h).",
)
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, and delete nothing.")
@options
def empty(
    quarantine_id: str | None,
    older_than: timedelta | None,
    dry_run: bool,
    workspace: Path,
    as_json: bool,
) -> None:
    """Delete files in quarantine for ever, of the plan called ID or of all that are old enough.

    Give an ID or --older-than, or both. A file is deleted only while a file for which it went is
    there with its content. Where a plan drops every copy (rule drop-all), the quarantine may
    have the only ones: these are deleted only if an ID is given. The exit status is 1 when any file
    stays for such a reason. It does not ask.
    """
    from embedkit.workspace import Workspace

    with show.progress_bar() as progress:
        report = Workspace(workspace, progress).quarantine.empty(
            quarantine_id, older_than=older_than, dry_run=dry_run
        )
    _tell(report, show_quarantine.empty_summary, as_json)
