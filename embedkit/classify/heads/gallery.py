"""The training photos whose embeddings a head keeps, to find those nearest to a photo."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from embedkit._internal.cores import usable_cores
from embedkit.index.exact import nearest_with_products

if TYPE_CHECKING:
    import faiss

MAX_PHOTOS = 16_000
"""Maximum number of photos in a gallery, drawn at random, unless the head needs them all. Searching
so many takes about 4 ms for one photo, with 1280 dimensions."""
NEAREST = 5
"""Number of nearest training photos that the neighbour distance averages over."""

_BLOCK = 4_096
_FEW = 8
"""Maximum number of photos that are compared with the float16 vectors as they are. For more, one
conversion to float32 and a matrix product are faster."""
_LARGE = 1 << 22
"""Number of values above which reading half as many bytes is worth the import of FAISS."""
_SEED = 0


def sampled_rows(count: int, max_photos: int = MAX_PHOTOS) -> np.ndarray:
    """Return the rows of ``count`` training photos that a gallery keeps: int64, sorted."""
    return np.sort(np.random.default_rng(_SEED).permutation(count)[:max_photos])


@dataclass(frozen=True)
class Gallery:
    """Training photos of a head: embeddings, digests and class numbers."""

    vectors: np.ndarray
    """L2-normalised embeddings: float16 (G, dim)."""
    sha256: np.ndarray
    """SHA-256 of the photos: uint8 (G, 32)."""
    labels: np.ndarray
    """Class numbers: int64 (G,)."""

    @classmethod
    def sample(
        cls, vectors: np.ndarray, sha256: np.ndarray, labels: np.ndarray, max_photos: int
    ) -> "Gallery":
        """Return at most ``max_photos`` of N photos, in their order.

        ``vectors`` is (N, dim), ``sha256`` (N, 32) and ``labels`` (N,).
        """
        rows = sampled_rows(len(labels), max_photos)
        return cls(vectors[rows].astype(np.float16), sha256[rows], labels[rows])

    def nearest(self, vectors: np.ndarray, k: int = NEAREST) -> tuple[np.ndarray, np.ndarray]:
        """Return the ``k`` rows nearest to each of ``vectors`` (N, dim), and their distances.

        Both are (N, k), nearest first; equally near rows are in the order of the gallery.
        """
        k = min(k, len(self.labels))
        if 0 < len(vectors) <= _FEW and self.vectors.size > _LARGE:
            return _nearest_first(*self._float16_index.search(vectors, k))
        rows, distances = np.empty((len(vectors), k), np.int64), np.empty((len(vectors), k))
        for start in range(0, len(vectors), _BLOCK):
            part = slice(start, start + _BLOCK)
            products, found = nearest_with_products(vectors[part], self._float32_vectors, k)
            rows[part], distances[part] = _nearest_first(products, found)
        return rows, distances

    @cached_property
    def _float32_vectors(self) -> np.ndarray:
        return self.vectors.astype(np.float32)

    @cached_property
    def _float16_index(self) -> "faiss.IndexShards":
        """An index of the vectors, float16, that one query searches on all cores."""
        import faiss

        dim = self.vectors.shape[1]
        index = faiss.IndexShards(dim, True)
        for part in np.array_split(self.vectors, usable_cores()):
            shard = faiss.IndexScalarQuantizer(
                dim, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
            )
            for start in range(0, len(part), _BLOCK):
                shard.add(part[start : start + _BLOCK].astype(np.float32))
            index.add_shard(shard)
        return index


def _nearest_first(products: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and the distances of inner products, both (N, k), nearest first."""
    order = np.lexsort((rows, -products))
    nearest = np.take_along_axis(products, order, axis=1)
    return np.take_along_axis(rows, order, axis=1), np.maximum(0, 1 - nearest)
