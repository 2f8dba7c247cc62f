"""Pairs of images that may be copies: by perceptual hash, by embedding."""

import numpy as np

from embedkit.duplicates.hamming import chance_pairs, near_clumps, near_pairs_between
from embedkit.duplicates.turns import TURNS
from embedkit.records import Progress, ProgressCallback

LOOSE_BITS = 14
"""Bits up to which a pair is worth a second look."""
NEIGHBOURS = 10.0
"""Pairs for each image that are worth a second look, on average."""


def bits_for(count: int, most: int, turns: int, pairs: float, of: int = 64) -> int:
    """The most bits, up to ``most``, that leave no more than so many ``pairs`` to chance.

    Among ``count`` images, each compared in so many ``turns``, by hashes ``of`` so many bits.
    Even, as the distances of these hashes are.
    """
    return next(
        (bits for bits in range(most, 0, -2) if turns * chance_pairs(count, bits, of) <= pairs), 0
    )


def by_hash(
    hashes: np.ndarray, bits: int, turned_bits: int, progress: ProgressCallback
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows of ``hashes``, uint64 (N, 8, W), each once, the smaller first: two int64 (P,).

    Those within ``bits`` as they are, and those within ``turned_bits`` when one is turned (-1: none
    are). Where many rows have one hash they are paired with the first of them only, as it is with
    all rows near them.
    """
    progress(Progress("comparing perceptual hashes", 0, TURNS))
    clumps = near_clumps(hashes[:, 0], bits)
    rows = np.arange(len(hashes))
    first, second = clumps.pairs.first, clumps.pairs.second
    distinct = np.flatnonzero(clumps.representative == rows)
    for turn in range(1, TURNS) if turned_bits >= 0 else ():
        progress(Progress("comparing perceptual hashes", turn, TURNS))
        found = near_pairs_between(hashes[distinct, turn], hashes[distinct, 0], turned_bits)
        first = np.concatenate([first, distinct[found.first]])
        second = np.concatenate([second, distinct[found.second]])
    first, second = _spread(first, second, clumps.representative)
    first, second = np.append(first, clumps.representative), np.append(second, rows)
    return unique_pairs(first, second, len(hashes))


def _spread(
    first: np.ndarray, second: np.ndarray, representative: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of representatives, and of each with all rows that have the other's hash."""
    order = np.argsort(representative, kind="stable")
    starts = np.searchsorted(representative[order], np.arange(len(order) + 1))

    def members(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        counts = np.diff(starts)[rows]
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        return counts, order[np.repeat(starts[rows], counts) + offsets]

    ones, twos = [first], [second]
    for one, other in ((first, second), (second, first)):
        counts, rows = members(other)
        ones.append(np.repeat(one, counts))
        twos.append(rows)
    return np.concatenate(ones), np.concatenate(twos)


def unique_pairs(
    first: np.ndarray, second: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Each pair of different rows below ``count`` once, the smaller row first, in order."""
    low, high = np.minimum(first, second).astype(np.int64), np.maximum(first, second)
    numbers = np.unique((low * count + high)[low < high])
    return numbers // max(count, 1), numbers % max(count, 1)
