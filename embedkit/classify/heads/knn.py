"""k-nearest-neighbour heads by DINOv2's protocol (Oquab et al. 2023, after Wu et al. 2018)."""

from dataclasses import dataclass

import numpy as np

from embedkit.classify.heads.gallery import Gallery
from embedkit.classify.heads.linear import Features
from embedkit.classify.heads.probabilities import log_softmax, negative_log_likelihood

NEIGHBOURS = (10, 20, 100, 200)
"""Values of k that the protocol tries."""
TEMPERATURE = 0.07

MIN_SHARE = 1e-6
"""Share of the votes that every class gets in addition, so that no probability is 0."""


@dataclass(frozen=True)
class Neighbours:
    """A classifier by the votes of the ``k`` nearest photos of a gallery."""

    gallery: Gallery
    classes: int
    """Number of classes."""
    k: int

    def scores(self, features: Features) -> np.ndarray:
        """Return the logarithm of each class's share of the votes: float64 (N, classes)."""
        rows, distances = self.gallery.nearest(features.vectors, self.k)
        return _scores(distances, self.gallery.labels[rows], self.classes)


def fit_neighbours(
    gallery: Gallery, classes: int, val: Features, val_labels: np.ndarray
) -> tuple[Neighbours, list[dict[str, float]]]:
    """Select k on the validation set; return the classifier and the metrics of every k.

    Selects the highest validation accuracy; ties are broken by the lowest negative log-likelihood,
    then by the smallest k.
    """
    ks = sorted({min(k, len(gallery.labels)) for k in NEIGHBOURS})
    rows, distances = gallery.nearest(val.vectors, ks[-1])
    labels = gallery.labels[rows]
    tried = []
    for k in ks:
        scores = _scores(distances[:, :k], labels[:, :k], classes)
        accuracy = float((scores.argmax(axis=1) == val_labels).mean())
        nll = negative_log_likelihood(log_softmax(scores), val_labels)
        tried.append({"k": k, "accuracy": accuracy, "nll": nll})
    best = min(tried, key=lambda trial: (-trial["accuracy"], trial["nll"], trial["k"]))
    return Neighbours(gallery, classes, int(best["k"])), tried


def votes(distances: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the votes for each class: float64 (Q, classes).

    ``distances`` (Q, k) and ``labels``, int64 (Q, k), are those of the neighbours. A vote is
    proportional to the softmax of the neighbour's cosine at temperature 0.07; the vote of the
    nearest is 1.
    """
    weights = np.exp((distances.min(1, keepdims=True) - distances) / TEMPERATURE)
    cells = labels + classes * np.arange(len(labels))[:, None]
    counted = np.bincount(cells.ravel(), weights.ravel(), minlength=len(labels) * classes)
    return counted.reshape(len(labels), classes)


def _scores(distances: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    shares = votes(distances, labels, classes)
    return np.asarray(np.log(shares / shares.sum(axis=1, keepdims=True) + MIN_SHARE))
