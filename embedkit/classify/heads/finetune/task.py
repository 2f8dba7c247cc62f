"""Input and result of fine-tuning. This module imports nothing heavy."""

from collections.abc import Sequence
from dataclasses import dataclass

from embedkit._internal.paths import shown
from embedkit.classify.heads.linear import Linear
from embedkit.errors import BadInput
from embedkit.results import Failure

Photo = tuple[str, int]
"""A path and its class number."""


@dataclass(frozen=True)
class Task:
    """The network to train and the labelled photos.

    Raises :class:`BadInput` for fewer than two classes, a class without training photos, an unknown
    class number, and a missing validation set.
    """

    backbone: str
    """Name of a backbone: a timm network, or a torch module that was registered."""
    classes: Sequence[str]
    """Names of the classes, by class number."""
    training: Sequence[Photo]
    """Training photos."""
    validation: Sequence[Photo]
    """Validation photos."""
    initial_linear: Linear | None = None
    """Initial linear layer on embeddings before normalising, such as that of a probe; None for
    zeros."""

    def __post_init__(self) -> None:
        if len(self.classes) < 2:
            raise BadInput(f"a classifier needs two classes or more, not {len(self.classes)}")
        if not self.validation:
            raise BadInput("fine-tuning needs validation photos to select the best epoch")
        for path, number in (*self.training, *self.validation):
            if not 0 <= number < len(self.classes):
                raise BadInput(f"{shown(path)} has the class number {number}, which is no class")
        trained = {number for _, number in self.training}
        for number, name in enumerate(self.classes):
            if number not in trained:
                raise BadInput(f"class {name!r} has no training photo that can be read")


@dataclass(frozen=True)
class Epoch:
    """Metrics of one epoch."""

    number: int
    """Number of the epoch, from 1."""
    train_loss: float
    """Mean training loss, with label smoothing and mixing."""
    train_accuracy: float
    """Accuracy on the augmented training photos during the epoch."""
    validation_loss: float
    """Mean cross-entropy on the validation set, nats."""
    validation_accuracy: float
    learning_rate: float
    """Learning rate of the linear layer at the end of the epoch."""


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned network: a backbone and the linear layer on its embedding."""

    backbone: str
    """Name of the backbone, ``local/<folder>``."""
    classes: tuple[str, ...]
    linear: Linear
    history: tuple[Epoch, ...]
    best: int
    """Number of the selected epoch."""
    failures: tuple[Failure, ...]
    """Photos that could not be read, in order of path."""


def best_of(history: Sequence[Epoch]) -> Epoch:
    """Return the epoch with the highest validation accuracy; ties are broken by the lowest loss,
    then by the order of the epochs."""
    return min(history, key=lambda epoch: (-epoch.validation_accuracy, epoch.validation_loss))
