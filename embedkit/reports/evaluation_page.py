"""An evaluation as one HTML page: metrics, classes, confusion, curves, confident mistakes."""

import base64
from pathlib import Path

from embedkit._internal.paths import shown
from embedkit._internal.text import listed
from embedkit.classify.evaluation.evaluation import describe, worst_first
from embedkit.classify.evaluation.results import (
    MAIN_METRICS,
    ClassMetrics,
    Evaluation,
    HeadMetrics,
    HeadPair,
    Mistake,
)
from embedkit.reports import plots
from embedkit.reports.page import p_value, photos_once, write_page

THUMBNAIL = 260
"""Longest side of a thumbnail, pixels."""
PAGE_DPI = 96
"""Pixels per inch of a page, as defined by CSS."""

Photos = dict[str, dict[str, object]]


def write_evaluation_page(target: Path, evaluation: Evaluation) -> None:
    """Write an evaluation as one HTML page, the best head first.

    Plots and thumbnails are embedded. A photo that cannot be read has a note in its place.

    Parameters
    ----------
    target : Path
        Path of the page.
    evaluation : Evaluation
        The result of evaluating heads on the test set.

    Raises
    ------
    StorageError
        When the file cannot be written.
    """
    heads = evaluation.heads
    photos = photos_once(
        (
            path
            for head in heads
            for mistake in head.mistakes
            for path in (mistake.path, *(near.path for near in mistake.nearest))
            if path is not None
        ),
        THUMBNAIL,
    )
    low = min(head.intervals["accuracy"][0] for head in heads)
    high = max(head.intervals["accuracy"][1] for head in heads)
    curves = any(head.history for head in heads)
    count = len(heads)
    write_page(
        target,
        "evaluation.html",
        title=f"{count} head{'s' if count > 1 else ''} on {evaluation.photos:,} test photos",
        verdict=_conclusion(evaluation),
        description=describe(evaluation),
        ks=[k for k in heads[0].top_k if k > 1],
        scale=(f"{low:.3f}", f"{high:.3f}"),
        heads=[_head(head, evaluation, photos, low, high) for head in heads],
        pairs=[_pair(pair) for pair in evaluation.pairs],
        curves=_plot(plots.accuracy_curves(heads)) if curves else None,
        reliability=_plot(plots.reliability_diagrams(heads)),
        photos=list(photos.values()),
    )


def _conclusion(evaluation: Evaluation) -> str:
    """Return the best head, and whether its lead may be due to chance, in two sentences."""
    best, *others = evaluation.heads
    right = round(best.accuracy * evaluation.photos)
    text = f"{shown(best.name)} gets {right:,} of {evaluation.photos:,} photos right."
    ties = [shown(head.name) for head in others if head.place == 1]
    rest = [shown(head.name) for head in others if head.place > 1]
    if ties:
        text += f" It ties with {listed(ties)}: the difference may be due to chance."
    if rest:
        text += f" Its lead over {listed(rest)} is statistically significant."
    return text


def _plot(png: bytes) -> dict[str, object]:
    """Return a plot as a data URL, and the width at which its text is as large as the page's."""
    pixels = int.from_bytes(png[16:20], "big")  # the width in the header of a PNG
    address = f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
    return {"address": address, "width": round(pixels * PAGE_DPI / plots.DPI)}


def _head(
    head: HeadMetrics, evaluation: Evaluation, photos: Photos, low: float, high: float
) -> dict[str, object]:
    def percent(value: float) -> float:
        return round(100 * (value - low) / ((high - low) or 1.0), 2)

    start, end = head.intervals["accuracy"]
    wrong = round((1 - head.accuracy) * evaluation.photos)
    return {
        "place": head.place,
        "name": shown(head.name),
        "figures": [
            {
                "value": f"{getattr(head, name):.4f}",
                "interval": "{:.3f} to {:.3f}".format(*head.intervals[name]),
            }
            for name in MAIN_METRICS
        ],
        "from": percent(start),
        "at": percent(head.accuracy),
        "to": percent(end),
        "top_k": [f"{value:.4f}" for k, value in head.top_k.items() if k > 1],
        "nll": f"{head.nll:.3f}",
        "ece": f"{head.ece:.3f}",
        "worst": "; ".join(_worst(item) for item in head.worst),
        "classes": [_class(item) for item in worst_first(head.classes)],
        "confusion": _plot(plots.confusion_matrix(head)),
        "wrong": f"{wrong:,}",
        "mistakes": [_mistake(item, photos) for item in head.mistakes],
    }


def _worst(item: ClassMetrics) -> str:
    text = f"{shown(item.name)} (F {item.f1:.3f}, recall {item.recall:.3f}"
    if item.confused_with is not None:
        text += f", most often predicted as {shown(item.confused_with)}"
    return f"{text})"


def _class(item: ClassMetrics) -> dict[str, object]:
    def three(value: float | None) -> str:
        return "" if value is None else f"{value:.3f}"

    return {
        "name": shown(item.name),
        "f1": three(item.f1),
        "recall": three(item.recall),
        "precision": three(item.precision),
        "support": item.support,
        "predicted": item.predicted,
        "confused_with": "" if item.confused_with is None else shown(item.confused_with),
        "confused": item.confused,
    }


def _pair(pair: HeadPair) -> dict[str, object]:
    return {
        "head": shown(pair.head),
        "other": shown(pair.other),
        "difference": f"{pair.difference:.4f}",
        "only_head": pair.only_head,
        "only_other": pair.only_other,
        "p": p_value(pair.p_value),
        "tie": pair.tie,
    }


def _mistake(item: Mistake, photos: Photos) -> dict[str, object]:
    return {
        "row": item.row,
        "photo": None if item.path is None else photos[item.path],
        "truth": shown(item.truth),
        "predicted": shown(item.predicted),
        "probability": f"{item.probability:.3f}",
        "probability_of_truth": f"{item.probability_of_truth:.3f}",
        "nearest": [
            {
                **photos[near.path],
                "label": shown(near.label),
                "distance": f"{near.distance:.3f}",
                "kind": {item.truth: "right", item.predicted: "wrong"}.get(near.label, ""),
            }
            for near in item.nearest
            if near.path is not None
        ],
    }
