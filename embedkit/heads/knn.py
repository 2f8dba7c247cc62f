"""The nearest training photos vote: DINOv2's protocol (Oquab et al. 2023, after Wu et al. 2018)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedkit.heads.calibration import nll
from embedkit.heads.linear import Features

KS = (10, 20, 100, 200)
"""The numbers of neighbours that the protocol tries."""
TEMPERATURE = 0.07

_FLOOR = 1e-6
"""The share of the votes that a class without any has: no class is impossible."""
_ROWS = 1_024


@dataclass(frozen=True)
class Neighbours:
    """A classifier by the ``k`` nearest of ``vectors``, (G, dim), whose classes are ``labels``."""

    vectors: np.ndarray
    labels: np.ndarray
    """int64 (G,)"""
    classes: int
    k: int

    def scores(self, features: Features) -> np.ndarray:
        """The logarithm of each class's share of the votes: float64 (N, C)."""
        (shares,) = votes(self.vectors, self.labels, self.classes, features.vectors, [self.k])
        return np.asarray(np.log(shares + _FLOOR))


def fit_neighbours(
    vectors: np.ndarray,
    labels: np.ndarray,
    classes: int,
    val: Features,
    val_labels: np.ndarray,
) -> tuple[Neighbours, list[dict[str, float]]]:
    """The number of neighbours of highest accuracy on validation, then of lowest NLL; all tried."""
    ks = sorted({min(k, len(labels)) for k in KS})
    tried = []
    for k, shares in zip(ks, votes(vectors, labels, classes, val.vectors, ks), strict=True):
        scores = np.log(shares + _FLOOR)
        accuracy = float((scores.argmax(axis=1) == val_labels).mean())
        tried.append({"k": k, "accuracy": accuracy, "nll": nll(scores, val_labels)})
    best = min(tried, key=lambda one: (-one["accuracy"], one["nll"], one["k"]))
    return Neighbours(vectors, labels, classes, int(best["k"])), tried


def votes(
    vectors: np.ndarray, labels: np.ndarray, classes: int, asked: np.ndarray, ks: Sequence[int]
) -> list[np.ndarray]:
    """For each of ``ks``, the classes' shares of the votes on ``asked`` (N, dim): float64 (N, C).

    Each of the k nearest votes for its class with the softmax of its cosine at temperature 0.07.
    Both arrays are L2-normalised. Time N G dim, memory a block of N by G.
    """
    known = vectors.astype(np.float32)
    found = [np.zeros((len(asked), classes)) for _ in ks]
    most = max(ks)
    for start in range(0, len(asked), _ROWS):
        cosines = asked[start : start + _ROWS] @ known.T
        nearest = np.argsort(-cosines, axis=1, kind="stable")[:, :most]
        near = np.take_along_axis(cosines, nearest, axis=1).astype(np.float64)
        weights = np.exp((near - near[:, :1]) / TEMPERATURE)
        rows = np.arange(start, start + len(cosines))[:, None]
        for k, shares in zip(ks, found, strict=True):
            np.add.at(
                shares,
                (np.broadcast_to(rows, near[:, :k].shape), labels[nearest[:, :k]]),
                weights[:, :k],
            )
    return [shares / shares.sum(axis=1, keepdims=True) for shares in found]
