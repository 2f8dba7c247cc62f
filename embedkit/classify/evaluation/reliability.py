"""Calibration of probabilities: reliability bins and expected calibration error."""

import numpy as np

from embedkit._internal.statistics import wilson
from embedkit.results.evaluation import ReliabilityBin

BINS = 15


def reliability_bins(confidence: np.ndarray, right: np.ndarray) -> tuple[ReliabilityBin, ...]:
    """Return the predictions, grouped by probability into bins of equal width (Guo et al. 2017).

    ``confidence`` is the probability of the prediction, float (N,), ``right`` whether it is
    correct, bool (N,). A bin contains its upper end.
    """
    edges = np.arange(BINS + 1) / BINS
    numbers = np.searchsorted(edges[1:-1], confidence, side="left")
    counts = np.bincount(numbers, minlength=BINS)
    sums = np.bincount(numbers, confidence, BINS), np.bincount(numbers, right, BINS)
    return tuple(
        _bin(number, photos, total, int(hits))
        for number, (photos, total, hits) in enumerate(
            zip(counts.tolist(), sums[0].tolist(), sums[1].tolist(), strict=True)
        )
    )


def _bin(number: int, photos: int, total: float, hits: int) -> ReliabilityBin:
    bounds = number / BINS, (number + 1) / BINS
    if not photos:
        return ReliabilityBin(*bounds, 0, None, None, None)
    return ReliabilityBin(*bounds, photos, total / photos, hits / photos, wilson(hits, photos))


def expected_calibration_error(bins: tuple[ReliabilityBin, ...]) -> float:
    """Return the mean absolute difference, over photos, of confidence and accuracy of their bins.

    Guo, Pleiss, Sun & Weinberger 2017, equation 3.
    """
    total = sum(
        abs(item.confidence - item.accuracy) * item.photos
        for item in bins
        if item.confidence is not None and item.accuracy is not None
    )
    return total / sum(item.photos for item in bins)
