"""Treatments of embeddings before a linear layer, which can be folded into the layer."""

from dataclasses import dataclass

import numpy as np
import torch

from embedkit.classify.heads.examples import Examples
from embedkit.classify.heads.linear import L2, RAW, Linear

STANDARDISED = "standardised"
TREATMENTS = (RAW, L2, STANDARDISED)
"""The treatments, in this order: embeddings before normalising; L2-normalised embeddings;
L2-normalised embeddings whose columns are standardised."""

_BLOCK = 1 << 13
_CONSTANT = 1e-6
"""Maximum standard deviation of a constant column, as a share of its mean: the rounding error of
float32."""


@dataclass(frozen=True)
class Treated:
    """Treated features: ``rows = (features - shift) / scale``."""

    rows: torch.Tensor
    """float32 (N, dim + 1): columns of mean 0, and ones for the intercept."""
    shift: np.ndarray
    """float64 (dim,)."""
    scale: np.ndarray
    """float64 (dim,): 1 unless the features are standardised."""
    power: float
    """Mean squared length of the rows, without the column of ones."""
    features: str
    """The embeddings that ``shift`` and ``scale`` apply to: :data:`RAW` or :data:`L2`."""

    def fold(self, parameters: torch.Tensor) -> Linear:
        """Return the layer on features that is equivalent to a layer on the rows.

        ``parameters`` are those of the layer on the rows: float64 (classes, dim + 1), the intercept
        last.
        """
        exact = parameters.numpy()
        weights = exact[:, :-1] / self.scale
        bias = exact[:, -1] - weights @ self.shift
        return Linear(weights.astype(np.float32), bias.astype(np.float32), self.features)


def treat(
    examples: Examples, treatment: str, device: torch.device, among: np.ndarray | None = None
) -> Treated:
    """Return the features of examples under one of :data:`TREATMENTS`, on a device.

    These are the examples ``among``, int64 (n,), all by default.
    Centring only changes the intercept. A constant column is not scaled and becomes 0, as in
    scikit-learn's ``StandardScaler``.
    """
    features = RAW if treatment == RAW else L2
    dim = examples.vectors.shape[1]
    count = len(examples) if among is None else len(among)
    parts = [slice(start, start + _BLOCK) for start in range(0, count, _BLOCK)]

    def block(part: slice) -> np.ndarray:
        found = part if among is None else among[part]
        vectors = examples.vectors[found]
        return vectors * examples.norms[found, None] if features == RAW else vectors

    total = sum((block(part).sum(0, dtype=np.float64) for part in parts), np.zeros(dim))
    shift = (total / count).astype(np.float32)
    rows = torch.ones(count, dim + 1, device=device)
    squares = np.zeros(dim)
    for part in parts:
        centred = block(part) - shift
        squares += np.square(centred, dtype=np.float64).sum(0)
        rows[part, :-1] = torch.from_numpy(centred).to(device)
    scale = np.ones(dim, np.float32)
    if treatment == STANDARDISED:
        deviation = np.sqrt(squares / count)
        varies = deviation > _CONSTANT * np.abs(shift)
        scale[varies] = deviation[varies]
        rows[:, :-1] /= torch.from_numpy(scale).to(device)
    power = float(np.sum(squares / count / np.square(scale, dtype=np.float64)))
    return Treated(rows, shift.astype(np.float64), scale.astype(np.float64), power, features)
