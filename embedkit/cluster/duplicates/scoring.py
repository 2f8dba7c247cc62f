"""The score of candidate pairs: what rules a pair out, and the evidence for the others."""

from dataclasses import dataclass

import numpy as np

from embedkit.cluster.duplicates.part import OutlinedImages
from embedkit.cluster.duplicates.place import FORMAT
from embedkit.duplicates.evidence import Evidence, Features, score_separated, separate
from embedkit.duplicates.kinds import PIXELS, matches_kinds
from embedkit.duplicates.pair_search import HASH_BITS, CandidateLimits, DuplicateOptions
from embedkit.duplicates.pixels import MAX_LUMA_DIFFERENCE, MAX_PIXEL_BITS
from embedkit.duplicates.screening import Criteria, Rows, Screened, rule_out, separate_roughly

_PRODUCT_ERROR = 1e-5
"""Upper bound of the error of float32 inner products."""


@dataclass(frozen=True)
class Scoring:
    """The limits of a search, and how its pairs are scored."""

    options: DuplicateOptions
    limits: CandidateLimits
    median: float
    """Median distance of the collection's embeddings."""
    images: int
    """Number of images in the collection."""
    embedded: int
    """Number of them with an embedding."""
    parts: int

    @property
    def criteria(self) -> Criteria:
        """What makes a pair a duplicate."""
        return Criteria(self.options.kinds, self.limits.duplicates, self.median)


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
        Whether no vector is rounded, and distances are computed in double precision. Otherwise
        fewer pairs are ruled out: see :func:`.screening.separate_roughly`.

    Returns
    -------
    Screened
        The other pairs. Those that may have the same pixels in files of different formats, if their
        lumas agree, are always among them.
    """
    images = firsts.traits, seconds.traits
    separated = separate if exact else separate_roughly
    apart = separated(*images, rows, scoring.limits.duplicates.hamming)
    within = apart.distance <= scoring.limits.distance + _PRODUCT_ERROR
    chosen = np.flatnonzero(~near | within)
    rows, apart = (rows[0][chosen], rows[1][chosen]), apart[chosen]
    decode = np.zeros(len(chosen), bool)
    if PIXELS in scoring.options.kinds:
        one, other = firsts.kind[rows[0]], seconds.kind[rows[1]]
        decode = (one ^ other) >> np.uint64(16) == 0
        decode &= ((one ^ other) & FORMAT != 0) & (apart.hamming <= MAX_PIXEL_BITS)
    outlines = firsts.outlines, seconds.outlines
    return rule_out(outlines, rows, apart, scoring.criteria, HASH_BITS[0], decode)


def score(
    features: Features, pairs: Screened, scoring: Scoring
) -> tuple[Evidence, np.ndarray, np.ndarray]:
    """Return the evidence for pairs that match, or that may be pixel-identical.

    The arrays, bool, say which match, and which may be pixel-identical.
    """
    kinds, limits = scoring.options.kinds, scoring.limits.duplicates
    evidence = score_separated(features, pairs.rows, pairs.apart, scoring.median, pairs.needed)
    matches = matches_kinds(evidence, kinds, limits)
    decode = pairs.always.copy()
    some = np.flatnonzero(decode)
    first, second = (features.small[rows[some]] for rows in pairs.rows)
    decode[some] = np.abs(first - second).max(axis=(1, 2), initial=0) <= MAX_LUMA_DIFFERENCE
    kept = np.flatnonzero(matches | decode)
    return evidence[kept], matches[kept], decode[kept]
