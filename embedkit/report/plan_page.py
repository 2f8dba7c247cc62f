"""A plan as one HTML file: group by group, what would stay and what would go."""

import os
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from embedkit.clean.plan import ACTIONS, DROP_ALL, KEEP, REMOVE, REVIEW
from embedkit.paths import shown
from embedkit.records import PlanRow
from embedkit.report.page import hue, thumbnail, write_page

GROUPS = 300
"""Groups on a page; a plan of more has the others in its CSV only."""
FILES = 24
"""Files of a group on a page."""
THUMBNAIL = 300
"""Longest side of a thumbnail, pixels."""


def write_plan_page(
    target: Path, rows: Sequence[PlanRow], title: str = "What stays and what goes"
) -> None:
    """Write a page of a plan's first groups, with the thumbnails embedded, keepers first.

    A photo that cannot be read any more has a note in its place. Raises :class:`StorageError`
    when the file cannot be written.
    """
    ordered = sorted(rows, key=lambda row: (row.group, ACTIONS.index(row.action)))
    groups = [list(members) for _, members in groupby(ordered, key=lambda row: row.group)]
    folder = os.path.commonpath([os.path.dirname(row.path) for row in rows] or ["."])
    write_page(
        target,
        "plan.html",
        title=title,
        folder=shown(folder) if rows else "",
        groups=len(groups),
        files={action: sum(row.action == action for row in rows) for action in ACTIONS},
        going=_size(sum(_bytes(row.path) for row in rows if row.action == REMOVE)),
        sections=[_section(members, folder) for members in groups[:GROUPS]],
    )


def _section(members: Sequence[PlanRow], folder: str) -> dict[str, object]:
    first = members[0]
    return {
        "group": first.group,
        "kinds": ", ".join(dict.fromkeys(shown(row.kind) for row in members if row.kind)),
        "goes_whole": first.rule == DROP_ALL and all(row.action == REMOVE for row in members),
        "files": len(members),
        "cards": [_card(row, folder) for row in members[:FILES]],
    }


def _card(row: PlanRow, folder: str) -> dict[str, object]:
    small = thumbnail(row.path, THUMBNAIL)
    pixels = f"{small.width} × {small.height}, " if small else ""
    place = os.path.dirname(row.path)
    return {
        "action": row.action,
        "word": {KEEP: "stays", REMOVE: "goes", REVIEW: "you decide"}[row.action],
        "score": "" if row.score is None else f"{row.score:.4g}",
        "thumbnail": small,
        "name": shown(os.path.basename(row.path)),
        "path": shown(row.path),
        "folder": "" if place == folder else shown(place.removeprefix(os.path.join(folder, ""))),
        "label": None if row.label is None else shown(row.label),
        "hue": hue(row.label),
        "size": pixels + _size(_bytes(row.path)),
        "reason": shown(row.reason),
    }


def _bytes(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _size(count: int) -> str:
    return f"{count / 1e3:,.0f} kB" if count < 1e6 else f"{count / 1e6:,.1f} MB"
