"""Near-duplicates by perceptual hash: every pair of hashes that differ in few bits.

Exact: nothing is missed and nothing is found twice. Few hashes are compared one by one in numpy;
many are joined by :mod:`embedkit.duplicates.bucket_join`, whose compiler takes a second to import
and, the first time on a machine, some seconds to compile.
"""

from dataclasses import dataclass
from math import comb

import numpy as np

from embedkit.duplicates.pairs import MOST_ROWS, Pairs

WORDS_IN_NUMPY = 1 << 27
"""Comparing up to this many words of 64 bits takes numpy less time than importing numba does."""
_BLOCK = 1 << 19


@dataclass(frozen=True)
class Clumps:
    """Rows with the same hash, and the pairs of different hashes that are near.

    ``representative``, int32 (N,), is the lowest row with the same hash as each; ``pairs`` are of
    representatives. Joining each row with its representative, and the pairs, groups all that
    :func:`near_pairs` finds, in memory that a million equal hashes do not exceed.
    """

    representative: np.ndarray
    pairs: Pairs


def near_pairs(hashes: np.ndarray, limit: int) -> Pairs:
    """Every pair of rows ``first < second`` whose hashes differ in at most ``limit`` bits.

    ``hashes`` is uint64, (N,) for 64 bits or (N, W) for W words of 64. Every pair comes once,
    sorted by first row, then second. Among n equal hashes there are n (n - 1) / 2 pairs: where a
    collection may hold many, as of flat pictures, :func:`near_clumps` says the same in less room.
    Raises ValueError for other hashes, a negative limit or more than 134 million hashes.
    """
    hashes = _checked(hashes, limit)
    rows = np.arange(len(hashes), dtype=np.int32)
    return _near(hashes, hashes, rows, rows, limit, same=True)


def near_clumps(hashes: np.ndarray, limit: int) -> Clumps:
    """What :func:`near_pairs` finds, with rows of the same hash taken as one."""
    hashes = _checked(hashes, limit)
    representative = _representatives(hashes)
    rows = np.flatnonzero(representative == np.arange(len(hashes))).astype(np.int32)
    distinct = hashes[rows]
    return Clumps(representative, _near(distinct, distinct, rows, rows, limit, same=True))


def near_pairs_between(queries: np.ndarray, hashes: np.ndarray, limit: int) -> Pairs:
    """Every pair of a query and a hash that differ in at most ``limit`` bits.

    ``queries``, uint64 (Q,) or (Q, W), may be hashes of mirrored or turned images, or of one new
    photo; ``first`` is a row of them, ``second`` one of ``hashes``, (N,) or (N, W). Every pair
    comes once, sorted by query, then hash. Of a collection with many equal hashes, ask among the
    representatives that :func:`near_clumps` names. Raises ValueError as :func:`near_pairs` does.
    """
    queries, hashes = _checked(queries, limit), _checked(hashes, limit)
    if queries.shape[1] != hashes.shape[1]:
        raise ValueError(
            f"queries of {64 * queries.shape[1]} bits and hashes of {64 * hashes.shape[1]}"
        )
    query_rows, rows = (np.arange(len(some), dtype=np.int32) for some in (queries, hashes))
    return _near(queries, hashes, query_rows, rows, limit, same=False)


def chance_pairs(count: int, limit: int, bits: int = 64) -> float:
    """Pairs within ``limit`` bits to be expected among ``count`` unrelated hashes.

    ``imagehash.phash`` sets the bits of the coefficients above their median, which is half of
    them, h = bits / 2. Two such hashes of which k of the set bits coincide are 2 (h - k) apart,
    and k is hypergeometric (h drawn from 2h of which h are set; Feller, An Introduction to
    Probability Theory, vol. 1, II.6), so that P(distance = 2x) = C(h, x)^2 / C(2h, h), and none
    are an odd number of bits apart. Real photos are not quite unrelated: take it as a lower bound.
    """
    half = bits // 2
    near = sum(comb(half, x) ** 2 for x in range(min(limit, bits) // 2 + 1))
    return comb(count, 2) * (near / comb(2 * half, half))


def _checked(hashes: np.ndarray, limit: int) -> np.ndarray:
    """The hashes as (N, W)."""
    if hashes.dtype != np.uint64 or hashes.ndim not in (1, 2) or hashes.shape[1:] == (0,):
        raise ValueError(f"hashes are uint64 (N,) or (N, W), not {hashes.dtype} {hashes.shape}")
    if limit < 0:
        raise ValueError(f"a limit of {limit} bits")
    if len(hashes) > MOST_ROWS:
        raise ValueError(f"{len(hashes)} hashes are more than {MOST_ROWS}")
    return np.ascontiguousarray(hashes[:, None] if hashes.ndim == 1 else hashes)


def _representatives(hashes: np.ndarray) -> np.ndarray:
    """The lowest row with the same hash as each: int32 (N,)."""
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
    same: bool,
) -> Pairs:
    """Pairs of a query and a hash, called by their rows; if ``same``, of different ones.

    The rows ascend.
    """
    limit = min(limit, 64 * hashes.shape[1])
    if len(queries) * hashes.size <= WORDS_IN_NUMPY:
        return _one_by_one(queries, hashes, query_rows, rows, limit, same)
    from embedkit.duplicates.bucket_join import joined

    return joined(queries, hashes, query_rows, rows, limit, same)


def _one_by_one(
    queries: np.ndarray,
    hashes: np.ndarray,
    query_rows: np.ndarray,
    rows: np.ndarray,
    limit: int,
    same: bool,
) -> Pairs:
    found = []
    block = max(1, _BLOCK // max(1, len(hashes)))
    for start in range(0, max(1, len(queries)), block):
        least = start if same else 0
        some, others = queries[start : start + block], hashes[least:]
        apart = np.zeros((len(some), len(others)), np.uint16)
        for word in range(hashes.shape[1]):
            apart += np.bitwise_count(some[:, None, word] ^ others[None, :, word])
        first, second = np.nonzero(apart <= limit)
        distance = apart[first, second]
        first, second = first + start, second + least
        if same:
            once = first < second
            first, second, distance = first[once], second[once], distance[once]
        found.append((query_rows[first], rows[second], distance))
    return Pairs(*(np.concatenate(arrays) for arrays in zip(*found, strict=True)))
