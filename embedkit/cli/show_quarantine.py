"""What a person sees of plans that were applied, undone and deleted for ever."""

from collections.abc import Sequence
from datetime import datetime

from embedkit._internal.paths import shown
from embedkit._internal.text import counted
from embedkit.cli.show import FAILURES_SHOWN, new_table, out, say, size, warn
from embedkit.results import ApplyReport, CarriedOver, EmptyReport, NotMoved, Quarantine, UndoReport

NAMES_SHOWN = 3
"""Files named in a line that is about several."""


def apply_summary(report: ApplyReport) -> None:
    """What applying a plan did: counts on stdout, then the files that were left."""
    count = len(report.moved) + len(report.linked)
    if count:
        moved = f"{counted(count, 'file')}, {size(report.bytes)}"
        back = "it" if count == 1 else "them"
        say(f"{moved}, moved to quarantine {report.quarantine}; undo puts {back} back")
    if report.linked:
        say(f"links to the files that stay are in place of {len(report.linked)} of them")
    if report.trashed:
        say(
            f"{counted(len(report.trashed), 'file')}, {size(report.bytes)}, moved to the trash; "
            "undo says where"
        )
    if not count and not report.trashed:
        say("nothing was moved")
    if report.already:
        say(f"{counted(len(report.already), 'file')} had gone with this plan before")
    if report.gone:
        gone = counted(len(report.gone), "file")
        say(f"{gone} not found at the place that the plan names; other plans may have moved some")
    for item in report.carried:
        say(f"{_said(item)} carried over to {shown(item.path)} (from {shown(item.from_path)})")
    _by_reason(
        "not carried over", [NotMoved(item.path, item.reason) for item in report.not_carried]
    )
    _by_reason("left", report.left)


def undo_summary(report: UndoReport) -> None:
    """What undoing a plan did: counts on stdout, then the files that were not put back."""
    if report.restored:
        restored = f"{counted(len(report.restored), 'file')}, {size(report.bytes)}"
        say(f"{restored}, put back from quarantine {report.quarantine}")
    elif not report.left and not report.there:
        say(f"quarantine {report.quarantine} has no files: it was undone before")
    if report.there:
        say(f"{counted(len(report.there), 'file')} back in place already")
    for item in report.taken_back:
        say(f"{_said(item)} taken back from {shown(item.path)}")
    _by_reason("not put back", report.left)


def empty_summary(report: EmptyReport) -> None:
    """What emptying quarantines deleted: counts on stdout, then the files that stay."""
    if report.deleted:
        would = "would be deleted" if report.dry_run else "deleted for ever"
        freed = "to be freed" if report.dry_run else "freed"
        say(f"{counted(len(report.deleted), 'file')} {would}, {size(report.bytes)} {freed}")
    elif not report.left:
        say("no files in quarantine are of such plans; nothing was deleted")
    else:
        say("nothing was deleted")
    _by_reason("stays in quarantine", report.left)


def quarantines_table(quarantines: Sequence[Quarantine]) -> None:
    """The plans that were applied, the last one first."""
    if not quarantines:
        say("no plan was applied in this workspace")
        return
    names = ["id", "applied", "files", "size", "in trash", "deleted", "state"]
    table = new_table(names, left=["id", "applied", "state"])
    for item in quarantines:
        at = f"{datetime.fromisoformat(item.at).astimezone():%Y-%m-%d %H:%M}" if item.at else "?"
        counts = [str(item.files), size(item.bytes), str(item.trashed), str(item.deleted)]
        table.add_row(item.id, at, *counts, item.state)
    out.print(table)


def _said(item: CarriedOver) -> str:
    if item.label is not None:
        return f"label '{shown(item.label)}'"
    if item.attribute is not None:
        return f"{shown(item.attribute)} '{shown(item.value or '')}'"
    other = f" ({shown(item.other)})" if item.other else ""
    return f"verdict '{item.verdict}'{other}"


def _by_reason(what: str, left: Sequence[NotMoved]) -> None:
    """A line on stderr for each reason, with the first of its files."""
    reasons: dict[str, list[str]] = {}
    for item in left:
        reasons.setdefault(item.reason, []).append(shown(item.path))
    for reason, paths in list(reasons.items())[:FAILURES_SHOWN]:
        more = f" and {len(paths) - NAMES_SHOWN} more" if len(paths) > NAMES_SHOWN else ""
        warn(f"{what}: {', '.join(paths[:NAMES_SHOWN])}{more}: {reason}")
    if len(reasons) > FAILURES_SHOWN:
        warn(f"... and {len(reasons) - FAILURES_SHOWN} more; --json lists all")
