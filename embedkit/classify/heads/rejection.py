"""Out-of-distribution rejection: photos of no class are unknown.

Three measures have a threshold each, and exceeding any of them makes a photo unknown:

- Neighbour distance: the distance to the nearest training photos (Sun, Ming, Zhu & Li 2022, *Deep
  nearest neighbors*).
- Outlier ratio: that distance divided by the distance to the nearest synthetic outlier, such as a
  solid colour, a code or a screen (outlier exposure: Hendrycks, Mazeika & Dietterich 2019).
- Confidence: the probability of the best class (Hendrycks & Gimpel 2017).

A threshold is a lower bound of a quantile over known photos, with 95 % confidence and without
assumptions about their distribution (Wilks 1941). Few photos make it strict, and a single extreme
photo never sets it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedkit.results import Thresholds

DISTANCE, OUTLIER, CONFIDENCE = MEASURES = ("distance", "outlier", "confidence")

KNOWN_QUANTILE = 0.99
"""The quantile of known photos that bounds neighbour distance and confidence."""
OUTLIER_QUANTILE = 0.95
"""The quantile of known photos that bounds the outlier ratio. The bound is never below 1; it is
above 1 for some heads trained on few photos."""
CONFIDENCE_LEVEL = 0.95
"""Probability, over samples of known photos, that a threshold is below its quantile."""
MIN_VALIDATION_PHOTOS = 50
"""Minimum number of validation photos for a confidence threshold. With fewer, it would reject 6 %
of known photos or more."""
EPSILON = 1e-6
"""Lower bound, before logarithms are taken, of distances and of the probability against a class."""

_MIN_DEVIATION = 0.1


def mean_log_distance(distances: np.ndarray) -> np.ndarray:
    """Return the mean logarithm of cosine ``distances`` (N, k): float64 (N,)."""
    return np.asarray(np.log(np.maximum(distances, EPSILON)).mean(axis=1))


def log_distance_to_outliers(vectors: np.ndarray, outliers: np.ndarray) -> np.ndarray:
    """Return the logarithm of the cosine distance to the nearest outlier: float64 (N,).

    ``vectors`` is (N, dim), ``outliers`` (O, dim); without outliers the distance is infinite.
    """
    if not len(outliers):
        return np.full(len(vectors), np.inf)
    products = (vectors @ outliers.astype(np.float32, copy=False).T).max(axis=1)
    return np.asarray(np.log(np.maximum(1.0 - products.astype(np.float64), EPSILON)))


def log_odds_against(probabilities: np.ndarray) -> np.ndarray:
    """Return the log odds against the best class of each row (N, C): float64 (N,)."""
    best = np.clip(probabilities.max(axis=1), EPSILON, 1 - EPSILON)
    return np.asarray(np.log1p(-best) - np.log(best))


@dataclass(frozen=True)
class RejectionMeasures:
    """The measures of N photos under M models; higher values are less like known photos."""

    distances: np.ndarray
    """Neighbour distances, by :func:`mean_log_distance`: float64 (M, N)."""
    ratios: np.ndarray
    """Logarithms of outlier ratios, float64 (M, N); -inf under a model without outliers."""
    odds_against: np.ndarray
    """Log odds against the best class, by :func:`log_odds_against`: float64 (N,)."""

    @property
    def distance(self) -> np.ndarray:
        """Mean neighbour distance over the models: float64 (N,)."""
        return np.asarray(self.distances.mean(axis=0))

    @property
    def ratio(self) -> np.ndarray:
        """Mean log outlier ratio over the models with outliers, float64 (N,); -inf if none has."""
        return mean_ratio(self.ratios)


def mean_ratio(ratios: np.ndarray) -> np.ndarray:
    """Return the mean over the models with outliers: (N,) of (M, N)."""
    finite = np.isfinite(ratios).all(axis=1)
    return np.asarray(ratios[finite].mean(axis=0) if finite.any() else ratios.max(axis=0))


def quantile_bound_rank(count: int, quantile: float) -> int:
    """Return the rank k, from 1, of the value that bounds the ``quantile`` from below.

    The k-th smallest of ``count`` independent values is at most the quantile with probability
    P(Binomial(count, quantile) >= k). The result is the largest k for which that is at least
    :data:`CONFIDENCE_LEVEL`, but never the largest of several values, so that a single extreme
    value cannot raise the threshold. A new photo exceeds the k-th value with a mean probability of
    (count - k + 1) / (count + 1).
    """
    from scipy.special import bdtrc

    ranks = np.arange(1, max(2, count))
    enough = ranks[bdtrc(ranks - 1, count, quantile) >= CONFIDENCE_LEVEL]
    return int(enough.max(initial=1))


def expected_rejection_rate(count: int, quantile: float = KNOWN_QUANTILE) -> float:
    """Return the mean share of known photos above a threshold estimated from ``count`` photos."""
    return (count - quantile_bound_rank(count, quantile) + 1) / (count + 1)


@dataclass(frozen=True)
class Threshold:
    """The value of a measure above which a photo is unknown."""

    value: float
    deviation: float
    """Standard deviation of the measure over the known photos, at least 0.1."""
    photos: int
    """Number of known photos that it was estimated from."""

    @classmethod
    def fit(cls, values: np.ndarray, quantile: float) -> "Threshold":
        """Return the lower bound of a quantile of the measure over known photos (N,)."""
        value = np.sort(values)[quantile_bound_rank(len(values), quantile) - 1]
        return cls(float(value), max(float(values.std()), _MIN_DEVIATION), len(values))

    def excess(self, values: np.ndarray) -> np.ndarray:
        """Return how far values are above the threshold, in standard deviations: float64 (N,)."""
        return np.asarray((values - self.value) / self.deviation)


@dataclass(frozen=True)
class Rejection:
    """The thresholds of the three measures."""

    distance: Threshold
    outlier: Threshold | None
    """None without synthetic outliers."""
    confidence: Threshold | None
    """None with fewer than :data:`MIN_VALIDATION_PHOTOS` validation photos."""
    validation_photos: int

    @classmethod
    def fit(cls, distance: np.ndarray, ratio: np.ndarray, odds_against: np.ndarray) -> "Rejection":
        """Estimate the thresholds from known photos.

        A photo that is nearer to a synthetic outlier than to the training photos is unknown, unless
        that would reject more than 5 % of known photos: then the threshold is raised.

        Parameters
        ----------
        distance, ratio : ndarray
            Neighbour distances and log outlier ratios, both (K,), of validation photos and of
            training photos that were left out in turn.
        odds_against : ndarray
            Log odds against the best class of the validation photos: (V,).
        """
        outlier = None
        if np.isfinite(ratio).all():
            bound = Threshold.fit(ratio, OUTLIER_QUANTILE)
            outlier = Threshold(max(0.0, bound.value), bound.deviation, bound.photos)
        enough = len(odds_against) >= MIN_VALIDATION_PHOTOS
        return cls(
            Threshold.fit(distance, KNOWN_QUANTILE),
            outlier,
            Threshold.fit(odds_against, KNOWN_QUANTILE) if enough else None,
            len(odds_against),
        )

    def excess(self, measures: RejectionMeasures) -> np.ndarray:
        """Return how far each measure is above its threshold: float64 (N, 3).

        The columns are in the order of :data:`MEASURES`, in standard deviations of known photos;
        -inf for a measure without a threshold.
        """
        pairs: Sequence[tuple[Threshold | None, np.ndarray]] = (
            (self.distance, measures.distance),
            (self.outlier, measures.ratio),
            (self.confidence, measures.odds_against),
        )
        never = np.full(len(measures.odds_against), -np.inf)
        columns = [
            never if threshold is None else threshold.excess(values) for threshold, values in pairs
        ]
        return np.stack(columns, axis=1)

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds as a distance, a ratio and a probability, with the numbers of photos."""
        return Thresholds(
            distance=float(np.exp(self.distance.value)),
            outlier_ratio=None if self.outlier is None else float(np.exp(self.outlier.value)),
            photos=self.distance.photos,
            probability=(
                None if self.confidence is None else float(1 / (1 + np.exp(self.confidence.value)))
            ),
            validation_photos=self.validation_photos,
        )
