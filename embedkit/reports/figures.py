"""Figures for papers: every plot of a result as PDF and SVG."""

import os
from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure

from embedkit._internal.paths import absolute
from embedkit.reports import comparison_plots, evaluation_plots
from embedkit.reports.plots import save_figure
from embedkit.results.comparison import Comparison
from embedkit.results.evaluation import Evaluation


def save_comparison_figures(folder: str | os.PathLike[str], comparison: Comparison) -> list[Path]:
    """Write the plots of a comparison as PDF and SVG, and return the paths.

    Raises :class:`StorageError` if a file cannot be written.
    """
    return _save(folder, _comparison_figures(comparison))


def save_evaluation_figures(folder: str | os.PathLike[str], evaluation: Evaluation) -> list[Path]:
    """Write the plots of an evaluation as PDF and SVG, and return the paths.

    Raises :class:`StorageError` if a file cannot be written.
    """
    return _save(folder, _evaluation_figures(evaluation))


def _comparison_figures(comparison: Comparison) -> Iterator[tuple[str, Figure]]:
    """Yield the plots with their file names, one at a time."""
    yield "mean-average-precision", comparison_plots.average_precisions(comparison)
    if comparison.backbones[0].recall_at:
        yield "recall", comparison_plots.recall_curves(comparison)
    yield "distances", comparison_plots.distance_histograms(comparison)


def _evaluation_figures(evaluation: Evaluation) -> Iterator[tuple[str, Figure]]:
    """Yield the plots with their file names, one at a time."""
    heads = evaluation.heads
    yield "accuracy", evaluation_plots.accuracies(evaluation)
    yield "classes", evaluation_plots.class_scores(evaluation)
    yield "reliability", evaluation_plots.reliability_diagrams(heads)
    if any(head.history for head in heads):
        yield "accuracy-by-epoch", evaluation_plots.accuracy_curves(heads)
    for head in heads:
        yield f"confusion-{head.name}", evaluation_plots.confusion_matrix(head)


def _save(folder: str | os.PathLike[str], figures: Iterator[tuple[str, Figure]]) -> list[Path]:
    target = Path(absolute(folder))
    return [path for name, figure in figures for path in save_figure(figure, target, name)]
