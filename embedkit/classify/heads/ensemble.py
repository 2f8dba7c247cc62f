"""Ensembles: the mean of several heads' probabilities, and the selection of members."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedkit.classify.heads.probabilities import log_softmax, negative_log_likelihood

MEAN, CALIBRATED, GREEDY = METHODS = ("mean", "calibrated", "greedy")
"""How members are combined.

- ``mean``: the mean of their uncalibrated probabilities, as in Doi (2018).
- ``calibrated``: the mean of their calibrated probabilities.
- ``greedy``: the same over the members that forward selection on the validation set chooses.
"""

MIN_PROBABILITY = 1e-12


@dataclass(frozen=True)
class SelectionStep:
    """A member that forward selection added, with metrics on the validation set."""

    member: str
    accuracy: float
    """Accuracy of the ensemble so far."""
    nll: float
    """Negative log-likelihood of the ensemble so far, nats."""
    gain: float
    """Accuracy minus the accuracy before this member."""


def mean_scores(probabilities: Sequence[np.ndarray]) -> np.ndarray:
    """Return the logarithm of the mean of members' probabilities, each (N, C): float64 (N, C)."""
    return np.asarray(np.log(np.maximum(np.mean(probabilities, axis=0), MIN_PROBABILITY)))


def select_members(
    names: Sequence[str],
    probabilities: Sequence[np.ndarray],
    labels: np.ndarray,
    stop_early: bool = True,
) -> tuple[SelectionStep, ...]:
    """Order members by how much each improves the mean, by greedy forward selection.

    Caruana et al. (2004), without replacement. Each step adds the member that gives the mean the
    highest validation accuracy; ties are broken by the lowest negative log-likelihood, then by the
    order of ``names``.

    Parameters
    ----------
    names : sequence of str
        Names of the M members.
    probabilities : sequence of ndarray
        Their validation probabilities, M arrays of shape (N, C).
    labels : ndarray
        Class numbers: int64 (N,).
    stop_early : bool, default True
        Whether to stop when no member improves the mean; otherwise all members are ordered.
    """
    steps: list[SelectionStep] = []
    chosen: list[int] = []
    while len(chosen) < len(names):
        tried = []
        for index in range(len(names)):
            if index not in chosen:
                scores = mean_scores([probabilities[member] for member in [*chosen, index]])
                accuracy = float((scores.argmax(axis=1) == labels).mean())
                nll = negative_log_likelihood(log_softmax(scores), labels)
                tried.append((-accuracy, nll, index))
        loss, nll, index = min(tried)
        if stop_early and steps and (loss, nll) >= (-steps[-1].accuracy, steps[-1].nll):
            break
        before = steps[-1].accuracy if steps else 0.0
        chosen.append(index)
        steps.append(SelectionStep(names[index], -loss, nll, -loss - before))
    return tuple(steps)


def error_overlap(
    probabilities: Sequence[np.ndarray], labels: np.ndarray
) -> list[list[float | None]]:
    """Return the share of each member's errors (row) that each member makes too (column).

    A photo that both get wrong counts even if they predict different classes. The shares of a
    member without errors are None.
    """
    errors = [of_member.argmax(axis=1) != labels for of_member in probabilities]
    return [
        [float((own & others).sum() / own.sum()) if own.any() else None for others in errors]
        for own in errors
    ]
