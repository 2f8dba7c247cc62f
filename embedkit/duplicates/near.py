"""Pairs of images whose embeddings are near each other, in coarse cells."""

from collections.abc import Callable, Iterator

import numpy as np

from embedkit.duplicates.screening import Rows

_BLOCK = 512
"""Images of a cell that are compared at a time."""


def cell_pairs(
    vectors_of: Callable[[np.ndarray], np.ndarray],
    cells: np.ndarray,
    own_cells: np.ndarray,
    least: float,
    few: int | None,
) -> Iterator[Rows]:
    """Yield the pairs of rows near each other, from each own cell.

    Images at home in a cell are compared with each other, and with those that visit it. The first
    image of a pair is at home in an own cell. A pair in two cells is emitted by the cell with the
    smaller number.

    A crowd, which has more than ``few`` pairs for each image, keeps those in which one image is
    among the ``few`` nearest of the other, whichever it is. Some of them are there twice.

    Parameters
    ----------
    vectors_of : callable
        Returns the vectors of rows: float32 (n, dim).
    cells : ndarray
        The nearest cells of all images, the nearest first: int32 (N, V); -1 for none.
    own_cells : ndarray
        The cells whose pairs are wanted: int32.
    least : float
        The smallest inner product of a pair.
    few : int, optional
        Number of nearest images that each keeps in a crowd; None keeps all pairs.
    """
    row, column = np.nonzero(np.isin(cells, own_cells))
    cell = cells[row, column]
    order = np.lexsort((row, column > 0, cell))  # those at home first
    row, column, cell = row[order], column[order], cell[order]
    memory = np.empty(0, np.float32)  # of the products, used again and again
    for number in own_cells:
        start, end = np.searchsorted(cell, [number, number + 1])
        members = row[start:end]
        homes = members[: np.searchsorted(column[start:end], 1)]
        vectors = vectors_of(members)
        home, of_member = np.unique(cells[members, 0], return_inverse=True)
        crowd = None if few is None else _Crowd(len(members), few)
        for first in range(0, len(homes), _BLOCK):
            block = homes[first : first + _BLOCK]
            if memory.size < len(block) * len(members):
                memory = np.empty(len(block) * len(members), np.float32)
            products = memory[: len(block) * len(members)].reshape(len(block), len(members))
            np.matmul(vectors[first : first + _BLOCK][: len(block)], vectors.T, out=products)
            near = np.flatnonzero(products.ravel() >= least)
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
