"""Metrics of one head, computed from class numbers and probabilities."""

import numpy as np

TOP_K = (1, 3, 5)
_EPS = float(np.finfo(np.float64).eps)


def macro_metrics(
    truth: np.ndarray, predicted: np.ndarray, classes: int, weights: np.ndarray
) -> list[float]:
    """Return accuracy and the macro averages of precision, recall and F.

    ``truth`` and ``predicted`` are int64 (N,); ``weights`` (N,) is how often each photo counts. The
    average of F is the mean over the classes, as in table 1 of Doi (2018): its F of 0.9550 for a
    precision of 0.9557 and a recall of 0.9550 is not their harmonic mean.
    """
    right = truth == predicted
    hits = np.bincount(truth[right], weights[right], classes)
    support = np.bincount(truth, weights, classes)
    rates = class_rates(hits, support, np.bincount(predicted, weights, classes))
    means = rates[:, support > 0].mean(1)
    return [float(hits.sum() / support.sum()), *means.tolist()]


def class_rates(hits: np.ndarray, support: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return precision, recall and F of each class: float64 (3, C), NaN where ``support`` is 0.

    ``hits`` are the correct predictions of each class, ``support`` its photos and ``predicted`` its
    predictions, each (C,). The precision of a class that is never predicted is 0.
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
    """Return the number of photos by true (row) and predicted class (column): int64 (C, C)."""
    cells = np.bincount(truth * classes + predicted, minlength=classes**2)
    return cells.reshape(classes, classes)


def top_k_accuracies(truth: np.ndarray, probabilities: np.ndarray) -> dict[int, float]:
    """Return the share of photos whose class is among the k most probable, for k = 1, 3, 5 below C.

    Of equally probable classes the first counts as more probable, as in the prediction, so that the
    metric for k = 1 is the accuracy.
    """
    of_truth = probabilities[np.arange(len(truth)), truth][:, None]
    earlier = np.arange(probabilities.shape[1]) < truth[:, None]
    rank = ((probabilities > of_truth) | ((probabilities == of_truth) & earlier)).sum(1)
    return {k: float((rank < k).mean()) for k in TOP_K if k < probabilities.shape[1]}


def clipped_logarithms(probabilities: np.ndarray) -> np.ndarray:
    """Return log-probabilities, float64 (N, C), for the negative log-likelihood.

    A probability of 0 counts as 2.2e-16, a loss of 36 nats, as in scikit-learn's ``log_loss``.
    """
    return np.asarray(np.log(np.clip(probabilities.astype(np.float64), _EPS, 1.0)))
