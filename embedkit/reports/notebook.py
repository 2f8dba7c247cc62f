"""Results in notebooks: HTML fragments with small thumbnails or a table, without scripts."""

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import singledispatch
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from embedkit._internal.paths import shown
from embedkit.classify.evaluation.evaluation import describe as describe_evaluation
from embedkit.compare.description import describe as describe_comparison
from embedkit.reports.page import Photos, filled, label_hue, numbered_photos, p_value_text
from embedkit.results import (
    Comparison,
    DuplicateGroup,
    Duplicates,
    Evaluation,
    Failure,
    Matches,
    Prediction,
    Predictions,
    Review,
)
from embedkit.results.evaluation import MAIN_METRICS
from embedkit.results.result import BOOL, FLOAT, INT, Result
from embedkit.results.review import LABELS
from embedkit.results.wording import counted
from embedkit.workspace.plan import Plan

SIDE = 160
"""Longest side of a thumbnail, pixels."""
PHOTOS_SHOWN = 20
"""Maximum number of photos of a search or a classification."""
GROUPS_SHOWN = 20
"""Maximum number of groups."""
MEMBERS_SHOWN = 5
"""Maximum number of files of a group."""
ROWS_SHOWN = 20
"""Maximum number of rows of a table."""
_NO_PHOTO: Mapping[str, object] = {"address": None, "name": "", "path": ""}


class Card(NamedTuple):
    """A photo with its text."""

    photo: Mapping[str, object]
    """Name, path and address of the thumbnail, as in :data:`Photos`."""
    head: str
    label: str
    hue: int
    detail: str
    marked: bool
    """Whether the photo needs attention."""


class Strip(NamedTuple):
    """Photos side by side."""

    cards: Sequence[Card]
    heading: str = ""
    more: str = ""
    """The number of photos that are not shown."""


class Column(NamedTuple):
    """A column of a table."""

    name: str
    text: bool = False
    """Whether the cells are text, which is left-aligned."""


class Cell(NamedTuple):
    """A cell of a table."""

    value: str
    interval: str = ""


class View(NamedTuple):
    """The content of a fragment."""

    title: str
    strips: Sequence[Strip] = ()
    columns: Sequence[Column] = ()
    rows: Sequence[Sequence[Cell]] = ()
    notes: Sequence[str] = ()


def notebook_html(result: Result) -> str:
    """Return a result as an HTML fragment."""
    return filled("notebook.html", view=_view(result))


@singledispatch
def _view(result: Result) -> View:
    """Return the content of a result; of other results than those below, the main table."""
    columns, rows = next(iter(result._tables().values()))
    cells = [
        [Cell(_value_text(value)) for value in row]
        for _, row in zip(range(ROWS_SHOWN + 1), rows, strict=False)
    ]
    return View(
        shown(result._summary()),
        columns=[Column(name, kind not in (INT, FLOAT, BOOL)) for name, kind in columns.items()],
        rows=cells[:ROWS_SHOWN],
        notes=["The table has more rows."] if len(cells) > ROWS_SHOWN else [],
    )


@_view.register
def _(matches: Matches) -> View:
    photos = numbered_photos((match.path for match in matches[:PHOTOS_SHOWN]), SIDE)
    cards = []
    for match in matches[:PHOTOS_SHOWN]:
        verification, detail = match.verification, ""
        if matches.verified:
            detail = "not compared" if verification is None else "not verified"
            if verification is not None and verification.verified:
                detail = f"agreement {verification.agreement:.3f}"
        head = f"{match.rank}: {match.distance:.4f}"
        cards.append(_card(photos, match.path, match.label, head=head, detail=detail))
    relation = "matching" if matches.is_text else "similar to"
    query = matches.query if matches.is_text else os.path.basename(matches.query)
    return View(
        f"{len(matches)} of {counted(matches.searched, 'image')} {relation} {shown(query)}",
        [Strip(cards, more=_more(len(matches) - PHOTOS_SHOWN, "match", "matches"))],
        notes=[f"Rank: cosine distance under {shown(matches.backbone)}."] if matches else [],
    )


@_view.register
def _(found: Duplicates) -> View:
    groups = found.groups[:GROUPS_SHOWN]
    photos = numbered_photos(
        (member.path for group in groups for member in group.members[:MEMBERS_SHOWN]), SIDE
    )
    return View(
        f"{counted(len(found.groups), 'group')} of duplicates among "
        f"{counted(found.images, 'image')}",
        [_group_strip(number, group, photos) for number, group in enumerate(groups, 1)],
        notes=[
            *_rest_notes(len(found.groups) - len(groups), "group", "groups"),
            *_frame_notes(groups, "that needs review"),
        ],
    )


def _group_strip(number: int, group: DuplicateGroup, photos: Photos) -> Strip:
    conflict = ", different labels" if group.conflict else ""
    return Strip(
        [
            _card(
                photos,
                member.path,
                member.label,
                head="" if member.path == group.representative else f"score {member.score:.3f}",
                detail=f"{member.width} × {member.height}",
                marked=not member.sure,
            )
            for member in group.members[:MEMBERS_SHOWN]
        ],
        heading=f"Group {number}: {group.kind}, {counted(len(group.members), 'file')}{conflict}",
        more=_more(len(group.members) - MEMBERS_SHOWN, "file", "files"),
    )


@_view.register
def _(plan: Plan) -> View:
    rows_by_group = sorted(plan.rows, key=attrgetter("group"))  # stable
    groups = [list(rows) for _, rows in groupby(rows_by_group, key=attrgetter("group"))]
    first = groups[:GROUPS_SHOWN]
    photos = numbered_photos((row.path for rows in first for row in rows[:MEMBERS_SHOWN]), SIDE)
    strips = [
        Strip(
            [
                _card(
                    photos,
                    row.path,
                    row.label,
                    head=row.action,
                    detail=row.reason,
                    marked=row.action != "keep",
                )
                for row in rows[:MEMBERS_SHOWN]
            ],
            heading=f"Group {rows[0].group}: {counted(len(rows), 'file')}",
            more=_more(len(rows) - MEMBERS_SHOWN, "file", "files"),
        )
        for rows in first
    ]
    notes = [
        *_rest_notes(len(groups) - len(first), "group", "groups"),
        *_frame_notes(first, "to remove or review"),
    ]
    return View(plan._summary(), strips, notes=notes)


@_view.register
def _(predictions: Predictions) -> View:
    first = predictions.predictions[:PHOTOS_SHOWN]
    photos = numbered_photos(
        (
            path
            for item in first
            for path in (item.path, item.neighbours[0].path)
            if path is not None
        ),
        SIDE,
    )
    return View(
        shown(predictions._summary()),
        [_prediction_strip(item, photos) for item in first],
        notes=[
            *_rest_notes(len(predictions.predictions) - len(first), "photo", "photos"),
            *_failure_notes(predictions.failures),
        ],
    )


def _prediction_strip(item: Prediction, photos: Photos) -> Strip:
    """Return a photo with its classes, and the nearest training photo beside it."""
    nearest = item.neighbours[0]
    classes = ", ".join(f"{shown(one.label)} {one.probability:.3f}" for one in item.top)
    return Strip(
        [
            _card(
                photos,
                item.path,
                None if item.unknown else item.top[0].label,
                head=f"unknown by {item.unknown_by}" if item.unknown else "",
                detail=classes,
                marked=item.unknown,
            ),
            _card(
                photos,
                nearest.path,
                nearest.label,
                head="nearest training photo",
                detail=f"distance {nearest.distance:.4f}",
            ),
        ]
    )


@_view.register
def _(review: Review) -> View:
    first = review.items[:PHOTOS_SHOWN]
    photos = numbered_photos((item.path for item in first), SIDE)
    word = "suggested: " if review.what == LABELS else ""
    cards = [
        _card(
            photos,
            item.path,
            item.label,
            head=f"{word}{shown(item.suggestion or '')}",
            detail=shown(item.reason),
        )
        for item in first
    ]
    return View(
        shown(review._summary()),
        [Strip(cards, more=_more(len(review.items) - len(first), "photo", "photos"))],
        notes=[shown(note) for note in review.notes],
    )


@_view.register
def _(comparison: Comparison) -> View:
    first, tests = comparison.backbones[0], comparison.tests
    with_best = {test.other: test for test in tests if test.backbone == first.backbone}
    names = ["mAP", "P@1", *(f"R@{k}" for k in first.recall_at)]
    names += [f"{k}-NN" for k in first.knn_accuracy]
    rows = []
    for item in comparison.backbones:
        estimates = [item.mean_ap, item.precision_at_1]
        estimates += [*item.recall_at.values(), *item.knn_accuracy.values()]
        test = with_best.get(item.backbone)
        rows.append(
            [
                Cell(str(item.place)),
                Cell(shown(item.backbone)),
                *(_estimate(one.value, one.low, one.high) for one in estimates),
                Cell(f"{item.separation.auc:.3f}"),
                Cell("") if test is None else _test(test.difference, test.p_value, test.tie),
            ]
        )
    return View(
        f"{counted(len(rows), 'backbone')} on {counted(comparison.images, 'image')}",
        columns=[
            Column("rank"),
            Column("backbone", text=True),
            *map(Column, (*names, "AUC", "below the first")),
        ],
        rows=rows,
        notes=[describe_comparison(comparison), *_failure_notes(comparison.failures)],
    )


@_view.register
def _(evaluation: Evaluation) -> View:
    from embedkit.reports.evaluation_page import conclusion  # imports Matplotlib

    first = evaluation.heads[0]
    with_best = {pair.other: pair for pair in evaluation.pairs if pair.head == first.name}
    rows = []
    for head in evaluation.heads:
        pair = with_best.get(head.name)
        rows.append(
            [
                Cell(str(head.place)),
                Cell(shown(head.name)),
                *(_estimate(getattr(head, name), *head.intervals[name]) for name in MAIN_METRICS),
                Cell(f"{head.nll:.3f}"),
                Cell(f"{head.ece:.3f}"),
                Cell("" if head.unknown is None else f"{head.unknown:.3f}"),
                Cell("") if pair is None else _test(pair.difference, pair.p_value, pair.tie),
            ]
        )
    return View(
        conclusion(evaluation),
        columns=[
            Column("rank"),
            Column("head", text=True),
            *map(Column, (*MAIN_METRICS, "NLL", "ECE", "unknown", "below the first")),
        ],
        rows=rows,
        notes=[describe_evaluation(evaluation)],
    )


def _card(
    photos: Photos,
    path: str | None,
    label: str | None,
    *,
    head: str = "",
    detail: str = "",
    marked: bool = False,
) -> Card:
    photo = _NO_PHOTO if path is None else photos[path]
    return Card(photo, head, shown(label or ""), label_hue(label), detail, marked)


def _estimate(value: float, low: float, high: float) -> Cell:
    return Cell(f"{value:.3f}", f"{low:.3f}–{high:.3f}")


def _test(difference: float, p: float, tie: bool) -> Cell:
    return Cell(f"{difference:.3f}", f"p {p_value_text(p)}{', a tie' if tie else ''}")


def _more(count: int, singular: str, plural: str) -> str:
    """Return the number of things that are not shown; empty if there are none."""
    return f"and {count} more {singular if count == 1 else plural}" if count > 0 else ""


def _rest_notes(count: int, singular: str, plural: str) -> list[str]:
    return [f"{_more(count, singular, plural)}."] if count > 0 else []


def _frame_notes(groups: Sequence[object], meaning: str) -> list[str]:
    return [f"An orange frame marks a file {meaning}."] if groups else []


def _failure_notes(failures: Iterable[Failure]) -> list[str]:
    listed = [f"{shown(item.path)}: {shown(item.reason)}" for item in failures]
    more = len(listed) - ROWS_SHOWN
    return listed[:ROWS_SHOWN] + ([f"and {counted(more, 'more file')}"] if more > 0 else [])


def _value_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    return shown(", ".join(value) if isinstance(value, tuple) else str(value))
