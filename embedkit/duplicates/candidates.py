"""Candidate pairs: images whose perceptual hashes are near enough to compare them further."""

import numpy as np

from embedkit.duplicates.hamming import chance_pairs, distinct_near_pairs, near_pairs_between
from embedkit.duplicates.orientations import ORIENTATIONS
from embedkit.results import Progress, ProgressCallback

MAX_CANDIDATE_BITS = 14
"""Maximum Hamming distance, of 64 bits, at which a pair is a candidate."""
MAX_PAIRS_OF_HASHES = 100_000
"""Number of pairs of rows, for one pair of hashes, above which only some of them are generated."""
CANDIDATES_PER_IMAGE = 10.0
"""Average number of candidate pairs per image that the limits allow."""
MAX_ORIENTED_CANDIDATES = 5e6
"""Number of candidate pairs in other orientations that the limits allow, in any collection.

The seven joins of turned and mirrored images take most of the time of a large collection, and more
with each bit. Nearly all copies that were only turned or mirrored differ in at most 4 bits
(``scripts/hash_distances.py``).
"""


def max_bits_within(
    count: int, max_bits: int, orientations: int, pairs: float, hash_bits: int = 64
) -> int:
    """Return the largest Hamming distance with at most ``pairs`` chance pairs.

    Considers even distances up to ``max_bits``, since these hashes differ in an even number of
    bits. ``count`` images are compared, each in ``orientations`` orientations.
    """
    return next(
        (
            bits
            for bits in range(max_bits, 0, -2)
            if orientations * chance_pairs(count, bits, hash_bits) <= pairs
        ),
        0,
    )


def pairs_by_hash(
    hashes: np.ndarray, max_bits: int, max_oriented_bits: int, progress: ProgressCallback
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of rows with similar hashes, the smaller row first: two int64 arrays (P,).

    ``hashes`` is uint64 (N, 8, W), one hash per orientation. A pair qualifies when its hashes
    differ in at most ``max_bits``, or, with one image in another orientation, in at most
    ``max_oriented_bits`` (-1 compares orientation 0 only). Rows with equal hashes are paired with
    each other and with every row near them. If that makes more than :data:`MAX_PAIRS_OF_HASHES`
    pairs, only the first of these rows are paired with all others.
    """
    progress(Progress("comparing perceptual hashes", 0, ORIENTATIONS))
    near = distinct_near_pairs(hashes[:, 0], max_bits)
    rows = np.arange(len(hashes))
    first, second = near.pairs.first, near.pairs.second
    distinct = np.flatnonzero(near.representative == rows)
    for orientation in range(1, ORIENTATIONS) if max_oriented_bits >= 0 else ():
        progress(Progress("comparing perceptual hashes", orientation, ORIENTATIONS))
        found = near_pairs_between(
            hashes[distinct, orientation], hashes[distinct, 0], max_oriented_bits
        )
        first = np.concatenate([first, distinct[found.first]])
        second = np.concatenate([second, distinct[found.second]])
    first, second = expand_pairs(
        np.concatenate([first, distinct]), np.concatenate([second, distinct]), near.representative
    )
    return unique_pairs(first, second, len(hashes))


def expand_pairs(
    first: np.ndarray, second: np.ndarray, representative: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Expand pairs of representatives to pairs of all rows with the same hashes.

    Above :data:`MAX_PAIRS_OF_HASHES`, only the first rows of each side are paired with all rows of
    the other.
    """
    sizes = np.bincount(representative, minlength=len(representative))
    several = (sizes[first] > 1) | (sizes[second] > 1)
    left, right = [first[~several]], [second[~several]]
    first, second = first[several], second[several]
    order = np.argsort(representative, kind="stable")
    starts = np.cumsum(sizes) - sizes
    here, there = sizes[first], sizes[second]
    limit = np.maximum(1, MAX_PAIRS_OF_HASHES // np.maximum(here, there))
    above = here > limit
    for one, other, used in (
        (first, second, np.minimum(here, limit)),  # all pairs, unless these are too many
        (second[above], first[above], np.minimum(there, limit)[above]),
    ):
        chosen = order[_ranges(starts[one], used)]
        pair = np.repeat(np.arange(len(one)), used)
        left.append(np.repeat(chosen, sizes[other[pair]]))
        right.append(order[_ranges(starts[other[pair]], sizes[other[pair]])])
    return np.concatenate(left), np.concatenate(right)


def _ranges(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Concatenate ``range(start, start + count)`` for each pair of a start and a count."""
    return np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())


def unique_pairs(
    first: np.ndarray, second: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return each pair of different rows below ``count`` once, sorted, the smaller row first."""
    low, high = np.minimum(first, second).astype(np.int64), np.maximum(first, second)
    numbers = np.unique((low * count + high)[low < high])
    return numbers // max(count, 1), numbers % max(count, 1)
