"""What an evaluation finds: plain, immutable data, whose ``asdict`` is its JSON."""

from dataclasses import dataclass

from embedkit.results import Neighbour, Thresholds

MAIN_FIGURES = ("accuracy", "precision", "recall", "f1")
"""Those of table 1 of Doi (2018)."""


@dataclass(frozen=True)
class ClassFigures:
    """How well a head tells one class from the others."""

    name: str
    support: int
    """Test photos of the class."""
    predicted: int
    """Test photos that the head takes for it."""
    precision: float | None
    """Share of those taken for it that are; 0 when none is taken for it."""
    recall: float | None
    """Share of its photos that are taken for it. None, as are the other two, for a class without
    test photos."""
    f1: float | None
    """Harmonic mean of precision and recall."""
    confused_with: str | None
    """The class that most of its other photos are taken for; None when there are none."""
    confused: int
    """How many are taken for that one."""
    unknown: int | None
    """How many of its photos the head calls unknown; None for a head that calls none so."""


@dataclass(frozen=True)
class ReliabilityBin:
    """The photos whose prediction has a probability in (low, high]."""

    low: float
    high: float
    photos: int
    confidence: float | None
    """Mean probability of the predictions; None, as are the next two, when there are no photos."""
    accuracy: float | None
    interval: tuple[float, float] | None
    """The 95 % interval of the accuracy (Wilson 1927)."""


@dataclass(frozen=True)
class Mistake:
    """A test photo that a head takes for another class, and the training photos it is near to."""

    row: int
    path: str | None
    truth: str
    predicted: str
    probability: float
    """Of the predicted class."""
    probability_of_truth: float
    nearest: tuple[Neighbour, ...]


@dataclass(frozen=True)
class HeadFigures:
    """One head on the test photos."""

    name: str
    place: int
    """1 for the best; what ties with the best of a place shares it."""
    accuracy: float
    precision: float
    """Mean of the classes' precisions (macro average), as the next two are."""
    recall: float
    f1: float
    intervals: dict[str, tuple[float, float]]
    """The 95 % bootstrap intervals of the :data:`MAIN_FIGURES`, by name."""
    top_k: dict[int, float]
    """Share of photos whose class is among the k most probable."""
    nll: float
    """Mean negative log-likelihood of the classes, nats."""
    ece: float
    """Expected calibration error: how far probabilities are from shares of right predictions."""
    unknown: float | None
    """Share of the photos, all of known classes, that the head calls unknown; None for a head that
    calls none so."""
    thresholds: Thresholds | None
    """Beyond what it does."""
    worst: tuple[ClassFigures, ...]
    """The lowest F first; classes of which all is right are not among them."""
    classes: tuple[ClassFigures, ...]
    """Every class, in the order of their names."""
    confusion: tuple[tuple[int, ...], ...]
    """How many photos of a class (row) are taken for a class (column)."""
    reliability: tuple[ReliabilityBin, ...]
    mistakes: tuple[Mistake, ...]
    """The most confident ones first."""
    history: tuple[float, ...]
    """Accuracy on the validation photos after each epoch."""


@dataclass(frozen=True)
class HeadPair:
    """Whether the accuracies of two heads differ by more than by chance."""

    head: str
    other: str
    difference: float
    """Accuracy of the one less that of the other."""
    only_head: int
    """Photos that only the one gets right."""
    only_other: int
    mcnemar: float
    """McNemar's exact p of these two numbers: each photo by itself, this pair alone."""
    p_value: float
    """Corrected for the number of pairs (Holm)."""
    tie: bool
    """Whether chance would do: ``p_value`` is 0.05 or more."""


@dataclass(frozen=True)
class Evaluation:
    """Heads judged on one set of test photos."""

    photos: int
    left_out: int
    """Test photos besides, which are gone, cannot be read or have lost their label."""
    classes: tuple[str, ...]
    without_photos: tuple[str, ...]
    """Classes of which there is no test photo: no mean over classes counts them."""
    units: int
    """What intervals and tests draw: the photos, or fewer when some belong together."""
    heads: tuple[HeadFigures, ...]
    """The highest accuracy first."""
    pairs: tuple[HeadPair, ...]
    """Every pair of heads, the better one first."""
