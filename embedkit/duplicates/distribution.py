"""The distribution of the distances between embeddings of a collection."""

from dataclasses import dataclass
from math import comb, erfc, sqrt

import numpy as np

from embedkit.duplicates.evidence import ImageEmbeddings

_SAMPLE = 300  # images whose distances to others are sampled
_OTHERS = 50_000  # maximum number of others
_SEED = 0


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
