"""The score of candidate pairs: what rules a pair out, and the evidence for the others."""

from dataclasses import dataclass, replace

import numpy as np

from embedkit.cluster.duplicates.part import OutlinedImages
from embedkit.cluster.duplicates.place import FORMAT
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

TOLERANCE = 2e-3
"""Upper bound of the error of a distance to a vector that is rounded, or not quite of length 1.

Rounding to 1/32767 changes a product with a vector of ``dim`` components by at most
``sqrt(dim) / 65534``.
"""
_PRODUCT_ERROR = 1e-5
"""Upper bound of the error of float32 inner products."""
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
    firsts: OutlinedImages,
    seconds: OutlinedImages,
    rows: Rows,
    scoring: Scoring,
    near: np.ndarray,
    *,
    exact: bool,
) -> Screened:
    """Rule out pairs that cannot be duplicates, without their lumas.

    The first image of each pair has the smaller number.

    Parameters
    ----------
    firsts, seconds : OutlinedImages
        The images, first and second ones of the pairs.
    rows : Rows
        Rows of the pairs' images in each.
    scoring : Scoring
        The limits of the search.
    near : ndarray
        Pairs that are candidates only within the limit of distances: bool (n,).
    exact : bool
        Whether the images have their own vectors, and distances are computed in double precision.
        Otherwise distances may be wrong by :data:`TOLERANCE`, which rules out fewer pairs.

    Returns
    -------
    Screened
        The other pairs.
    """
    limits, kinds = scoring.limits.duplicates, scoring.options.kinds
    apart = separate(firsts.traits, seconds.traits, rows, limits.hamming, exact=exact)
    if not exact:
        apart = replace(apart, distance=apart.distance - np.float32(TOLERANCE))
    decode = np.zeros(len(apart.hamming), bool)
    if PIXELS in kinds:
        one, other = firsts.kind[rows[0]], seconds.kind[rows[1]]
        decode = (one ^ other) >> np.uint64(16) == 0
        decode &= ((one ^ other) & FORMAT != 0) & (apart.hamming <= MAX_PIXEL_BITS)
    alone = decode.copy()  # whatever the other features are
    if PERCEPTUAL in kinds:
        alone |= apart.hamming <= limits.hamming
    if SEMANTIC in kinds:
        alone |= apart.distance <= limits.distance
    needed = np.full(len(alone), 2, np.float32)
    if COMBINED in kinds:
        needed = min_similarity(apart.hamming / 64, apart.distance, scoring.median, limits.score)
    needed[alone] = -1
    # A crop may be more similar than the whole images.
    crops = crop_allowed(apart.distance, scoring.median)
    least = np.where(crops, np.minimum(needed, MIN_SIMILARITY_FOR_CROPS), needed)
    bound = firsts.outlines.bound(seconds.outlines, rows, apart.orientation)
    possible = (needed <= 1) & (bound >= least)
    possible &= ~near | (apart.distance <= scoring.limits.distance + _PRODUCT_ERROR)
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
