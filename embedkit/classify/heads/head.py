"""Heads: models that turn embeddings into probabilities, one alone or the mean of several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from scipy.special import softmax

from embedkit.classify.heads.ensemble import CALIBRATED, MEAN, mean_scores
from embedkit.classify.heads.format2 import EarlierRejection
from embedkit.classify.heads.gallery import Gallery
from embedkit.classify.heads.linear import Features
from embedkit.classify.heads.rejection import (
    MEASURES,
    Measures,
    Rejection,
    log_distance,
    log_distance_to_outliers,
    log_odds_against,
)
from embedkit.classify.heads.rejection_calibration import Calibration
from embedkit.results import EmbeddingSpec, Thresholds

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
    outliers: np.ndarray
    """Embeddings, float16 (O, dim), of drawn outliers."""
    temperature: float
    calibration: Calibration
    """Training photos measured as new ones are."""
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

    def distances(self, features: Features, nearest: Nearest) -> tuple[np.ndarray, np.ndarray]:
        """Neighbour distance and outlier ratio, both float64 (N,); see :class:`Measures`."""
        distance = log_distance(nearest[1])
        return distance, distance - log_distance_to_outliers(features.vectors, self.outliers)


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
    rejection: Rejection | EarlierRejection
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

    @property
    def thresholds(self) -> Thresholds:
        """Beyond what a photo is unknown, and how many known photos that rests on."""
        return self.rejection.thresholds

    def judge(
        self, embedded: Embedded, nearest: Sequence[Nearest], probabilities: np.ndarray
    ) -> "Judgement":
        """Which images are unknown.

        ``nearest`` is what :meth:`nearest` gives for them, ``probabilities`` what
        :meth:`predict_proba` does.
        """
        found = [
            model.distances(embedded[model.spec.digest], near)
            for model, near in zip(self.models, nearest, strict=True)
        ]
        distances, ratios = (np.stack(some) for some in zip(*found, strict=True))
        return Judgement(
            self.rejection.excess(Measures(distances, ratios, log_odds_against(probabilities)))
        )


@dataclass(frozen=True)
class Judgement:
    """Out-of-distribution (OOD) scores of N images."""

    excess: np.ndarray
    """How far each measure is above its threshold, float64 (N, measures): see
    :meth:`embedkit.classify.heads.rejection.Rejection.excess`."""

    @property
    def scores(self) -> np.ndarray:
        """The OOD score, float64 (N,): the largest excess; above 0 an image is unknown."""
        return np.asarray(self.excess.max(axis=1))

    @property
    def unknown(self) -> np.ndarray:
        """Whether an image is likely of no class: bool (N,)."""
        return self.scores > 0

    def reason(self, row: int) -> str | None:
        """The measure that makes an image unknown; None for one that is known.

        It is one of :data:`embedkit.classify.heads.rejection.MEASURES`, or for a head that was
        saved in format 2 their ``sum``.
        """
        if not self.unknown[row]:
            return None
        names = MEASURES if self.excess.shape[1] == len(MEASURES) else ("sum",)
        return names[int(self.excess[row].argmax())]
