"""The input of a split: labelled images, given sets, and a column that ties images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from embedkit._internal.paths import shown
from embedkit.catalog import Catalog
from embedkit.classify.split.drawing import NO_SET, SETS
from embedkit.errors import BadInput, NotInWorkspace


@dataclass(frozen=True)
class SplitOptions:
    """Options of a split. Raises :class:`BadInput` for a number of images below 1."""

    val: int
    """Number of images of each class for validation."""
    test: int
    """Number of images of each class for test."""
    seed: int = 0
    group: str | None = None
    """A column of the label tables; images with the same value stay in one set."""

    def __post_init__(self) -> None:
        for name, count, purpose in (
            ("val", self.val, "select heads on"),
            ("test", self.test, "evaluate heads on"),
        ):
            if count < 1:
                raise BadInput(
                    f"{name}, the number of photos of each class to {purpose}, must be 1 or more, "
                    f"not {count}"
                )


@dataclass(frozen=True)
class LabelledImages:
    """The images with exactly one label, in order of id."""

    ids: np.ndarray
    """Image ids: int64 (N,)."""
    sha256: Sequence[bytes]
    labels: Sequence[str]
    """The label of each image."""
    all_ids: np.ndarray
    """Ids of all images with a file, labelled or not: int64 (M,)."""
    unlabelled: int
    """Number of images without a label."""
    conflicting: int
    """Number of images whose files have different labels."""


@dataclass(frozen=True)
class SplitInput:
    """The images to split, and the options."""

    options: SplitOptions
    images: LabelledImages
    class_names: tuple[str, ...]
    """Names of the classes, sorted."""
    classes: np.ndarray
    """Class of each image, an index into ``class_names``: int64 (N,)."""
    given_sets: np.ndarray
    """Given set of each image, an index into ``SETS`` or -1 for none: int64 (N,)."""
    values: tuple[np.ndarray, np.ndarray]
    """Ids of images, labelled or not, and the numbers of their values in the column
    ``options.group``: two int64 (M,) arrays."""


def labelled_images(catalog: Catalog) -> LabelledImages:
    """Return the images whose files all have the same label; others are counted."""
    with catalog.read() as reader:
        table = reader.labels.by_image()
    labels = table.column("label").to_pylist()
    others = table.column("other").to_pylist()
    rows = [
        row
        for row, (label, other) in enumerate(zip(labels, others, strict=True))
        if label is not None and other is None
    ]
    ids, digests = table.column("image_id").to_numpy(), table.column("sha256").to_pylist()
    conflicting = sum(other is not None for other in others)
    return LabelledImages(
        ids=ids[rows],
        sha256=[digests[row] for row in rows],
        labels=[labels[row] for row in rows],
        all_ids=ids,
        unlabelled=len(labels) - len(rows) - conflicting,
        conflicting=conflicting,
    )


def prepare_split(catalog: Catalog, options: SplitOptions, given: Mapping[str, str]) -> SplitInput:
    """Return the input of a split; ``given`` maps the absolute paths of files to their set.

    Raises :class:`BadInput` when there are fewer than two classes, the column is unknown, a set is
    not one of ``SETS``, or copies of the same bytes are given to different sets;
    :class:`NotInWorkspace` for a path that is not a photo of the workspace with one label.
    """
    images = labelled_images(catalog)
    names = sorted(set(images.labels))
    if len(names) < 2:
        problem = (
            f"all photos have the label {shown(names[0])}" if names else "no photo has a label"
        )
        raise BadInput(
            f"{problem}, and a split needs two classes; add labels with "
            "'embedkit labels --from-folders DIR' or '--from-csv FILE'"
        )
    number_of = {name: number for number, name in enumerate(names)}
    return SplitInput(
        options=options,
        images=images,
        class_names=tuple(names),
        classes=np.array([number_of[label] for label in images.labels]),
        given_sets=_given_sets(catalog, images, given),
        values=(
            (np.empty(0, np.int64), np.empty(0, np.int64))
            if options.group is None
            else group_values(catalog, options.group)
        ),
    )


def group_values(catalog: Catalog, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Return image ids and the numbers of their values in a column of the label tables.

    Both are int64 (M,), in order of id; an image whose files have different values has a row for
    each. Raises :class:`BadInput` for an unknown column.
    """
    with catalog.read() as reader:
        rows = reader.labels.column(column)
        known = reader.labels.columns()
    if column not in known:
        existing = f"the columns are {', '.join(map(shown, known))}" if known else "there are none"
        raise BadInput(
            f"no label table has a column {shown(column)} ({existing}); load a CSV with the "
            f"columns path, label and {shown(column)} with 'embedkit labels --from-csv'"
        )
    numbers = {value: number for number, value in enumerate(sorted({value for _, value in rows}))}
    return (
        np.array([image_id for image_id, _ in rows], np.int64),
        np.array([numbers[value] for _, value in rows], np.int64),
    )


def _given_sets(catalog: Catalog, images: LabelledImages, given: Mapping[str, str]) -> np.ndarray:
    set_of_image = np.full(len(images.ids), NO_SET)
    if not given:
        return set_of_image
    for name in given.values():
        if name not in SETS:
            raise BadInput(f"unknown set {shown(name)}; use {', '.join(SETS)}")
    with catalog.read() as reader:
        files = reader.files.of_images(images.ids.tolist())
    used = set()
    for row, image_id in enumerate(images.ids.tolist()):
        paths = [file.path for file in files[image_id] if file.path in given]
        used.update(paths)
        names = {given[path] for path in paths}
        if len(names) > 1:
            raise BadInput(
                f"{shown(paths[0])} and {shown(paths[-1])} have the same bytes but different "
                f"given sets, {' and '.join(sorted(names))}; give them the same set"
            )
        if names:
            set_of_image[row] = SETS.index(names.pop())
    unknown = [path for path in given if path not in used]
    if unknown:
        raise NotInWorkspace(
            f"{len(unknown)} of {len(given)} paths with a given set are not photos of the "
            f"workspace with one label, the first is {shown(unknown[0])}; nothing was split. Add "
            "and label the photos first, or remove them from the CSV"
        )
    return set_of_image
