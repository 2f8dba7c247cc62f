"""An evaluation as one HTML page: metrics, classes, confusion, curves, confident mistakes."""

import base64
from pathlib import Path

from matplotlib.figure import Figure

from embedkit._internal.paths import shown
from embedkit._internal.text import listed
from embedkit.classify.evaluation.evaluation import describe, worst_first
from embedkit.reports import evaluation_plots, plots
from embedkit.reports.page import (
    Photos,
    numbered_photos,
    p_value_text,
    range_bar,
    write_page,
)
from embedkit.results.evaluation import (
    MAIN_METRICS,
    ClassMetrics,
    Evaluation,
    HeadMetrics,
    HeadPair,
    Mistake,
)

THUMBNAIL = 260
"""Longest side of a thumbnail, pixels."""
WIDEST_BESIDE = 720
"""Maximum width of a confusion matrix beside the table of classes, pixels; a wider one is below it,
where its names are legible."""
PAGE_DPI = 96
"""Pixels per inch of a page, as defined by CSS."""


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
        The file cannot be written.
    """
    heads = evaluation.heads
    photos = numbered_photos(
        (
            path
            for head in heads
            for mistake in head.mistakes
            for path in (mistake.path, *(neighbour.path for neighbour in mistake.nearest))
            if path is not None
        ),
        THUMBNAIL,
    )
    scale = (
        min(head.intervals["accuracy"][0] for head in heads),
        max(head.intervals["accuracy"][1] for head in heads),
    )
    curves = any(head.history for head in heads)
    count = len(heads)
    write_page(
        target,
        "evaluation.html",
        title=f"{count} head{'s' if count > 1 else ''} on {evaluation.photos:,} test photos",
        verdict=conclusion(evaluation),
        widest_beside=WIDEST_BESIDE,
        description=describe(evaluation),
        ks=[k for k in heads[0].top_k if k > 1],
        scale=[f"{end:.3f}" for end in scale],
        heads=[_head(head, evaluation, photos, scale) for head in heads],
        pairs=[_pair(pair) for pair in evaluation.pairs],
        curves=_plot(evaluation_plots.accuracy_curves(heads)) if curves else None,
        reliability=_plot(evaluation_plots.reliability_diagrams(heads)),
        photos=list(photos.values()),
    )


def conclusion(evaluation: Evaluation) -> str:
    """Return sentences on the best head, and on whether its lead may be due to chance."""
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


def _plot(figure: Figure) -> dict[str, object]:
    """Return a plot as a data URL, and the width at which its text has the size of the page's."""
    png = plots.png(figure)
    pixels = int.from_bytes(png[16:20], "big")  # the width in the header of a PNG
    address = f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
    return {"address": address, "width": round(pixels * PAGE_DPI / plots.DPI)}


def _head(
    head: HeadMetrics, evaluation: Evaluation, photos: Photos, scale: tuple[float, float]
) -> dict[str, object]:
    wrong = round((1 - head.accuracy) * evaluation.photos)
    return {
        "place": head.place,
        "name": shown(head.name),
        "metrics": [
            {
                "value": f"{getattr(head, name):.4f}",
                "interval": "{:.3f} to {:.3f}".format(*head.intervals[name]),
            }
            for name in MAIN_METRICS
        ],
        **range_bar(head.accuracy, head.intervals["accuracy"], scale),
        "top_k": [f"{value:.4f}" for k, value in head.top_k.items() if k > 1],
        "nll": f"{head.nll:.3f}",
        "ece": f"{head.ece:.3f}",
        "worst": "; ".join(_worst_text(item) for item in head.worst),
        "classes": [_class(item) for item in worst_first(head.classes)],
        "confusion": _plot(evaluation_plots.confusion_matrix(head)),
        "wrong": f"{wrong:,}",
        "mistakes": [_mistake(item, photos) for item in head.mistakes],
    }


def _worst_text(item: ClassMetrics) -> str:
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
        "p": p_value_text(pair.p_value),
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
                **photos[neighbour.path],
                "label": shown(neighbour.label),
                "distance": f"{neighbour.distance:.3f}",
                "kind": {item.truth: "right", item.predicted: "wrong"}.get(neighbour.label, ""),
            }
            for neighbour in item.nearest
            if neighbour.path is not None
        ],
    }
