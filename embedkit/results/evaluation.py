"""Results of evaluating heads on a test set."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from embedkit.results.classification import Neighbour, Thresholds
from embedkit.results.result import (
    BOOL,
    FLOAT,
    INT,
    NOT_IN_JSON,
    PATH,
    TEXT,
    Result,
    Table,
    interval_columns,
    table_of,
)
from embedkit.results.wording import counted

MAIN_METRICS = ("accuracy", "precision", "recall", "f1")
"""The metrics of table 1 in Doi (2018)."""

_CLASS_COLUMNS = {
    "support": INT,
    "predicted": INT,
    "precision": FLOAT,
    "recall": FLOAT,
    "f1": FLOAT,
    "confused_with": TEXT,
    "confused": INT,
    "unknown": INT,
}
_PAIR_COLUMNS = {
    "head": TEXT,
    "other": TEXT,
    "difference": FLOAT,
    "only_head": INT,
    "only_other": INT,
    "mcnemar": FLOAT,
    "p_value": FLOAT,
    "tie": BOOL,
}
_PREDICTION_COLUMNS = {
    "head": TEXT,
    "path": PATH,
    "truth": TEXT,
    "predicted": TEXT,
    "probability": FLOAT,
    "unknown": BOOL,
}


@dataclass(frozen=True)
class ClassMetrics:
    """Metrics of one head on one class.

    Attributes
    ----------
    name : str
        Name of the class.
    support : int
        Test photos of the class.
    predicted : int
        Test photos that the head predicts as this class.
    precision : float or None
        Share of the photos predicted as this class that belong to it; 0 if no photo is predicted as
        it. Precision, recall and F are None for a class without test photos.
    recall : float or None
        Share of the photos of the class that are predicted as it.
    f1 : float or None
        Harmonic mean of precision and recall.
    confused_with : str or None
        The most frequent wrong prediction for photos of the class; None if there is none.
    confused : int
        Photos of the class with that prediction.
    unknown : int or None
        Photos of the class that the head rejects as unknown; None for a head without rejection.
    """

    name: str
    support: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None
    confused_with: str | None
    confused: int
    unknown: int | None


@dataclass(frozen=True)
class ReliabilityBin:
    """The photos whose predicted class has a probability in (low, high].

    Attributes
    ----------
    low : float
        Lower limit of the probability, excluded.
    high : float
        Upper limit of the probability, included.
    photos : int
        Number of photos in the bin.
    confidence : float or None
        Mean probability of the predicted classes; None without photos.
    accuracy : float or None
        Share of the photos whose predicted class is right; None without photos.
    interval : (float, float) or None
        95 % interval of the accuracy (Wilson 1927); None without photos.
    """

    low: float
    high: float
    photos: int
    confidence: float | None
    accuracy: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Mistake:
    """A test photo with a wrong prediction, and the training photos nearest to it.

    Attributes
    ----------
    row : int
        Index of the photo in the test set.
    path : str or None
        Absolute path of the photo; None if it is not known.
    truth : str
        Name of the true class.
    predicted : str
        Name of the predicted class.
    probability : float
        Probability of the predicted class.
    probability_of_truth : float
        Probability of the true class.
    nearest : tuple of Neighbour
        The nearest training photos, nearest first.
    """

    row: int
    path: str | None
    truth: str
    predicted: str
    probability: float
    probability_of_truth: float
    nearest: tuple[Neighbour, ...]


@dataclass(frozen=True)
class HeadMetrics:
    """Metrics of one head on the test set.

    Attributes
    ----------
    name : str
        Name of the head.
    place : int
        Rank by accuracy, from 1; heads that tie with the best head of a rank share that rank.
    accuracy : float
        Share of the test photos whose predicted class is right.
    precision : float
        Mean precision over the classes (macro average).
    recall : float
        Mean recall over the classes.
    f1 : float
        Mean F over the classes.
    intervals : dict of str to (float, float)
        95 % intervals of ``accuracy``, ``precision``, ``recall`` and ``f1``, by name.
    top_k : dict of int to float
        By k: share of photos whose class is among the k most probable.
    nll : float
        Mean negative log-likelihood of the true class, nats.
    ece : float
        Expected calibration error: mean absolute difference between probability and accuracy.
    unknown : float or None
        Share of the test photos, all of known classes, that the head rejects as unknown; None for a
        head without rejection.
    thresholds : Thresholds or None
        Thresholds of the rejection; None for a head without rejection.
    worst : tuple of ClassMetrics
        The classes with the lowest F, lowest first; those with an F of 1 are omitted.
    classes : tuple of ClassMetrics
        Every class, in the order of the names.
    confusion : tuple of tuple of int
        Number of photos by true class (row) and predicted class (column).
    reliability : tuple of ReliabilityBin
        Accuracy by predicted probability.
    mistakes : tuple of Mistake
        The mistakes with the highest probability, highest first.
    history : tuple of float
        Accuracy on the validation set after each epoch; empty for a head without epochs.
    """

    name: str
    place: int
    accuracy: float
    precision: float
    recall: float
    f1: float
    intervals: dict[str, tuple[float, float]]
    top_k: dict[int, float]
    nll: float
    ece: float
    unknown: float | None
    thresholds: Thresholds | None
    worst: tuple[ClassMetrics, ...]
    classes: tuple[ClassMetrics, ...]
    confusion: tuple[tuple[int, ...], ...]
    reliability: tuple[ReliabilityBin, ...]
    mistakes: tuple[Mistake, ...]
    history: tuple[float, ...]


@dataclass(frozen=True)
class HeadPair:
    """A test of the difference between the accuracies of two heads.

    Attributes
    ----------
    head : str
        Name of the head with the higher accuracy.
    other : str
        Name of the other head.
    difference : float
        Accuracy of ``head`` minus accuracy of ``other``.
    only_head : int
        Photos that only ``head`` gets right.
    only_other : int
        Photos that only ``other`` gets right.
    mcnemar : float
        p-value of McNemar's exact test of these two numbers, for independent photos, uncorrected.
    p_value : float
        p-value of the test that decides ties, corrected for the number of pairs (Holm).
    tie : bool
        Whether the difference may be due to chance: ``p_value`` is 0.05 or more.
    """

    head: str
    other: str
    difference: float
    only_head: int
    only_other: int
    mcnemar: float
    p_value: float
    tie: bool


@dataclass(frozen=True)
class PhotoPredictions:
    """The predictions of one head for the N test photos, as columns.

    Attributes
    ----------
    head : str
        Name of the head.
    paths : tuple of str or None, length N
        Absolute path of each photo; None if it is not known.
    truth : tuple of str, length N
        Name of the true class.
    predicted : tuple of str, length N
        Name of the predicted class.
    probability : tuple of float, length N
        Probability of the predicted class.
    unknown : tuple of bool, length N, or None
        Whether the head rejects the photo as unknown; None for a head without rejection.
    """

    head: str
    paths: tuple[str | None, ...]
    truth: tuple[str, ...]
    predicted: tuple[str, ...]
    probability: tuple[float, ...]
    unknown: tuple[bool, ...] | None


@dataclass(frozen=True, repr=False)
class Evaluation(Result):
    """The results of several heads on one test set.

    Attributes
    ----------
    photos : int
        Number of test photos.
    left_out : int
        Other test photos, which are missing, cannot be read or have lost their label.
    classes : tuple of str
        Names of the classes.
    without_photos : tuple of str
        Classes without test photos, which the means over classes omit.
    units : int
        Number of groups of related photos that intervals and tests resample; the number of photos
        if they are independent.
    heads : tuple of HeadMetrics
        The metrics of each head, highest accuracy first.
    pairs : tuple of HeadPair
        Every pair of heads, the better one first.
    predictions : tuple of PhotoPredictions
        The predictions of each head, in the order of ``heads``. :meth:`to_dict` leaves them out.
    """

    photos: int
    left_out: int
    classes: tuple[str, ...]
    without_photos: tuple[str, ...]
    units: int
    heads: tuple[HeadMetrics, ...]
    pairs: tuple[HeadPair, ...]
    predictions: tuple[PhotoPredictions, ...] = field(metadata=NOT_IN_JSON)

    def to_latex(self) -> str:
        """Return LaTeX tables of the heads and, up to 45, of the classes.

        The best value of each column is bold, and heads that tie with the most accurate one are
        marked. The tables need the package booktabs.

        Returns
        -------
        str
            The text of a ``.tex`` file.
        """
        from embedkit.reports.latex import evaluation_table

        return evaluation_table(self)

    def save_figures(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write plots of accuracy, classes, reliability, curves and confusion, as PDF and SVG.

        Parameters
        ----------
        folder : str or path-like
            Folder to write to; it is created if needed.

        Returns
        -------
        list of Path
            The files.

        Raises
        ------
        StorageError
            A file cannot be written.
        """
        from embedkit.reports.figures import save_evaluation_figures

        return save_evaluation_figures(folder, self)

    def _tables(self) -> dict[str, Table]:
        return {
            "heads": self._head_table(),
            "classes": Table({"head": TEXT, "class": TEXT} | _CLASS_COLUMNS, self._class_rows()),
            "pairs": table_of(self.pairs, _PAIR_COLUMNS),
            "predictions": Table(_PREDICTION_COLUMNS, self._prediction_rows()),
        }

    def _head_table(self) -> Table:
        columns = {
            "head": TEXT,
            "place": INT,
            **interval_columns(MAIN_METRICS),
            **{f"top_{k}": FLOAT for k in self.heads[0].top_k},
            "nll": FLOAT,
            "ece": FLOAT,
            "unknown": FLOAT,
        }
        rows = (
            [
                head.name,
                head.place,
                *(
                    number
                    for name in MAIN_METRICS
                    for number in (getattr(head, name), *head.intervals[name])
                ),
                *head.top_k.values(),
                head.nll,
                head.ece,
                head.unknown,
            ]
            for head in self.heads
        )
        return Table(columns, rows)

    def _class_rows(self) -> Iterator[list[object]]:
        for head in self.heads:
            for item in head.classes:
                yield [head.name, item.name, *(getattr(item, name) for name in _CLASS_COLUMNS)]

    def _prediction_rows(self) -> Iterator[list[object]]:
        for item in self.predictions:
            unknown = item.unknown or (None,) * len(item.paths)
            for row in zip(
                item.paths, item.truth, item.predicted, item.probability, unknown, strict=True
            ):
                yield [item.head, *row]

    def _summary(self) -> str:
        best = self.heads[0]
        ties = sum(head.place == 1 for head in self.heads) - 1
        return (
            f"{counted(len(self.heads), 'head')} on {counted(self.photos, 'test photo')} of "
            f"{len(self.classes)} classes, "
            f"best {best.name!r} with accuracy {best.accuracy:.4f}"
            + (f", {ties} tied with it" if ties else "")
        )
