"""Probabilities that mean what they say: temperature scaling (Guo et al. 2017)."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

_WIDEST = 5.0
"""Of the logarithm of a temperature: more is certainty that validation cannot contradict."""


def fit_temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T for which softmax(scores / T) has the least NLL on ``labels``.

    ``scores`` are float64 (N, C) log-probabilities up to a constant, of the validation part;
    ``labels`` int64 (N,).
    """

    def loss(log_temperature: float) -> float:
        return nll(scores / np.exp(log_temperature), labels)

    found = minimize_scalar(loss, bounds=(-_WIDEST, _WIDEST), method="bounded")
    return float(np.exp(found.x))


def nll(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood of ``labels``, int64 (N,), under softmax(``scores``)."""
    return float(-log_softmax(scores, axis=1)[np.arange(len(labels)), labels].mean())
