"""Pairs of images that may be copies: by perceptual hash, by embedding."""

import numpy as np

from embedkit.duplicates.hamming import chance_pairs, near_clumps, near_pairs_between
from embedkit.duplicates.orientations import TURNS
from embedkit.results import Progress, ProgressCallback

LOOSE_BITS = 14
"""Bits up to which a pair is worth a second look."""
MOST_IN_A_CLUMP = 100_000
"""Pairs of rows with two hashes, or one, that are all looked at."""
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
    are). Rows of one hash are paired each with each, and with each row near them. Only where that
    would be more than :data:`MOST_IN_A_CLUMP` pairs, with the first of them.
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
    first, second = _spread(
        np.concatenate([first, distinct]), np.concatenate([second, distinct]), clumps.representative
    )
    return unique_pairs(first, second, len(hashes))


def _spread(
    first: np.ndarray, second: np.ndarray, representative: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of all rows that have the hashes of pairs of representatives.

    Of very many, those of the first rows of the one with all of the other.
    """
    order = np.argsort(representative, kind="stable")
    starts = np.searchsorted(representative[order], np.arange(len(order) + 1))
    sizes = np.diff(starts)
    here, there = sizes[first], sizes[second]
    few = np.maximum(1, MOST_IN_A_CLUMP // np.maximum(here, there))
    ones, twos = [], []
    for one, other, counts in ((first, second, here), (second, first, there)):
        # The first rows of the one, each with every row of the other.
        taken = np.minimum(counts, few)
        left = order[_runs(starts[one], taken)]
        pair = np.repeat(np.arange(len(one)), taken)
        ones.append(np.repeat(left, sizes[other[pair]]))
        twos.append(order[_runs(starts[other[pair]], sizes[other[pair]])])
    return np.concatenate(ones), np.concatenate(twos)


def _runs(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The numbers of runs that begin at ``starts`` and are ``counts`` long, one after another."""
    return np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())


def unique_pairs(
    first: np.ndarray, second: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Each pair of different rows below ``count`` once, the smaller row first, in order."""
    low, high = np.minimum(first, second).astype(np.int64), np.maximum(first, second)
    numbers = np.unique((low * count + high)[low < high])
    return numbers // max(count, 1), numbers % max(count, 1)
