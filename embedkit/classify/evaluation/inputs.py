"""What an evaluation is made of: the truth about the test photos, and what heads say of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from embedkit._internal.paths import shown
from embedkit.errors import BadInput
from embedkit.results import Neighbour, Thresholds

SUM_TOLERANCE = 1e-3
"""How far from 1 the probabilities of a photo may sum: float32 and float16 round."""


@dataclass(frozen=True)
class GroundTruth:
    """Test photos and the class of each."""

    classes: tuple[str, ...]
    """Names, at least two."""
    truth: np.ndarray
    """int64 (N,), places in ``classes``."""
    paths: tuple[str, ...] | None = None
    units: np.ndarray | None = None
    """Photos of one unit, such as near-duplicates or one post, are drawn together when chance is
    judged: int64 (N,). None when each photo stands for itself."""
    left_out: int = 0
    """Test photos that are gone, cannot be read or have lost their label."""


@dataclass(frozen=True)
class Predictions:
    """What one head says of the test photos."""

    head: str
    probabilities: np.ndarray
    """float (N, C), the columns in the order of the classes."""
    history: tuple[float, ...] = ()
    """Accuracy on the validation photos after each epoch, for a head that has epochs."""
    nearest: Callable[[np.ndarray], Sequence[Sequence[Neighbour]]] | None = None
    """Gives the training photos nearest to test photos, nearest first, by rows, int64 (M,)."""
    unknown: np.ndarray | None = None
    """bool (N,): which photos the head calls unknown. None when it calls none so."""
    thresholds: Thresholds | None = None
    """Beyond what it does."""


def check(ground_truth: GroundTruth, predictions: Sequence[Predictions]) -> None:
    """Raise :class:`BadInput` unless all of it fits together and every row is a distribution."""
    _check_truth(ground_truth)
    if not predictions:
        raise BadInput("there is no head to evaluate")
    names = [item.head for item in predictions]
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"two heads are called {shown(name)}; name them apart")
    shape = (len(ground_truth.truth), len(ground_truth.classes))
    for item in predictions:
        _check_probabilities(shown(item.head), item.probabilities, shape)
        if item.unknown is not None and item.unknown.shape != shape[:1]:
            raise BadInput(
                f"{shown(item.head)} says of {item.unknown.size} photos whether they are unknown, "
                f"and there are {shape[0]}"
            )


def _check_truth(ground_truth: GroundTruth) -> None:
    truth, classes = ground_truth.truth, ground_truth.classes
    if truth.ndim != 1 or not np.issubdtype(truth.dtype, np.integer):
        raise BadInput(f"the truth is {truth.dtype} {truth.shape}, not one class number a photo")
    if not len(truth):
        raise BadInput("there are no test photos to evaluate on; split the labelled photos first")
    if len(classes) < 2:
        raise BadInput(
            f"{len(classes)} class leaves nothing to tell apart; label photos of at least two"
        )
    if truth.min() < 0 or truth.max() >= len(classes):
        raise BadInput(
            f"the truth has class numbers from {truth.min()} to {truth.max()}, but there are "
            f"{len(classes)} classes, from 0"
        )
    for what, values in (("paths", ground_truth.paths), ("units", ground_truth.units)):
        if values is not None and len(values) != len(truth):
            raise BadInput(f"{len(values)} {what} for {len(truth)} test photos")


def _check_probabilities(head: str, probabilities: np.ndarray, shape: tuple[int, int]) -> None:
    if probabilities.shape != shape:
        raise BadInput(
            f"the probabilities of {head} have the shape {probabilities.shape}, not (photos, "
            f"classes) = {shape}; was it trained on other classes?"
        )
    if not np.isfinite(probabilities).all():
        raise BadInput(f"some probabilities of {head} are not finite")
    off = float(np.abs(probabilities.sum(1, dtype=np.float64) - 1).max())
    if probabilities.min() < 0 or off > SUM_TOLERANCE:
        raise BadInput(
            f"the probabilities of {head} are no distributions: the least is "
            f"{probabilities.min():.3g}, and a photo's sum is up to {off:.3g} off 1; give "
            "probabilities, not scores"
        )
