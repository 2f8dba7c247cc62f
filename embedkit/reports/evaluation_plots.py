"""Plots of an evaluation: accuracy, confusion, reliability, curves, classes."""

import math
import textwrap
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from embedkit.reports.plots import (
    BLUE,
    COLOURS,
    FAINT,
    INK,
    LINE,
    LINE_STYLES,
    MARKERS,
    PAPER_WIDTH,
    add_legend,
    dot_plot,
    drawable,
    short_names,
    styled,
)
from embedkit.results.evaluation import Evaluation, HeadMetrics

MAX_COUNTED_CLASSES = 60
"""Maximum number of classes for which the cells of a confusion matrix contain counts."""
MAX_NAMED_CLASSES = 120
"""Maximum number of class names along a side of a plot."""
DIAGRAMS_PER_ROW = 4


def accuracies(evaluation: Evaluation) -> Figure:
    """Plot the accuracy of each head with its interval, the best head at the top."""
    heads = evaluation.heads
    tied = {pair.other for pair in evaluation.pairs if pair.head == heads[0].name and pair.tie}
    return dot_plot(
        [head.name for head in heads],
        [(head.accuracy, *head.intervals["accuracy"]) for head in heads],
        [head is heads[0] or head.name in tied for head in heads],
        "accuracy",
    )


def accuracy_curves(heads: Sequence[HeadMetrics]) -> Figure:
    """Plot the validation accuracy by epoch, one line per head, with the best epoch marked.

    Heads without a history are skipped.
    """
    curves = [head for head in heads if head.history]
    with styled():
        figure = Figure((PAPER_WIDTH, 3.9), layout="constrained")
        axes = figure.add_subplot()
        lines, texts = [], []
        names = short_names([head.name for head in curves])
        for number, (head, name) in enumerate(zip(curves, names, strict=True)):
            style, colour = divmod(number, len(COLOURS))
            epochs = np.arange(1, len(head.history) + 1)
            best = int(np.argmax(head.history))
            lines += axes.plot(
                epochs,
                head.history,
                LINE_STYLES[style % len(LINE_STYLES)],
                color=COLOURS[colour],
                lw=1.6,
            )
            axes.plot(
                epochs[best], head.history[best], "o", color=COLOURS[colour], ms=7, mec="white"
            )
            texts.append(f"{name}: best {head.history[best]:.4f}, epoch {best + 1}")
        axes.set_xlabel("epoch")
        axes.set_ylabel("accuracy on the validation set")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlim(0.5, max(len(head.history) for head in curves) + 0.5)
        axes.grid(axis="y")
        add_legend(figure, lines, texts)
        return figure


def confusion_matrix(head: HeadMetrics) -> Figure:
    """Plot the number of photos by true class (row) and predicted class (column).

    Correct predictions are blue, mistakes orange, darker with their share of the class. The two
    colours have separate scales, so that a few mistakes are visible beside many correct
    predictions. Up to :data:`MAX_COUNTED_CLASSES` classes the cells contain the counts; above
    :data:`MAX_NAMED_CLASSES` not every class is named.
    """
    counts = np.array(head.confusion)
    classes = len(counts)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    max_wrong = float((shares * (1 - np.eye(classes))).max()) or 1.0
    with_counts = classes <= MAX_COUNTED_CLASSES
    side = min(max(3.2, classes * (0.28 if with_counts else 0.17)), MAX_NAMED_CLASSES * 0.17)
    points = 72 * side / classes
    cells = np.argwhere(counts).tolist()
    with styled():
        figure = Figure((side, side))
        axes = figure.add_axes((0, 0, 1, 1))  # names are outside; the saved figure includes them
        squares = [Rectangle((column - 0.5, row - 0.5), 1, 1) for row, column in cells]
        colours = _cell_colours(shares, max_wrong)[counts > 0]
        axes.add_collection(PatchCollection(squares, facecolors=colours, linewidths=0))
        axes.set(xlim=(-0.5, classes - 0.5), ylim=(classes - 0.5, -0.5), aspect="equal")
        axes.spines[:].set_visible(True)
        named = np.arange(0, classes, math.ceil(classes / MAX_NAMED_CLASSES))
        every_name = short_names([item.name for item in head.classes])
        names = [every_name[number] for number in named]
        size = min(max(0.44 * points, 5.5), 10)
        axes.set_xticks(named, names, rotation=90, fontsize=size, parse_math=False)
        axes.set_yticks(named, names, fontsize=size, parse_math=False)
        axes.tick_params(length=2, width=0.5)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        title = (
            f"{drawable(head.name)}: {np.trace(counts):,} of {counts.sum():,} test photos correct"
        )
        axes.set_title(textwrap.fill(title, round(12 * side)), parse_math=False)
        if with_counts:
            between, ends = np.arange(1, classes) - 0.5, (-0.5, classes - 0.5)
            axes.hlines(between, *ends, color=LINE, lw=0.4)
            axes.vlines(between, *ends, color=LINE, lw=0.4)
            for row, column in cells:
                is_dark = shares[row, column] / (1 if row == column else max_wrong) > 0.6
                axes.text(
                    column,
                    row,
                    f"{counts[row, column]}",
                    color="white" if is_dark else INK,
                    ha="center",
                    va="center_baseline",
                    fontsize=size,
                )
        return figure


def _cell_colours(shares: np.ndarray, max_wrong: float) -> np.ndarray:
    """Return the colours of cells, RGBA (C, C, 4); ``max_wrong`` is the largest wrong share."""
    pale = 0.2  # so that a single mistake among many photos is visible
    colours = matplotlib.colormaps["Oranges"](pale + (1 - pale) * shares / max_wrong)
    diagonal = np.diag_indices(len(shares))
    colours[diagonal] = matplotlib.colormaps["Blues"](shares[diagonal])
    return np.asarray(colours)


def class_scores(evaluation: Evaluation) -> Figure:
    """Plot the F of each class, one row per class and one marker per head.

    The class with the lowest F of the best head is at the top. Classes without test photos are
    omitted, and above :data:`MAX_NAMED_CLASSES` classes those with the highest F.
    """
    heads = evaluation.heads
    names = short_names(evaluation.classes)
    scores = np.array([[item.f1 for item in head.classes] for head in heads], float)
    order = np.argsort(scores[0], kind="stable")  # NaN is last
    order = order[: min(MAX_NAMED_CLASSES, int(np.isfinite(scores[0]).sum()))]
    rows = np.arange(len(order))
    with styled():
        figure = Figure((PAPER_WIDTH * 0.7, 1.0 + 0.19 * len(order)), layout="constrained")
        axes = figure.add_subplot()
        lines = []
        for number in reversed(range(len(heads))):  # the best head is in front
            style, colour = divmod(number, len(COLOURS))
            lines += axes.plot(
                scores[number, order],
                rows + (number - (len(heads) - 1) / 2) * 0.6 / len(heads),
                MARKERS[(number + style) % len(MARKERS)],
                color=COLOURS[colour],
                ms=5,
                mec="white",
                mew=0.5,
                clip_on=False,
                zorder=3,
            )
        axes.set_yticks(rows, [names[number] for number in order], fontsize=7.5, parse_math=False)
        axes.set_ylim(len(order) - 0.5, -0.5)
        axes.set_xlabel("F of the class")
        axes.grid()
        axes.tick_params(axis="y", length=0)
        add_legend(figure, lines[::-1], short_names([head.name for head in heads]))
        return figure


def reliability_diagrams(heads: Sequence[HeadMetrics]) -> Figure:
    """Plot the accuracy of predictions by their probability, one diagram per head.

    Each bin with photos has a dot with the 95 % interval of its accuracy. A head above the dashed
    line is underconfident, one below it overconfident. The bars below show the number of photos in
    each bin (Guo et al. 2017).
    """
    columns = min(DIAGRAMS_PER_ROW, len(heads))
    rows = math.ceil(len(heads) / columns)
    names = short_names([head.name for head in heads])
    with styled():
        figure = Figure((2.9 * columns + 0.3, 3.9 * rows), layout="constrained")
        grid = figure.add_gridspec(2 * rows, columns, height_ratios=(3, 1) * rows)
        for number, (head, name) in enumerate(zip(heads, names, strict=True)):
            row, column = divmod(number, columns)
            cells = grid[2 * row, column], grid[2 * row + 1, column]
            _draw_reliability(figure, *cells, head, f"{name}\nECE {head.ece:.3f}")
        return figure


def _draw_reliability(
    figure: Figure, above: Any, below: Any, head: HeadMetrics, title: str
) -> None:
    fifths = np.arange(6) / 5
    upper = figure.add_subplot(above)
    lower = figure.add_subplot(below, sharex=upper)
    bins = [item for item in head.reliability if item.photos]
    confidence = np.array([item.confidence for item in bins])
    accuracy = np.array([item.accuracy for item in bins])
    whiskers = np.abs(np.array([item.interval for item in bins]).T - accuracy)
    upper.plot((0, 1), (0, 1), "--", color=FAINT, lw=0.9)
    upper.errorbar(
        confidence, accuracy, whiskers, fmt="o", ms=5, color=BLUE, elinewidth=1, clip_on=False
    )
    lower.bar(
        [item.low for item in bins],
        [item.photos for item in bins],
        [item.high - item.low for item in bins],
        align="edge",
        color=FAINT,
        edgecolor="white",
        log=True,
    )
    upper.set(xlim=(0, 1), ylim=(0, 1), xticks=fifths, yticks=fifths, ylabel="accuracy")
    upper.grid()
    lower.set(xlabel="probability", ylabel="photos", ylim=(0.7, None))
    lower.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    upper.tick_params(labelbottom=False)
    upper.set_title(title, parse_math=False, pad=10)
