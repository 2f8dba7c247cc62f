"""Several heads as one: the mean of their probabilities, and which of them are worth having."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedkit.classify.heads.calibration import nll

MEAN, CALIBRATED, GREEDY = METHODS = ("mean", "calibrated", "greedy")
"""The mean of the members' probabilities, as Doi (2018) took it; of their calibrated ones; of the
calibrated ones of those members that forward selection on validation chose."""

_LEAST = 1e-12


@dataclass(frozen=True)
class Step:
    """A member that forward selection added, and what it brought, on validation."""

    member: str
    accuracy: float
    """Of all members so far; likewise ``nll``."""
    nll: float
    gain: float
    """In accuracy, over those before it."""


def mean_scores(probabilities: Sequence[np.ndarray]) -> np.ndarray:
    """The logarithm of the mean of members' probabilities, each (N, C): float64 (N, C)."""
    return np.asarray(np.log(np.maximum(np.mean(probabilities, axis=0), _LEAST)))


def select(
    names: Sequence[str],
    probabilities: Sequence[np.ndarray],
    labels: np.ndarray,
    until_none_helps: bool = True,
) -> tuple[Step, ...]:
    """Members in the order in which each most improves the mean, until none does; or all of them.

    Greedy forward selection (Caruana et al. 2004), without replacement: by accuracy on validation,
    then by NLL, then in the order given. ``labels`` is int64 (N,).
    """
    steps: list[Step] = []
    chosen: list[int] = []
    while len(chosen) < len(names):
        tried = []
        for place in range(len(names)):
            if place not in chosen:
                scores = mean_scores([probabilities[one] for one in [*chosen, place]])
                accuracy = float((scores.argmax(axis=1) == labels).mean())
                tried.append((-accuracy, nll(scores, labels), place))
        loss, surprise, place = min(tried)
        if until_none_helps and steps and (loss, surprise) >= (-steps[-1].accuracy, steps[-1].nll):
            break
        before = steps[-1].accuracy if steps else 0.0
        chosen.append(place)
        steps.append(Step(names[place], -loss, surprise, -loss - before))
    return tuple(steps)


def error_overlap(
    probabilities: Sequence[np.ndarray], labels: np.ndarray
) -> list[list[float | None]]:
    """Which share of each member's errors another one makes too: M rows of M, a row a member.

    A photo that both get wrong is shared, whatever they take it for. The row of a member without
    errors is of None.
    """
    wrong = [some.argmax(axis=1) != labels for some in probabilities]
    return [
        [float((ones & others).sum() / ones.sum()) if ones.any() else None for others in wrong]
        for ones in wrong
    ]
