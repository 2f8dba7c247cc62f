"""Heads: one model, or an ensemble of several, that turns embeddings into class probabilities."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from embedkit.backbones.projection import Projection
from embedkit.classify.heads.ensemble import CALIBRATED, MEAN, mean_scores
from embedkit.classify.heads.format2 import Format2Rejection
from embedkit.classify.heads.gallery import Gallery
from embedkit.classify.heads.linear import Features
from embedkit.classify.heads.probabilities import softmax
from embedkit.classify.heads.rejection import (
    MEASURES,
    Rejection,
    RejectionMeasures,
    log_distance_to_outliers,
    log_odds_against,
    mean_log_distance,
)
from embedkit.classify.heads.rejection_calibration import Calibration
from embedkit.results import EmbeddingSpec, Thresholds

KNN, PROBE, FINETUNE, ENSEMBLE = KINDS = ("knn", "probe", "finetune", "ensemble")

Nearest = tuple[np.ndarray, np.ndarray]
"""Rows of a gallery and their distances, both (N, k), nearest first."""

Embedded = Mapping[str, Features]
"""Features of the same images under several specs, by the digest of the spec."""


class Scorer(Protocol):
    """A classifier before calibration: a linear layer, or the votes of neighbours."""

    def scores(self, features: Features) -> np.ndarray:
        """Return log-probabilities up to a constant: float64 (N, C)."""


@dataclass(frozen=True)
class Model:
    """A calibrated classifier of the embeddings of one spec."""

    classes_: tuple[str, ...]
    """Sorted names of the classes."""
    backbone: str
    """Name of the backbone whose embeddings the model takes."""
    spec: EmbeddingSpec
    scorer: Scorer
    gallery: Gallery
    outliers: np.ndarray
    """Embeddings of synthetic outliers: float16 (O, dim)."""
    temperature: float
    """Temperature that calibrates the scores."""
    calibration: Calibration
    """Rejection measures of training photos, each measured as a new photo would be."""
    fitted_on: np.ndarray
    """SHA-256 of the photos that it was fitted on: uint8 (N, 32)."""
    selected_on: np.ndarray
    """SHA-256 of the photos that it was selected and calibrated on: uint8 (N, 32)."""
    projection: Projection | None = None
    """The projection of the spec, if it has one."""

    def find_projection(self, network: EmbeddingSpec, dims: int) -> Projection | None:  # noqa: ARG002
        """Return the projection of the spec: see :data:`FindProjection`."""
        return self.projection

    def scores(self, embedded: Embedded) -> np.ndarray:
        """Return log-probabilities up to a constant: float64 (N, C)."""
        return self.scorer.scores(embedded[self.spec.digest])

    def probabilities(self, scores: np.ndarray, method: str = CALIBRATED) -> np.ndarray:
        """Return the probabilities of scores (N, C), uncalibrated if ``method`` is :data:`MEAN`."""
        temperature = 1.0 if method == MEAN else self.temperature
        return softmax(scores / temperature)

    def nearest(self, embedded: Embedded) -> Nearest:
        """Return the training photos nearest to each image."""
        return self.gallery.nearest(embedded[self.spec.digest].vectors)

    def distance_measures(
        self, features: Features, nearest: Nearest
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return neighbour distances and logarithms of outlier ratios, both float64 (N,)."""
        distance = mean_log_distance(nearest[1])
        return distance, distance - log_distance_to_outliers(
            features.vectors, self._float32_outliers
        )

    @cached_property
    def _float32_outliers(self) -> np.ndarray:
        return self.outliers.astype(np.float32)


@dataclass(frozen=True)
class EmbeddingHead:
    """A trained classifier: the mean of the probabilities of one or several models.

    ``embedded`` arguments map the digest of each model's spec to the features of N images.

    Attributes
    ----------
    name : str
        Name of the head.
    kind : {'probe', 'knn', 'finetune', 'ensemble'}
        Kind of the head.
    models : tuple of Model
        The calibrated classifiers; several for an ensemble.
    method : str
        Which probabilities of the models are averaged: :data:`MEAN` (uncalibrated) or
        :data:`CALIBRATED`.
    temperature : float
        Temperature that calibrates the mean.
    rejection : Rejection or Format2Rejection
        Rule by which a photo is unknown, with its thresholds.
    validation : mapping of str to float
        Metrics on the validation set: accuracy, nll (nats), images.
    settings : mapping of str to object
        The hyperparameters of the head, and those that were tried.
    """

    name: str
    kind: str
    models: tuple[Model, ...]
    method: str
    temperature: float
    rejection: Rejection | Format2Rejection
    validation: Mapping[str, float] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def classes_(self) -> tuple[str, ...]:
        """Sorted names of the classes."""
        return self.models[0].classes_

    def member_probabilities(self, embedded: Embedded) -> list[np.ndarray]:
        """Return the probabilities of each model, which the head averages.

        Parameters
        ----------
        embedded : mapping of str to Features
            Features of N images by the digest of their spec, for the specs of all models.

        Returns
        -------
        list of numpy.ndarray
            float64 (N, C) for each model, columns in the order of :attr:`classes_`.
        """
        return [model.probabilities(model.scores(embedded), self.method) for model in self.models]

    def predict_proba(self, embedded: Embedded) -> np.ndarray:
        """Return calibrated probabilities.

        Parameters
        ----------
        embedded : mapping of str to Features
            Features of N images by the digest of their spec, for the specs of all models.

        Returns
        -------
        numpy.ndarray
            float64 (N, C), columns in the order of :attr:`classes_`.
        """
        scores = mean_scores(self.member_probabilities(embedded))
        return softmax(scores / self.temperature)

    def nearest(self, embedded: Embedded) -> list[Nearest]:
        """Return, for each model, the training photos nearest to each image.

        Parameters
        ----------
        embedded : mapping of str to Features
            Features of N images by the digest of their spec, for the specs of all models.

        Returns
        -------
        list of (numpy.ndarray, numpy.ndarray)
            For each model, rows of its gallery and their distances, both (N, k), nearest first.
        """
        return [model.nearest(embedded) for model in self.models]

    @property
    def thresholds(self) -> Thresholds:
        """The rejection thresholds, and the numbers of photos that they were estimated from."""
        return self.rejection.thresholds

    def rejection_scores(
        self, embedded: Embedded, nearest: Sequence[Nearest], probabilities: np.ndarray
    ) -> "RejectionScores":
        """Return out-of-distribution scores of N images.

        Parameters
        ----------
        embedded : mapping of str to Features
            Features of the images by the digest of their spec.
        nearest : sequence of (ndarray, ndarray)
            Their nearest training photos, from :meth:`nearest`.
        probabilities : ndarray
            Their probabilities, from :meth:`predict_proba`.

        Returns
        -------
        RejectionScores
            The scores; an image with a score above 0 is unknown.
        """
        measures = [
            model.distance_measures(embedded[model.spec.digest], of_model)
            for model, of_model in zip(self.models, nearest, strict=True)
        ]
        distances, ratios = (np.stack(of_models) for of_models in zip(*measures, strict=True))
        return RejectionScores(
            self.rejection.excess(
                RejectionMeasures(distances, ratios, log_odds_against(probabilities))
            )
        )


@dataclass(frozen=True)
class RejectionScores:
    """Out-of-distribution (OOD) scores of N images."""

    excess: np.ndarray
    """How far each measure is above its threshold, float64 (N, measures): see
    :meth:`embedkit.classify.heads.rejection.Rejection.excess`."""

    @property
    def ood_scores(self) -> np.ndarray:
        """The largest excess of each image, float64 (N,); an image above 0 is unknown."""
        return np.asarray(self.excess.max(axis=1))

    @property
    def unknown(self) -> np.ndarray:
        """Whether each image probably belongs to no class: bool (N,)."""
        return self.ood_scores > 0

    def deciding_measure(self, row: int) -> str | None:
        """Return the measure that makes an image unknown; None for a known image.

        It is one of :data:`embedkit.classify.heads.rejection.MEASURES`, or ``sum`` for a head that
        was saved in format 2.
        """
        if not self.unknown[row]:
            return None
        names = MEASURES if self.excess.shape[1] == len(MEASURES) else ("sum",)
        return names[int(self.excess[row].argmax())]
