"""Notes on classes that got fewer validation or test images than requested, with the reason."""

from collections.abc import Sequence

import numpy as np

from embedkit._internal.paths import shown
from embedkit._internal.text import counted
from embedkit.classify.split.drawing import NO_PART, PARTS, TRAIN, max_held_out
from embedkit.classify.split.inputs import SplitInput
from embedkit.results import ClassSplit


def shortfall_notes(
    inputs: SplitInput, parts: np.ndarray, classes: Sequence[ClassSplit]
) -> tuple[str, ...]:
    """Return one sentence for each class that got fewer images than requested.

    ``parts`` are the parts of the images, int64 (N,); ``classes`` are their counts.
    """
    count = len(classes)
    of = inputs.classes
    left_out = np.bincount(of[parts == NO_PART], minlength=count).tolist()
    free = (inputs.given_parts == NO_PART) & (parts == PARTS.index(TRAIN))
    drawable = np.bincount(of[free], minlength=count).tolist()
    val, test = inputs.options.val, inputs.options.test
    return tuple(
        _note(item, (val, test), *rest)
        for item, *rest in zip(classes, left_out, drawable, strict=True)
        if item.val < val or item.test < test
    )


def _note(item: ClassSplit, requested: tuple[int, int], left_out: int, drawable: int) -> str:
    """Return the note on a class; ``drawable`` counts its training images without a given part."""
    val, test = requested
    size = item.train + item.val + item.test
    most = max_held_out(size)
    left = f" (and {left_out} left out)" if left_out else ""
    has = f"{shown(item.label)} has {counted(size, 'photo')}{left}"
    got = f"{item.train} for training, {item.val} for validation, {item.test} for test"
    if most == 0 and item.train == size:
        return (
            f"{has}, too few to split: {item.train} for training, so its accuracy cannot be "
            "measured"
        )
    if drawable == 0:
        why = "the other photos have a given part"
    elif val + test > most:
        return f"{has}; half of them are fewer than {val} + {test}: {got}"
    elif item.val + item.test >= most:
        why = "at most half of a class is held out"
    else:
        why = "the other photos are in groups that must stay together"
    return f"{has}, and fewer than {val} + {test} are held out because {why}: {got}"
