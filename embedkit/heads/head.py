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

Nearest = tuple[np.ndarray, np.ndarray]
"""Rows of a gallery and their distances, both (N, k), nearest first."""

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
    fitted_on: np.ndarray
    """SHA-256, uint8 (N, 32), of the photos that taught it."""
    chosen_on: np.ndarray
    """Likewise of those that it was chosen and calibrated on."""

    def scores(self, embedded: Embedded) -> np.ndarray:
        """Log-probabilities up to a constant: float64 (N, C)."""
        return self.scorer.scores(embedded[self.spec.digest])

    def probabilities(self, scores: np.ndarray, method: str = CALIBRATED) -> np.ndarray:
        """What :meth:`scores` gives as probabilities, calibrated unless by :data:`MEAN`: (N, C)."""
        temperature = 1.0 if method == MEAN else self.temperature
        return np.asarray(softmax(scores / temperature, axis=1))

    def nearest(self, embedded: Embedded) -> Nearest:
        """The training photos nearest to each image."""
        return self.gallery.nearest(embedded[self.spec.digest].vectors)


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
        return [model.probabilities(model.scores(embedded), self.method) for model in self.models]

    def predict_proba(self, embedded: Embedded) -> np.ndarray:
        """Calibrated probabilities: float64 (N, C)."""
        scores = mean_scores(self.member_probabilities(embedded))
        return np.asarray(softmax(scores / self.temperature, axis=1))

    def nearest(self, embedded: Embedded) -> list[Nearest]:
        """By each model, the training photos nearest to each image."""
        return [model.nearest(embedded) for model in self.models]

    def strangeness(self, nearest: Sequence[Nearest], probabilities: np.ndarray) -> np.ndarray:
        """How unlikely images are to be of any class, float64 (N,); see :class:`Rejection`.

        ``nearest`` is what :meth:`nearest` gives for them, ``probabilities`` what
        :meth:`predict_proba` does.
        """
        return self.rejection.strangeness(
            mean_remoteness(self.models, nearest), doubt_of(probabilities)
        )


def mean_remoteness(models: Sequence[Model], nearest: Sequence[Nearest]) -> np.ndarray:
    """How far photos are from training photos, in validation's units, over all models: (N,)."""
    found = [
        model.remote(remoteness(distances))
        for model, (_, distances) in zip(models, nearest, strict=True)
    ]
    return np.asarray(np.mean(found, axis=0))
