"""Which rows of a dataset of embeddings go to which shard of its index.

A shard has the rows of a range of ids. Ids are given in order of adding, so that rows that are
added later are in no range, however the rows are distributed over the dataset's files.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


class Ranges:
    """Disjoint ranges of row ids.

    Parameters
    ----------
    spans : iterable of (int, int)
        First id of each range, and the id after its last.
    """

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        ordered = np.array(sorted(spans), np.int64).reshape(-1, 2)
        self._firsts, self._stops = ordered[:, 0], ordered[:, 1]

    def number(self, ids: np.ndarray) -> np.ndarray:
        """Return the number of the range that contains each id, in ascending order; -1 for none."""
        numbers = self.preceding(ids)
        if not len(self._stops):
            return numbers
        return np.where((numbers >= 0) & (ids < self._stops[numbers]), numbers, -1)

    def preceding(self, ids: np.ndarray) -> np.ndarray:
        """Return the number of the last range that begins at or before each id; -1 for none."""
        return np.searchsorted(self._firsts, ids, "right") - 1

    def contain(self, ids: np.ndarray) -> np.ndarray:
        """Return whether a range contains each id, bool."""
        return self.number(ids) >= 0


@dataclass
class Piece:
    """Rows of some fragments, all in no range and between the same two ranges."""

    fragments: tuple[int, ...]
    first: int
    stop: int
    rows: int


RowIds = Iterable[tuple[np.ndarray, np.ndarray]]
"""Chunks of row ids, int64 (n,), and the fragment of each, int64 (n,)."""


def live_rows(row_ids: RowIds, ranges: Ranges, count: int) -> np.ndarray:
    """Return the number of rows in each of ``count`` ranges, int64."""
    rows = np.zeros(count, np.int64)
    for ids, _ in row_ids:
        numbers = ranges.number(ids)
        rows += np.bincount(numbers[numbers >= 0], minlength=count)
    return rows


def pieces_outside(row_ids: RowIds, covered: Ranges) -> list[Piece]:
    """Return the rows that no range contains, by fragment and by the range before them."""
    found: dict[tuple[int, int], Piece] = {}
    for ids, fragments in row_ids:
        outside = ~covered.contain(ids)
        if not outside.any():
            continue
        ids, fragments = ids[outside], fragments[outside]
        places = np.stack([covered.preceding(ids), fragments], axis=1)
        for place in np.unique(places, axis=0):
            some = ids[(places == place).all(axis=1)]
            key = int(place[0]), int(place[1])
            piece = found.setdefault(key, Piece((key[1],), int(some[0]), int(some[0]), 0))
            piece.first = min(piece.first, int(some.min()))
            piece.stop = max(piece.stop, int(some.max()) + 1)
            piece.rows += len(some)
    return [found[key] for key in sorted(found)]


def shards_of(pieces: Iterable[Piece], covered: Ranges, rows: int) -> list[Piece]:
    """Join pieces to shards of at most ``rows`` rows; only one with a larger fragment has more.

    The ranges of the shards are disjoint from each other and from those that are covered.
    """
    shards: list[Piece] = []
    previous = -2
    for piece in sorted(pieces, key=lambda piece: piece.first):
        gap = int(covered.preceding(np.array([piece.first]))[0])
        last = shards[-1] if shards else None
        if (
            last is not None
            and gap == previous
            and (piece.first < last.stop or last.rows + piece.rows <= rows)
        ):
            last.fragments += piece.fragments
            last.stop = max(last.stop, piece.stop)
            last.rows += piece.rows
        else:
            shards.append(Piece(piece.fragments, piece.first, piece.stop, piece.rows))
        previous = gap
    return shards
