"""The training photos that a head keeps the embeddings of, to give as reasons."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from embedkit.index.exact import nearest_with_products

MOST = 20_000
"""Photos that are kept, drawn at random, where a head does not need them all."""
NEAREST = 5
"""Training photos that say how far a photo is from all of them."""

_ROWS = 4_096
_SEED = 0


def kept_rows(count: int, most: int = MOST) -> np.ndarray:
    """Which of ``count`` training photos a gallery of at most ``most`` keeps: int64, sorted."""
    return np.sort(np.random.default_rng(_SEED).permutation(count)[:most])


@dataclass(frozen=True)
class Gallery:
    """Embeddings, float16 (G, dim), of training photos; SHA-256, uint8 (G, 32); class numbers."""

    vectors: np.ndarray
    sha256: np.ndarray
    labels: np.ndarray
    """int64 (G,)"""

    @classmethod
    def of(
        cls, vectors: np.ndarray, sha256: np.ndarray, labels: np.ndarray, most: int = MOST
    ) -> "Gallery":
        """At most ``most`` of some training photos, (N, dim), (N, 32) and (N,), in their order."""
        rows = kept_rows(len(labels), most)
        return cls(vectors[rows].astype(np.float16), sha256[rows], labels[rows])

    def nearest(self, vectors: np.ndarray, k: int = NEAREST) -> tuple[np.ndarray, np.ndarray]:
        """The ``k`` nearest rows for each of ``vectors`` (N, dim), and their distances: (N, k).

        Nearest first; of equally near ones those that come first here.
        """
        k = min(k, len(self.labels))
        rows, away = np.empty((len(vectors), k), np.int64), np.empty((len(vectors), k))
        for start in range(0, len(vectors), _ROWS):
            part = slice(start, start + _ROWS)
            products, found = nearest_with_products(vectors[part], self._known, k)
            order = np.lexsort((found, -products))
            rows[part] = np.take_along_axis(found, order, axis=1)
            away[part] = np.maximum(0, 1 - np.take_along_axis(products, order, axis=1))
        return rows, away

    @cached_property
    def _known(self) -> np.ndarray:
        return self.vectors.astype(np.float32)
