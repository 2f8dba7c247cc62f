"""The mistakes that tell most: those a head is surest of."""

from collections.abc import Sequence

import numpy as np

from embedkit.classify.evaluation.figures import Mistake
from embedkit.classify.evaluation.inputs import GroundTruth, Predictions
from embedkit.results import Neighbour

MISTAKES = 24
NEAREST = 4
"""Training photos told with a mistake."""


def confident_mistakes(
    ground_truth: GroundTruth, predictions: Predictions, predicted: np.ndarray
) -> tuple[Mistake, ...]:
    """The wrong predictions of highest probability, then by row; ``predicted`` is int64 (N,)."""
    truth, probabilities = ground_truth.truth, predictions.probabilities
    wrong = np.flatnonzero(predicted != truth)
    confidence = probabilities[wrong, predicted[wrong]]
    rows = wrong[np.argsort(-confidence, kind="stable")][:MISTAKES]
    nearest: Sequence[Sequence[Neighbour]] = [()] * len(rows)
    if predictions.nearest is not None and len(rows):
        nearest = predictions.nearest(rows)
    return tuple(
        Mistake(
            row=row,
            path=None if ground_truth.paths is None else ground_truth.paths[row],
            truth=ground_truth.classes[truth[row]],
            predicted=ground_truth.classes[predicted[row]],
            probability=float(probabilities[row, predicted[row]]),
            probability_of_truth=float(probabilities[row, truth[row]]),
            nearest=tuple(near[:NEAREST]),
        )
        for row, near in zip(rows.tolist(), nearest, strict=True)
    )
