"""Photos that are of no class: far from every training photo, or of no class clearly."""

from dataclasses import dataclass

import numpy as np

VALIDATION_RECALL = 0.95
"""The share of validation photos that count as known."""

_NARROWEST = 0.1
_LEAST = 1e-6
"""Distances and doubts below this are as good as none."""


def doubt_of(probabilities: np.ndarray) -> np.ndarray:
    """How far from certain each row of probabilities, (N, C), is: log odds against its best."""
    best = np.clip(probabilities.max(axis=1), _LEAST, 1 - _LEAST)
    return np.asarray(np.log1p(-best) - np.log(best))


def remoteness(distances: np.ndarray) -> np.ndarray:
    """How far the nearest training photos are: the mean log of cosine ``distances``, (N, k)."""
    return np.asarray(np.log(np.maximum(distances, _LEAST)).mean(axis=1))


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of a measure over the validation photos."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, values: np.ndarray) -> "Scale":
        """The scale of ``values``, (N,): logarithms, whose deviation counts as 0.1 at the least."""
        return cls(float(values.mean()), max(float(values.std()), _NARROWEST))

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return (values - self.mean) / self.deviation


@dataclass(frozen=True)
class Rejection:
    """What tells photos of no class: the sum of two measures, each in validation's own units.

    Distance to the nearest training photos and maximum probability err on different photos: one
    of nothing known may still fall on the far side of a class, and one between two classes be
    near to both.
    """

    remote: Scale
    doubt: Scale
    threshold: float
    """Photos above it are unknown: 0.95 of the validation photos are not."""

    @classmethod
    def fit(cls, remote: np.ndarray, doubt: np.ndarray) -> "Rejection":
        """From :func:`remoteness` and :func:`doubt_of` of the validation photos, both (N,)."""
        scales = Scale.of(remote), Scale.of(doubt)
        strange = scales[0](remote) + scales[1](doubt)
        return cls(*scales, float(np.quantile(strange, VALIDATION_RECALL, method="higher")))

    def strangeness(self, remote: np.ndarray, doubt: np.ndarray) -> np.ndarray:
        """Of photos, float64 (N,): the higher, the less likely of any class."""
        return np.asarray(self.remote(remote) + self.doubt(doubt))
