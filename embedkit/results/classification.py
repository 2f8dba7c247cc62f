"""What a head takes photos for, and why."""

from dataclasses import dataclass

from embedkit.results.ingest import Failure


@dataclass(frozen=True)
class LabelProbability:
    """A class, and how probable it is."""

    label: str
    probability: float


@dataclass(frozen=True)
class Neighbour:
    """A training photo, and its distance to the photo that it is near to."""

    path: str | None
    """None where the workspace has it no more."""
    label: str
    distance: float


@dataclass(frozen=True)
class Prediction:
    """What a head takes a photo for."""

    path: str
    top: tuple[LabelProbability, ...]
    """The most probable first."""
    unknown: bool
    """Whether it is likely of no class: its OOD score is above 0."""
    ood_score: float
    """Out-of-distribution score: how far the measure that is farthest above its threshold is above
    it, in standard deviations of known photos."""
    unknown_by: str | None
    """That measure: ``distance``, ``outlier`` or ``confidence``, or for a head that an earlier
    version saved ``sum``. None for a known photo."""
    neighbours: tuple[Neighbour, ...]
    """The nearest training photos: the reason."""


@dataclass(frozen=True)
class Thresholds:
    """Beyond what a head calls a photo unknown, and how many known photos that rests on.

    All but the numbers of photos are None for a head that an earlier version saved.
    """

    distance: float | None
    """The geometric mean of the cosine distances of the nearest training photos is larger."""
    outlier_ratio: float | None
    """That mean is larger than so many times the distance of the nearest drawn outlier. None when
    the head has no drawn outliers."""
    photos: int
    """Known photos that these two rest on, training and validation photos."""
    probability: float | None
    """The best class is less probable. None when there were too few validation photos."""
    validation_photos: int
    """Validation photos; the probability rests on them."""


@dataclass(frozen=True)
class Predictions:
    """What a head takes photos for."""

    head: str
    thresholds: Thresholds
    predictions: tuple[Prediction, ...]
    """In the order of the files."""
    failures: tuple[Failure, ...]
