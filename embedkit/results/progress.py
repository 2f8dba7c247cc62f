"""Progress of a long operation."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Progress:
    """The state of a long operation.

    Attributes
    ----------
    stage : str
        The current step in words, such as ``scanning`` or ``waiting for the catalog``.
    done, total : int
        Finished and expected items; ``total`` is 0 if it is unknown.
    rate : float
        Items per second so far; 0 if it is unknown.
    seconds_left : float or None
        Estimated remaining time in seconds; None if it is unknown.
    """

    stage: str
    done: int = 0
    total: int = 0
    rate: float = 0.0
    seconds_left: float | None = None


class ProgressCallback(Protocol):
    """A function that takes a :class:`Progress` and returns nothing."""

    def __call__(self, progress: Progress, /) -> None: ...


def no_progress(progress: Progress, /) -> None:
    """Do nothing: the progress callback that shows nothing."""
