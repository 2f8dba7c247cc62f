"""What heads are fitted on: embeddings whose classes are known."""

from dataclasses import dataclass

import numpy as np

from embedkit.errors import BadInput


@dataclass(frozen=True)
class Examples:
    """Embeddings of N photos with their classes, as the catalog has them.

    Raises :class:`BadInput` when the three are not of one length, or none.
    """

    vectors: np.ndarray
    """float32 (N, dim), L2-normalised."""
    norms: np.ndarray
    """float32 (N,), of the vectors before normalising."""
    labels: np.ndarray
    """int64 (N,): places in the sorted names of the classes."""

    def __post_init__(self) -> None:
        counts = {len(self.vectors), len(self.norms), len(self.labels)}
        if len(counts) > 1 or 0 in counts:
            raise BadInput(
                f"{len(self.vectors)} embeddings, {len(self.norms)} norms and "
                f"{len(self.labels)} labels; give one norm and one label for each embedding"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __add__(self, other: "Examples") -> "Examples":
        return Examples(
            np.concatenate([self.vectors, other.vectors]),
            np.concatenate([self.norms, other.norms]),
            np.concatenate([self.labels, other.labels]),
        )


def check(train: Examples, validation: Examples, classes: tuple[str, ...]) -> None:
    """Raise :class:`BadInput` unless a head of these classes can be fitted and chosen on these.

    Every class needs a training example; a validation example of no class would never be right.
    """
    if len(classes) < 2:
        raise BadInput(f"a head tells classes apart: give two or more, not {len(classes)}")
    for examples in (train, validation):
        if examples.labels.min() < 0 or examples.labels.max() >= len(classes):
            raise BadInput(f"labels must be numbers from 0 to {len(classes) - 1}, a class each")
    if train.vectors.shape[1] != validation.vectors.shape[1]:
        raise BadInput(
            f"training embeddings have {train.vectors.shape[1]} numbers, validation embeddings "
            f"{validation.vectors.shape[1]}; take both from one backbone"
        )
    missing = np.flatnonzero(np.bincount(train.labels, minlength=len(classes)) == 0)
    if len(missing):
        raise BadInput(
            f"no training photo of the class {classes[missing[0]]!r}"
            + (f" and {len(missing) - 1} others" if len(missing) > 1 else "")
            + "; add some, or leave the class out"
        )
