"""Write evaluations as CSV: heads, classes and predictions."""

from pathlib import Path

from embedkit._internal.paths import to_stored
from embedkit._internal.tables import write_table
from embedkit.classify.evaluation.inputs import GroundTruth, HeadPredictions
from embedkit.results.evaluation import MAIN_METRICS, Evaluation, HeadMetrics

CLASS_COLUMNS = (
    "support",
    "predicted",
    "precision",
    "recall",
    "f1",
    "confused_with",
    "confused",
    "unknown",
)
LAST_METRICS = ("nll", "ece", "unknown")


def write_heads(target: Path, evaluation: Evaluation) -> None:
    """Write one row per head, best first, with metrics and intervals.

    Tables are written atomically, with a byte order mark so that spreadsheets recognise UTF-8.
    Raises :class:`StorageError` when a table cannot be written.
    """
    ks = list(evaluation.heads[0].top_k)
    bounds = [f"{name}_{end}" for name in MAIN_METRICS for end in ("low", "high")]
    write_table(
        target,
        ["head", "place", *MAIN_METRICS, *bounds, *(f"top_{k}" for k in ks), *LAST_METRICS],
        (_head_row(head) for head in evaluation.heads),
    )


def write_classes(target: Path, evaluation: Evaluation) -> None:
    """Write one row per head and class."""
    write_table(
        target,
        ["head", "class", *CLASS_COLUMNS],
        (
            [head.name, item.name, *(getattr(item, column) for column in CLASS_COLUMNS)]
            for head in evaluation.heads
            for item in head.classes
        ),
    )


def write_predictions(
    target: Path, ground_truth: GroundTruth, predictions: HeadPredictions
) -> None:
    """Write one row per test photo: path, true class, predicted class and its probability.

    Paths are in the stored form of :mod:`embedkit._internal.paths`, and empty when unknown.
    """
    classes, probabilities = ground_truth.classes, predictions.probabilities
    paths = ground_truth.paths or ("",) * len(probabilities)
    write_table(
        target,
        ["path", "truth", "predicted", "probability"],
        (
            [to_stored(path), classes[truth], classes[predicted], f"{row[predicted]:.6g}"]
            for path, truth, predicted, row in zip(
                paths, ground_truth.truth, probabilities.argmax(1), probabilities, strict=True
            )
        ),
    )


def _head_row(head: HeadMetrics) -> list[object]:
    bounds = [end for name in MAIN_METRICS for end in head.intervals[name]]
    values = [getattr(head, name) for name in MAIN_METRICS]
    last = [getattr(head, name) for name in LAST_METRICS]
    return [head.name, head.place, *values, *bounds, *head.top_k.values(), *last]
