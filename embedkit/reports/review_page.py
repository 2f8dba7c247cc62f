"""A review as one HTML page, on which a person decides about each photo and saves the verdicts.

Each thumbnail is a background in the style sheet, so the page embeds it once however often it shows
it, and a browser decodes only those in view.
"""

import os
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from embedkit._internal.paths import address, as_argument, shown
from embedkit._internal.tables import text_cell
from embedkit.reports.page import content_policy, relative_to, script_json, write_page
from embedkit.reports.photos import Photo, Source, photos_of
from embedkit.reports.tables import table_cells
from embedkit.results import (
    ProgressCallback,
    Review,
    ReviewItem,
    ReviewNeighbour,
    no_progress,
)
from embedkit.results.review import CERTAIN, LABELS, OFF_TOPIC, QUALITY

SIDE = 400
"""Longest side of the thumbnail of a listed photo, pixels."""
NEIGHBOUR_SIDE = 160
"""Longest side of the thumbnail of a neighbour, pixels."""
TITLES = {
    LABELS: "Labels to review",
    OFF_TOPIC: "Photos that may be off-topic",
    QUALITY: "Photos of poor quality",
}
SCORE_MEANINGS = {
    LABELS: "The larger, the surer; above 0 the label is probably wrong",
    OFF_TOPIC: "The larger, the surer; above 0 the photo is probably off-topic",
    QUALITY: "The larger, the surer; above 0 the photo is probably poor",
}


class Choice(NamedTuple):
    """A decision that the page offers."""

    act: str
    """Its name in the script and the style sheet."""
    text: str
    """Text of its button; its first letter is its key."""
    meaning: str
    is_wrong: bool = False
    """Whether it confirms that the photo is wrong."""


_RIGHT = Choice("right", "Label is right", "The label is right")
_SUGGESTED = Choice("suggested", "Suggestion is right", "Change the label to the suggestion", True)
_BOTH = Choice("both", "Both are right", "The label and the suggestion are both true")
_OFF_TOPIC = Choice("off-topic", "Off-topic", "The photo does not belong to the collection", True)
_KEEP = Choice("keep", "Keep", "The photo stays in the collection")
CHOICES = {
    LABELS: (
        _RIGHT,
        _SUGGESTED,
        _BOTH,
        Choice("unsure", "Not sure", "You cannot decide"),
        _OFF_TOPIC,
    ),
    OFF_TOPIC: (_OFF_TOPIC, _KEEP),
    QUALITY: (Choice("poor", "Poor", "The quality of the photo is too low", True), _KEEP),
}
"""The choices of each kind of review."""


def write_review_page(
    target: Path, review: Review, progress: ProgressCallback = no_progress
) -> None:
    """Write a review as one HTML page, on which a person decides and saves the verdicts.

    Each photo is decoded once. A photo that cannot be read, or whose file has changed since the
    review, has a note in the place of its thumbnail.

    Parameters
    ----------
    target : Path
        Path of the page.
    review : Review
        The photos to review.
    progress : callable, optional
        Called with the number of thumbnails so far.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    photos = photos_of(_sources(review), "the review", progress)
    numbers = {digest: number for number, digest in enumerate(photos)}
    items = review.items
    folder = os.path.commonpath([os.path.dirname(item.path) for item in items] or ["."])
    page = _Page(review, photos, numbers, folder)
    (table,) = review._tables().values()
    rows = [[text_cell(cell) for cell in cells] for cells in table_cells(table)]
    write_page(
        target,
        "review.html",
        title=TITLES[review.what],
        review=review,
        notes=[shown(note) for note in review.notes],
        backbones=[shown(name) for name in review.backbones],
        estimated=f"{review.estimated:,.0f}",
        folder=shown(folder) if items else "",
        choices=CHOICES[review.what],
        is_labels=review.what == LABELS,
        suggested=page.suggested,
        score_meaning=SCORE_MEANINGS[review.what],
        thumbnails=[
            (numbers[digest], photo.address) for digest, photo in photos.items() if photo.address
        ],
        items=[page.item(item) for item in items],
        data=script_json(
            {
                "id": sha256(script_json(rows).encode()).hexdigest()[:12],
                "name": target.stem.encode("utf-8", "replace").decode(),
                "workspace": as_argument(review.workspace) if review.workspace else "",
                "columns": list(table.columns),
                "rows": rows,
                "verdicts": [verdicts_of(review.what, item) for item in items],
                "words": {choice.act: choice.text for choice in CHOICES[review.what]},
                "keys": {choice.text[0].lower(): choice.act for choice in CHOICES[review.what]},
                "wrong": [choice.act for choice in CHOICES[review.what] if choice.is_wrong],
            }
        ),
        policy=content_policy,
    )


def _sources(review: Review) -> dict[str, Source]:
    """Return the file and the size of each photo on the page, by digest."""
    neighbours = (one for item in review.items for one in item.neighbours)
    return {one.sha256: Source([one.path], NEIGHBOUR_SIDE) for one in neighbours} | {
        item.sha256: Source([item.path], SIDE) for item in review.items
    }


def verdicts_of(what: str, item: ReviewItem) -> dict[str, str]:
    """Return the verdict for each choice that an item of a review has, by :attr:`Choice.act`."""
    verdicts = {choice.act: choice.act for choice in CHOICES[what]}
    if what != LABELS:
        return verdicts
    verdicts[_SUGGESTED.act] = f"relabel={item.suggestion}"
    if any(one.sha256 == item.sha256 for one in item.neighbours):
        # These bytes have both labels, so the verdict must name the right one.
        verdicts[_RIGHT.act] = f"relabel={item.label}"
    if item.suggestion is None:
        del verdicts[_SUGGESTED.act], verdicts[_BOTH.act]
    return verdicts


def _scores(what: str, item: ReviewItem) -> list[tuple[str, str]]:
    """Return names and texts of the score of an item, or of its defects above the threshold."""
    if what == LABELS and item.score >= CERTAIN:
        return [("score", "certain")]
    defects = {kind: score for kind, score in item.scores.items() if score > 0}
    scores = defects or {"score": item.score}
    return [(shown(name), f"{score:.3g}") for name, score in scores.items()]


class _Page(NamedTuple):
    """What the items of a page have in common."""

    review: Review
    photos: dict[str, Photo]
    numbers: dict[str, int]
    """Number of each photo in the style sheet, by digest."""
    folder: str
    """Folder that the page names once."""

    @property
    def suggested(self) -> str:
        """The word before a suggestion."""
        return "suggested" if self.review.what == LABELS else "perhaps"

    def item(self, item: ReviewItem) -> dict[str, object]:
        what = self.review.what
        verdicts = verdicts_of(what, item)
        label = None if item.label is None else shown(item.label)
        suggestion = None if item.suggestion is None else shown(item.suggestion)
        suggested = "" if suggestion is None else f"{self.suggested} {suggestion}"
        return {
            **self._photo(item, suggested),
            "folder": shown(relative_to(self.folder, os.path.dirname(item.path))),
            "label": label,
            "suggestion": suggestion,
            "pixels": self.photos[item.sha256].pixels,
            "scores": _scores(what, item),
            "reason": shown(item.reason),
            "choices": [choice for choice in CHOICES[what] if choice.act in verdicts],
            "rows": self._rows(item),
        }

    def _rows(self, item: ReviewItem) -> list[dict[str, object]]:
        """Return the rows of neighbours: with the label, with the suggestion, with others."""
        kinds: dict[str, list[ReviewNeighbour]] = {"given": [], "suggested": [], "near": []}
        if self.review.what != LABELS:
            del kinds["given"], kinds["suggested"]
        for one in item.neighbours:
            kind = {item.label: "given", item.suggestion: "suggested"}.get(one.label, "near")
            kinds[kind if kind in kinds else "near"].append(one)
        labels = {"given": item.label, "suggested": item.suggestion, "near": None}
        return [
            {
                "kind": kind,
                "label": shown(labels[kind] or ""),
                "photos": [
                    {
                        **self._photo(one, f"distance {one.distance:.3f}"),
                        "label": shown(one.label or ""),
                        "distance": f"{one.distance:.3f}",
                    }
                    for one in neighbours
                ],
            }
            for kind, neighbours in kinds.items()
            if neighbours or labels[kind]
        ]

    def _photo(self, photo: ReviewItem | ReviewNeighbour, detail: str) -> dict[str, object]:
        found = self.photos[photo.sha256]
        name = shown(os.path.basename(photo.path))
        labelled = "" if photo.label is None else f"labelled {shown(photo.label)}"
        return {
            "number": self.numbers[photo.sha256] if found.address else None,
            "note": found.note,
            "address": address(photo.path),
            "name": name,
            "caption": ", ".join(filter(None, (name, labelled, detail, found.note))),
            "path": shown(photo.path),
        }
