"""The rule for unknown photos of heads that were saved in format 2."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedkit.classify.heads.rejection import Measures
from embedkit.results import Thresholds


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of a measure over the validation photos."""

    mean: float
    deviation: float

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return (values - self.mean) / self.deviation


@dataclass(frozen=True)
class EarlierRejection:
    """A threshold of the sum of neighbour distance and confidence, both standardised."""

    models: tuple[Scale, ...]
    """Of the neighbour distance under each model."""
    distance: Scale
    """Of the mean of these."""
    confidence: Scale
    threshold: float
    validation_photos: int

    @classmethod
    def read(
        cls, saved: Mapping[str, Any], models: tuple[Scale, ...], photos: int
    ) -> "EarlierRejection":
        """What format 2 saved of a head; ``models`` are the scales that it saved of its models."""
        scales = Scale(**saved["remote"]), Scale(**saved["doubt"])
        return cls(models, *scales, float(saved["threshold"]), photos)

    def excess(self, measures: Measures) -> np.ndarray:
        """How far the sum is above the threshold: float64 (N, 1)."""
        scaled = [
            scale(values) for scale, values in zip(self.models, measures.distances, strict=True)
        ]
        distance = self.distance(np.mean(scaled, axis=0))
        return np.asarray(distance + self.confidence(measures.odds_against) - self.threshold)[
            :, None
        ]

    @property
    def thresholds(self) -> Thresholds:
        """None of its own for either measure."""
        return Thresholds(None, None, self.validation_photos, None, self.validation_photos)
