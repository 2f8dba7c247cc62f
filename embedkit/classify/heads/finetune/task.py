"""What fine-tuning is given and what it gives back. Nothing heavy is imported."""

from collections.abc import Sequence
from dataclasses import dataclass

from embedkit._internal.paths import shown
from embedkit.classify.heads.linear import Linear
from embedkit.errors import BadInput
from embedkit.results import Failure

Photo = tuple[str, int]
"""A path, and the number of its class."""


@dataclass(frozen=True)
class Task:
    """Which network to train, and on what.

    Raises :class:`BadInput` for fewer than two classes, a class without training photos, a number
    that is no class's, and for no validation photos.
    """

    backbone: str
    """Name of a backbone that timm builds."""
    classes: Sequence[str]
    """Names by class number."""
    training: Sequence[Photo]
    validation: Sequence[Photo]
    start: Linear | None = None
    """What the linear layer starts as: a probe's, say, on embeddings before normalising; zeros
    when not given."""

    def __post_init__(self) -> None:
        if len(self.classes) < 2:
            raise BadInput(f"a classifier needs two classes or more, not {len(self.classes)}")
        if not self.validation:
            raise BadInput("fine-tuning needs validation photos, to choose the best epoch by")
        for path, number in (*self.training, *self.validation):
            if not 0 <= number < len(self.classes):
                raise BadInput(f"{shown(path)}: there is no class number {number}")
        self.check_every_class_among({number for _, number in self.training})

    def check_every_class_among(self, numbers: set[int]) -> None:
        """Raise :class:`BadInput` unless the classes of training photos are all there are."""
        for number, name in enumerate(self.classes):
            if number not in numbers:
                raise BadInput(f"class {name!r} has no training photo that can be read")


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to."""

    number: int
    """1 for the first."""
    train_loss: float
    """Mean over the training photos of what is minimised: label smoothing and mixing included."""
    train_accuracy: float
    """Of the network on the augmented photos as it was trained on them."""
    validation_loss: float
    """Mean cross-entropy, nats."""
    validation_accuracy: float
    learning_rate: float
    """At the end of the epoch."""


@dataclass(frozen=True)
class FineTuned:
    """A fine-tuned network: a backbone, and the linear layer on its embedding."""

    backbone: str
    """``local/<folder>``."""
    classes: tuple[str, ...]
    linear: Linear
    history: tuple[Epoch, ...]
    best: int
    """Number of the epoch that was kept."""
    failures: tuple[Failure, ...]
    """Photos that could not be read, by path."""


def best_of(history: Sequence[Epoch]) -> Epoch:
    """The epoch of the highest validation accuracy; of several, the lowest loss, then the first."""
    return min(history, key=lambda epoch: (-epoch.validation_accuracy, epoch.validation_loss))
