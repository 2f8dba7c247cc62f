"""A linear layer on embeddings: what a probe and a fine-tuned network's last layer both are."""

from dataclasses import dataclass

import numpy as np

L2, RAW = ON = ("l2", "raw")
"""What a layer is for: embeddings as they are stored, or times their norms, as the network gave
them."""


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

    def on(self, what: str) -> np.ndarray:
        """The features for a layer on :data:`L2` or :data:`RAW`: float32 (N, dim)."""
        return self.vectors if what == L2 else self.vectors * self.norms[:, None]


@dataclass(frozen=True)
class Linear:
    """A linear classifier: ``weights`` float32 (C, dim), ``bias`` float32 (C,), ``on`` features."""

    weights: np.ndarray
    bias: np.ndarray
    on: str

    def scores(self, features: Features) -> np.ndarray:
        """Log-probabilities up to a constant of each row: float64 (N, C)."""
        return np.asarray(features.on(self.on) @ self.weights.T + self.bias, np.float64)
