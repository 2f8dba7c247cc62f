"""Plots of a comparison of backbones: average precision, recall, distances."""

import math

import numpy as np
from matplotlib.figure import Figure

from embedkit.reports.plots import (
    BLUE,
    COLOURS,
    LINE_STYLES,
    MARKERS,
    ORANGE,
    PAPER_WIDTH,
    add_legend,
    dot_plot,
    short_names,
    styled,
)
from embedkit.results.comparison import Comparison

HISTOGRAMS_PER_ROW = 3


def average_precisions(comparison: Comparison) -> Figure:
    """Plot the mean average precision of each backbone with its interval, the best at the top."""
    backbones = comparison.backbones
    best = backbones[0].backbone
    tied = {test.other for test in comparison.tests if test.backbone == best and test.tie}
    return dot_plot(
        [item.backbone for item in backbones],
        [(item.mean_ap.value, item.mean_ap.low, item.mean_ap.high) for item in backbones],
        [item.backbone in {best, *tied} for item in backbones],
        "mean average precision",
    )


def recall_curves(comparison: Comparison) -> Figure:
    """Plot the recall at each k with its interval, one line per backbone."""
    backbones = comparison.backbones
    ks = list(backbones[0].recall_at)
    offsets = (np.arange(len(backbones)) - (len(backbones) - 1) / 2) * 0.3 / len(backbones)
    with styled():
        figure = Figure((PAPER_WIDTH * 0.7, 3.6), layout="constrained")
        axes = figure.add_subplot()
        lines = []
        for number, item in enumerate(backbones):
            style, colour = divmod(number, len(COLOURS))
            recall = item.recall_at.values()
            values = np.array([estimate.value for estimate in recall])
            bounds = np.array([(estimate.low, estimate.high) for estimate in recall]).T
            lines.append(
                axes.errorbar(
                    np.arange(len(ks)) + offsets[number],
                    values,
                    np.abs(bounds - values),
                    color=COLOURS[colour],
                    ls=LINE_STYLES[style % len(LINE_STYLES)],
                    marker=MARKERS[(number + style) % len(MARKERS)],
                    ms=4.5,
                    lw=1.4,
                    elinewidth=1,
                    capsize=2,
                    clip_on=False,
                )
            )
        axes.set_xticks(range(len(ks)), [f"{k}" for k in ks])
        axes.set_xlim(-0.4, len(ks) - 0.6)
        axes.set_xlabel("k")
        axes.set_ylabel("recall at k, with 95 % interval")
        axes.grid(axis="y")
        add_legend(figure, lines, short_names([item.backbone for item in backbones]))
        return figure


def distance_histograms(comparison: Comparison) -> Figure:
    """Plot the distances of pairs of one class and of two classes, one histogram per backbone."""
    backbones = comparison.backbones
    columns = min(HISTOGRAMS_PER_ROW, len(backbones))
    rows = math.ceil(len(backbones) / columns)
    names = short_names([item.backbone for item in backbones])
    with styled():
        figure = Figure((PAPER_WIDTH * columns / 3 + 0.4, 0.5 + 1.9 * rows), layout="constrained")
        for number, (item, name) in enumerate(zip(backbones, names, strict=True)):
            axes = figure.add_subplot(rows, columns, number + 1)
            found = item.separation
            filled = [
                axes.stairs(shares, found.edges, fill=True, facecolor=colour, alpha=0.45)
                for shares, colour in ((found.different, ORANGE), (found.same, BLUE))
            ]
            for shares, colour in ((found.different, ORANGE), (found.same, BLUE)):
                axes.stairs(shares, found.edges, color=colour, lw=1.2)
            axes.set_xlim(0, found.edges[-1])
            axes.set_title(f"{name}\nAUC {found.auc:.3f}", parse_math=False, fontsize=9)
            if number % columns == 0:
                axes.set_ylabel("share of pairs")
            if number + columns >= len(backbones):
                axes.set_xlabel("cosine distance")
        add_legend(figure, filled[::-1], ["pairs of one class", "pairs of two classes"])
        return figure
