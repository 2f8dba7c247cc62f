"""Build heads from fitted scorers: calibration, rejection thresholds and validation metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedkit.classify.datasets import EmbeddedTrainingData
from embedkit.classify.heads.embedding_head import EmbeddingHead, Model, Scorer
from embedkit.classify.heads.ensemble import CALIBRATED, mean_scores
from embedkit.classify.heads.gallery import Gallery, sampled_rows
from embedkit.classify.heads.probabilities import (
    fit_temperature,
    log_softmax,
    negative_log_likelihood,
    softmax,
)
from embedkit.classify.heads.rejection import (
    Rejection,
    log_distance_to_outliers,
    log_odds_against,
    mean_log_distance,
    mean_ratio,
)
from embedkit.classify.heads.rejection_calibration import (
    Calibration,
    Outliers,
    leave_one_out_distances,
    measured_by_all,
    outliers_unlike_classes,
    same_distribution,
)


@dataclass(frozen=True)
class ValidationScores:
    """Probabilities and rejection measures of the validation photos under a model."""

    probabilities: np.ndarray
    """float64 (N, C)."""
    distance: np.ndarray
    """Neighbour distances, float64 (N,): see
    :class:`embedkit.classify.heads.rejection.RejectionMeasures`."""
    ratio: np.ndarray
    """Logarithms of the outlier ratios, float64 (N,)."""


def build_model(
    data: EmbeddedTrainingData, backbone: str, scorer: Scorer, max_photos: int, outliers: Outliers
) -> tuple[Model, ValidationScores, list[str]]:
    """Return a calibrated model, its validation scores, and the excluded kinds of outliers.

    The model keeps at most ``max_photos`` training photos, and the synthetic ``outliers`` except
    for the kinds that resemble one of its classes.
    """
    train, val = data.train, data.val
    rows = sampled_rows(len(train), max_photos)
    vectors, labels = train.features.vectors[rows], train.labels[rows]
    gallery = Gallery(vectors.astype(np.float16), train.sha256[rows], labels)
    nearest = gallery.nearest(val.features.vectors)
    val_distance = mean_log_distance(nearest[1])
    known, distance = leave_one_out_distances(vectors, labels, train.groups[rows])
    if not same_distribution(distance, val_distance):
        known, distance = known[:0], distance[:0]
    kept = outliers_unlike_classes(
        outliers,
        np.concatenate([vectors[known], val.features.vectors]),
        np.concatenate([distance, val_distance]),
        np.concatenate([labels[known], val.labels]),
    )
    outlier_vectors = kept.vectors.astype(np.float16)
    scores = scorer.scores(val.features)
    model = Model(
        classes_=data.images.classes,
        backbone=backbone,
        spec=data.resolved.spec,
        scorer=scorer,
        gallery=gallery,
        outliers=outlier_vectors,
        temperature=fit_temperature(scores, val.labels),
        calibration=Calibration(
            gallery.sha256[known],
            distance,
            distance - log_distance_to_outliers(vectors[known], outlier_vectors),
        ),
        fitted_on=train.sha256,
        selected_on=val.sha256,
        projection=data.projection,
    )
    validation = ValidationScores(
        model.probabilities(scores), *model.distance_measures(val.features, nearest)
    )
    return model, validation, sorted(set(outliers.kinds) - set(kept.kinds))


def build_head(
    name: str,
    kind: str,
    models: Sequence[Model],
    validation: Sequence[ValidationScores],
    labels: np.ndarray,
    settings: Mapping[str, Any],
    method: str = CALIBRATED,
) -> EmbeddingHead:
    """Return the head of one or several models.

    ``validation`` are the validation scores of each model, and ``labels`` the class numbers of the
    validation photos, int64 (N,).
    """
    mean = mean_scores([scores.probabilities for scores in validation])
    # A single model is calibrated already, and the mean is its own probabilities.
    temperature = fit_temperature(mean, labels) if len(models) > 1 else 1.0
    scores = mean / temperature
    return EmbeddingHead(
        name=name,
        kind=kind,
        models=tuple(models),
        method=method,
        temperature=temperature,
        rejection=_fit_rejection(models, validation, log_odds_against(softmax(scores))),
        validation={
            "images": len(labels),
            "accuracy": float((scores.argmax(axis=1) == labels).mean()),
            "nll": negative_log_likelihood(log_softmax(scores), labels),
        },
        settings=settings,
    )


def _fit_rejection(
    models: Sequence[Model], validation: Sequence[ValidationScores], odds_against: np.ndarray
) -> Rejection:
    """Fit thresholds on validation photos and on training photos that all models have measured."""
    training = measured_by_all([model.calibration for model in models])

    def measured(name: str) -> np.ndarray:
        """Return a measure of all these photos under each model: float64 (M, K)."""
        of_training = np.stack([getattr(item, name) for item in training])
        of_validation = np.stack([getattr(item, name) for item in validation])
        return np.concatenate([of_training, of_validation], axis=1)

    distance, ratio = measured("distance").mean(axis=0), mean_ratio(measured("ratio"))
    return Rejection.fit(distance, ratio, odds_against)
