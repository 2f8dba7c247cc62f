"""What is to be split: the labelled images, what ties them by name, what was given already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from embedkit._internal.paths import shown
from embedkit.catalog import Catalog
from embedkit.classify.split.drawing import NOWHERE, PARTS
from embedkit.errors import BadInput, NotInWorkspace


@dataclass(frozen=True)
class Asked:
    """What a split should be."""

    val: int
    """Images of each class for validation; likewise ``test``."""
    test: int
    seed: int = 0
    group: str | None = None
    """An attribute of files; images that share a value stay in one part."""


@dataclass(frozen=True)
class Labelled:
    """Images with one label, in order of id."""

    ids: np.ndarray
    """int64 (N,)"""
    sha256: Sequence[bytes]
    names: tuple[str, ...]
    """Of the classes, sorted."""
    classes: np.ndarray
    """int64 (N,), places in ``names``."""
    unlabelled: int
    """Images without a label."""
    conflicting: int
    """Images whose files are under several labels."""


@dataclass(frozen=True)
class Subject:
    """What is to be split, and how."""

    asked: Asked
    images: Labelled
    fixed: np.ndarray
    """int64 (N,): the parts that are given, by place in ``PARTS``, -1 for none."""
    values: tuple[np.ndarray, np.ndarray]
    """Ids of images, labelled or not, and the number of a value that each has of the attribute
    ``asked.group``: two int64 (M,)."""


def subject_of(catalog: Catalog, asked: Asked, given: Mapping[str, str]) -> Subject:
    """What is to be split; ``given`` says the part of files by absolute path.

    Raises :class:`BadInput` for what cannot be: a number below 1, no two classes, an attribute
    that is not known, a part that is none, copies of the same bytes given to several, and
    :class:`NotInWorkspace` for a path that is not of a photo with one label.
    """
    for name, count, purpose in (
        ("val", asked.val, "heads are chosen on"),
        ("test", asked.test, "heads are judged on"),
    ):
        if count < 1:
            raise BadInput(
                f"{name} is how many photos of each class {purpose}: 1 or more, not {count}"
            )
    images = _labelled(catalog)
    return Subject(asked, images, _given(catalog, images, given), _values(catalog, asked.group))


def _labelled(catalog: Catalog) -> Labelled:
    with catalog.read() as reader:
        table = reader.labels.by_image()
    labels = table.column("label").to_pylist()
    others = table.column("other").to_pylist()
    rows = [
        row
        for row, (label, other) in enumerate(zip(labels, others, strict=True))
        if label is not None and other is None
    ]
    names = sorted({labels[row] for row in rows})
    if len(names) < 2:
        what = (
            f"all photos are of one class, {shown(names[0])}" if names else "no photo has a label"
        )
        raise BadInput(
            f"{what}: there is nothing to tell apart; give labels with "
            "'embedkit labels --from-folders DIR' or '--from-csv FILE'"
        )
    number_of = {name: number for number, name in enumerate(names)}
    digests = table.column("sha256").to_pylist()
    conflicting = sum(other is not None for other in others)
    return Labelled(
        ids=table.column("image_id").to_numpy()[rows],
        sha256=[digests[row] for row in rows],
        names=tuple(names),
        classes=np.array([number_of[labels[row]] for row in rows]),
        unlabelled=len(labels) - len(rows) - conflicting,
        conflicting=conflicting,
    )


def _values(catalog: Catalog, group: str | None) -> tuple[np.ndarray, np.ndarray]:
    if group is None:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    with catalog.read() as reader:
        found = reader.labels.column(group)
        known = reader.labels.columns()
    if group not in known:
        there = f"there are {', '.join(map(shown, known))}" if known else "there is none"
        raise BadInput(
            f"no column called {shown(group)} was read with labels, {there}; give a CSV with the "
            f"columns path, label and {shown(group)} to 'embedkit labels --from-csv'"
        )
    numbers = {value: number for number, value in enumerate(sorted({v for _, v in found}))}
    return (
        np.array([image_id for image_id, _ in found], np.int64),
        np.array([numbers[value] for _, value in found], np.int64),
    )


def _given(catalog: Catalog, images: Labelled, given: Mapping[str, str]) -> np.ndarray:
    fixed = np.full(len(images.ids), NOWHERE)
    if not given:
        return fixed
    for part in given.values():
        if part not in PARTS:
            raise BadInput(f"photos are for {', '.join(PARTS)}, not for {shown(part)}")
    with catalog.read() as reader:
        files = reader.files.of_images(images.ids.tolist())
    used = set()
    for row, image_id in enumerate(images.ids.tolist()):
        paths = [file.path for file in files[image_id] if file.path in given]
        used.update(paths)
        parts = {given[path] for path in paths}
        if len(parts) > 1:
            raise BadInput(
                f"{shown(paths[0])} and {shown(paths[-1])} hold the same bytes, and are given to "
                f"{' and '.join(sorted(parts))}"
            )
        if parts:
            fixed[row] = PARTS.index(parts.pop())
    unknown = [path for path in given if path not in used]
    if unknown:
        raise NotInWorkspace(
            f"{len(unknown)} of {len(given)} paths with a given part are not of a photo of the "
            f"workspace with one label, the first is {shown(unknown[0])}; nothing was split. Add "
            "and label the photos first, or take them out of the CSV"
        )
    return fixed
