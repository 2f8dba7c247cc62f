"""Notes on classes that got fewer validation or test images than requested, with the reason."""

from collections.abc import Sequence

import numpy as np

from embedkit._internal.paths import shown
from embedkit.classify.split.drawing import NO_SET, SETS, TRAIN, max_held_out
from embedkit.classify.split.inputs import SplitInput
from embedkit.results import ClassSplit
from embedkit.results.wording import counted


def shortfall_notes(
    inputs: SplitInput, set_of: np.ndarray, classes: Sequence[ClassSplit]
) -> tuple[str, ...]:
    """Return one sentence for each class that got fewer images than requested.

    ``set_of`` is the set of each image, int64 (N,); ``classes`` are the counts.
    """

    def count(rows: np.ndarray) -> list[int]:
        """Count these images by class."""
        counts: list[int] = np.bincount(inputs.classes[rows], minlength=len(classes)).tolist()
        return counts

    skipped = count(set_of == NO_SET)
    drawable = count((inputs.given_sets == NO_SET) & (set_of == SETS.index(TRAIN)))
    val, test = inputs.options.val, inputs.options.test
    return tuple(
        _note(item, (val, test), *rest)
        for item, *rest in zip(classes, skipped, drawable, strict=True)
        if item.val < val or item.test < test
    )


def _note(item: ClassSplit, requested: tuple[int, int], skipped: int, drawable: int) -> str:
    """Return the note on a class; ``drawable`` counts its training images without a given set."""
    val, test = requested
    size = item.train + item.val + item.test
    limit = max_held_out(size)
    and_skipped = f" (and {skipped} skipped)" if skipped else ""
    photos = f"{shown(item.label)} has {counted(size, 'photo')}{and_skipped}"
    sets = f"{item.train} for training, {item.val} for validation, {item.test} for test"
    if limit == 0 and item.train == size:
        return (
            f"{photos}, too few to split: {item.train} for training, so its accuracy cannot be "
            "measured"
        )
    if drawable == 0:
        reason = "the sets of the other photos are given"
    elif val + test > limit:
        return f"{photos}, and half of them is fewer than the requested {val} + {test}: {sets}"
    elif item.val + item.test >= limit:
        reason = "at most half of a class is held out"
    else:
        reason = "the other photos are in groups that must stay together"
    return f"{photos}, and fewer than {val} + {test} are held out because {reason}: {sets}"
