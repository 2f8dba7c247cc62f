"""Calibration of probabilities: reliability bins and expected calibration error."""

import math

import numpy as np

from embedkit.classify.evaluation.results import ReliabilityBin

BINS = 15
_Z = 1.959964  # the 97.5 % quantile of the normal distribution


def reliability_bins(confidence: np.ndarray, right: np.ndarray) -> tuple[ReliabilityBin, ...]:
    """Return predictions in bins of equal width by their probability (Guo et al. 2017).

    ``confidence`` is the probability of the prediction, float (N,), ``right`` whether it is
    correct, bool (N,). A bin contains its upper end.
    """
    edges = np.arange(BINS + 1) / BINS
    places = np.searchsorted(edges[1:-1], confidence, side="left")
    counts = np.bincount(places, minlength=BINS)
    sums = np.bincount(places, confidence, BINS), np.bincount(places, right, BINS)
    return tuple(
        _bin(number, photos, total, int(hits))
        for number, (photos, total, hits) in enumerate(
            zip(counts.tolist(), sums[0].tolist(), sums[1].tolist(), strict=True)
        )
    )


def _bin(number: int, photos: int, total: float, hits: int) -> ReliabilityBin:
    ends = number / BINS, (number + 1) / BINS
    if not photos:
        return ReliabilityBin(*ends, 0, None, None, None)
    return ReliabilityBin(*ends, photos, total / photos, hits / photos, wilson(hits, photos))


def wilson(hits: int, photos: int) -> tuple[float, float]:
    """Return the 95 % score interval of a share (Wilson 1927)."""
    share = hits / photos
    middle = share + _Z**2 / (2 * photos)
    half = _Z * math.sqrt(share * (1 - share) / photos + (_Z / (2 * photos)) ** 2)
    shrunk = 1 + _Z**2 / photos
    return max(0.0, (middle - half) / shrunk), min(1.0, (middle + half) / shrunk)


def expected_calibration_error(bins: tuple[ReliabilityBin, ...]) -> float:
    """Return the mean over photos of the difference between confidence and accuracy of their bin.

    Guo, Pleiss, Sun & Weinberger 2017, equation 3.
    """
    total = sum(
        abs(item.confidence - item.accuracy) * item.photos
        for item in bins
        if item.confidence is not None and item.accuracy is not None
    )
    return total / sum(item.photos for item in bins)
