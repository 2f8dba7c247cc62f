"""Plots of an evaluation by matplotlib; each function returns the bytes of a PNG."""

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import matplotlib
import numpy as np
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from embedkit._internal.paths import shown
from embedkit.results.evaluation import HeadMetrics

DPI = 150
MAX_NAME_LENGTH = 28
"""Maximum number of characters of a name; longer names are cut."""
MAX_COUNTED_CLASSES = 60
"""Maximum number of classes for which the cells of a confusion matrix contain counts."""
MAX_NAMED_CLASSES = 120
"""Maximum number of class names along a side of a confusion matrix."""
DIAGRAMS_PER_ROW = 4

_INK, _FAINT, _LINE = "#1d1f23", "#74726b", "#e3e0d8"
_BLUE, _ORANGE = "#1f6fb2", "#d9772b"
_COLOURS = (_BLUE, _ORANGE, "#3a8f5c", "#9a4fb0", "#2aa3a3", "#c2403d", "#8a7a1f", "#5c6670")
_FAMILIES = ("DejaVu Sans", "IPAexGothic")
_STYLE = {
    "font.family": list(_FAMILIES),
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _FAINT,
    "axes.titlesize": 10,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _FAINT,
    "ytick.color": _FAINT,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "grid.color": _LINE,
}


def accuracy_curves(heads: Sequence[HeadMetrics]) -> bytes:
    """Plot the validation accuracy by epoch, one line per head, with the best epoch marked.

    Heads without a history are skipped.
    """
    curves = [head for head in heads if head.history]
    with _styled():
        figure = Figure((8, 4.4), layout="constrained")
        axes = figure.add_subplot()
        lines = []
        for number, head in enumerate(curves):
            colour = _COLOURS[number % len(_COLOURS)]
            epochs = np.arange(1, len(head.history) + 1)
            best = int(np.argmax(head.history))
            style = "-" if number < len(_COLOURS) else "--"
            lines += axes.plot(epochs, head.history, style, color=colour, lw=1.6)
            axes.plot(epochs[best], head.history[best], "o", color=colour, ms=7, mec="white")
        axes.set_xlabel("epoch")
        axes.set_ylabel("accuracy on the validation set")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlim(0.5, max(len(head.history) for head in curves) + 0.5)
        axes.grid(axis="y")
        legend = figure.legend(
            lines, [""] * len(lines), loc="outside lower center", ncols=2, frameon=False
        )
        for text, head in zip(legend.get_texts(), curves, strict=True):
            best = int(np.argmax(head.history))
            text.set_parse_math(False)
            text.set_text(f"{drawable(head.name)}: best {head.history[best]:.4f}, epoch {best + 1}")
        return _png(figure)


def confusion_matrix(head: HeadMetrics) -> bytes:
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
    with _styled():
        figure = Figure((side, side))
        axes = figure.add_axes((0, 0, 1, 1))  # names are outside; the saved figure includes them
        axes.imshow(_cell_colours(shares, max_wrong), interpolation="nearest")
        named = np.arange(0, classes, math.ceil(classes / MAX_NAMED_CLASSES))
        names = [drawable(head.classes[number].name) for number in named]
        size = min(max(0.44 * points, 5.5), 10)
        axes.set_xticks(named, names, rotation=90, fontsize=size, parse_math=False)
        axes.set_yticks(named, names, fontsize=size, parse_math=False)
        axes.tick_params(length=2, width=0.5)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        axes.set_title(
            f"{drawable(head.name)}: {np.trace(counts):,} of {counts.sum():,} test photos correct",
            parse_math=False,
        )
        if with_counts:
            between, ends = np.arange(1, classes) - 0.5, (-0.5, classes - 0.5)
            axes.hlines(between, *ends, color=_LINE, lw=0.4)
            axes.vlines(between, *ends, color=_LINE, lw=0.4)
            for row, column in np.argwhere(counts).tolist():
                is_dark = shares[row, column] / (1 if row == column else max_wrong) > 0.6
                axes.text(
                    column,
                    row,
                    f"{counts[row, column]}",
                    color="white" if is_dark else _INK,
                    ha="center",
                    va="center_baseline",
                    fontsize=size,
                )
        return _png(figure, bbox_inches="tight", pad_inches=0.15)


def _cell_colours(shares: np.ndarray, max_wrong: float) -> np.ndarray:
    """Return the colours of cells, RGBA (C, C, 4); ``max_wrong`` is the largest wrong share."""
    pale = 0.2  # so that a single mistake among many photos is visible
    colours = np.ones((*shares.shape, 4))
    wrong = shares > 0
    colours[wrong] = matplotlib.colormaps["Oranges"](pale + (1 - pale) * shares[wrong] / max_wrong)
    diagonal = np.diag_indices(len(shares))
    colours[diagonal] = matplotlib.colormaps["Blues"](shares[diagonal])
    return colours


def reliability_diagrams(heads: Sequence[HeadMetrics]) -> bytes:
    """Plot the accuracy of predictions by their probability, one diagram per head.

    Each bin with photos has a dot with the 95 % interval of its accuracy. A head above the dashed
    line is underconfident, one below it overconfident. The bars below show the number of photos in
    each bin (Guo et al. 2017).
    """
    columns = min(DIAGRAMS_PER_ROW, len(heads))
    rows = math.ceil(len(heads) / columns)
    with _styled():
        figure = Figure((2.9 * columns + 0.3, 3.9 * rows), layout="constrained")
        grid = figure.add_gridspec(2 * rows, columns, height_ratios=(3, 1) * rows)
        for number, head in enumerate(heads):
            row, column = divmod(number, columns)
            _draw_reliability(figure, grid[2 * row, column], grid[2 * row + 1, column], head)
        return _png(figure)


def _draw_reliability(figure: Figure, above: Any, below: Any, head: HeadMetrics) -> None:
    fifths = np.arange(6) / 5
    upper = figure.add_subplot(above)
    lower = figure.add_subplot(below, sharex=upper)
    bins = [item for item in head.reliability if item.photos]
    confidence = np.array([item.confidence for item in bins])
    accuracy = np.array([item.accuracy for item in bins])
    whiskers = np.abs(np.array([item.interval for item in bins]).T - accuracy)
    upper.plot((0, 1), (0, 1), "--", color=_FAINT, lw=0.9)
    upper.errorbar(
        confidence, accuracy, whiskers, fmt="o", ms=5, color=_BLUE, elinewidth=1, clip_on=False
    )
    lower.bar(
        [item.low for item in bins],
        [item.photos for item in bins],
        [item.high - item.low for item in bins],
        align="edge",
        color=_FAINT,
        edgecolor="white",
        log=True,
    )
    upper.set(xlim=(0, 1), ylim=(0, 1), xticks=fifths, yticks=fifths, ylabel="accuracy")
    upper.grid()
    lower.set(xlabel="probability", ylabel="photos", ylim=(0.7, None))
    lower.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    upper.tick_params(labelbottom=False)
    upper.set_title(f"{drawable(head.name)}\nECE {head.ece:.3f}", parse_math=False, pad=10)


@contextmanager
def _styled() -> Iterator[None]:
    _drawable_characters()  # registers the fonts
    with matplotlib.rc_context(_STYLE):
        yield


def _png(figure: Figure, **savefig_options: Any) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, **savefig_options)
    return buffer.getvalue()


def drawable(name: str) -> str:
    """Return a name that the fonts can draw: cut if it is long, with boxes for other characters."""
    text = shown(name)
    if len(text) > MAX_NAME_LENGTH:
        text = f"{text[: MAX_NAME_LENGTH - 1]}…"
    return "".join(char if ord(char) in _drawable_characters() else "□" for char in text)


@cache
def _drawable_characters() -> frozenset[int]:
    """Return the characters that the fonts of the plots contain."""
    with matplotlib.rc_context():  # this import changes the default font of all plots
        import matplotlib_fontja  # noqa: F401
    fonts = (font_manager.get_font(font_manager.findfont(name)) for name in _FAMILIES)
    return frozenset(code for font in fonts for code in font.get_charmap())
