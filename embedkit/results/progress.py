"""How a long operation tells where it stands."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """Where a long operation stands, for the callback that draws it."""

    stage: str
    """What is being done, in words: ``scanning``, ``embedding``, ``waiting for the catalog``."""
    done: int = 0
    total: int = 0
    rate: float = 0.0
    """Files a second so far."""
    seconds_left: float | None = None


ProgressCallback = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """The progress callback that shows nothing."""
