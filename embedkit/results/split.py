"""The split of the labelled images into training, validation and test set."""

from dataclasses import dataclass

from embedkit.results.result import INT, TEXT, Result, Table, table_of


@dataclass(frozen=True)
class ClassSplit:
    """The number of images of a class in each set.

    Attributes
    ----------
    label : str
        The class.
    train, val, test : int
        Images in the training, validation and test set.
    """

    label: str
    train: int
    val: int
    test: int


@dataclass(frozen=True, repr=False)
class Split(Result):
    """A split of the labelled images.

    Attributes
    ----------
    val, test : int
        Requested images of each class in the validation and the test set.
    seed : int
        Seed of the draw.
    group : str or None
        Column whose values tie images, in addition to copies.
    classes : tuple of ClassSplit
        Images of each class, by label.
    images : int
        Images in the three sets.
    unlabelled, conflicting : int
        Images that were skipped because they have no label, or different ones.
    left_out : int
        Images in no set because they are tied to an image that was given to validation or test.
    groups : int
        Groups of tied images: copies, and images with the same value of ``group``.
    grouped : int
        Images in these groups.
    leaks : int
        Validation and test images that share a group with a training image, because the sets of
        both were given.
    leaks_ungrouped : int
        The number of leaks if the images had been drawn one by one.
    notes : tuple of str
        A sentence for each class with fewer images than requested.
    gone : int
        Images of the sets that no longer have a file.
    held_out_ungrouped : int or None
        Number of validation and test images if images had been drawn one by one; None for a split
        that an earlier version drew.
    later : int
        Labelled images in no set, because they were added or labelled after the split.
    """

    val: int
    test: int
    seed: int
    group: str | None
    classes: tuple[ClassSplit, ...]
    images: int
    unlabelled: int
    conflicting: int
    left_out: int
    groups: int
    grouped: int
    leaks: int
    leaks_ungrouped: int
    notes: tuple[str, ...]
    gone: int = 0
    held_out_ungrouped: int | None = None
    later: int = 0

    def _tables(self) -> dict[str, Table]:
        columns = {"label": TEXT, "train": INT, "val": INT, "test": INT}
        return {"classes": table_of(self.classes, columns)}

    def _summary(self) -> str:
        train, val, test = (
            sum(getattr(item, name) for item in self.classes) for name in ("train", "val", "test")
        )
        return (
            f"{self.images} images of {len(self.classes)} classes, {train} for training, {val} for "
            f"validation, {test} for test"
        )
