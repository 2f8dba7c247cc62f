"""Which photos are unknown, that is of no class: three measures, each with a threshold of its own.

- Neighbour distance: far from the nearest training photos (Sun, Ming, Zhu & Li 2022, *Deep nearest
  neighbors*).
- Outlier ratio: the training photos are farther than a drawn outlier, such as a solid colour, a
  code or a screen (outlier exposure: Hendrycks, Mazeika & Dietterich 2019).
- Confidence: the best class is not probable (Hendrycks & Gimpel 2017).

Any of the three makes a photo unknown. A threshold is a lower bound of a quantile over known photos
that holds with 95 % confidence whatever their distribution is (Wilks 1941): few photos make it
strict, and a single odd one among them never sets it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedkit.results import Thresholds

DISTANCE, OUTLIER, CONFIDENCE = MEASURES = ("distance", "outlier", "confidence")

KNOWN_SHARE = 0.99
"""The quantile of known photos that bounds neighbour distance and confidence."""
OUTLIER_SHARE = 0.95
"""The quantile that bounds the outlier ratio where it is above 1, as for heads on few photos."""
CERTAINTY = 0.95
"""How likely a threshold is below its quantile, over draws of the known photos."""
FEW = 50
"""From so many validation photos on, confidence has a threshold. With fewer, its lower bound would
call more than 6 % of known photos unknown."""

_NARROWEST = 0.1
LEAST = 1e-6
"""Distances, and probabilities of all other classes together, below this are as good as none."""


def log_distance(distances: np.ndarray) -> np.ndarray:
    """The mean logarithm of cosine ``distances`` (N, k): float64 (N,)."""
    return np.asarray(np.log(np.maximum(distances, LEAST)).mean(axis=1))


def log_distance_to_outliers(vectors: np.ndarray, outliers: np.ndarray) -> np.ndarray:
    """The logarithm of the cosine distance of each of ``vectors`` (N, dim) to the nearest outlier.

    ``outliers`` is (O, dim); without any the distance is infinite. float64 (N,).
    """
    if not len(outliers):
        return np.full(len(vectors), np.inf)
    products = (vectors @ outliers.astype(np.float32).T).max(axis=1)
    return np.asarray(np.log(np.maximum(1.0 - products.astype(np.float64), LEAST)))


def log_odds_against(probabilities: np.ndarray) -> np.ndarray:
    """The log odds against the best class of each row of ``probabilities`` (N, C): float64 (N,)."""
    best = np.clip(probabilities.max(axis=1), LEAST, 1 - LEAST)
    return np.asarray(np.log1p(-best) - np.log(best))


@dataclass(frozen=True)
class Measures:
    """What is measured of N photos under M models; the higher, the less like a known photo."""

    distances: np.ndarray
    """Neighbour distance by :func:`log_distance`, float64 (M, N)."""
    ratios: np.ndarray
    """The logarithm of the outlier ratio, float64 (M, N); -inf under a model without outliers."""
    odds_against: np.ndarray
    """By :func:`log_odds_against`, float64 (N,)."""

    @property
    def distance(self) -> np.ndarray:
        """The mean over the models, float64 (N,)."""
        return np.asarray(self.distances.mean(axis=0))

    @property
    def ratio(self) -> np.ndarray:
        """The mean over the models that have outliers, float64 (N,); -inf where none has."""
        return mean_ratio(self.ratios)


def mean_ratio(ratios: np.ndarray) -> np.ndarray:
    """The mean over models, (M, N) to (N,), without those that have no outliers."""
    there = np.isfinite(ratios).all(axis=1)
    return np.asarray(ratios[there].mean(axis=0) if there.any() else ratios.max(axis=0))


def bound_rank(count: int, share: float) -> int:
    """The rank k, from 1, of the value that bounds the quantile ``share`` from below.

    The k-th smallest of ``count`` independent values is at most that quantile with a probability of
    :data:`CERTAINTY` or more: that is P(Binomial(count, share) >= k), so k is the largest for which
    that holds. The largest of two values or more is never taken, so that one alone opens no door.
    A new photo is above with a mean probability of (count - k + 1) / (count + 1).
    """
    from scipy.special import bdtrc

    ranks = np.arange(1, max(2, count))
    enough = ranks[bdtrc(ranks - 1, count, share) >= CERTAINTY]
    return int(enough.max(initial=1))


def expected_share(count: int, share: float = KNOWN_SHARE) -> float:
    """The mean share of known photos above a threshold that rests on ``count`` of them."""
    return (count - bound_rank(count, share) + 1) / (count + 1)


@dataclass(frozen=True)
class Threshold:
    """Where a measure says that a photo is unknown."""

    value: float
    deviation: float
    """The measure's standard deviation over the known photos, 0.1 at the least."""
    photos: int
    """Known photos that it rests on."""

    @classmethod
    def of(cls, values: np.ndarray, share: float) -> "Threshold":
        """The lower bound of the quantile ``share`` of a measure, (N,), of known photos."""
        value = np.sort(values)[bound_rank(len(values), share) - 1]
        return cls(float(value), max(float(values.std()), _NARROWEST), len(values))

    def excess(self, values: np.ndarray) -> np.ndarray:
        """How far values are above it, in standard deviations: float64 (N,)."""
        return np.asarray((values - self.value) / self.deviation)


@dataclass(frozen=True)
class Rejection:
    """The thresholds of the three measures."""

    distance: Threshold
    outlier: Threshold | None
    """None without drawn outliers."""
    confidence: Threshold | None
    """None with fewer than :data:`FEW` validation photos."""
    validation_photos: int

    @classmethod
    def fit(cls, distance: np.ndarray, ratio: np.ndarray, odds_against: np.ndarray) -> "Rejection":
        """From the measures of known photos.

        ``distance`` and ``ratio``, both (K,), are of validation photos and of training photos that
        were left out in turn; ``odds_against``, (V,), is of the validation photos.

        What is nearer to a drawn outlier than to the training photos is unknown, unless so many
        known photos are that 5 % of them are for sure: then the threshold rises.
        """
        outlier = None
        if np.isfinite(ratio).all():
            bound = Threshold.of(ratio, OUTLIER_SHARE)
            outlier = Threshold(max(0.0, bound.value), bound.deviation, bound.photos)
        enough = len(odds_against) >= FEW
        return cls(
            Threshold.of(distance, KNOWN_SHARE),
            outlier,
            Threshold.of(odds_against, KNOWN_SHARE) if enough else None,
            len(odds_against),
        )

    def excess(self, measures: Measures) -> np.ndarray:
        """How far each measure is above its threshold: float64 (N, 3), as :data:`MEASURES`.

        In standard deviations of known photos; -inf for a measure that has no threshold.
        """
        pairs: Sequence[tuple[Threshold | None, np.ndarray]] = (
            (self.distance, measures.distance),
            (self.outlier, measures.ratio),
            (self.confidence, measures.odds_against),
        )
        none = np.full(len(measures.odds_against), -np.inf)
        columns = [
            none if threshold is None else threshold.excess(values) for threshold, values in pairs
        ]
        return np.stack(columns, axis=1)

    @property
    def thresholds(self) -> Thresholds:
        """The thresholds as distance, ratio and probability, and what they rest on."""
        return Thresholds(
            distance=float(np.exp(self.distance.value)),
            outlier_ratio=None if self.outlier is None else float(np.exp(self.outlier.value)),
            photos=self.distance.photos,
            probability=(
                None if self.confidence is None else float(1 / (1 + np.exp(self.confidence.value)))
            ),
            validation_photos=self.validation_photos,
        )
