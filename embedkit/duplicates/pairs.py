"""Pairs of rows at a distance in bits, and the single numbers that they are sorted as."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

ROW_BITS = 27
DISTANCE_BITS = 64 - 2 * ROW_BITS
MOST_ROWS = 1 << ROW_BITS
"""So many hashes can be compared: 134 million."""
_BLOCK = 1 << 15


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


def packed(first: np.ndarray, second: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Each pair as one number, uint64 (P,), that sorts as the pair does."""
    numbers = first.astype(np.uint64)
    numbers <<= np.uint64(ROW_BITS)
    numbers |= second.astype(np.uint64)
    numbers <<= np.uint64(DISTANCE_BITS)
    numbers |= distance.astype(np.uint64)
    return numbers


def rows_and_distances(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First row, second row and distance of :func:`packed` numbers, uint64 (P,) each."""
    first = numbers >> np.uint64(ROW_BITS + DISTANCE_BITS)
    second = numbers >> np.uint64(DISTANCE_BITS) & np.uint64(MOST_ROWS - 1)
    return first, second, numbers & np.uint64((1 << DISTANCE_BITS) - 1)


def unpacked(parts: Iterable[np.ndarray]) -> Pairs:
    """The pairs of some arrays of :func:`packed` numbers, in any order."""
    numbers = np.concatenate([np.empty(0, np.uint64), *parts])
    numbers.sort()
    count = len(numbers)
    pairs = Pairs(np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.uint16))
    for start in range(0, count, _BLOCK):  # in the caches, as every pass through memory costs more
        block = slice(start, start + _BLOCK)
        numbered = rows_and_distances(numbers[block])
        pairs.first[block], pairs.second[block], pairs.distance[block] = numbered
    return pairs
