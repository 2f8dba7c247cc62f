"""Whether probabilities mean what they say."""

import math

import numpy as np

from embedkit.classify.evaluation.figures import ReliabilityBin

BINS = 15
_Z = 1.959964  # of the normal distribution, 2.5 % lie beyond it


def reliability_bins(confidence: np.ndarray, right: np.ndarray) -> tuple[ReliabilityBin, ...]:
    """Predictions in bins of equal width by their probability (Guo et al. 2017).

    ``confidence`` is float (N,), ``right`` bool (N,). A bin holds its upper end.
    """
    edges = np.arange(BINS + 1) / BINS
    places = np.searchsorted(edges[1:-1], confidence, side="left")
    counts = np.bincount(places, minlength=BINS)
    sums = np.bincount(places, confidence, BINS), np.bincount(places, right, BINS)
    return tuple(
        _bin(number, photos, said, int(hits))
        for number, (photos, said, hits) in enumerate(
            zip(counts.tolist(), sums[0].tolist(), sums[1].tolist(), strict=True)
        )
    )


def _bin(number: int, photos: int, said: float, hits: int) -> ReliabilityBin:
    ends = number / BINS, (number + 1) / BINS
    if not photos:
        return ReliabilityBin(*ends, 0, None, None, None)
    return ReliabilityBin(*ends, photos, said / photos, hits / photos, wilson(hits, photos))


def wilson(hits: int, photos: int) -> tuple[float, float]:
    """The 95 % interval of a share of which few are known (Wilson 1927, the score interval)."""
    share = hits / photos
    middle = share + _Z**2 / (2 * photos)
    half = _Z * math.sqrt(share * (1 - share) / photos + (_Z / (2 * photos)) ** 2)
    shrunk = 1 + _Z**2 / photos
    return max(0.0, (middle - half) / shrunk), min(1.0, (middle + half) / shrunk)


def expected_calibration_error(bins: tuple[ReliabilityBin, ...]) -> float:
    """Mean over the photos of how far confidence and accuracy of their bin are apart.

    Guo, Pleiss, Sun & Weinberger 2017, equation 3.
    """
    apart = sum(
        abs(item.confidence - item.accuracy) * item.photos
        for item in bins
        if item.confidence is not None and item.accuracy is not None
    )
    return apart / sum(item.photos for item in bins)
