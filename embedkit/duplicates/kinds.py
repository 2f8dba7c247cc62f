"""The kinds of duplicates, and the limits within which two images are duplicates of a kind."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from embedkit.duplicates.evidence import Evidence

EXACT, PIXELS, PERCEPTUAL, SEMANTIC, COMBINED = KINDS = (
    "exact",
    "pixels",
    "perceptual",
    "semantic",
    "combined",
)
DEFAULT_KINDS = (EXACT, PIXELS, COMBINED)

MIN_SCORE = 0.5
"""Minimum score of ``combined`` duplicates."""


@dataclass(frozen=True)
class Limits:
    """The limits within which two images are duplicates."""

    hamming: int
    """Maximum Hamming distance of the perceptual hashes."""
    distance: float
    """Maximum cosine distance of the embeddings."""
    score: float = MIN_SCORE
    """Minimum score of ``combined`` duplicates."""
    any_orientation: bool = False
    """Whether ``perceptual`` duplicates may be rotated or mirrored."""
    similarity: float = -1.0
    """Minimum similarity of ``perceptual`` duplicates."""


def matches_kinds(evidence: Evidence, kinds: Collection[str], limits: Limits) -> np.ndarray:
    """Return which pairs are duplicates of one of the kinds: bool (P,)."""
    tests = {
        PIXELS: evidence.pixels,
        PERCEPTUAL: (evidence.hamming <= limits.hamming)
        & (limits.any_orientation | (evidence.orientation == 0))
        & (evidence.similarity >= limits.similarity),
        SEMANTIC: evidence.distance <= limits.distance,
        COMBINED: evidence.pixels | (evidence.score >= limits.score),
    }
    chosen = np.zeros(len(evidence), bool)
    for kind in set(kinds) & set(tests):
        chosen |= tests[kind]
    return chosen
