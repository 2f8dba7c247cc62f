"""Pairs of images whose embeddings are near each other, in the cells of a part."""

from collections.abc import Iterator

import numpy as np

from embedkit.cluster.duplicates.scoring import Scoring
from embedkit.duplicates.evidence import ImageEmbeddings
from embedkit.duplicates.screening import TOLERANCE, Rows
from embedkit.duplicates.semantic import EXACT_UP_TO, SEARCHED_NEIGHBOURS

_BLOCK = 512
"""Images of a cell that are compared at a time."""


def cell_pairs(
    own: ImageEmbeddings,
    visiting: ImageEmbeddings,
    cells: np.ndarray,
    own_cells: np.ndarray,
    scoring: Scoring,
) -> Iterator[Rows]:
    """Yield the pairs of rows near each other, from each own cell.

    Images at home in a cell are compared with each other, and with those that visit it. The first
    image of a pair is at home in an own cell. A pair in two cells is emitted by the cell with the
    smaller number. Pairs a little farther apart than the limit are there as well, since vectors may
    be rounded. Rows of visitors follow those of a part's own images.

    In large collections, a crowd keeps the pairs in which one image is among the nearest of the
    other, whichever it is, as the search of one machine does. Some of them are there twice.

    Parameters
    ----------
    own, visiting : ImageEmbeddings
        Those of the images of a part, and those of the visitors from other parts.
    cells : ndarray
        The nearest cells of all these images: int32 (n, V); -1 for none.
    own_cells : ndarray
        The cells of the part: int32.
    scoring : Scoring
        The limits of the search.
    """
    row, column = np.nonzero(np.isin(cells, own_cells))
    cell = cells[row, column]
    order = np.lexsort((row, column > 0, cell))  # those at home first, then others of the part
    row, column, cell = row[order], column[order], cell[order]
    limit = scoring.limits.distance
    few = SEARCHED_NEIGHBOURS if scoring.embedded > EXACT_UP_TO else None
    memory = np.empty(0, np.float32)  # of the products, used again and again
    for number in own_cells:
        start, end = np.searchsorted(cell, [number, number + 1])
        members = row[start:end]
        homes = members[: np.searchsorted(column[start:end], 1)]
        ours = np.searchsorted(members[len(homes) :], len(own.rows)) + len(homes)
        theirs = np.concatenate(
            [
                own.vectors[own.rows[members[:ours]]],
                visiting.vectors[visiting.rows[members[ours:] - len(own.rows)]],
            ]
        )
        home, of_member = np.unique(cells[members, 0], return_inverse=True)
        crowd = None if few is None else _Crowd(len(members), few)
        for first in range(0, len(homes), _BLOCK):
            block = homes[first : first + _BLOCK]
            if memory.size < len(block) * len(members):
                memory = np.empty(len(block) * len(members), np.float32)
            products = memory[: len(block) * len(members)].reshape(len(block), len(members))
            np.matmul(theirs[first : first + _BLOCK][: len(block)], theirs.T, out=products)
            near = np.flatnonzero(products.ravel() >= 1 - limit - TOLERANCE)
            query, found = near // len(members), near % len(members)
            # Of two images at home here, the later one emits the pair. One that visits may emit it
            # from its own cell.
            twice = (cells[block][:, :, None] == home).any(axis=1)
            from_here = (~twice | (number < home))[query, of_member[found]]
            kept = np.where(found < len(homes), found < first + query, from_here)
            if crowd is not None and len(near) > crowd.few * len(block):
                kept = crowd.kept(products[query, found], first + query, found, kept)
            yield block[query[kept]], members[found[kept]]


class _Crowd:
    """The pairs of a cell with too many that are near each other.

    Parameters
    ----------
    members : int
        Number of images in the cell.
    few : int
        Number of nearest images that each keeps.
    """

    def __init__(self, members: int, few: int) -> None:
        self.few = few
        # A product that enough pairs of a member reach.
        self._enough = np.full(members, -np.inf, np.float32)

    def kept(
        self, products: np.ndarray, query: np.ndarray, found: np.ndarray, wanted: np.ndarray
    ) -> np.ndarray:
        """Return which pairs of a block are kept: bool (P,).

        Each ``query`` keeps its nearest members, ``wanted`` or not, since these may not keep the
        pair when they are queries. Of the other wanted pairs, each member keeps the nearest, unless
        it was a query of a crowded block, since no other block emits them. Both are rows of the
        cell.
        """
        kept: np.ndarray = (_places(query, products) <= self.few) & (query != found)
        self._enough[query] = np.inf
        pairs = np.flatnonzero(wanted & ~kept & (products > self._enough[found]))
        member, products = found[pairs], products[pairs]
        places = _places(member, products)
        kept[pairs[places <= self.few]] = True
        last = places == self.few
        self._enough[member[last]] = products[last]
        return kept


def _places(image: np.ndarray, products: np.ndarray) -> np.ndarray:
    """Return the place of each pair among those of its image, the nearest first: int64 (P,)."""
    order = np.lexsort((-products, image))
    ordered = image[order]
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    return places


def batched(pairs: Iterator[Rows], size: int) -> Iterator[Rows]:
    """Collect small batches of pairs into batches of at least ``size``, except the last one."""
    waiting: list[Rows] = []
    count = 0
    for rows in pairs:
        waiting.append(rows)
        count += len(rows[0])
        if count >= size:
            yield (
                np.concatenate([one for one, _ in waiting]),
                np.concatenate([other for _, other in waiting]),
            )
            waiting, count = [], 0
    if count:
        yield (
            np.concatenate([one for one, _ in waiting]),
            np.concatenate([other for _, other in waiting]),
        )
