"""A linear classifier of embeddings, however it was found."""

from dataclasses import dataclass

import numpy as np

RAW = "raw"
"""Embeddings as they were before normalising: vector times norm."""
L2 = "l2"
"""Embeddings as they are stored: L2-normalised."""


@dataclass(frozen=True)
class Features:
    """Embeddings of images, and their norms before normalising."""

    vectors: np.ndarray
    """float32 (N, dim), L2-normalised."""
    norms: np.ndarray
    """float32 (N,)"""

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, rows: np.ndarray) -> "Features":
        return Features(self.vectors[rows], self.norms[rows])


@dataclass(frozen=True)
class Linear:
    """A linear layer on embeddings; the softmax of what it gives are probabilities."""

    weights: np.ndarray
    """float32 (classes, dim)."""
    bias: np.ndarray
    """float32 (classes,)."""
    features: str
    """What it multiplies: :data:`RAW` or :data:`L2`."""

    def logits(self, vectors: np.ndarray, norms: np.ndarray) -> np.ndarray:
        """float32 (N, classes) for stored embeddings, float32 (N, dim), and their norms (N,)."""
        products = vectors @ self.weights.T
        if self.features == RAW:
            products *= norms[:, None]
        return np.asarray(products + self.bias)

    def scores(self, features: Features) -> np.ndarray:
        """Log-probabilities up to a constant of each row: float64 (N, classes)."""
        return self.logits(features.vectors, features.norms).astype(np.float64)

    def predict_proba(self, vectors: np.ndarray, norms: np.ndarray) -> np.ndarray:
        """Probabilities, float64 (N, classes), of embeddings as :meth:`logits` takes them."""
        return softmax(self.logits(vectors, norms))


def softmax(logits: np.ndarray) -> np.ndarray:
    """float64 (N, classes): rows sum to 1."""
    exact = logits.astype(np.float64)
    exact -= exact.max(1, keepdims=True)
    np.exp(exact, out=exact)
    exact /= exact.sum(1, keepdims=True)
    return exact
