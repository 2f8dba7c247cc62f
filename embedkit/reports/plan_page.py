"""A cleaning plan as one HTML page, on which a person reviews the groups and saves the plan.

The template renders every group inside a ``<noscript>``. A browser with scripts treats that as text
and opens a page of thousands of groups at once; the script builds only the groups in view. A
browser without scripts shows all groups, read-only.
"""

import os
import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from embedkit._internal.paths import address, as_argument, shown
from embedkit._internal.text import size_text
from embedkit.cleaning import plan
from embedkit.cleaning.plan import (
    ACTIONS,
    DROP_ALL,
    INTACT,
    KEEP,
    REMOVE,
    REVIEW,
    plan_cells,
    plan_id,
)
from embedkit.reports.page import content_policy, relative_to, script_json, write_page
from embedkit.reports.photo_facts import Fact, modified
from embedkit.reports.photos import Photo, Source, photos_of
from embedkit.results import CHANGES, DAMAGED, PlanRow, ProgressCallback, no_progress
from embedkit.results.verdicts import OFF_TOPIC, POOR

SIDES = ((2_000, 400), (6_000, 320), (20_000, 200))
"""Pairs: a maximum number of images on a page, and the longest side of their thumbnails, pixels."""
SMALLEST_SIDE = 120
"""Longest side of thumbnails on a page with more images, pixels."""
STATES = {
    KEEP: ("Keep", "The file stays where it is."),
    REMOVE: (
        "Remove",
        "'embedkit apply' moves the file to quarantine; 'embedkit undo' puts it back.",
    ),
    REVIEW: ("Review", "You have to decide; until then the file stays."),
    "left": ("Left for review", "You looked at the file and left it undecided; it stays."),
}
"""The word on the page for each state of a file, and its meaning; ``left`` is not in plans."""
KINDS = {
    "exact": "the same bytes",
    "pixels": "different bytes, but the same pixels when decoded",
    "perceptual": "perceptual hashes that differ in few bits",
    "semantic": "embeddings at a small distance",
    "combined": "all evidence combined: embeddings, hashes and a comparison at 16 x 16 pixels",
    DAMAGED: "a truncated file whose decoded part equals that of an intact file",
    INTACT: "an intact file with a damaged copy",
    OFF_TOPIC: "a photo that you marked off-topic: it does not belong to the collection",
    POOR: "a photo that you marked poor: its quality is too low",
    "conflict": "the same picture under different labels: at most one of them is right",
}
SCORE_MEANING = (
    "Probability that the file is a copy of the representative of its group, whose own score is 1. "
    "From 0.9, a copy is removed without review unless its reason requires one"
)
ALWAYS = frozenset({"pixels", "bytes"})
"""Facts that every file has on the page; others are shown only where files of a group differ."""
_ID = re.compile(rb'"id": ?"([0-9a-f]{12})", ?"name":')


def plan_of_page(page: Path) -> str | None:
    """Return the :func:`plan_id` of the plan on a page; None if it is not the page of a plan."""
    try:
        match = _ID.search(page.read_bytes())
    except OSError:
        return None
    return match[1].decode() if match else None


def write_plan_page(
    target: Path,
    rows: Sequence[PlanRow],
    title: str = "Cleaning plan",
    workspace: Path | None = None,
    progress: ProgressCallback = no_progress,
    store: str | None = None,
) -> None:
    """Write a plan as one HTML page, on which a person decides and saves the plan.

    Groups with files to review come first, and among them those with different labels. In each
    group the kept files come first. Each image is decoded once. An image that cannot be read, or
    whose file has changed since the plan was made, has a note in the place of its thumbnail.

    Parameters
    ----------
    target : Path
        Path of the page.
    rows : sequence of PlanRow
        Rows of the plan.
    title : str, optional
        Title of the page.
    workspace : Path, optional
        Folder of the workspace, for the command on the page that applies a saved plan.
    progress : callable, optional
        Called with the number of thumbnails so far.
    store : str, optional
        Path or URL of the store that the plan is for, for the same command.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    given = {
        "--store": store,
        "-w": None if workspace is None else str(workspace.absolute()),
    }
    numbered = sorted(enumerate(rows), key=lambda item: (item[1].group, _action_rank(item[1])))
    groups = [list(members) for _, members in groupby(numbered, key=lambda item: item[1].group)]
    groups.sort(key=lambda members: _urgency([row for _, row in members]))  # stable
    photos = _photos(rows, progress)
    sizes = {row.path: _size_on_disk(row.path) for row in rows}
    labels = sorted({row.label or "" for row in rows})
    hues = {label: _spread_hue(index) for index, label in enumerate(labels)}
    folder = os.path.commonpath([os.path.dirname(row.path) for row in rows] or ["."])
    write_page(
        target,
        "plan.html",
        title=title,
        folder=shown(folder) if rows else "",
        files={action: sum(row.action == action for row in rows) for action in ACTIONS},
        freed=size_text(sum(sizes[row.path] for row in rows if row.action == REMOVE)),
        csv=shown(target.with_suffix(".csv").name),
        states=STATES,
        kinds={kind: KINDS[kind] for kind in KINDS if any(row.kind == kind for row in rows)},
        score_meaning=SCORE_MEANING,
        kind_options=[
            (kind, shown(kind) or "No kind") for kind in sorted({row.kind for row in rows})
        ],
        label_options=[(label, shown(label) or "No label") for label in labels],
        changes=[words for words in CHANGES.values() if any(words in row.reason for row in rows)],
        hues=sorted(set(hues.values())),
        total=len(groups),
        groups=(_group(members, folder, photos, hues) for members in groups),
        data=script_json(
            {
                "id": plan_id(rows),
                "name": target.stem.encode("utf-8", "replace").decode(),
                "options": "".join(
                    f" {name} {as_argument(value)}" for name, value in given.items() if value
                ),
                "columns": plan.COLUMNS,
                "rows": plan_cells(rows),
                "labels": [row.label or "" for row in rows],
                "groups": [[number for number, _ in members] for members in groups],
                "bytes": [sizes[row.path] for row in rows],
                "paths": [shown(row.path) for row in rows],
                "states": {state: word for state, (word, _) in STATES.items()},
            }
        ),
        policy=content_policy,
    )


def _action_rank(row: PlanRow) -> int:
    """Return the sort key of a file in its group: kept files, files for review, removed files."""
    return (KEEP, REVIEW, REMOVE).index(row.action)


def _urgency(members: Sequence[PlanRow]) -> int:
    """Return the sort key of a group: conflicts to review, other groups to review, the others."""
    if not any(row.action == REVIEW for row in members):
        return 2
    return 0 if _is_conflict(members) else 1


def _spread_hue(index: int) -> int:
    """Return a hue in degrees that is far from the hues of the indices before and after."""
    return round(index * 137.5) % 360


def _is_conflict(members: Sequence[PlanRow]) -> bool:
    return len({row.label for row in members} - {None}) > 1


def _photos(rows: Sequence[PlanRow], progress: ProgressCallback) -> dict[str, Photo]:
    """Return the photo of each digest."""
    paths: dict[str, list[str]] = {}
    for row in rows:
        paths.setdefault(row.sha256, []).append(row.path)
    side = next((side for limit, side in SIDES if len(paths) <= limit), SMALLEST_SIDE)
    sources = {digest: Source(files, side) for digest, files in paths.items()}
    return photos_of(sources, "the plan was made", progress)


def _size_on_disk(path: str) -> int:
    """Return the bytes that a file takes on disk; 0 for a missing file and for a link."""
    try:
        return 0 if os.path.islink(path) else os.stat(path).st_size
    except OSError:
        return 0


def _group(
    numbered: Sequence[tuple[int, PlanRow]],
    folder: str,
    photos: dict[str, Photo],
    hues: dict[str, int],
) -> dict[str, object]:
    members = [row for _, row in numbered]
    facts = [_facts(row, photos[row.sha256]) for row in members]
    texts: dict[str, set[str]] = {}
    for fact in (fact for of_file in facts for fact in of_file):
        texts.setdefault(fact.name, set()).add(fact.text)
    shared = {name for name, values in texts.items() if len(values) == 1}
    reasons = {row.reason for row in members}
    of_first = {fact.name: fact.text for fact in facts[0]}
    first_path: dict[str, str] = {}
    return {
        "number": members[0].group,
        "kinds": sorted({row.kind for row in members} - {""}),
        "size": len(members),
        "width": min(len(members), 6),
        "drops": members[0].rule == DROP_ALL,
        "labels_differ": _is_conflict(members),
        "reason": shown(reasons.pop()) if len(reasons) == 1 < len(members) else "",
        "cards": [
            {
                "row": number,
                "state": row.action,
                "address": address(row.path),
                "digest": row.sha256[:16],
                "photo": photos[row.sha256],
                "shown_before": first_path.setdefault(row.sha256, row.path) != row.path
                and shown(os.path.basename(first_path[row.sha256])),
                "name": shown(os.path.basename(row.path)),
                "path": shown(row.path),
                "folder": shown(relative_to(folder, os.path.dirname(row.path))),
                "label": None if row.label is None else shown(row.label),
                "hue": hues[row.label or ""],
                "reason": shown(row.reason),
                "facts": [
                    (fact, fact.text != of_first.get(fact.name))
                    for fact in of_file
                    if fact.name not in shared or fact.name in ALWAYS
                ],
                "score": None if row.score is None else f"{row.score:.4g}",
            }
            for (number, row), of_file in zip(numbered, facts, strict=True)
        ],
    }


def _facts(row: PlanRow, photo: Photo) -> list[Fact]:
    try:
        status = os.stat(row.path)
    except OSError as error:
        return [Fact("bytes", shown(error.strerror or "missing"), "Why the file cannot be opened")]
    count = status.st_size
    size = Fact("bytes", size_text(count), f"Size of the file: {count:,} bytes")
    facts = [size, *photo.facts, modified(status)]
    if not photo.pixels:
        return facts
    return [Fact("pixels", photo.pixels, "Width and height of the upright photo, pixels"), *facts]
