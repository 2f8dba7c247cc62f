"""A plan as one HTML file in which a person decides: group by group, what stays and what goes.

The template renders every group once, inside a ``<noscript>``: a browser that runs the page's
script takes that for text, so that it opens a page of thousands of groups at once and builds only
the groups in view; a browser without scripts shows them all, to be read.
"""

import base64
import json
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import groupby, repeat
from pathlib import Path
from typing import NamedTuple

from embedkit._internal.paths import shown
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
from embedkit.errors import UnreadableImage
from embedkit.images.decode import Decoder, decoding, read_bytes
from embedkit.images.faults import one_file
from embedkit.images.partial import decode_partial
from embedkit.reports.page import small_webp, write_page
from embedkit.reports.photo_facts import Fact, facts_of, modified, size_text
from embedkit.results import CHANGES, DAMAGED, PlanRow, Progress, ProgressCallback, no_progress

SIDES = ((2_000, 400), (6_000, 320), (20_000, 200))
"""Longest side of the thumbnails in pixels, on a page of up to so many images."""
LEAST_SIDE = 120
"""Longest side on a page of more images than that."""
STATES = {
    KEEP: ("Stays", "The file stays where it is."),
    REMOVE: ("Goes", "'embedkit apply' moves the file to quarantine, from where undo restores it."),
    REVIEW: ("Needs a decision", "Nobody has decided yet; the file stays until somebody does."),
    "left": ("Left for review", "You looked at it and left it undecided; the file stays."),
}
"""The page's word for the state of a file, and what it means; ``left`` exists on the page only."""
KINDS = {
    "exact": "the same bytes",
    "pixels": "other bytes, but the same pixels when decoded",
    "perceptual": "perceptual hashes that differ in few bits",
    "semantic": "embeddings at a small distance",
    "combined": "all evidence together: embeddings, hashes and a comparison at 16 x 16 pixels",
    DAMAGED: "a file that ends early; what is there of it is the same in an intact file",
    INTACT: "an intact file of which a damaged copy was found",
    "conflict": "the same picture under different labels: at most one of them is right",
}
FIGURES = {
    "score": "Probability that the file is a copy of the one that its group formed around, which "
    "has 1 itself; from 0.9 on a copy goes without a question, unless its reason raises one",
    "hamming": "Bits in which the perceptual hashes of the file and of the best file differ",
    "bits": "Bits in which the perceptual hashes of the file and of the best file differ",
    "distance": "Cosine distance between the embeddings of the file and of the best file: "
    "0 is the same, 2 the opposite",
}
"""What a column of figures means, by the column's name."""
ALWAYS = frozenset({"pixels", "bytes"})
"""Facts that the page shows of every file; the others only where files of a group differ."""
_ID = re.compile(rb'"id": ?"([0-9a-f]{12})", ?"name":')
_APART = frozenset(plan.COLUMNS) - {"score"}


class _Photo(NamedTuple):
    """What distinct bytes look like, for all files that contain them."""

    address: str | None
    """The thumbnail as a data address; None if there is no picture."""
    note: str
    """Why there is no picture."""
    pixels: str
    facts: list[Fact]


def plan_of_page(page: Path) -> str | None:
    """The :func:`plan_id` of the plan that a page shows; None when it is no page of a plan."""
    try:
        found = _ID.search(page.read_bytes())
    except OSError:
        return None
    return found[1].decode() if found else None


def write_plan_page(
    target: Path,
    rows: Sequence[PlanRow],
    title: str = "What stays and what goes",
    workspace: Path | None = None,
    progress: ProgressCallback = no_progress,
) -> None:
    """Write a page with every group of a plan, on which a person decides and saves the plan.

    Groups with files to review come first, those under several labels before the others; in a
    group the files that stay come first. Each image is decoded once; one that cannot be read, or
    whose file has changed since the plan was made, has a note in the place of its picture. The
    command that the page gives to apply a saved plan names the ``workspace``.

    Raises :class:`StorageError` when the file cannot be written.
    """
    numbered = sorted(enumerate(rows), key=lambda item: (item[1].group, _place(item[1])))
    groups = [list(members) for _, members in groupby(numbered, key=lambda item: item[1].group)]
    groups.sort(key=lambda members: _urgency([row for _, row in members]))  # stable
    photos = _photos(rows, progress)
    sizes = {row.path: _bytes(row.path) for row in rows}
    labels = sorted({row.label or "" for row in rows})
    hues = {label: _hue(place) for place, label in enumerate(labels)}
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
        figures={name: FIGURES[name] for name in plan.COLUMNS if name in FIGURES},
        kind_options=[
            (kind, shown(kind) or "No kind") for kind in sorted({row.kind for row in rows})
        ],
        label_options=[(label, shown(label) or "No label") for label in labels],
        changes=[words for words in CHANGES.values() if any(words in row.reason for row in rows)],
        hues=sorted(set(hues.values())),
        total=len(groups),
        groups=(_group(members, folder, photos, hues) for members in groups),
        data=_json(
            {
                "id": plan_id(rows),
                "name": target.stem.encode("utf-8", "replace").decode(),
                "workspace": shlex.quote(shown(str(workspace.absolute()))) if workspace else "",
                "columns": plan.COLUMNS,
                "rows": plan_cells(rows),
                "labels": [row.label or "" for row in rows],
                "groups": [[number for number, _ in members] for members in groups],
                "bytes": [sizes[row.path] for row in rows],
                "paths": [shown(row.path) for row in rows],
                "states": {state: word for state, (word, _) in STATES.items()},
            }
        ),
        policy=_policy,
    )


def _place(row: PlanRow) -> int:
    """Where a file comes in its group: what stays, what needs a decision, what goes."""
    return (KEEP, REVIEW, REMOVE).index(row.action)


def _urgency(members: Sequence[PlanRow]) -> int:
    if not any(row.action == REVIEW for row in members):
        return 2
    return 0 if _is_conflict(members) else 1


def _hue(place: int) -> int:
    """Degrees on the colour circle, far apart for labels that are near each other in the list."""
    return round(place * 137.5) % 360


def _is_conflict(members: Sequence[PlanRow]) -> bool:
    return len({row.label for row in members} - {None}) > 1


def _photos(rows: Sequence[PlanRow], progress: ProgressCallback) -> dict[str, _Photo]:
    """The photo of each digest, decoded once from the first of its files that contains it."""
    paths: dict[str, list[str]] = {}
    for row in rows:
        paths.setdefault(row.sha256, []).append(row.path)
    side = next((side for most, side in SIDES if len(paths) <= most), LEAST_SIDE)
    photos = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding leaves Python's lock
        drawn = pool.map(_photo, paths, paths.values(), repeat(side))
        for digest, photo in zip(paths, drawn, strict=True):
            photos[digest] = photo
            progress(Progress("drawing thumbnails", len(photos), len(paths)))
    return photos


def _photo(digest: str, paths: Iterable[str], side: int) -> _Photo:
    """The photo of a digest, or a note that says what is wrong with the first of its files."""
    note = ""
    for path in paths:
        try:
            with one_file(), decoding(path, reduced=True) as decoder:
                if decoder.sha256 == digest:
                    address, (width, height) = _drawn(decoder, path, side)
                    return _Photo(address, "", f"{width} × {height}", facts_of(decoder))
        except UnreadableImage as error:
            note = note or f"cannot be read: {error.reason}"
        else:
            note = note or "changed since the plan was made"
    return _Photo(None, note, "", [])


def _drawn(decoder: Decoder, path: str, side: int) -> tuple[str, tuple[int, int]]:
    """The address of a thumbnail, and the image's size; of a damaged one, of what is there."""
    try:
        return small_webp(decoder.at_least(long=side), side), decoder.size
    except UnreadableImage as error:
        try:
            with decoder.alone():
                image, _ = decode_partial(read_bytes(path))
                return small_webp(image, side), image.size
        except UnreadableImage:
            raise error from None


def _bytes(path: str) -> int:
    """The bytes that a file takes on the disk; 0 for one that is gone, and for a link."""
    try:
        return 0 if os.path.islink(path) else os.stat(path).st_size
    except OSError:
        return 0


def _group(
    numbered: Sequence[tuple[int, PlanRow]],
    folder: str,
    photos: dict[str, _Photo],
    hues: dict[str, int],
) -> dict[str, object]:
    members = [row for _, row in numbered]
    facts = [_facts(row, photos[row.sha256]) for row in members]
    texts: dict[str, set[str]] = {}
    for fact in (fact for of_file in facts for fact in of_file):
        texts.setdefault(fact.name, set()).add(fact.text)
    shared = {name for name, found in texts.items() if len(found) == 1}
    reasons = {row.reason for row in members}
    best = {fact.name: fact.text for fact in facts[0]}
    first: dict[str, str] = {}
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
                "address": Path(row.path).as_uri(),
                "digest": row.sha256[:16],
                "photo": photos[row.sha256],
                "shown_before": first.setdefault(row.sha256, row.path) != row.path
                and shown(os.path.basename(first[row.sha256])),
                "name": shown(os.path.basename(row.path)),
                "path": shown(row.path),
                "folder": shown(_below(folder, os.path.dirname(row.path))),
                "label": None if row.label is None else shown(row.label),
                "hue": hues[row.label or ""],
                "reason": shown(row.reason),
                "facts": [
                    (fact, fact.text != best.get(fact.name))
                    for fact in of_file
                    if fact.name not in shared or fact.name in ALWAYS
                ],
                "figures": _figures(row),
            }
            for (number, row), of_file in zip(numbered, facts, strict=True)
        ],
    }


def _facts(row: PlanRow, photo: _Photo) -> list[Fact]:
    pixels = Fact("pixels", photo.pixels, "Width and height of the upright photo, in pixels")
    try:
        status = os.stat(row.path)
    except OSError as error:
        return [Fact("bytes", shown(error.strerror or "gone"), "Why the file cannot be opened")]
    count = status.st_size
    size = Fact("bytes", size_text(count), f"Size of the file: {count:,} bytes")
    return [*([pixels] if photo.pixels else []), size, *photo.facts, modified(status)]


def _figures(row: PlanRow) -> list[tuple[str, str, str]]:
    """Name, value and meaning of the columns that have figures or facts of their own."""
    (cells,) = plan_cells([row])
    return [
        (
            name.replace("_", " "),
            f"{float(cell):.4g}" if name in FIGURES else shown(cell),
            FIGURES.get(name, f"The column {name} of the plan"),
        )
        for name, cell in zip(plan.COLUMNS, cells, strict=True)
        if cell and name not in _APART
    ]


def _below(folder: str, place: str) -> str:
    return "" if place == folder else place.removeprefix(os.path.join(folder, ""))


def _json(value: object) -> str:
    """JSON that ends no script element, whatever its texts are: ASCII, and no markup."""
    text = json.dumps(value, separators=(",", ":"))
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def _policy(style: str, script: str) -> str:
    """A content security policy under which this style and this script run, and nothing else.

    Pictures may come from the page itself and, enlarged, from the files that it lists.
    """
    style_hash, script_hash = (
        base64.b64encode(sha256(text.encode()).digest()).decode() for text in (style, script)
    )
    return (
        f"default-src 'none'; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; "
        "img-src data: file:; base-uri 'none'; form-action 'none'"
    )
