"""Pairs of rows at a distance in bits."""

from dataclasses import dataclass

import numpy as np

ROW_BITS = 27
DISTANCE_BITS = 64 - 2 * ROW_BITS
"""A pair is sorted as one number: first row, second row and distance, from the highest bit on."""
MOST_ROWS = 1 << ROW_BITS
"""So many hashes can be compared: 134 million."""


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
