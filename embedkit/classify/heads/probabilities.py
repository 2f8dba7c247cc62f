"""Class probabilities: softmax, negative log-likelihood, temperature scaling (Guo et al. 2017)."""

import numpy as np

_LOG_TEMPERATURE_BOUND = 5.0


def softmax(scores: np.ndarray) -> np.ndarray:
    """Return the softmax of each row: float64 (N, C) for scores (N, C)."""
    exact = scores.astype(np.float64)
    exact -= exact.max(1, keepdims=True)
    np.exp(exact, out=exact)
    exact /= exact.sum(1, keepdims=True)
    return exact


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Return the logarithm of the softmax of each row: float64 (N, C)."""
    from scipy import special  # most commands do not need SciPy

    return np.asarray(special.log_softmax(scores, axis=1))


def negative_log_likelihood(log_probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean of -log p, p being the probability of the true class, in nats.

    ``log_probabilities`` is float64 (N, C), ``labels`` int64 (N,).
    """
    return float(-log_probabilities[np.arange(len(labels)), labels].mean())


def fit_temperature(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the temperature T for which softmax(scores / T) fits the validation labels best.

    ``scores`` are log-probabilities up to a constant, float64 (N, C); ``labels`` int64 (N,). The
    loss is the negative log-likelihood with Platt's targets (1999): the true class has the target
    1 - 1 / (N + 2) instead of 1, so that a head without validation errors does not become certain.
    """
    from scipy.optimize import minimize_scalar

    remainder = 1 / (len(labels) + 2)

    def loss(log_temperature: float) -> float:
        log_probabilities = log_softmax(scores / np.exp(log_temperature))
        right = log_probabilities[np.arange(len(labels)), labels]
        others = (log_probabilities.sum(axis=1) - right) / (scores.shape[1] - 1)
        return float(-((1 - remainder) * right + remainder * others).mean())

    bounds = (-_LOG_TEMPERATURE_BOUND, _LOG_TEMPERATURE_BOUND)
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))
