"""The training photos that a head keeps the embeddings of, to give as reasons."""

from dataclasses import dataclass

import numpy as np

from embedkit.index.metric import cross_distances

MOST = 20_000
"""Photos that are kept, drawn at random, where a head does not need them all."""
NEAREST = 5
"""Training photos that say how far a photo is from all of them."""

_ROWS = 1_024
_SEED = 0


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
        rows = np.sort(np.random.default_rng(_SEED).permutation(len(labels))[:most])
        return cls(vectors[rows].astype(np.float16), sha256[rows], labels[rows])

    def nearest(self, vectors: np.ndarray, k: int = NEAREST) -> tuple[np.ndarray, np.ndarray]:
        """The ``k`` nearest rows for each of ``vectors`` (N, dim), and their distances: (N, k)."""
        k = min(k, len(self.labels))
        rows, away = np.empty((len(vectors), k), np.int64), np.empty((len(vectors), k))
        kept = self.vectors.astype(np.float32)
        for start in range(0, len(vectors), _ROWS):
            part = slice(start, start + _ROWS)
            found = cross_distances(vectors[part], kept)
            rows[part] = np.argsort(found, axis=1, kind="stable")[:, :k]
            away[part] = np.take_along_axis(found, rows[part], axis=1)
        return rows, away
