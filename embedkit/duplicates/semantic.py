"""Pairs of images with near embeddings."""

from collections.abc import Iterator

import numpy as np

from embedkit.duplicates.cells import PROBED, Probe, make_cells, sampled_rows
from embedkit.duplicates.evidence import ImageEmbeddings
from embedkit.duplicates.near import cell_pairs
from embedkit.duplicates.screening import Rows
from embedkit.results import Progress, ProgressCallback

EXACT_UP_TO = 200_000
"""Maximum number of embeddings for which one machine compares all pairs, and of a collection whose
crowds keep all pairs."""
SEARCHED_NEIGHBOURS = 32
"""Number of nearest neighbours that each image of a crowd keeps in larger collections."""

_BLOCK = 2048
_TOLERANCE = 1e-5
"""Upper bound of the error of float32 inner products."""
_VISITS = 1 << 22
"""Number of visits of images to cells that are sorted at a time."""


def pairs_by_embedding(
    embeddings: ImageEmbeddings, limit: float, progress: ProgressCallback
) -> tuple[Rows, float]:
    """Return the pairs of images with a distance of at most ``limit``, and the recall.

    All images have ``embeddings``. Up to :data:`EXACT_UP_TO` images, all pairs are compared (recall
    1); above, those in coarse cells, as in a store. The recall is then the share of such pairs of
    some sampled images. The distance of some pairs may be slightly above the limit.
    """
    if len(embeddings.rows) <= EXACT_UP_TO:
        units = _units(embeddings, np.arange(len(embeddings.rows)))
        return _all_pairs(units, limit, progress), 1.0
    cells, recall = _nearest_cells(embeddings, limit, progress)
    found = [(np.empty(0, np.int64), np.empty(0, np.int64))]
    found += _pairs_in_cells(embeddings, cells, limit, progress)
    first, second = (np.concatenate(side) for side in zip(*found, strict=True))
    return (first, second), recall


def _nearest_cells(
    embeddings: ImageEmbeddings, limit: float, progress: ProgressCallback
) -> tuple[np.ndarray, float]:
    """Return the nearest cells of all images, int32 (N, V), and the recall of their pairs."""
    rows, vectors = embeddings.rows, embeddings.vectors
    count = len(rows)
    progress(Progress("dividing embeddings"))
    sampled = sampled_rows(count)
    sample = np.asarray(vectors[rows[sampled]], np.float32)
    cells = make_cells(sample, count, parts=1)
    probed = sample[:PROBED]
    probe = Probe(sampled[:PROBED], probed, cells.nearest(probed), limit)
    nearest = np.empty((count, cells.visited), np.int32)
    near = found = 0
    for start in range(0, count, _BLOCK):
        progress(Progress("placing embeddings", start, count))
        block = np.arange(start, min(start + _BLOCK, count))
        some = np.asarray(vectors[rows[block]], np.float32)
        nearest[block] = cells.nearest(some)
        of_block = probe.count(block, some, nearest[block])
        near, found = near + of_block[0], found + of_block[1]
    return nearest, found / near if near else 1.0


def _pairs_in_cells(
    embeddings: ImageEmbeddings, cells: np.ndarray, limit: float, progress: ProgressCallback
) -> Iterator[Rows]:
    count = int(cells.max()) + 1
    at_a_time = max(1, _VISITS * count // cells.size)
    for start in range(0, count, at_a_time):
        progress(Progress("comparing embeddings", start, count))
        yield from cell_pairs(
            lambda rows: _units(embeddings, rows),
            cells,
            np.arange(start, min(start + at_a_time, count), dtype=np.int32),
            1 - limit - _TOLERANCE,
            SEARCHED_NEIGHBOURS,
        )


def _units(embeddings: ImageEmbeddings, images: np.ndarray) -> np.ndarray:
    """Return the embeddings of images as vectors of length 1, which half precision does not keep:
    float32 (n, dim)."""
    units = np.array(embeddings.vectors[embeddings.rows[images]], np.float32)
    units /= np.sqrt(np.einsum("ni,ni->n", units, units))[:, None]
    return units


def _all_pairs(vectors: np.ndarray, limit: float, progress: ProgressCallback) -> Rows:
    count = len(vectors)
    firsts, seconds = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for start in range(0, count, _BLOCK):
        progress(Progress("comparing embeddings", start, count))
        block = vectors[start : start + _BLOCK]
        for other in range(start, count, _BLOCK):
            products = block @ vectors[other : other + _BLOCK].T
            row, column = np.nonzero(products >= 1 - limit - _TOLERANCE)
            later = column + other > row + start
            firsts.append(row[later] + start)
            seconds.append(column[later] + other)
    return np.concatenate(firsts), np.concatenate(seconds)
