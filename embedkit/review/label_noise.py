"""Estimate the number of wrong labels from out-of-fold probabilities.

Confident learning counts the photos that are, with confidence, of another class than their label
(Northcutt, Jiang & Chuang 2021). This number is too high when labels are right, because a probe
confuses classes that look alike. Therefore a mixture of three cases is fitted too: a right label; a
wrong label of any other class; and a wrong label of a class that the probe confuses with the right
one. The mixture assumes that errors do not depend on the photo. It recognises an error by a photo
about which the probe is certain, so it finds only a part of the errors that people make on photos
that are hard to tell apart.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedkit.classify.heads.probabilities import softmax
from embedkit.review.cross_validation import OutOfFold
from embedkit.review.label_errors import confident_errors

_PEOPLE = 5.0
"""Number of errors of people for each confusion that the mixture finds: 3.4 to 6.2 on CIFAR-10N
aggregate, about 2 on its noisier labels."""
_FEW = 10
"""Difference between the two numbers of errors that is too small for a note."""
_LOG_TEMPERATURES = (-2.0, 1.0)
_ITERATIONS = 200
_CONVERGED = 1e-6
_TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class ErrorEstimate:
    """Estimated number of wrong labels."""

    errors: int
    """The estimate: the smaller of ``confident`` and the number of errors that the mixture finds,
    with confusions counted five times."""
    confident: int
    """Number of photos that are, with confidence, of another class than their label: the mean over
    the members."""

    @property
    def is_uncertain(self) -> bool:
        """Whether the estimate is far below ``confident``, because some classes look alike."""
        return 2 * self.errors + _FEW < self.confident


def estimated_errors(members: Sequence[OutOfFold], labels: np.ndarray) -> ErrorEstimate:
    """Estimate the number of wrong labels among N photos.

    Parameters
    ----------
    members : sequence of OutOfFold
        Probabilities of the same photos in the same order.
    labels : ndarray
        Class numbers of the photos: int64 (N,).
    """
    rows = np.flatnonzero(np.logical_and.reduce([member.scored for member in members]))
    if not len(rows):
        return ErrorEstimate(0, 0)
    known, given = [member.probabilities[rows] for member in members], labels[rows]
    confident = float(np.mean([confident_errors(one, given).sum() for one in known]))
    logs = np.mean([np.log(np.maximum(one, _TINY)) for one in known], axis=0)
    uniform, confused = mixture_errors(logs, given)
    errors = min(confident, uniform + _PEOPLE * confused)
    return ErrorEstimate(round(errors), round(confident))


def mixture_errors(scores: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return the expected numbers of uniform errors and of confusions, by maximum likelihood.

    The probability of a label is a weighted sum of three: the probability of the class, which is
    the softmax of the scores at some temperature; the probability of a uniform error; and the
    probability of a confusion. The weights and the temperature are fitted.

    Parameters
    ----------
    scores : ndarray
        Log-probabilities, up to a constant for each photo: float64 (n, classes).
    labels : ndarray
        Class numbers: int64 (n,).
    """
    from scipy.optimize import minimize_scalar

    count, classes = scores.shape
    confusion = _confusion(softmax(scores))
    of_class = [np.flatnonzero(labels == number) for number in range(classes)]
    weights = np.array([0.9, 0.05, 0.05])

    def likelihoods(log_temperature: float) -> np.ndarray:
        probabilities = softmax(scores / np.exp(log_temperature))
        found = np.empty((count, 3))
        for number, rows in enumerate(of_class):
            found[rows, 0] = probabilities[rows, number]
            found[rows, 2] = probabilities[rows] @ confusion[:, number]
        found[:, 1] = (1 - found[:, 0]) / (classes - 1)
        return found + _TINY

    def loss(log_temperature: float) -> float:
        nonlocal weights
        found = likelihoods(log_temperature)
        weights = _weights(found, weights)
        return float(-np.log(found @ weights).mean())

    best = minimize_scalar(
        loss, bounds=_LOG_TEMPERATURES, method="bounded", options={"xatol": 0.01}
    )
    weights = _weights(likelihoods(best.x), weights)
    return count * float(weights[1]), count * float(weights[2])


def _confusion(probabilities: np.ndarray) -> np.ndarray:
    """Return how often each class is confused with each other one: (classes, classes), sums 1.

    Two classes are confused as often as both are probable for the same photo.
    """
    both = probabilities.T @ probabilities
    np.fill_diagonal(both, 0.0)
    return np.asarray(both / np.maximum(both.sum(1, keepdims=True), _TINY))


def _weights(likelihoods: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weights (parts,) of a mixture by expectation-maximisation, from initial ones.

    ``likelihoods`` are the likelihoods of each label in each part: float64 (n, parts).
    """
    weights = np.maximum(weights, 1e-3)  # a weight of 0 stays 0
    for _ in range(_ITERATIONS):
        new = weights * (likelihoods.T @ (1 / (likelihoods @ weights))) / len(likelihoods)
        if np.abs(new - weights).max() < _CONVERGED:
            break
        weights = new
    return weights
