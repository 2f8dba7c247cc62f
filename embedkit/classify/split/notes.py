"""Notes on classes that got fewer validation or test images than requested, with the reason."""

from collections.abc import Sequence

import numpy as np

from embedkit._internal.paths import shown
from embedkit._internal.text import counted
from embedkit.classify.split.drawing import NO_SET, SETS, TRAIN, max_held_out
from embedkit.classify.split.inputs import SplitInput
from embedkit.results import ClassSplit


def shortfall_notes(
    inputs: SplitInput, set_of: np.ndarray, classes: Sequence[ClassSplit]
) -> tuple[str, ...]:
    """Return one sentence for each class that got fewer images than requested.

    ``set_of`` is the set of each image, int64 (N,); ``classes`` are the counts.
    """
    count = len(classes)
    of = inputs.classes
    skipped = np.bincount(of[set_of == NO_SET], minlength=count).tolist()
    free = (inputs.given_sets == NO_SET) & (set_of == SETS.index(TRAIN))
    drawable = np.bincount(of[free], minlength=count).tolist()
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
    most = max_held_out(size)
    left = f" (and {skipped} skipped)" if skipped else ""
    has = f"{shown(item.label)} has {counted(size, 'photo')}{left}"
    got = f"{item.train} for training, {item.val} for validation, {item.test} for test"
    if most == 0 and item.train == size:
        return (
            f"{has}, too few to split: {item.train} for training, so its accuracy cannot be "
            "measured"
        )
    if drawable == 0:
        why = "the sets of the other photos are given"
    elif val + test > most:
        return f"{has}, and half of them is fewer than the requested {val} + {test}: {got}"
    elif item.val + item.test >= most:
        why = "at most half of a class is held out"
    else:
        why = "the other photos are in groups that must stay together"
    return f"{has}, and fewer than {val} + {test} are held out because {why}: {got}"
