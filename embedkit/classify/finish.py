"""What validation adds to a trained scorer: temperatures, the limit of the unknown, its figures."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from embedkit.classify.lesson import School
from embedkit.heads.calibration import fit_temperature, nll
from embedkit.heads.ensemble import CALIBRATED, mean_scores
from embedkit.heads.gallery import Gallery
from embedkit.heads.head import Embedded, Head, Model, Scorer, mean_remoteness, probabilities
from embedkit.heads.unknown import Rejection, Scale, doubt_of, remoteness


def model_of(school: School, backbone: str, scorer: Scorer, gallery: Gallery) -> Model:
    """A trained ``scorer`` with what its validation photos say of its certainty."""
    val = school.val
    _, distances = gallery.nearest(val.features.vectors)
    return Model(
        classes_=school.lesson.classes,
        backbone=backbone,
        spec=school.resolved.spec,
        scorer=scorer,
        gallery=gallery,
        temperature=fit_temperature(scorer.scores(val.features), val.labels),
        remote=Scale.of(remoteness(distances)),
        fitted_on=school.train.sha256,
        chosen_on=val.sha256,
    )


def head_of(
    name: str,
    kind: str,
    models: Sequence[Model],
    embedded: Embedded,
    labels: np.ndarray,
    settings: Mapping[str, Any],
    method: str = CALIBRATED,
) -> Head:
    """The head of one or several models.

    ``embedded`` and ``labels``, int64 (N,), are those of the validation photos.
    """
    mean = mean_scores([probabilities(model, embedded, method) for model in models])
    # A model alone is calibrated already, and its mean is itself.
    temperature = fit_temperature(mean, labels) if len(models) > 1 else 1.0
    scores = mean / temperature
    nearest = [model.nearest(embedded) for model in models]
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
