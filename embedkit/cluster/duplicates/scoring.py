"""The score of candidate pairs: what rules a pair out, and the evidence for the others."""

from dataclasses import dataclass, replace

import numpy as np

from embedkit.cluster.duplicates.part import OutlinedImages
from embedkit.duplicates.evidence import (
    Evidence,
    Features,
    Separation,
    crop_allowed,
    min_similarity,
    score_separated,
    separate,
)
from embedkit.duplicates.pair_search import (
    COMBINED,
    PERCEPTUAL,
    PIXELS,
    SEMANTIC,
    CandidateLimits,
    DuplicateOptions,
    matches_kinds,
)
from embedkit.duplicates.pixels import MAX_LUMA_DIFFERENCE, MAX_PIXEL_BITS
from embedkit.duplicates.similarity import MIN_SIMILARITY_FOR_CROPS

HALF_TOLERANCE = 1e-3
"""Upper bound of the error of a distance to a vector in half precision."""
_TOLERANCE = 1e-5
"""Upper bound of the error of float32 inner products."""
_FORMAT = np.uint64(0xFFFF)
"""Bits of the format in the kind of an image."""

Rows = tuple[np.ndarray, np.ndarray]
"""First and second rows of pairs: int64 (n,) each."""


@dataclass(frozen=True)
class Scoring:
    """The limits of a search, and how its pairs are scored."""

    options: DuplicateOptions
    limits: CandidateLimits
    median: float
    """Median distance of the collection's embeddings."""
    images: int
    """Number of images in the collection."""
    parts: int


@dataclass(frozen=True, eq=False)
class Screened:
    """Pairs that are not ruled out."""

    rows: Rows
    apart: Separation
    needed: np.ndarray
    """float32 (n,): the similarity that a pair needs."""
    decode: np.ndarray
    """bool (n,): may have the same pixels in files of different formats, if the lumas agree."""


def ordered(rows: Rows, number: np.ndarray) -> Rows:
    """Return pairs with the image of the smaller number first."""
    one, other = rows
    swapped = number[one] > number[other]
    return np.where(swapped, other, one), np.where(swapped, one, other)


def screen(
    images: OutlinedImages, rows: Rows, scoring: Scoring, near: np.ndarray, tolerance: float = 0.0
) -> Screened:
    """Rule out pairs that cannot be duplicates, without their lumas.

    The first image of each pair has the smaller number.

    Parameters
    ----------
    images : OutlinedImages
        The images.
    rows : Rows
        The pairs.
    scoring : Scoring
        The limits of the search.
    near : ndarray
        Pairs that are candidates only within the limit of distances: bool (n,).
    tolerance : float
        Upper bound of the error of the distances, because of vectors in half precision.

    Returns
    -------
    Screened
        The other pairs.
    """
    limits, kinds = scoring.limits.duplicates, scoring.options.kinds
    apart = separate(images.traits, rows, limits.hamming)
    apart = replace(apart, distance=apart.distance - np.float32(tolerance))
    decode = np.zeros(len(apart.hamming), bool)
    if PIXELS in kinds:
        one, other = images.kind[rows[0]], images.kind[rows[1]]
        decode = (one ^ other) >> np.uint64(16) == 0
        decode &= ((one ^ other) & _FORMAT != 0) & (apart.hamming <= MAX_PIXEL_BITS)
    exact = decode.copy()
    if PERCEPTUAL in kinds:
        exact |= apart.hamming <= limits.hamming
    if SEMANTIC in kinds:
        exact |= apart.distance <= limits.distance
    needed = np.full(len(exact), 2, np.float32)
    if COMBINED in kinds:
        needed = min_similarity(apart.hamming / 64, apart.distance, scoring.median, limits.score)
    needed[exact] = -1
    # A crop may be more similar than the whole images.
    crops = crop_allowed(apart.distance, scoring.median)
    least = np.where(crops, np.minimum(needed, MIN_SIMILARITY_FOR_CROPS), needed)
    bound = images.outlines.bound(*rows, apart.orientation)
    possible = (needed <= 1) & (bound >= least)
    possible &= ~near | (apart.distance <= scoring.limits.distance + _TOLERANCE)
    chosen = np.flatnonzero(possible)
    return Screened(
        (rows[0][chosen], rows[1][chosen]), apart[chosen], needed[chosen], decode[chosen]
    )


def score(
    features: Features, pairs: Screened, scoring: Scoring
) -> tuple[Evidence, np.ndarray, np.ndarray]:
    """Return the evidence for pairs that match, or that may be pixel-identical.

    The arrays, bool, say which match, and which may be pixel-identical.
    """
    kinds, limits = scoring.options.kinds, scoring.limits.duplicates
    evidence = score_separated(features, pairs.rows, pairs.apart, scoring.median, pairs.needed)
    matches = matches_kinds(evidence, kinds, limits)
    decode = pairs.decode.copy()
    some = np.flatnonzero(decode)
    first, second = (features.small[rows[some]] for rows in pairs.rows)
    decode[some] = np.abs(first - second).max(axis=(1, 2), initial=0) <= MAX_LUMA_DIFFERENCE
    kept = np.flatnonzero(matches | decode)
    return evidence[kept], matches[kept], decode[kept]
