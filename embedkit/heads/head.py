"""Heads: models that turn embeddings into probabilities, one alone or the mean of several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from scipy.special import softmax

from embedkit.heads.ensemble import CALIBRATED, MEAN, mean_scores
from embedkit.heads.gallery import Gallery
from embedkit.heads.linear import Features
from embedkit.heads.unknown import Rejection, Scale, doubt_of, remoteness
from embedkit.records import EmbeddingSpec

KNN, PROBE, FINETUNE, ENSEMBLE = KINDS = ("knn", "probe", "finetune", "ensemble")

Embedded = Mapping[str, Features]
"""Features of the same images, by the digest of their spec."""


class Scorer(Protocol):
    """What gives classes their scores: a linear layer, or the votes of neighbours."""

    def scores(self, features: Features) -> np.ndarray:
        """Log-probabilities up to a constant: float64 (N, C)."""


@dataclass(frozen=True)
class Model:
    """A classifier of embeddings of one spec, with what validation said of its certainty."""

    classes_: tuple[str, ...]
    """Sorted."""
    backbone: str
    """Name of what embeds photos for it."""
    spec: EmbeddingSpec
    scorer: Scorer
    gallery: Gallery
    temperature: float
    remote: Scale
    """Of how far validation photos are from the nearest training photos."""

    def scores(self, embedded: Embedded) -> np.ndarray:
        """Log-probabilities up to a constant: float64 (N, C)."""
        return self.scorer.scores(embedded[self.spec.digest])

    def remoteness(self, embedded: Embedded) -> np.ndarray:
        """How far the nearest training photos are, in validation's units: float64 (N,)."""
        _, distances = self.gallery.nearest(embedded[self.spec.digest].vectors)
        return self.remote(remoteness(distances))


@dataclass(frozen=True)
class Head:
    """A classifier: the mean of the probabilities of its models, of which there may be one."""

    name: str
    kind: str
    models: tuple[Model, ...]
    method: str
    """:data:`MEAN` or :data:`CALIBRATED`: which probabilities of the models go into it."""
    temperature: float
    """Of the mean."""
    rejection: Rejection
    validation: Mapping[str, float] = field(default_factory=dict)
    """What validation said of it: accuracy, nll, images."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What was chosen, and among what."""

    @property
    def classes_(self) -> tuple[str, ...]:
        """The classes, sorted."""
        return self.models[0].classes_

    def member_probabilities(self, embedded: Embedded) -> list[np.ndarray]:
        """Each model's probabilities, float64 (N, C), as they go into the mean."""
        return [probabilities(model, embedded, self.method) for model in self.models]

    def predict_proba(self, embedded: Embedded) -> np.ndarray:
        """Calibrated probabilities: float64 (N, C)."""
        scores = mean_scores(self.member_probabilities(embedded))
        return np.asarray(softmax(scores / self.temperature, axis=1))

    def strangeness(self, embedded: Embedded, probabilities: np.ndarray) -> np.ndarray:
        """How unlikely images are to be of any class, float64 (N,); see :class:`Rejection`."""
        return self.rejection.strangeness(
            mean_remoteness(self.models, embedded), doubt_of(probabilities)
        )


def probabilities(model: Model, embedded: Embedded, method: str = CALIBRATED) -> np.ndarray:
    """A model's probabilities, float64 (N, C), calibrated unless the method is :data:`MEAN`."""
    temperature = 1.0 if method == MEAN else model.temperature
    return np.asarray(softmax(model.scores(embedded) / temperature, axis=1))


def mean_remoteness(models: Sequence[Model], embedded: Embedded) -> np.ndarray:
    """How far photos are from training photos, over all ``models``: float64 (N,)."""
    return np.asarray(np.mean([model.remoteness(embedded) for model in models], axis=0))
