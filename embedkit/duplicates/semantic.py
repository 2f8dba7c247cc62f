"""Pairs of images with near embeddings, and the distribution of distances in a collection."""

from dataclasses import dataclass
from math import comb, erfc, sqrt

import numpy as np

from embedkit.duplicates.evidence import ImageEmbeddings
from embedkit.index.index import Index
from embedkit.results import Progress, ProgressCallback

EXACT_UP_TO = 200_000
"""Maximum number of embeddings for which all pairs are compared."""
SEARCHED_NEIGHBOURS = 32
"""Number of nearest neighbours that are searched for each image in larger collections."""

_BLOCK = 2048
_SAMPLE = 300  # images whose distances to others are sampled
_OTHERS = 50_000  # maximum number of others
_SEED = 0
_TOLERANCE = 1e-5
"""Upper bound of the error of float32 inner products."""


@dataclass(frozen=True)
class DistanceDistribution:
    """Cosine distances between embeddings of a collection, from a sample of its pairs."""

    distances: np.ndarray
    """float32 (S,): the sampled distances, sorted."""
    count: int
    """Number of images in the collection."""

    @property
    def median(self) -> float:
        """The median distance of two images; 0 for fewer than two images."""
        return float(self.distances[len(self.distances) // 2]) if len(self.distances) else 0.0

    def radius(self, neighbours: float) -> float:
        """Return the distance within which an image has ``neighbours`` others on average."""
        index = int(len(self.distances) * neighbours / max(1, self.count - 1))
        last = len(self.distances) - 1
        return float(self.distances[min(index, last)]) if len(self.distances) else 0.0

    def chance_pairs(self, limit: float) -> float:
        """Return the expected number of pairs within ``limit`` among unrelated images.

        Models distances of unrelated images as normal, with the median of the sample and the
        spread of its nearer half, on which copies have little influence.
        """
        if not len(self.distances):
            return 0.0
        # One standard deviation below the mean of a normal distribution.
        nearer = float(self.distances[int(0.1587 * len(self.distances))])
        deviations = (self.median - limit) / max(self.median - nearer, 1e-9)
        return comb(self.count, 2) * erfc(deviations / sqrt(2)) / 2


def sample_distances(embeddings: ImageEmbeddings) -> DistanceDistribution:
    """Sample the distances between the embedded images of a collection."""
    rows = embeddings.rows[embeddings.rows >= 0]
    sample = rows[sampled_places(len(rows))]
    return distances_of_sample(embeddings.vectors[sample], len(rows))


def sampled_places(count: int) -> np.ndarray:
    """Return the places, among ``count`` embedded images, of those that are sampled: int64 (S,)."""
    return np.random.default_rng(_SEED).permutation(count)[:_OTHERS]


def distances_of_sample(vectors: np.ndarray, count: int) -> DistanceDistribution:
    """Return the distances from the first of some sampled vectors (S, dim) to all of them.

    ``count`` is the number of images in the collection.
    """
    products = vectors[:_SAMPLE] @ vectors.T
    others = np.arange(len(products))[:, None] != np.arange(len(vectors))
    distances = np.clip(1 - products[others], 0, 2)
    return DistanceDistribution(np.sort(distances), count)


def pairs_by_embedding(
    index: Index,
    ids: np.ndarray,
    embeddings: ImageEmbeddings,
    limit: float,
    progress: ProgressCallback,
) -> tuple[tuple[np.ndarray, np.ndarray], float]:
    """Return pairs of positions in ``ids`` with a distance of at most ``limit``, and the recall.

    All images have ``embeddings``. Up to :data:`EXACT_UP_TO` images, all pairs are compared (recall
    1); above, only the nearest neighbours that the ``index`` returns.
    The distance of some pairs may be slightly above the limit.
    """
    rows, vectors = embeddings.rows, embeddings.vectors
    if len(rows) <= EXACT_UP_TO:
        units = vectors[rows]  # vectors in half precision are not quite of length 1
        units /= np.sqrt(np.einsum("ni,ni->n", units, units))[:, None]
        return _all_pairs(units, limit, progress), 1.0
    firsts, seconds = [], []
    order = np.argsort(ids)
    for start in range(0, len(rows), _BLOCK):
        progress(Progress("looking for neighbours", start, len(rows)))
        queries = np.arange(start, min(start + _BLOCK, len(rows)))
        found, distances = index.search(vectors[rows[queries]], SEARCHED_NEIGHBOURS)
        other = order[np.minimum(np.searchsorted(ids, found, sorter=order), len(order) - 1)]
        query, column = np.nonzero((distances <= limit) & (ids[other] == found))
        firsts.append(queries[query])
        seconds.append(other[query, column])
    return (np.concatenate(firsts), np.concatenate(seconds)), index.recall_at_10


def _all_pairs(
    vectors: np.ndarray, limit: float, progress: ProgressCallback
) -> tuple[np.ndarray, np.ndarray]:
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
