"""Heads evaluated: the figures of each, what chance would do, the mistakes to look at."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from embedkit._internal.paths import shown
from embedkit._internal.statistics import SIGNIFICANCE, intervals, places
from embedkit.classify.evaluation.figures import (
    MAIN_FIGURES,
    ClassFigures,
    Evaluation,
    HeadFigures,
    HeadPair,
)
from embedkit.classify.evaluation.inputs import GroundTruth, Predictions, check
from embedkit.classify.evaluation.measures import (
    class_rates,
    confusion_matrix,
    macro_figures,
    negative_log_likelihood,
    top_k_accuracies,
)
from embedkit.classify.evaluation.mistakes import confident_mistakes
from embedkit.classify.evaluation.pairs import compare_heads
from embedkit.classify.evaluation.reliability import expected_calibration_error, reliability_bins

WORST = 5


def evaluate(ground_truth: GroundTruth, predictions: Sequence[Predictions]) -> Evaluation:
    """Judge every head on the test photos, and test their differences.

    The prediction for a photo is its most probable class, of equals the first. Raises
    :class:`BadInput` when shapes disagree, a row is no distribution, there are no photos, or there
    is but one class.
    """
    check(ground_truth, predictions)
    truth = ground_truth.truth.astype(np.int64)
    units = np.arange(len(truth)) if ground_truth.units is None else ground_truth.units
    predicted = np.stack([item.probabilities.argmax(1) for item in predictions])
    pairs = compare_heads([item.head for item in predictions], predicted == truth, units)
    heads = [
        _figures(ground_truth, item, truth, of_head, units)
        for item, of_head in zip(predictions, predicted, strict=True)
    ]
    support = np.bincount(truth, minlength=len(ground_truth.classes))
    return Evaluation(
        photos=len(truth),
        left_out=ground_truth.left_out,
        classes=ground_truth.classes,
        without_photos=tuple(
            name for name, count in zip(ground_truth.classes, support, strict=True) if not count
        ),
        units=len(np.unique(units)),
        heads=_placed(heads, pairs),
        pairs=pairs,
    )


def worst_first(classes: Sequence[ClassFigures]) -> list[ClassFigures]:
    """The classes by F, then by recall, then by name; those without test photos last."""
    return sorted(
        classes,
        key=lambda item: (item.support == 0, item.f1 or 0.0, item.recall or 0.0, item.name),
    )


def described(evaluation: Evaluation) -> str:
    """What the figures are of: photos, classes, what means are over, what chance draws."""
    drawn, test = "photos", "McNemar's exact test"
    if evaluation.units < evaluation.photos:
        drawn = f"{evaluation.units:,} groups of photos that belong together"
        test = "a randomisation test over those groups"
    text = (
        f"Figures on {evaluation.photos:,} test photos of "
        f"{len(evaluation.classes) - len(evaluation.without_photos)} classes. Precision, recall "
        f"and F are means over the classes; intervals are 95 % bootstrap intervals over {drawn}."
    )
    if evaluation.left_out:
        text += (
            f" {evaluation.left_out:,} more photos of the test part are gone, cannot be read or "
            "have lost their label."
        )
    if evaluation.pairs:
        text += (
            f" Heads tie when {test}, corrected for the number of pairs (Holm), gives a p of "
            f"{SIGNIFICANCE} or more; a place is shared by what ties with its best."
        )
    if evaluation.without_photos:
        names = ", ".join(shown(name) for name in evaluation.without_photos)
        text += f" Without a test photo, and so in no mean over classes: {names}."
    return text


def _figures(
    ground_truth: GroundTruth,
    predictions: Predictions,
    truth: np.ndarray,
    predicted: np.ndarray,
    units: np.ndarray,
) -> HeadFigures:
    names = ground_truth.classes

    def figures(weights: np.ndarray) -> list[float]:
        return macro_figures(truth, predicted, len(names), weights)

    accuracy, precision, recall, f1 = figures(np.ones(len(truth)))
    confusion = confusion_matrix(truth, predicted, len(names))
    classes = _classes(names, confusion, truth, predictions.unknown)
    bins = reliability_bins(predictions.probabilities.max(1), predicted == truth)
    return HeadFigures(
        name=predictions.head,
        place=0,  # until the others are known
        accuracy=accuracy,
        precision=precision,
        recall=recall,
        f1=f1,
        intervals=dict(zip(MAIN_FIGURES, intervals(figures, units), strict=True)),
        top_k=top_k_accuracies(truth, predictions.probabilities),
        nll=negative_log_likelihood(truth, predictions.probabilities),
        ece=expected_calibration_error(bins),
        unknown=None if predictions.unknown is None else float(predictions.unknown.mean()),
        thresholds=predictions.thresholds,
        worst=tuple(item for item in worst_first(classes)[:WORST] if item.f1 not in (1.0, None)),
        classes=classes,
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        reliability=bins,
        mistakes=confident_mistakes(ground_truth, predictions, predicted),
        history=predictions.history,
    )


def _classes(
    names: Sequence[str], confusion: np.ndarray, truth: np.ndarray, unknown: np.ndarray | None
) -> tuple[ClassFigures, ...]:
    hits, support, predicted = np.diag(confusion), confusion.sum(1), confusion.sum(0)
    missed = confusion - np.diag(hits)
    most = missed.argmax(1)
    rates = class_rates(hits, support, predicted)
    return tuple(
        ClassFigures(
            name=name,
            support=int(support[number]),
            predicted=int(predicted[number]),
            precision=_known(rates[0, number]),
            recall=_known(rates[1, number]),
            f1=_known(rates[2, number]),
            confused_with=names[most[number]] if missed[number].any() else None,
            confused=int(missed[number, most[number]]),
            unknown=None if unknown is None else int(unknown[truth == number].sum()),
        )
        for number, name in enumerate(names)
    )


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _placed(heads: Sequence[HeadFigures], pairs: Sequence[HeadPair]) -> tuple[HeadFigures, ...]:
    """The heads with their places, the best first."""
    ranked = sorted(heads, key=lambda head: -head.accuracy)
    ties = {(pair.head, pair.other) for pair in pairs if pair.tie}
    taken = places([head.name for head in ranked], ties)
    return tuple(replace(head, place=place) for head, place in zip(ranked, taken, strict=True))
