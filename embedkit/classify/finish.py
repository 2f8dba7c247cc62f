"""What validation adds to a trained scorer: temperatures, the limit of the unknown, its figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedkit.classify.lesson import School
from embedkit.heads.calibration import fit_temperature, nll
from embedkit.heads.ensemble import CALIBRATED, mean_scores
from embedkit.heads.gallery import Gallery
from embedkit.heads.head import Head, Model, Nearest, Scorer, mean_remoteness
from embedkit.heads.unknown import Rejection, Scale, doubt_of, remoteness


@dataclass(frozen=True)
class Opinion:
    """What a model makes of the validation photos."""

    probabilities: np.ndarray
    """float64 (N, C)"""
    nearest: Nearest
    """The training photos nearest to each."""


def model_of(
    school: School, backbone: str, scorer: Scorer, gallery: Gallery
) -> tuple[Model, Opinion]:
    """A trained ``scorer`` with what its validation photos say of its certainty; its opinion."""
    val = school.val
    scores, nearest = scorer.scores(val.features), gallery.nearest(val.features.vectors)
    model = Model(
        classes_=school.lesson.classes,
        backbone=backbone,
        spec=school.resolved.spec,
        scorer=scorer,
        gallery=gallery,
        temperature=fit_temperature(scores, val.labels),
        remote=Scale.of(remoteness(nearest[1])),
        fitted_on=school.train.sha256,
        chosen_on=val.sha256,
    )
    return model, Opinion(model.probabilities(scores), nearest)


def head_of(
    name: str,
    kind: str,
    models: Sequence[Model],
    opinions: Sequence[Opinion],
    labels: np.ndarray,
    settings: Mapping[str, Any],
    method: str = CALIBRATED,
) -> Head:
    """The head of one or several models.

    ``opinions`` are those of the models, ``labels``, int64 (N,), those of the validation photos.
    """
    mean = mean_scores([opinion.probabilities for opinion in opinions])
    # A model alone is calibrated already, and its mean is itself.
    temperature = fit_temperature(mean, labels) if len(models) > 1 else 1.0
    scores = mean / temperature
    nearest = [opinion.nearest for opinion in opinions]
    doubt = doubt_of(np.exp(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)))
    return Head(
        name=name,
        kind=kind,
        models=tuple(models),
        method=method,
        temperature=temperature,
        rejection=Rejection.fit(mean_remoteness(models, nearest), doubt),
        validation={
            "images": len(labels),
            "accuracy": float((scores.argmax(axis=1) == labels).mean()),
            "nll": nll(scores, labels),
        },
        settings=settings,
    )
