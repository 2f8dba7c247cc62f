"""Embeddings with class numbers, which heads are fitted on."""

from dataclasses import dataclass

import numpy as np

from embedkit.errors import BadInput


@dataclass(frozen=True)
class Examples:
    """Embeddings of N photos with their class numbers.

    Raises :class:`BadInput` when the arrays are empty or differ in length.
    """

    vectors: np.ndarray
    """L2-normalised embeddings: float32 (N, dim)."""
    norms: np.ndarray
    """Norms of the embeddings before normalising: float32 (N,)."""
    labels: np.ndarray
    """Class numbers, indices into the sorted class names: int64 (N,)."""

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


def check_examples(train: Examples, validation: Examples, classes: tuple[str, ...]) -> None:
    """Raise :class:`BadInput` unless a head of these classes can be fitted and selected on them."""
    if len(classes) < 2:
        raise BadInput(f"a head needs two classes or more, not {len(classes)}")
    for examples in (train, validation):
        if examples.labels.min() < 0 or examples.labels.max() >= len(classes):
            raise BadInput(f"labels must be class numbers from 0 to {len(classes) - 1}")
    if train.vectors.shape[1] != validation.vectors.shape[1]:
        raise BadInput(
            f"training embeddings have {train.vectors.shape[1]} numbers, validation embeddings "
            f"{validation.vectors.shape[1]}; use the same backbone for both"
        )
    missing = np.flatnonzero(np.bincount(train.labels, minlength=len(classes)) == 0)
    if len(missing):
        raise BadInput(
            f"no training photo of the class {classes[missing[0]]!r}"
            + (f" and {len(missing) - 1} others" if len(missing) > 1 else "")
            + "; add some, or remove the class"
        )
