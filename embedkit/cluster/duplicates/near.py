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
    few = SEARCHED_NEIGHBOURS if scoring.images > EXACT_UP_TO else None
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
        for first in range(0, len(homes), _BLOCK):
            block = homes[first : first + _BLOCK]
            if memory.size < len(block) * len(members):
                memory = np.empty(len(block) * len(members), np.float32)
            products = memory[: len(block) * len(members)].reshape(len(block), len(members))
            np.matmul(theirs[first : first + _BLOCK][: len(block)], theirs.T, out=products)
            near = np.flatnonzero(products.ravel() >= 1 - limit - TOLERANCE)
            query, found = near // len(members), near % len(members)
            crowded = few is not None and len(near) > few * len(block)
            if few is not None and crowded:
                query, found = _nearest(products, query, found, few)
            one, other = block[query], members[found]
            different = one != other
            # Both at home here: the pair appears twice. One visits: it may appear there as well.
            both = found < len(homes)
            there = cells[other, 0]
            twice = (cells[one] == there[:, None]).any(axis=1)
            once = np.where(both, one < other, ~twice | (number < there))
            # Of two images in a crowd, only one may be among the nearest of the other.
            kept = np.flatnonzero(different & (once | crowded))
            yield one[kept], other[kept]


def _nearest(products: np.ndarray, query: np.ndarray, found: np.ndarray, count: int) -> Rows:
    """Return the pairs of each query with only the nearest of what was found, itself included."""
    order = np.lexsort((-products[query, found], query))
    query, found = query[order], found[order]
    place = np.arange(len(query)) - np.searchsorted(query, query)
    kept = place <= count
    return query[kept], found[kept]


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
