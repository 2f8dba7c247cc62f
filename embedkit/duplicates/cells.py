"""Coarse cells of embeddings, in which near ones are looked for, and their division into parts.

Vectors are assigned to the nearest of some centroids, as in the inverted lists of an index. Near
vectors mostly share a cell; so that copies at an edge are found too, each vector also visits the
cells of the next nearest centroids. Neighbouring cells share a part.
"""

from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from threadpoolctl import threadpool_limits

from embedkit._internal.cores import usable_cores
from embedkit.duplicates.distribution import sampled_places

MIN_VISITED, MAX_VISITED = 5, 16
"""Number of nearest cells in which the copies of an image are looked for, its own included."""
_VISITED_AT_A_MILLION = 7.1
"""Number of cells that the images of a collection of a million visit, before it is rounded."""
CELLS_PER_ROOT = 2.0
"""Number of cells, per square root of the number of images: finding the cell of an image then takes
about as long as comparing it with the images there."""
SAMPLE_PER_CELL = 16
"""Number of sampled vectors per cell from which the centroids are computed."""
PART_BYTES = 256 << 20
"""Size of the images of a part, those that visit it included."""
_COPIES = 2.2
"""Average number of parts that an image is in, for the size of parts."""
PROBED = 256
"""Number of sampled images that are compared with all others, to measure the recall."""
_ITERATIONS = 8


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of a store's embeddings."""

    centroids: np.ndarray
    """float32 (C, dim), of length 1."""
    part: np.ndarray
    """int16 (C,): the part of each cell."""
    visited: int
    """Number of cells in which the copies of an image are looked for."""

    def nearest(self, vectors: np.ndarray) -> np.ndarray:
        """Return the nearest cells of vectors (n, dim), the nearest first: int32 (n, visited).

        -1 fills the row where there are fewer cells.
        """
        import faiss

        index = faiss.IndexFlatIP(self.centroids.shape[1])
        index.add(self.centroids)
        _, found = index.search(vectors, self.visited)
        return np.asarray(found, np.int32)


@dataclass(frozen=True, eq=False)
class Probe:
    """Sampled images that are compared with all others, to measure how many pairs cells find."""

    numbers: np.ndarray
    """int64 (Q,): their numbers."""
    vectors: np.ndarray
    """float32 (Q, dim)."""
    cells: np.ndarray
    """int32 (Q, V)."""
    distance: float
    """Maximum distance of the pairs."""

    def count(self, others: np.ndarray, vectors: np.ndarray, cells: np.ndarray) -> tuple[int, int]:
        """Return the number of near pairs with other images, and how many the cells find."""
        near = np.flatnonzero((self.vectors @ vectors.T).ravel() >= 1 - self.distance)
        query, row = near // len(vectors), near % len(vectors)
        different = self.numbers[query] != others[row]
        query, row = query[different], row[different]
        found = (self.cells[query] == cells[row][:, :1]).any(axis=1)
        found |= (cells[row] == self.cells[query][:, :1]).any(axis=1)
        return len(query), int(found.sum())


def cell_count(images: int) -> int:
    """Return the number of cells for a number of embedded images."""
    return max(1, round(CELLS_PER_ROOT * sqrt(images)))


def visited_count(images: int) -> int:
    """Return in how many cells the copies of an image are looked for among embedded images.

    The number of images that one is compared with then grows with the fourth root of all, up to
    some millions of images, and with the square root of more.
    """
    wanted = _VISITED_AT_A_MILLION * (1e6 / max(1, images)) ** 0.25
    return int(min(max(MIN_VISITED, round(wanted)), MAX_VISITED))


def sampled_rows(count: int) -> np.ndarray:
    """Return the rows, among ``count`` embedded images, from which cells are computed: int64 (S,).

    The first ones are those of :func:`embedkit.duplicates.distribution.sampled_places`.
    """
    rows = sampled_places(count)
    size = SAMPLE_PER_CELL * cell_count(count)
    if size <= len(rows):
        return rows
    more = np.random.default_rng(1).choice(count, min(size, count), replace=False)
    return np.concatenate([rows, np.setdiff1d(more, rows)])


def part_count(images: int, row_bytes: int, workers: int) -> int:
    """Return the number of parts of images that take ``row_bytes`` each."""
    enough = ceil(images * row_bytes * _COPIES / PART_BYTES)
    return int(min(max(enough, 2 * workers), np.iinfo(np.int16).max))


def make_cells(sample: np.ndarray, images: int, parts: int) -> Cells:
    """Return the cells of ``images`` embeddings, computed from a sample (S, dim)."""
    import faiss

    count = min(cell_count(images), len(sample))
    clustering = faiss.Kmeans(
        sample.shape[1],
        count,
        niter=_ITERATIONS,
        seed=0,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=max(SAMPLE_PER_CELL, len(sample) // count + 1),
    )
    with threadpool_limits(usable_cores()):  # FAISS was not loaded when the workers were limited
        clustering.train(sample)
    centroids = np.asarray(clustering.centroids, np.float32)
    _, nearest = clustering.index.search(sample, 1)
    loads = np.bincount(nearest[:, 0], minlength=count) + 1.0
    part = np.empty(count, np.int16)
    _bisect(centroids, loads, np.arange(count), 0, parts, part)
    return Cells(centroids, part, visited_count(images))


def _bisect(
    centroids: np.ndarray,
    loads: np.ndarray,
    cells: np.ndarray,
    first: int,
    parts: int,
    part: np.ndarray,
) -> None:
    """Divide cells into parts with equal loads, along the direction in which they differ most."""
    if parts == 1 or len(cells) <= 1:
        part[cells] = first
        return
    centred = centroids[cells] - centroids[cells].mean(axis=0)
    direction = np.linalg.svd(centred, full_matrices=False)[2][0]
    ordered = cells[np.argsort(centred @ direction, kind="stable")]
    share = np.cumsum(loads[ordered]) / loads[ordered].sum()
    left = parts // 2
    split = int(np.clip(np.searchsorted(share, left / parts) + 1, 1, len(ordered) - 1))
    _bisect(centroids, loads, ordered[:split], first, left, part)
    _bisect(centroids, loads, ordered[split:], first + left, parts - left, part)
