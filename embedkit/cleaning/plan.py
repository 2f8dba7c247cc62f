"""The plan: which files to remove and why, as a CSV that the user reads and may edit."""

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from itertools import count
from pathlib import Path, PurePath

from embedkit._internal.artifacts import storage_error
from embedkit._internal.paths import from_stored, shown, to_stored
from embedkit._internal.tables import csv_text, open_table, text_cell, write_table
from embedkit.errors import BadInput
from embedkit.results import DAMAGED
from embedkit.results import PlanRow as PlanRow

KEEP, REMOVE, REVIEW = ACTIONS = ("keep", "remove", "review")
KEEP_ONE, DROP_ALL = RULES = ("keep-one", "drop-all")
CONFLICT = "conflict"
"""The kind of a group under several labels."""
INTACT = "intact"
"""The kind of an intact file that is in a group only because of its damaged copies."""
SYMLINK_REASON = "a symbolic link, which holds no photo; remove it by hand"
"""The reason of a row whose path is a symbolic link."""
COLUMNS = tuple(item.name for item in fields(PlanRow))
_PATHS = [COLUMNS.index(name) for name in ("path", "copy_of")]


def write_plan(target: Path, rows: Sequence[PlanRow]) -> None:
    """Write a plan as CSV, atomically.

    Paths are in the stored form of :mod:`embedkit._internal.paths`. Raises :class:`StorageError`
    when it cannot be written.
    """
    write_table(target, COLUMNS, _values(rows))


def plan_id(rows: Sequence[PlanRow]) -> str:
    """Return a digest of the rows, independent of the spelling of their CSV: 12 hex digits."""
    return hashlib.sha256(csv_text([COLUMNS, *_values(rows)]).encode()).hexdigest()[:12]


def can_replace_others(row: PlanRow) -> bool:
    """Return whether other files may be removed in favour of a file: it is kept and not damaged."""
    return row.action == KEEP and row.kind != DAMAGED


def plan_cells(rows: Sequence[PlanRow]) -> list[list[str]]:
    """Return the cells of a plan as :func:`write_plan` writes them, before quoting; one list per
    row."""
    return [[text_cell(value) for value in values] for values in _values(rows)]


def _values(rows: Sequence[PlanRow]) -> list[list[object]]:
    """Return the values of the rows of a plan, by column."""
    table = [list(astuple(row)) for row in rows]
    for cells in table:
        for column in _PATHS:
            cells[column] = to_stored(cells[column] or "")
    return table


def read_plan(source: Path, *, stored: bool = False) -> list[PlanRow]:
    """Return the rows of a plan that :func:`write_plan` or a spreadsheet wrote.

    Semicolons or tabs instead of commas, UTF-16, any line ends, additional columns and empty lines
    are accepted. A plan ``stored`` in a quarantine may have no column ``copy_of``, which early
    plans did not have. Raises :class:`BadInput`, with the line and what to do, for invalid rows,
    and when a ``keep-one`` group would lose all of its files.
    """
    numbered: list[tuple[int, PlanRow]] = []
    optional = ("copy_of",) if stored else ()
    required = [name for name in COLUMNS if name not in optional]
    with open_table(source, required, "a plan", optional) as table:
        try:
            for line, cells in table:
                numbered.append((line, _row(cells)))
            _check_groups(numbered)
        except _InvalidRow as error:
            raise table.error(error.line or line, str(error)) from error
    return [row for _, row in numbered]


def rename_edited_plan(target: Path, written: str | None) -> Path | None:
    """Rename the file at a plan's path unless it is unchanged; return the new path.

    So the decisions in an edited plan are kept when another plan takes its place. ``written`` is
    the :func:`plan_id` of the plan as it was written there, None if that is not known. Returns None
    if nothing was renamed. Raises :class:`StorageError`.
    """
    if not target.exists():
        return None
    try:
        found = plan_id(read_plan(target))
    except BadInput:
        found = ""
    if found == written:
        return None
    names = (target.with_name(f"{target.stem}.{number}{target.suffix}") for number in count(1))
    aside = next(name for name in names if not os.path.lexists(name))
    try:
        target.rename(aside)
    except OSError as error:
        raise storage_error(f"cannot rename {shown(str(target))}", error) from error
    return aside


class _InvalidRow(Exception):
    """A problem with a row. ``line`` is its line in the file, 0 for the row that is being read."""

    def __init__(self, problem: str, line: int = 0) -> None:
        super().__init__(problem)
        self.line = line


def _row(cells: dict[str, str]) -> PlanRow:
    sha256 = cells["sha256"].strip().lower()
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise _InvalidRow(
            f"{shown(sha256)!r} is not a SHA-256 of 64 hex digits; take it from the plan"
        )
    return PlanRow(
        group=_number(cells["group"]),
        action=_one_of(ACTIONS, "action", cells["action"]),
        path=_path(cells["path"]),
        sha256=sha256,
        kind=cells["kind"],
        score=_score(cells["score"]),
        label=cells["label"] or None,
        reason=cells["reason"],
        rule=_one_of(RULES, "rule", cells["rule"]),
        copy_of=_path(cells["copy_of"]) if cells.get("copy_of", "").strip() else None,
    )


def _path(cell: str) -> str:
    path = from_stored(cell)
    if not os.path.isabs(path):
        raise _InvalidRow(f"{shown(path)!r} is not an absolute path")
    if os.pardir in PurePath(path).parts:
        raise _InvalidRow(f"{shown(path)!r} contains '..'; take the path from the plan")
    return os.path.normpath(path)


def _number(cell: str) -> int:
    try:
        return int(cell)
    except ValueError:
        raise _InvalidRow(f"the group {shown(cell)!r} is not a whole number") from None


def _score(cell: str) -> float | None:
    try:
        return float(cell.replace(",", ".")) if cell.strip() else None
    except ValueError:
        raise _InvalidRow(f"the score {shown(cell)!r} is not a number; it may be empty") from None


def _one_of(known: Sequence[str], column: str, cell: str) -> str:
    value = cell.strip().lower()
    if value not in known:
        raise _InvalidRow(f"unknown {column} {shown(cell)!r}; it can be {', '.join(known)}")
    return value


def _check_groups(numbered: Sequence[tuple[int, PlanRow]]) -> None:
    """Check rows against each other: repeated paths, and groups that would lose every file."""
    lines: dict[str, int] = {}
    by_path = {row.path: row for _, row in numbered}
    rules: dict[int, str] = {}
    kept = {row.group for _, row in numbered if can_replace_others(row)}
    damaged = {row.group for _, row in numbered if row.action == KEEP and row.kind == DAMAGED}
    for line, row in numbered:
        if lines.setdefault(row.path, line) != line:
            raise _InvalidRow(f"{shown(row.path)} is already in line {lines[row.path]}", line)
        if rules.setdefault(row.group, row.rule) != row.rule:
            raise _InvalidRow(f"group {row.group} has two rules; a group has one rule", line)
        if row.copy_of is not None:
            target = by_path.get(row.copy_of)
            if target is None or target.group != row.group:
                raise _InvalidRow(
                    f"group {row.group} has no row for {shown(row.copy_of)}, which "
                    f"{shown(row.path)} is a copy of; put that row back",
                    line,
                )
            if _is_circular(row, by_path):
                raise _InvalidRow(
                    f"{shown(row.path)} is a copy of itself by the column copy_of; take the "
                    "paths from the plan",
                    line,
                )
        if row.action == REMOVE and row.rule == KEEP_ONE and row.group not in kept:
            what = "nothing intact" if row.group in damaged else "nothing"
            raise _InvalidRow(
                f"{what} of group {row.group} would be kept; change the action of one of its "
                f"files to {KEEP}, or the rule of all of them to {DROP_ALL}",
                line,
            )


def _is_circular(row: PlanRow, by_path: Mapping[str, PlanRow]) -> bool:
    """Return whether following ``copy_of`` from a row leads back to a row that was visited."""
    seen = {row.path}
    target = by_path.get(row.copy_of or "")
    while target is not None and target.path not in seen:
        seen.add(target.path)
        target = by_path.get(target.copy_of or "")
    return target is not None
