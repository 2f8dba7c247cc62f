"""The inputs of an evaluation: the true classes of the test photos, and predictions of heads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from embedkit._internal.paths import shown
from embedkit.errors import BadInput
from embedkit.results import Neighbour, Thresholds

SUM_TOLERANCE = 1e-3
"""Maximum difference between 1 and the sum of a photo's probabilities; float16 probabilities are
rounded."""


@dataclass(frozen=True)
class GroundTruth:
    """Test photos with their classes."""

    classes: tuple[str, ...]
    """Names of the classes, at least two."""
    truth: np.ndarray
    """Class numbers, indices into ``classes``: int64 (N,)."""
    paths: tuple[str, ...] | None = None
    """Paths of the photos."""
    groups: np.ndarray | None = None
    """Group of each photo, int64 (N,). Intervals and tests resample whole groups, such as groups of
    near-duplicates. None if the photos are independent."""
    left_out: int = 0
    """Number of test photos that are missing, cannot be read or have lost their label."""


@dataclass(frozen=True)
class HeadPredictions:
    """The predictions of one head for the test photos."""

    head: str
    """Name of the head."""
    probabilities: np.ndarray
    """Probabilities, columns in the order of the classes: float (N, C)."""
    history: tuple[float, ...] = ()
    """Accuracy on the validation set after each epoch, for a head with epochs."""
    nearest: Callable[[np.ndarray], Sequence[Sequence[Neighbour]]] | None = None
    """Returns the training photos nearest to test photos, given by their rows: int64 (M,)."""
    unknown: np.ndarray | None = None
    """Whether the head rejects each photo as unknown: bool (N,). None without rejection."""
    thresholds: Thresholds | None = None
    """Thresholds of the rejection."""


def check(ground_truth: GroundTruth, predictions: Sequence[HeadPredictions]) -> None:
    """Raise :class:`BadInput` unless all shapes match and every row is a distribution."""
    _check_truth(ground_truth)
    if not predictions:
        raise BadInput("there is no head to evaluate; name one or more")
    names = [item.head for item in predictions]
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"two heads have the name {shown(name)}; give them different names")
    shape = (len(ground_truth.truth), len(ground_truth.classes))
    for item in predictions:
        _check_probabilities(shown(item.head), item.probabilities, shape)
        if item.unknown is not None and item.unknown.shape != shape[:1]:
            raise BadInput(
                f"{shown(item.head)} has {item.unknown.size} values of unknown for {shape[0]} test "
                "photos; give one for each"
            )


def _check_truth(ground_truth: GroundTruth) -> None:
    truth, classes = ground_truth.truth, ground_truth.classes
    if truth.ndim != 1 or not np.issubdtype(truth.dtype, np.integer):
        raise BadInput(
            f"the truth is {truth.dtype} {truth.shape}; give one class number for each photo"
        )
    if not len(truth):
        raise BadInput("there are no test photos; split the labelled photos first")
    if len(classes) < 2:
        raise BadInput(
            f"an evaluation needs two classes or more, not {len(classes)}; label photos "
            "of another class"
        )
    if truth.min() < 0 or truth.max() >= len(classes):
        raise BadInput(
            f"the truth has class numbers from {truth.min()} to {truth.max()}; with "
            f"{len(classes)} classes they must be from 0 to {len(classes) - 1}"
        )
    for name, values in (("paths", ground_truth.paths), ("groups", ground_truth.groups)):
        if values is not None and len(values) != len(truth):
            raise BadInput(f"{len(values)} {name} for {len(truth)} test photos; give one for each")


def _check_probabilities(head: str, probabilities: np.ndarray, shape: tuple[int, int]) -> None:
    if probabilities.shape != shape:
        raise BadInput(
            f"the probabilities of {head} have the shape {probabilities.shape}, not (photos, "
            f"classes) = {shape}; was it trained on other classes?"
        )
    if not np.isfinite(probabilities).all():
        raise BadInput(f"some probabilities of {head} are not finite")
    deviation = float(np.abs(probabilities.sum(1, dtype=np.float64) - 1).max())
    if probabilities.min() < 0 or deviation > SUM_TOLERANCE:
        raise BadInput(
            f"the probabilities of {head} are not distributions: the smallest is "
            f"{probabilities.min():.3g}, and sums differ from 1 by up to {deviation:.3g}; give "
            "probabilities, not scores"
        )
