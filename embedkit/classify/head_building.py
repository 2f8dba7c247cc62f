"""What known photos add to a trained scorer: temperatures, thresholds, figures of validation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedkit.classify.datasets import School
from embedkit.classify.heads.calibration import fit_temperature, nll
from embedkit.classify.heads.ensemble import CALIBRATED, mean_scores
from embedkit.classify.heads.gallery import Gallery, kept_rows
from embedkit.classify.heads.head import Head, Model, Scorer
from embedkit.classify.heads.rejection import (
    Rejection,
    log_distance,
    log_distance_to_outliers,
    log_odds_against,
    mean_ratio,
)
from embedkit.classify.heads.rejection_calibration import (
    Calibration,
    Outliers,
    alike,
    in_all,
    leave_one_out,
    unlike_classes,
)


@dataclass(frozen=True)
class ValidationScores:
    """What a model makes of the validation photos."""

    probabilities: np.ndarray
    """float64 (N, C)"""
    distance: np.ndarray
    """Neighbour distance, float64 (N,), as :class:`embedkit.classify.heads.rejection.Measures` has
    it;
    likewise ``ratio``."""
    ratio: np.ndarray


def model_of(
    school: School, backbone: str, scorer: Scorer, most: int, outliers: Outliers
) -> tuple[Model, ValidationScores, list[str]]:
    """A trained ``scorer`` with what known photos say of it, and its validation scores.

    At most ``most`` training photos are kept, and the drawn ``outliers`` of kinds that no class
    shows. The last are the kinds that a class shows.
    """
    train, val = school.train, school.val
    rows = kept_rows(len(train), most)
    vectors, labels = train.features.vectors[rows], train.labels[rows]
    gallery = Gallery(vectors.astype(np.float16), train.sha256[rows], labels)
    nearest = gallery.nearest(val.features.vectors)
    val_distance = log_distance(nearest[1])
    known, distance = leave_one_out(vectors, labels, train.units[rows])
    if not alike(distance, val_distance):
        known, distance = known[:0], distance[:0]
    suited = unlike_classes(
        outliers,
        np.concatenate([vectors[known], val.features.vectors]),
        np.concatenate([distance, val_distance]),
        np.concatenate([labels[known], val.labels]),
    )
    kept = suited.vectors.astype(np.float16)
    scores = scorer.scores(val.features)
    model = Model(
        classes_=school.lesson.classes,
        backbone=backbone,
        spec=school.resolved.spec,
        scorer=scorer,
        gallery=gallery,
        outliers=kept,
        temperature=fit_temperature(scores, val.labels),
        calibration=Calibration(
            gallery.sha256[known],
            distance,
            distance - log_distance_to_outliers(vectors[known], kept),
        ),
        fitted_on=train.sha256,
        chosen_on=val.sha256,
    )
    validation = ValidationScores(
        model.probabilities(scores), *model.distances(val.features, nearest)
    )
    return model, validation, sorted(set(outliers.kinds) - set(suited.kinds))


def head_of(
    name: str,
    kind: str,
    models: Sequence[Model],
    validation: Sequence[ValidationScores],
    labels: np.ndarray,
    settings: Mapping[str, Any],
    method: str = CALIBRATED,
) -> Head:
    """The head of one or several models.

    ``validation`` are the scores of each, ``labels``, int64 (N,), those of the validation photos.
    """
    mean = mean_scores([scores.probabilities for scores in validation])
    # A model alone is calibrated already, and its mean is itself.
    temperature = fit_temperature(mean, labels) if len(models) > 1 else 1.0
    scores = mean / temperature
    probabilities = np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True))
    return Head(
        name=name,
        kind=kind,
        models=tuple(models),
        method=method,
        temperature=temperature,
        rejection=_rejection(models, validation, log_odds_against(probabilities)),
        validation={
            "images": len(labels),
            "accuracy": float((scores.argmax(axis=1) == labels).mean()),
            "nll": nll(scores, labels),
        },
        settings=settings,
    )


def _rejection(
    models: Sequence[Model], validation: Sequence[ValidationScores], odds_against: np.ndarray
) -> Rejection:
    """The thresholds of unknown photos, from the training photos that all models have measured."""
    common = in_all([model.calibration for model in models])
    distances, ratios = (
        np.concatenate(
            [np.stack([getattr(one, name) for one in some]) for some in (common, validation)],
            axis=1,
        )
        for name in ("distance", "ratio")
    )
    return Rejection.fit(distances.mean(axis=0), mean_ratio(ratios), odds_against)
