"""The labelled images parted for training, validation and test."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ClassSplit:
    """How many images of a class are in each part of a split."""

    label: str
    train: int
    val: int
    test: int


@dataclass(frozen=True)
class Split:
    """A split of the labelled images into training, validation and test."""

    val: int
    """Images of each class that were asked for; likewise ``test``."""
    test: int
    seed: int
    group: str | None
    """The attribute whose values were kept together, besides copies."""
    classes: tuple[ClassSplit, ...]
    """By label."""
    images: int
    unlabelled: int
    """Images left out for having no label."""
    conflicting: int
    """Images left out for having several."""
    left_out: int
    """Images in no part, for being tied to one that was given to validation or test."""
    groups: int
    """Sets of images that were kept in one part: copies, and what shares a value of the group."""
    grouped: int
    """The images in them."""
    leaks: int
    """Images for validation and test that are in one set with an image for training all the same,
    for the parts of both were given."""
    leaks_ungrouped: int
    """How many that would be had the images been drawn one by one."""
    notes: tuple[str, ...]
    """A sentence for each class that got less than was asked for."""
    gone: int = 0
    """Images of the parts that have no file any more."""
    held_out_ungrouped: int | None = None
    """Images for validation and test had they been drawn one by one, which may be more than there
    are now; None for a split of an earlier version."""
    later: int = 0
    """Labelled images that are in no part, for they came or were labelled after the split."""
