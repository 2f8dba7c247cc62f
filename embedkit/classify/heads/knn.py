"""The nearest training photos vote: DINOv2's protocol (Oquab et al. 2023, after Wu et al. 2018)."""

from dataclasses import dataclass

import numpy as np

from embedkit.classify.heads.calibration import nll
from embedkit.classify.heads.gallery import Gallery
from embedkit.classify.heads.linear import Features

NEIGHBOURS = (10, 20, 100, 200)
"""The numbers of neighbours that the protocol tries."""
TEMPERATURE = 0.07

_FLOOR = 1e-6
"""The share of the votes that a class without any has: no class is impossible."""


@dataclass(frozen=True)
class Neighbours:
    """A classifier by the ``k`` nearest photos of a gallery."""

    gallery: Gallery
    classes: int
    k: int

    def scores(self, features: Features) -> np.ndarray:
        """The logarithm of each class's share of the votes: float64 (N, C)."""
        rows, distances = self.gallery.nearest(features.vectors, self.k)
        return _scores(distances, self.gallery.labels[rows], self.classes)


def fit_neighbours(
    gallery: Gallery, classes: int, val: Features, val_labels: np.ndarray
) -> tuple[Neighbours, list[dict[str, float]]]:
    """The number of neighbours of highest accuracy on validation, then of lowest NLL; all tried."""
    ks = sorted({min(k, len(gallery.labels)) for k in NEIGHBOURS})
    rows, distances = gallery.nearest(val.vectors, ks[-1])
    labels = gallery.labels[rows]
    tried = []
    for k in ks:
        scores = _scores(distances[:, :k], labels[:, :k], classes)
        accuracy = float((scores.argmax(axis=1) == val_labels).mean())
        tried.append({"k": k, "accuracy": accuracy, "nll": nll(scores, val_labels)})
    best = min(tried, key=lambda one: (-one["accuracy"], one["nll"], one["k"]))
    return Neighbours(gallery, classes, int(best["k"])), tried


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
