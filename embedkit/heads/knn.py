"""The nearest training photos vote: DINOv2's protocol (Oquab et al. 2023, after Wu et al. 2018)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from embedkit.heads.calibration import nll
from embedkit.heads.linear import Features
from embedkit.index.exact import nearest_with_products

NEIGHBOURS = (10, 20, 100, 200)
"""The numbers of neighbours that the protocol tries."""
TEMPERATURE = 0.07

_FLOOR = 1e-6
"""The share of the votes that a class without any has: no class is impossible."""
_ROWS = 4_096


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
        found = np.empty((len(features), self.classes))
        for part, distances, labels in self._neighbours(features.vectors):
            found[part] = _scores(distances, labels, self.classes)
        return found

    def _neighbours(self, asked: np.ndarray) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Distances and labels of the k nearest, (Q, k), nearest first, a block of rows at a time.

        Of equally near ones those come first that come first in ``vectors``.
        """
        known = np.asarray(self.vectors, np.float32)
        for start in range(0, len(asked), _ROWS):
            part = slice(start, start + _ROWS)
            products, rows = nearest_with_products(asked[part], known, self.k)
            order = np.lexsort((rows, -products))
            rows = np.take_along_axis(rows, order, 1)
            yield part, 1 - np.take_along_axis(products, order, 1), self.labels[rows]


def fit_neighbours(
    vectors: np.ndarray,
    labels: np.ndarray,
    classes: int,
    val: Features,
    val_labels: np.ndarray,
) -> tuple[Neighbours, list[dict[str, float]]]:
    """The number of neighbours of highest accuracy on validation, then of lowest NLL; all tried."""
    ks = sorted({min(k, len(labels)) for k in NEIGHBOURS})
    widest = Neighbours(vectors, labels, classes, ks[-1])
    of_k = {k: np.empty((len(val), classes)) for k in ks}
    for part, distances, near in widest._neighbours(val.vectors):
        for k, scores in of_k.items():
            scores[part] = _scores(distances[:, :k], near[:, :k], classes)
    tried = [
        {
            "k": k,
            "accuracy": float(np.mean(scores.argmax(1) == val_labels)),
            "nll": nll(scores, val_labels),
        }
        for k, scores in of_k.items()
    ]
    best = min(tried, key=lambda one: (-one["accuracy"], one["nll"], one["k"]))
    return replace(widest, k=int(best["k"])), tried


def votes(distances: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """What each class gets of its neighbours: float64 (Q, classes).

    ``distances`` (Q, k) and ``labels`` int64 (Q, k) are the neighbours'. Each votes in proportion
    to the softmax of its cosine at temperature 0.07; the nearest has one vote.
    """
    weights = np.exp((distances.min(1, keepdims=True) - distances) / TEMPERATURE)
    places = labels + classes * np.arange(len(labels))[:, None]
    counted = np.bincount(places.ravel(), weights.ravel(), minlength=len(labels) * classes)
    return counted.reshape(len(labels), classes)


def _scores(distances: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    shares = votes(distances, labels, classes)
    return np.asarray(np.log(shares / shares.sum(axis=1, keepdims=True) + _FLOOR))
