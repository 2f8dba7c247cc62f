"""The rejection rule of heads that were saved in format 2."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedkit.classify.heads.rejection import RejectionMeasures
from embedkit.results import Thresholds


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of a measure over the validation photos."""

    mean: float
    deviation: float

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return (values - self.mean) / self.deviation


@dataclass(frozen=True)
class Format2Rejection:
    """A threshold on the sum of the standardised neighbour distance and log odds."""

    models: tuple[Scale, ...]
    """Scale of the neighbour distance under each model."""
    distance: Scale
    """Scale of the mean of the standardised distances."""
    confidence: Scale
    """Scale of the log odds against the best class."""
    threshold: float
    validation_photos: int

    @classmethod
    def read(
        cls, saved: Mapping[str, Any], models: tuple[Scale, ...], photos: int
    ) -> "Format2Rejection":
        """Return the rule from a format 2 manifest; ``models`` are the scales of its models."""
        scales = Scale(**saved["remote"]), Scale(**saved["doubt"])
        return cls(models, *scales, float(saved["threshold"]), photos)

    def excess(self, measures: RejectionMeasures) -> np.ndarray:
        """Return the sum minus the threshold: float64 (N, 1)."""
        scaled = [
            scale(values) for scale, values in zip(self.models, measures.distances, strict=True)
        ]
        distance = self.distance(np.mean(scaled, axis=0))
        return np.asarray(distance + self.confidence(measures.odds_against) - self.threshold)[
            :, None
        ]

    @property
    def thresholds(self) -> Thresholds:
        """The numbers of photos; there is no threshold for a single measure."""
        return Thresholds(None, None, self.validation_photos, None, self.validation_photos)
