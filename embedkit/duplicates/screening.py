"""Ruling out pairs that cannot be duplicates, from what is quick to compute.

A search has tens of candidates for each image, and the similarity of nearly all of them is bounded
below what they would need.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

import numpy as np

from embedkit.duplicates.evidence import (
    Evidence,
    Features,
    Separation,
    Traits,
    crop_allowed,
    min_similarity,
    score_separated,
    separate,
)
from embedkit.duplicates.kinds import COMBINED, PERCEPTUAL, SEMANTIC, Limits
from embedkit.duplicates.similarity import MIN_SIMILARITY_FOR_CROPS, Outlines

TOLERANCE = 2e-3
"""Upper bound of the error of a distance to a vector that is rounded, or not quite of length 1.

Rounding to 1/32767 changes a product with a vector of ``dim`` components by at most
``sqrt(dim) / 65534``.
"""
_PAIRS = 1 << 17
"""Pairs that are compared at a time."""

Rows = tuple[np.ndarray, np.ndarray]
"""First and second rows of pairs: int64 (n,) each."""


@dataclass(frozen=True)
class Criteria:
    """What makes a pair a duplicate."""

    kinds: Collection[str]
    limits: Limits
    median: float
    """Median distance of the collection's embeddings."""


@dataclass(frozen=True, eq=False)
class Screened:
    """Pairs that are not ruled out."""

    rows: Rows
    apart: Separation
    needed: np.ndarray
    """float32 (n,): the similarity that a pair needs."""
    always: np.ndarray
    """bool (n,): kept whatever its evidence is."""

    def __getitem__(self, chosen: np.ndarray) -> "Screened":
        rows = self.rows[0][chosen], self.rows[1][chosen]
        return Screened(rows, self.apart[chosen], self.needed[chosen], self.always[chosen])


def separate_roughly(firsts: Traits, seconds: Traits, rows: Rows, max_bits: int) -> Separation:
    """Return how far pairs are apart at least; see :func:`.evidence.separate`.

    Distances are too small by at most twice the :data:`TOLERANCE`.
    """
    apart = separate(firsts, seconds, rows, max_bits, exact=False)
    return replace(apart, distance=apart.distance - np.float32(TOLERANCE))


def rule_out(
    outlines: tuple[Outlines, Outlines],
    rows: Rows,
    apart: Separation,
    criteria: Criteria,
    hash_bits: int,
    always: np.ndarray,
) -> Screened:
    """Return the pairs that may be duplicates.

    Parameters
    ----------
    outlines : tuple of Outlines
        Those of the first images, and of the second.
    rows : Rows
        Rows of the pairs' images in each.
    apart : Separation
        How far the pairs are apart, at least.
    criteria : Criteria
        What makes a pair a duplicate.
    hash_bits : int
        Length of the hashes.
    always : ndarray
        Pairs that are kept whatever their evidence is: bool (n,).
    """
    kinds, limits = criteria.kinds, criteria.limits
    alone = always.copy()  # whatever the other features are
    if PERCEPTUAL in kinds:
        alone |= apart.hamming <= limits.hamming
    if SEMANTIC in kinds:
        alone |= apart.distance <= limits.distance
    needed = np.full(len(alone), 2, np.float32)
    if COMBINED in kinds:
        differing = apart.hamming / hash_bits
        needed = min_similarity(differing, apart.distance, criteria.median, limits.score)
    needed[alone] = -1
    # A crop may be more similar than the whole images.
    crops = crop_allowed(apart.distance, criteria.median)
    least = np.where(crops, np.minimum(needed, MIN_SIMILARITY_FOR_CROPS), needed)
    bound = outlines[0].bound(outlines[1], rows, apart.orientation)
    found = Screened(rows, apart, needed, always)
    return found[np.flatnonzero((needed <= 1) & (bound >= least))]


def score_screened(
    features: Features, outlines: Outlines, rows: Rows, criteria: Criteria, always: np.ndarray
) -> Iterator[Evidence]:
    """Yield the evidence for those pairs of rows that may be duplicates.

    The arguments are those of :func:`rule_out`.
    """
    hash_bits = 64 * features.hashes.shape[2]
    both = outlines, outlines
    for start in range(0, max(1, len(rows[0])), _PAIRS):  # once if there are none
        part = slice(start, start + _PAIRS)
        pairs = rows[0][part], rows[1][part]
        rough = separate_roughly(features, features, pairs, criteria.limits.hamming)
        kept = rule_out(both, pairs, rough, criteria, hash_bits, always[part])
        apart = separate(features, features, kept.rows, criteria.limits.hamming)
        kept = rule_out(both, kept.rows, apart, criteria, hash_bits, kept.always)
        yield score_separated(features, kept.rows, kept.apart, criteria.median, kept.needed)
