"""What there is to say of classes that got less than was asked for, and why."""

from collections.abc import Sequence

import numpy as np

from embedkit._internal.paths import shown
from embedkit._internal.text import counted
from embedkit.classify.split.drawing import NOWHERE, PARTS, TRAIN, most_held_out
from embedkit.classify.split.subject import Subject
from embedkit.results import ClassSplit


def notes_of(subject: Subject, parts: np.ndarray, classes: Sequence[ClassSplit]) -> tuple[str, ...]:
    """A sentence for each of the classes that got less than was asked for.

    ``parts`` are those of the images, int64 (N,), and ``classes`` what they come to.
    """
    count = len(classes)
    of = subject.images.classes
    left_out = np.bincount(of[parts == NOWHERE], minlength=count).tolist()
    free = (subject.fixed == NOWHERE) & (parts == PARTS.index(TRAIN))
    drawable = np.bincount(of[free], minlength=count).tolist()
    val, test = subject.asked.val, subject.asked.test
    return tuple(
        _note(item, (val, test), *rest)
        for item, *rest in zip(classes, left_out, drawable, strict=True)
        if item.val < val or item.test < test
    )


def _note(item: ClassSplit, wanted: tuple[int, int], left_out: int, drawable: int) -> str:
    """The sentence for a class; ``drawable`` are its images for training that were not given."""
    val, test = wanted
    size = item.train + item.val + item.test
    most = most_held_out(size)
    besides = f" besides {left_out} left out" if left_out else ""
    has = f"{shown(item.label)} has {counted(size, 'photo')}{besides}"
    parted = f"{item.train} for training, {item.val} for validation, {item.test} for test"
    if most == 0 and item.train == size:
        return (
            f"{has}, too few to split: {item.train} for training, and nothing can be said of how "
            "well it is recognised"
        )
    if drawable == 0:
        why = "the other photos were given their part"
    elif val + test > most:
        return f"{has}, too few for {val} + {test} out of half of them: {parted}"
    elif item.val + item.test >= most:
        why = "no more are drawn when half are held out"
    else:
        why = "the others that could be drawn are in sets that stay whole"
    return f"{has}, not {val} for validation and {test} for test, for {why}: {parted}"
