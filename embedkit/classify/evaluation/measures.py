"""Figures of one head, from class numbers and probabilities."""

import numpy as np

TOP = (1, 3, 5)
_LEAST = float(np.finfo(np.float64).eps)


def macro_figures(
    truth: np.ndarray, predicted: np.ndarray, classes: int, weights: np.ndarray
) -> list[float]:
    """Accuracy, and precision, recall and F as means over the classes (macro averages).

    ``truth`` and ``predicted`` are int64 (N,), ``weights`` says how often each photo counts, (N,).
    F is the mean of the classes' F, as in table 1 of Doi (2018): its F of 0.9550 for a precision of
    0.9557 and a recall of 0.9550 is not their harmonic mean.
    """
    right = truth == predicted
    hits = np.bincount(truth[right], weights[right], classes)
    support = np.bincount(truth, weights, classes)
    rates = class_rates(hits, support, np.bincount(predicted, weights, classes))
    means = rates[:, support > 0].mean(1)
    return [float(hits.sum() / support.sum()), *means.tolist()]


def class_rates(hits: np.ndarray, support: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Precision, recall and F of each class: float64 (3, C), NaN where ``support`` is 0.

    Given of each class the photos that are rightly taken for it, its photos, and those taken for
    it, each (C,). A class that nothing is taken for has the precision 0.
    """
    rates = np.stack(
        [
            hits / np.maximum(predicted, 1),
            hits / np.maximum(support, 1),
            2 * hits / np.maximum(support + predicted, 1),
        ]
    )
    rates[:, support == 0] = np.nan
    return rates


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """How many photos of each class (row) are taken for each class (column): int64 (C, C)."""
    cells = np.bincount(truth * classes + predicted, minlength=classes**2)
    return cells.reshape(classes, classes)


def top_k_accuracies(truth: np.ndarray, probabilities: np.ndarray) -> dict[int, float]:
    """Share of photos whose class is among the k most probable, for those k of 1, 3, 5 below C.

    Of equal probabilities the first class counts as more probable, as for the prediction, so that
    the first figure is the accuracy.
    """
    own = probabilities[np.arange(len(truth)), truth][:, None]
    earlier = np.arange(probabilities.shape[1]) < truth[:, None]
    before = ((probabilities > own) | ((probabilities == own) & earlier)).sum(1)
    return {k: float((before < k).mean()) for k in TOP if k < probabilities.shape[1]}


def negative_log_likelihood(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of -log of the probability of each photo's class, nats.

    A probability of 0 counts as 2.2e-16, as in scikit-learn's ``log_loss``: such a photo costs 36.
    """
    own = probabilities[np.arange(len(truth)), truth].astype(np.float64)
    return float(-np.log(np.clip(own, _LEAST, 1.0)).mean())
