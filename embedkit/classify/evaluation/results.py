"""The results of an evaluation: immutable data whose ``asdict`` is the JSON document."""

from dataclasses import dataclass

from embedkit.results import Neighbour, Thresholds

MAIN_METRICS = ("accuracy", "precision", "recall", "f1")
"""The metrics of table 1 in Doi (2018)."""


@dataclass(frozen=True)
class ClassMetrics:
    """Metrics of one head on one class."""

    name: str
    support: int
    """Test photos of the class."""
    predicted: int
    """Test photos that the head predicts to be of the class."""
    precision: float | None
    """Share of the photos predicted to be of the class that are; 0 if none is predicted."""
    recall: float | None
    """Share of the photos of the class that are predicted to be. Precision, recall and F are None
    for a class without test photos."""
    f1: float | None
    """Harmonic mean of precision and recall."""
    confused_with: str | None
    """The most frequent wrong prediction for photos of the class; None without any."""
    confused: int
    """Photos of the class with that prediction."""
    unknown: int | None
    """Photos of the class that the head rejects as unknown; None for a head without rejection."""


@dataclass(frozen=True)
class ReliabilityBin:
    """The photos whose predicted class has a probability in (low, high]."""

    low: float
    high: float
    photos: int
    confidence: float | None
    """Mean probability of the predicted classes. This and the next two are None without photos."""
    accuracy: float | None
    interval: tuple[float, float] | None
    """95 % interval of the accuracy (Wilson 1927)."""


@dataclass(frozen=True)
class Mistake:
    """A test photo with a wrong prediction, and the training photos nearest to it."""

    row: int
    """Index of the photo in the test set."""
    path: str | None
    truth: str
    predicted: str
    probability: float
    """Probability of the predicted class."""
    probability_of_truth: float
    """Probability of the true class."""
    nearest: tuple[Neighbour, ...]
    """The nearest training photos, nearest first."""


@dataclass(frozen=True)
class HeadMetrics:
    """Metrics of one head on the test set."""

    name: str
    place: int
    """Place by accuracy, from 1; heads that tie with the best of a place share it."""
    accuracy: float
    precision: float
    """Mean precision over the classes (macro average)."""
    recall: float
    """Mean recall over the classes."""
    f1: float
    """Mean F over the classes."""
    intervals: dict[str, tuple[float, float]]
    """95 % bootstrap intervals of the :data:`MAIN_METRICS`, by name."""
    top_k: dict[int, float]
    """By k: share of photos whose class is among the k most probable."""
    nll: float
    """Mean negative log-likelihood of the true class, nats."""
    ece: float
    """Expected calibration error: mean distance between probability and accuracy."""
    unknown: float | None
    """Share of the test photos, all of known classes, that the head rejects as unknown; None for a
    head without rejection."""
    thresholds: Thresholds | None
    """Thresholds of the rejection."""
    worst: tuple[ClassMetrics, ...]
    """The classes with the lowest F, lowest first; classes with an F of 1 are left out."""
    classes: tuple[ClassMetrics, ...]
    """Every class, in the order of the names."""
    confusion: tuple[tuple[int, ...], ...]
    """Number of photos by true class (row) and predicted class (column)."""
    reliability: tuple[ReliabilityBin, ...]
    """Accuracy by predicted probability."""
    mistakes: tuple[Mistake, ...]
    """The mistakes with the highest probability, highest first."""
    history: tuple[float, ...]
    """Accuracy on the validation set after each epoch; empty for a head without epochs."""


@dataclass(frozen=True)
class HeadPair:
    """A test of the difference between the accuracies of two heads."""

    head: str
    other: str
    difference: float
    """Accuracy of ``head`` minus accuracy of ``other``."""
    only_head: int
    """Photos that only ``head`` gets right."""
    only_other: int
    """Photos that only ``other`` gets right."""
    mcnemar: float
    """p-value of McNemar's exact test of these two numbers, for independent photos, uncorrected."""
    p_value: float
    """p-value of the test that decides ties, corrected for the number of pairs (Holm)."""
    tie: bool
    """Whether the difference may be due to chance: ``p_value`` is 0.05 or more."""


@dataclass(frozen=True)
class Evaluation:
    """The results of several heads on one test set."""

    photos: int
    left_out: int
    """Other test photos, which are gone, cannot be read or have lost their label."""
    classes: tuple[str, ...]
    without_photos: tuple[str, ...]
    """Classes without test photos, which the means over classes leave out."""
    units: int
    """Number of units that intervals and tests resample: photos, or groups of related photos."""
    heads: tuple[HeadMetrics, ...]
    """The highest accuracy first."""
    pairs: tuple[HeadPair, ...]
    """Every pair of heads, the better one first."""
