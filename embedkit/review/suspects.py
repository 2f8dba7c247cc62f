"""A photo that a review lists, before its paths are known."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Near = tuple[tuple[int, float], ...]
"""Rows of photos and their cosine distances, the nearest first."""


@dataclass(frozen=True)
class Suspect:
    """A photo that is probably wrong. Its attributes are those of :class:`ReviewItem`."""

    row: int
    """Row of the photo among the reviewed ones."""
    label: str | None
    suggestion: str
    score: float
    reason: str
    near: Near = ()
    scores: Mapping[str, float] = field(default_factory=dict)
