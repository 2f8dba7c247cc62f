"""What a head takes photos for, and why."""

from dataclasses import dataclass

from embedkit.records.ingest import Failure


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
    """Whether it is likely of no class: stranger than the threshold."""
    strangeness: float
    """How far it is from the training photos and from certainty, in validation's units."""
    neighbours: tuple[Neighbour, ...]
    """The nearest training photos: the reason."""


@dataclass(frozen=True)
class Predictions:
    """What a head takes photos for."""

    head: str
    threshold: float
    """Of strangeness: one in twenty validation photos is stranger."""
    predictions: tuple[Prediction, ...]
    """In the order of the files."""
    failures: tuple[Failure, ...]
