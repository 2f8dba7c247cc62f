"""Evaluate heads on test photos: metrics of each head, tests between heads, confident mistakes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from embedkit._internal.paths import shown
from embedkit._internal.statistics import SIGNIFICANCE, intervals, shared_ranks, wilson
from embedkit.classify.evaluation.inputs import GroundTruth, HeadPredictions, check
from embedkit.classify.evaluation.metrics import (
    class_rates,
    clipped_logarithms,
    confusion_matrix,
    macro_metrics,
    top_k_accuracies,
)
from embedkit.classify.evaluation.pairs import compare_heads
from embedkit.classify.evaluation.reliability import expected_calibration_error, reliability_bins
from embedkit.classify.heads.probabilities import negative_log_likelihood
from embedkit.results import Neighbour
from embedkit.results.evaluation import (
    MAIN_METRICS,
    ClassMetrics,
    Evaluation,
    HeadMetrics,
    HeadPair,
    Mistake,
    PhotoPredictions,
)
from embedkit.results.wording import counted

MAX_WORST_CLASSES = 5
"""Number of classes in :attr:`HeadMetrics.worst`."""
MAX_MISTAKES = 24
"""Number of mistakes in :attr:`HeadMetrics.mistakes`."""
NEAREST_PHOTOS = 4
"""Number of nearest training photos listed for each mistake."""


def evaluate(ground_truth: GroundTruth, predictions: Sequence[HeadPredictions]) -> Evaluation:
    """Evaluate heads on test photos, and test the differences between them.

    The predicted class is the most probable one, the first of equally probable ones.

    Parameters
    ----------
    ground_truth : GroundTruth
        The test photos with their classes.
    predictions : sequence of HeadPredictions
        The predictions of each head for these photos.

    Raises
    ------
    BadInput
        Shapes do not match, a row is not a probability distribution, there are no photos, or there
        are fewer than two classes.
    """
    check(ground_truth, predictions)
    truth = ground_truth.truth.astype(np.int64)
    groups = np.arange(len(truth)) if ground_truth.groups is None else ground_truth.groups
    predicted = np.stack([item.probabilities.argmax(1) for item in predictions])
    pairs = compare_heads([item.head for item in predictions], predicted == truth, groups)
    heads = [
        _metrics(ground_truth, of_head, truth, classes, groups)
        for of_head, classes in zip(predictions, predicted, strict=True)
    ]
    ranked = _ranked(heads, pairs)
    by_head = {
        of_head.head: _photo_predictions(ground_truth, of_head, classes)
        for of_head, classes in zip(predictions, predicted, strict=True)
    }
    support = np.bincount(truth, minlength=len(ground_truth.classes))
    return Evaluation(
        photos=len(truth),
        left_out=ground_truth.left_out,
        classes=ground_truth.classes,
        without_photos=tuple(
            name for name, count in zip(ground_truth.classes, support, strict=True) if not count
        ),
        units=len(np.unique(groups)),
        heads=ranked,
        pairs=pairs,
        predictions=tuple(by_head[head.name] for head in ranked),
    )


def worst_first(classes: Sequence[ClassMetrics]) -> list[ClassMetrics]:
    """Sort classes by F, then recall, then name, lowest first; classes without photos are last."""
    return sorted(
        classes,
        key=lambda item: (item.support == 0, item.f1 or 0.0, item.recall or 0.0, item.name),
    )


def describe(evaluation: Evaluation) -> str:
    """Describe the photos, classes, means, intervals and tests of an evaluation in sentences."""
    by_wilson, resampled, test = "accuracy and ", "photos", "McNemar's exact test"
    if evaluation.units < evaluation.photos:
        by_wilson, resampled = "", f"{counted(evaluation.units, 'group')} of related photos"
        test = "a randomisation test over these groups"
    text = (
        f"Metrics on {counted(evaluation.photos, 'test photo')} of "
        f"{len(evaluation.classes) - len(evaluation.without_photos)} classes. Precision, recall "
        f"and F are means over the classes. The 95 % intervals are Wilson's score intervals for "
        f"{by_wilson}metrics of 0 or 1, and bootstrap percentiles over {resampled} for the others."
    )
    if evaluation.left_out:
        text += (
            f" {counted(evaluation.left_out, 'other test photo')} skipped: missing, unreadable or "
            "no longer labelled."
        )
    if evaluation.pairs:
        text += (
            f" Heads tie when {test}, corrected for the number of pairs (Holm), gives a p-value of "
            f"{SIGNIFICANCE} or more; heads that tie with the best one of a rank share that "
            "rank."
        )
    if evaluation.without_photos:
        names = ", ".join(shown(name) for name in evaluation.without_photos)
        text += f" Classes without test photos, which the means omit: {names}."
    return text


def _metrics(
    ground_truth: GroundTruth,
    predictions: HeadPredictions,
    truth: np.ndarray,
    predicted: np.ndarray,
    groups: np.ndarray,
) -> HeadMetrics:
    names = ground_truth.classes

    def metrics(weights: np.ndarray) -> list[float]:
        return macro_metrics(truth, predicted, len(names), weights)

    accuracy, precision, recall, f1 = metrics(np.ones(len(truth)))
    bounds = dict(zip(MAIN_METRICS, intervals(metrics, groups), strict=True))
    if len(np.unique(groups)) == len(truth):
        bounds["accuracy"] = wilson(float((predicted == truth).sum()), len(truth))
    confusion = confusion_matrix(truth, predicted, len(names))
    classes = _class_metrics(names, confusion, truth, predictions.unknown)
    bins = reliability_bins(predictions.probabilities.max(1), predicted == truth)
    return HeadMetrics(
        name=predictions.head,
        place=0,  # set by _ranked
        accuracy=accuracy,
        precision=precision,
        recall=recall,
        f1=f1,
        intervals=bounds,
        top_k=top_k_accuracies(truth, predictions.probabilities),
        nll=negative_log_likelihood(clipped_logarithms(predictions.probabilities), truth),
        ece=expected_calibration_error(bins),
        unknown=None if predictions.unknown is None else float(predictions.unknown.mean()),
        thresholds=predictions.thresholds,
        worst=tuple(
            item for item in worst_first(classes)[:MAX_WORST_CLASSES] if item.f1 not in (1.0, None)
        ),
        classes=classes,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        reliability=bins,
        mistakes=_confident_mistakes(ground_truth, predictions, predicted),
        history=predictions.history,
    )


def _class_metrics(
    names: Sequence[str], confusion: np.ndarray, truth: np.ndarray, unknown: np.ndarray | None
) -> tuple[ClassMetrics, ...]:
    hits, support, predicted = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    wrong = confusion - np.diag(hits)
    most_frequent = wrong.argmax(1)
    rates = class_rates(hits, support, predicted)
    return tuple(
        ClassMetrics(
            name=name,
            support=int(support[number]),
            predicted=int(predicted[number]),
            precision=_without_nan(rates[0, number]),
            recall=_without_nan(rates[1, number]),
            f1=_without_nan(rates[2, number]),
            confused_with=names[most_frequent[number]] if wrong[number].any() else None,
            confused=int(wrong[number, most_frequent[number]]),
            unknown=None if unknown is None else int(unknown[truth == number].sum()),
        )
        for number, name in enumerate(names)
    )


def _without_nan(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _photo_predictions(
    ground_truth: GroundTruth, predictions: HeadPredictions, predicted: np.ndarray
) -> PhotoPredictions:
    names, photos = ground_truth.classes, np.arange(len(predicted))
    unknown = predictions.unknown
    return PhotoPredictions(
        head=predictions.head,
        paths=ground_truth.paths or (None,) * len(predicted),
        truth=tuple(names[number] for number in ground_truth.truth.tolist()),
        predicted=tuple(names[number] for number in predicted.tolist()),
        probability=tuple(predictions.probabilities[photos, predicted].tolist()),
        unknown=None if unknown is None else tuple(unknown.tolist()),
    )


def _confident_mistakes(
    ground_truth: GroundTruth, predictions: HeadPredictions, predicted: np.ndarray
) -> tuple[Mistake, ...]:
    """Return the mistakes with the highest probability; ``predicted`` is int64 (N,)."""
    truth, probabilities = ground_truth.truth, predictions.probabilities
    wrong = np.flatnonzero(predicted != truth)
    confidence = probabilities[wrong, predicted[wrong]]
    rows = wrong[np.argsort(-confidence, kind="stable")][:MAX_MISTAKES]
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
            nearest=tuple(neighbours[:NEAREST_PHOTOS]),
        )
        for row, neighbours in zip(rows.tolist(), nearest, strict=True)
    )


def _ranked(heads: Sequence[HeadMetrics], pairs: Sequence[HeadPair]) -> tuple[HeadMetrics, ...]:
    """Return the heads with their ranks, the most accurate first."""
    ranked = sorted(heads, key=lambda head: -head.accuracy)
    ties = {(pair.head, pair.other) for pair in pairs if pair.tie}
    ranks = shared_ranks([head.name for head in ranked], ties)
    return tuple(replace(head, place=rank) for head, rank in zip(ranked, ranks, strict=True))
