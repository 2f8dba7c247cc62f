"""Near-duplicates by perceptual hash: all pairs of hashes that differ in few bits.

The search is exact: it finds every pair once. Few hashes are compared by brute force in numpy; many
are joined by :mod:`embedkit.duplicates.bucket_join`, whose compiler takes a second to import and,
the first time on a machine, some seconds to compile.
"""

from dataclasses import dataclass
from math import comb

import numpy as np

ROW_BITS = 27
DISTANCE_BITS = 64 - 2 * ROW_BITS
"""A pair is sorted as one 64-bit number: first row, second row and distance, from the top bit."""
MAX_ROWS = 1 << ROW_BITS
"""Maximum number of hashes that can be compared: 134 million."""
MAX_WORDS_IN_NUMPY = 1 << 27
"""Maximum number of compared 64-bit words for which numpy is faster than importing numba."""
_BLOCK = 1 << 19  # pairs compared at once by brute force


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows, sorted by first row, then second: arrays of one length, (P,).

    ``first`` and ``second`` are int32; ``distance``, uint16, is the number of bits that differ.
    """

    first: np.ndarray
    second: np.ndarray
    distance: np.ndarray

    def __len__(self) -> int:
        return len(self.first)


@dataclass(frozen=True)
class DistinctPairs:
    """Pairs of near hashes, in which one row represents all rows with the same hash.

    The pairs, and the pairs of each row and its representative, connect the same groups of rows as
    the result of :func:`near_pairs`. Their memory does not grow with the square of the number of
    equal hashes.
    """

    representative: np.ndarray
    """int32 (N,): the lowest row with the same hash as each row."""
    pairs: Pairs
    """Pairs of representatives."""


def near_pairs(hashes: np.ndarray, limit: int) -> Pairs:
    """Return every pair of rows ``first < second`` whose hashes differ in at most ``limit`` bits.

    ``hashes`` is uint64, (N,) for 64 bits or (N, W) for W words of 64. Pairs are sorted by first
    row, then second. Among n equal hashes there are n (n - 1) / 2 pairs: for collections that may
    contain many, such as flat pictures, :func:`distinct_near_pairs` needs less memory. Raises
    ValueError for other arrays, a negative limit, or more than 134 million hashes.
    """
    hashes = _checked(hashes, limit)
    rows = np.arange(len(hashes), dtype=np.int32)
    return _near(hashes, hashes, rows, rows, limit, is_self_join=True)


def distinct_near_pairs(hashes: np.ndarray, limit: int) -> DistinctPairs:
    """Return the pairs that :func:`near_pairs` finds among the distinct hashes."""
    hashes = _checked(hashes, limit)
    representative = representatives(hashes)
    rows = np.flatnonzero(representative == np.arange(len(hashes))).astype(np.int32)
    distinct = hashes[rows]
    return DistinctPairs(
        representative, _near(distinct, distinct, rows, rows, limit, is_self_join=True)
    )


def near_pairs_between(queries: np.ndarray, hashes: np.ndarray, limit: int) -> Pairs:
    """Return every pair of a query and a hash that differ in at most ``limit`` bits.

    ``queries``, uint64 (Q,) or (Q, W), are for example hashes of mirrored images or of a new photo.
    In the result, ``first`` is a row of ``queries`` and ``second`` a row of ``hashes``, (N,) or (N,
    W); pairs are sorted by query, then hash. For a collection with many equal hashes, pass only the
    representatives from :func:`distinct_near_pairs`. Raises ValueError as :func:`near_pairs` does.
    """
    queries, hashes = _checked(queries, limit), _checked(hashes, limit)
    if queries.shape[1] != hashes.shape[1]:
        raise ValueError(
            f"queries have {64 * queries.shape[1]} bits, but hashes {64 * hashes.shape[1]}"
        )
    query_rows, rows = (np.arange(len(some), dtype=np.int32) for some in (queries, hashes))
    return _near(queries, hashes, query_rows, rows, limit, is_self_join=False)


def chance_pairs(count: int, limit: int, bits: int = 64) -> float:
    """Return the expected number of pairs within ``limit`` bits among ``count`` unrelated hashes.

    ``imagehash.phash`` sets the bits of the coefficients above their median, which is half of them,
    h = bits / 2. Two such hashes that share k set bits differ in 2 (h - k) bits, and k is
    hypergeometric (h drawn from 2h of which h are set; Feller, An Introduction to Probability
    Theory, vol. 1, II.6). So P(distance = 2x) = C(h, x)^2 / C(2h, h), and odd distances do not
    occur. Real photos are not quite unrelated, so this is a lower bound.
    """
    half = bits // 2
    near = sum(comb(half, x) ** 2 for x in range(min(limit, bits) // 2 + 1))
    return comb(count, 2) * (near / comb(2 * half, half))


def _checked(hashes: np.ndarray, limit: int) -> np.ndarray:
    """Return valid hashes as (N, W)."""
    if hashes.dtype != np.uint64 or hashes.ndim not in (1, 2) or hashes.shape[1:] == (0,):
        raise ValueError(f"hashes must be uint64 (N,) or (N, W), not {hashes.dtype} {hashes.shape}")
    if limit < 0:
        raise ValueError(f"the limit is {limit} bits; it must not be negative")
    if len(hashes) > MAX_ROWS:
        raise ValueError(f"{len(hashes)} hashes exceed the maximum of {MAX_ROWS}")
    return np.ascontiguousarray(hashes[:, None] if hashes.ndim == 1 else hashes)


def representatives(hashes: np.ndarray) -> np.ndarray:
    """Return the lowest row with the same hash as each row: int32 (N,)."""
    one_word = hashes.shape[1] == 1
    order = np.argsort(hashes[:, 0]) if one_word else np.lexsort(hashes.T)
    ordered = hashes[order]
    new = np.ones(len(hashes), bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    starts = np.flatnonzero(new)
    representative = np.empty(len(hashes), np.int32)
    if len(hashes):
        lowest = np.minimum.reduceat(order, starts)
        representative[order] = np.repeat(lowest, np.diff(starts, append=len(hashes)))
    return representative


def _near(
    queries: np.ndarray,
    hashes: np.ndarray,
    query_rows: np.ndarray,
    rows: np.ndarray,
    limit: int,
    is_self_join: bool,
) -> Pairs:
    """Return the pairs of a query and a hash within the limit, by row number.

    In a self-join, only pairs of different rows are returned. Row numbers are ascending.
    """
    limit = min(limit, 64 * hashes.shape[1])
    if len(queries) * hashes.size <= MAX_WORDS_IN_NUMPY:
        return _brute_force(queries, hashes, query_rows, rows, limit, is_self_join)
    from embedkit.duplicates.bucket_join import join

    return join(queries, hashes, query_rows, rows, limit, is_self_join)


def _brute_force(
    queries: np.ndarray,
    hashes: np.ndarray,
    query_rows: np.ndarray,
    rows: np.ndarray,
    limit: int,
    is_self_join: bool,
) -> Pairs:
    found = []
    block = max(1, _BLOCK // max(1, len(hashes)))
    for start in range(0, max(1, len(queries)), block):
        offset = start if is_self_join else 0
        some, others = queries[start : start + block], hashes[offset:]
        distances = np.zeros((len(some), len(others)), np.uint16)
        for word in range(hashes.shape[1]):
            distances += np.bitwise_count(some[:, None, word] ^ others[None, :, word])
        first, second = np.nonzero(distances <= limit)
        distance = distances[first, second]
        first, second = first + start, second + offset
        if is_self_join:
            once = first < second
            first, second, distance = first[once], second[once], distance[once]
        found.append((query_rows[first], rows[second], distance))
    return Pairs(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))
