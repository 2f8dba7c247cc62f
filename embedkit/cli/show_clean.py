"""Output of the commands that find and clean up duplicates."""

import os
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from embedkit._internal.paths import as_argument, shown
from embedkit._internal.text import it_or_them, size_text
from embedkit.cli.show import (
    FAILURES_SHOWN,
    print_hint,
    print_line,
    print_warning,
)
from embedkit.cli.tables import PATH, TEXT, WORD, Column, print_table
from embedkit.results import (
    ApplyReport,
    CarriedOver,
    DuplicateGroup,
    Duplicates,
    EmptyReport,
    NotMoved,
    PlanRow,
    Quarantine,
    StoreDuplicates,
    UndoReport,
)
from embedkit.results.wording import counted

GROUPS_SHOWN = 50
NAMES_SHOWN = 3
"""Files that a line about several files names."""


def duplicates_summary(found: Duplicates) -> None:
    """Print groups of duplicates: each representative, then its copies with their evidence."""
    here = os.path.join(os.getcwd(), "")
    columns = [
        Column("group"),
        Column("kind", TEXT),
        Column("score"),
        Column("bits", priority=1),
        Column("distance", priority=2),
        Column("label", TEXT, style="cyan"),
        Column("path", PATH),
    ]
    rows = [
        [
            str(number) if member is group.members[0] else "",
            _kind_text(group) if member is group.members[0] else "",
            f"{member.score:.3f}",
            "" if member.hamming is None else str(member.hamming),
            "" if member.distance is None else f"{member.distance:.4f}",
            member.label or "",
            member.path.removeprefix(here),
        ]
        for number, group in enumerate(found.groups[:GROUPS_SHOWN], 1)
        for member in group.members
    ]
    if rows:
        print_table(columns, rows)
    if len(found.groups) > GROUPS_SHOWN:
        rest = counted(len(found.groups) - GROUPS_SHOWN, "more group")
        print_line(f"... and {rest}; --json lists all")
    copies = sum(len(group.members) - 1 for group in found.groups)
    conflicts = sum(group.conflict for group in found.groups)
    print_line(
        f"{counted(len(found.groups), 'group')} with {counted(copies, 'copy', 'copies')} among "
        f"{counted(found.images, 'image')}"
        + (f"; {counted(conflicts, 'group')} with several labels" if conflicts else "")
    )
    if found.embedded < found.images and "combined" in found.kinds:
        count = counted(found.embedded, "image") if found.embedded else "no image"
        print_hint(
            f"compared by fingerprints: only {count} embedded; 'embedkit add' embeds the "
            "rest, which finds more cropped and edited copies"
        )
    if "perceptual" in found.kinds:
        print_line(
            f"perceptual: up to {found.max_hamming} of {found.hash_bits} bits"
            + (", also rotated and mirrored" if found.any_orientation else "")
            + f"; {found.chance_hamming:.2g} pairs expected by chance"
        )
    if "semantic" in found.kinds:
        print_line(
            f"semantic: up to a distance of {found.max_distance:.4f}; {found.chance_distance:.2g} "
            f"pairs expected by chance; recall {found.recall:.3f}"
        )


def store_duplicates_summary(found: StoreDuplicates, store: str) -> None:
    """Print the figures of a search for duplicates in a store."""
    print_line(
        f"{counted(found.groups, 'group')} with {counted(found.copies, 'copy', 'copies')} among "
        f"{counted(found.images, 'image')}; {counted(found.examined, 'pair')} opened"
    )
    print_line(f"groups: {shown(store.rstrip('/'))}/duplicates.lance")


def _kind_text(group: DuplicateGroup) -> str:
    return f"{group.kind}, CONFLICT" if group.conflict else group.kind


def plan_summary(
    rows: Sequence[PlanRow], plan: Path, page: Path, where: str, unreachable: int
) -> None:
    """Print the actions of a plan, and the next step.

    ``where`` ends the command: see :func:`embedkit.cli.options.workspace_argument`.
    ``unreachable`` files are not in the plan.
    """
    counts = Counter(row.action for row in rows)
    print_line(
        f"{counted(counts['remove'], 'file')} to remove, {counts['review']} to review, "
        f"{counts['keep']} to keep, in {counted(len({row.group for row in rows}), 'group')}"
    )
    if unreachable:
        print_line(
            f"{counted(unreachable, 'file')} of groups cannot be reached from this machine, and "
            f"{'is' if unreachable == 1 else 'are'} not in the plan"
        )
    print_line(f"plan: {shown(str(plan))}\npage: {shown(os.path.relpath(page))}")
    if not rows:
        print_hint("the plan is empty: there is nothing to apply")
        return
    print_hint("decide and save the plan on the page, or edit the column 'action' of the CSV")
    print_hint(f"then: embedkit apply {as_argument(str(plan))}{where}")


def apply_summary(report: ApplyReport) -> None:
    """Print the result of applying a plan: counts on stdout, then skipped files on stderr."""
    count = len(report.moved) + len(report.linked)
    if count:
        moved = f"{counted(count, 'file')}, {size_text(report.bytes)}"
        print_line(
            f"{moved}, moved to quarantine {report.quarantine}; undo puts {it_or_them(count)} back"
        )
    if report.linked:
        print_line(f"{len(report.linked)} of them replaced by links to the kept files")
    if report.trashed:
        print_line(
            f"{counted(len(report.trashed), 'file')}, {size_text(report.bytes)}, moved to the "
            "trash; 'embedkit undo' lists where they are"
        )
    if not count and not report.trashed:
        print_line("nothing was moved")
    if report.already_moved:
        print_line(
            f"{counted(len(report.already_moved), 'file')} already moved by this plan before"
        )
    if report.missing:
        missing = counted(len(report.missing), "file")
        print_line(f"{missing} not found; another plan may have moved them")
    for item in report.carried_over:
        print_line(
            f"{_carried_text(item)} carried over to {shown(item.path)} "
            f"(from {shown(item.from_path)})"
        )
    _print_by_reason(
        "not carried over", [NotMoved(item.path, item.reason) for item in report.not_carried_over]
    )
    _print_by_reason("skipped", report.skipped)


def undo_summary(report: UndoReport) -> None:
    """Print the result of undoing a plan: counts on stdout, then skipped files on stderr."""
    if report.restored:
        restored = f"{counted(len(report.restored), 'file')}, {size_text(report.bytes)}"
        print_line(f"{restored}, put back from quarantine {report.quarantine}")
    elif not report.skipped and not report.already_back:
        print_line(f"quarantine {report.quarantine} has no files: the plan was undone before")
    if report.already_back:
        print_line(f"{counted(len(report.already_back), 'file')} already back in place")
    if report.forgotten:
        count = len(report.forgotten)
        was = "was" if count == 1 else "were"
        print_line(
            f"{count} of them {was} forgotten meanwhile; 'embedkit add' adds {it_or_them(count)} "
            "again, with the labels from tables"
        )
    for item in report.reverted:
        print_line(f"{_carried_text(item)} removed again from {shown(item.path)}")
    _print_by_reason("not put back", report.skipped)


def empty_summary(report: EmptyReport) -> None:
    """Print the result of emptying quarantines: counts on stdout, then skipped files on stderr."""
    if report.deleted:
        deleted = "would be deleted" if report.dry_run else "deleted permanently"
        freed = "to be freed" if report.dry_run else "freed"
        print_line(
            f"{counted(len(report.deleted), 'file')} {deleted}, {size_text(report.bytes)} {freed}"
        )
    elif not report.skipped:
        print_line("no such plan has files in quarantine; nothing was deleted")
    else:
        print_line("nothing was deleted")
    _print_by_reason("stays in quarantine", report.skipped)


def quarantines_table(quarantines: Sequence[Quarantine]) -> None:
    """Print the applied plans, most recent first."""
    if not quarantines:
        print_line("no plan was applied in this workspace")
        return
    columns = [
        Column("id", WORD),
        Column("applied", WORD),
        Column("files"),
        Column("size"),
        Column("in trash", priority=1),
        Column("deleted", priority=1),
        Column("state", TEXT),
    ]
    rows = [
        [
            item.id,
            f"{datetime.fromisoformat(item.at).astimezone():%Y-%m-%d %H:%M}" if item.at else "?",
            str(item.files),
            size_text(item.bytes),
            str(item.trashed),
            str(item.deleted),
            item.state,
        ]
        for item in quarantines
    ]
    print_table(columns, rows)


def _carried_text(item: CarriedOver) -> str:
    if item.label is not None:
        return f"label '{shown(item.label)}'"
    if item.attribute is not None:
        return f"{shown(item.attribute)} '{shown(item.value or '')}'"
    other = f" ({shown(item.other)})" if item.other else ""
    return f"verdict '{item.verdict}'{other}"


def _print_by_reason(prefix: str, files: Sequence[NotMoved]) -> None:
    """Print a line on stderr for each reason, with its first files."""
    reasons: dict[str, list[str]] = {}
    for item in files:
        reasons.setdefault(item.reason, []).append(shown(item.path))
    for reason, paths in list(reasons.items())[:FAILURES_SHOWN]:
        more = f" and {len(paths) - NAMES_SHOWN} more" if len(paths) > NAMES_SHOWN else ""
        print_warning(f"{prefix}: {', '.join(paths[:NAMES_SHOWN])}{more}: {reason}")
    if len(reasons) > FAILURES_SHOWN:
        print_warning(f"... and {len(reasons) - FAILURES_SHOWN} more; --json lists all")
