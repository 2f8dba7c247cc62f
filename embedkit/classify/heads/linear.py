"""A linear classifier of embeddings."""

from dataclasses import dataclass

import numpy as np

from embedkit.classify.heads.probabilities import softmax

RAW = "raw"
"""Embeddings before normalising: vector times norm."""
L2 = "l2"
"""Embeddings as they are stored: L2-normalised."""


@dataclass(frozen=True)
class Features:
    """Embeddings of images and their norms before normalising."""

    vectors: np.ndarray
    """L2-normalised embeddings: float32 (N, dim)."""
    norms: np.ndarray
    """Norms of the embeddings before normalising: float32 (N,)."""

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, rows: np.ndarray) -> "Features":
        return Features(self.vectors[rows], self.norms[rows])


@dataclass(frozen=True)
class Linear:
    """A linear layer on embeddings; the softmax of its output gives class probabilities."""

    weights: np.ndarray
    """float32 (classes, dim)."""
    bias: np.ndarray
    """float32 (classes,)."""
    features: str
    """Which embeddings the layer takes: :data:`RAW` or :data:`L2`."""

    def logits(self, vectors: np.ndarray, norms: np.ndarray) -> np.ndarray:
        """Return logits, float32 (N, classes).

        ``vectors`` are L2-normalised embeddings, float32 (N, dim), ``norms`` their norms (N,).
        """
        products = vectors @ self.weights.T
        if self.features == RAW:
            products *= norms[:, None]
        return np.asarray(products + self.bias)

    def scores(self, features: Features) -> np.ndarray:
        """Return log-probabilities, up to a constant for each row: float64 (N, classes)."""
        return self.logits(features.vectors, features.norms).astype(np.float64)

    def predict_proba(self, vectors: np.ndarray, norms: np.ndarray) -> np.ndarray:
        """Return probabilities, float64 (N, classes); arguments as for :meth:`logits`."""
        return softmax(self.logits(vectors, norms))
