"""Probabilities that mean what they say: temperature scaling (Guo et al. 2017)."""

import numpy as np

_WIDEST = 5.0
"""Of the logarithm of a temperature."""


def fit_temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T for which softmax(scores / T) fits ``labels`` best.

    ``scores`` are float64 (N, C) log-probabilities up to a constant, of the validation part;
    ``labels`` int64 (N,). What is minimised is NLL, but with Platt's targets (1999): no class is
    sure beyond what N photos can tell, 1 - 1 / (N + 2). So a head that errs on none of them does
    not become certain of everything.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    doubt = 1 / (len(labels) + 2)

    def loss(log_temperature: float) -> float:
        log_probabilities = log_softmax(scores / np.exp(log_temperature), axis=1)
        right = log_probabilities[np.arange(len(labels)), labels]
        others = (log_probabilities.sum(axis=1) - right) / (scores.shape[1] - 1)
        return float(-((1 - doubt) * right + doubt * others).mean())

    found = minimize_scalar(loss, bounds=(-_WIDEST, _WIDEST), method="bounded")
    return float(np.exp(found.x))


def nll(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood of ``labels``, int64 (N,), under softmax(``scores``)."""
    from scipy.special import log_softmax

    return float(-log_softmax(scores, axis=1)[np.arange(len(labels)), labels].mean())
