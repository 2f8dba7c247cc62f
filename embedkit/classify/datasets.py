"""What the split teaches and asks: the images of its parts, their classes and embeddings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from embedkit._internal.paths import shown
from embedkit.catalog import Catalog
from embedkit.classify.heads.linear import Features
from embedkit.classify.heads.training_set import Examples
from embedkit.classify.split import TEST, TRAIN, VAL, read_split
from embedkit.classify.split import Part as SplitPart
from embedkit.errors import BadInput
from embedkit.results import ResolvedName


@dataclass(frozen=True)
class Labelled:
    """Images of one part and their classes, in order of id."""

    ids: np.ndarray
    """int64 (N,)"""
    labels: np.ndarray
    """int64 (N,), class numbers."""
    units: np.ndarray
    """int64 (N,), the unit of each image: those that are tied to each other have one number."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: np.ndarray) -> "Labelled":
        return Labelled(self.ids[rows], self.labels[rows], self.units[rows])

    def photos(self, catalog: Catalog) -> list[tuple[str, int]]:
        """A file of each image that has one, and the number of its class."""
        files = catalog.live_files(self.ids.tolist())
        pairs = zip(self.ids.tolist(), self.labels.tolist(), strict=True)
        return [(files[one][0].path, number) for one, number in pairs if one in files]


@dataclass(frozen=True)
class Lesson:
    """What a head is trained with: nothing of the test part is in it."""

    classes: tuple[str, ...]
    """Sorted; of the training part."""
    train: Labelled
    val: Labelled
    drawn: int
    """Photos that the split has in both parts, whatever became of them."""


@dataclass(frozen=True)
class Part:
    """Labelled images with their embeddings."""

    ids: np.ndarray
    """int64 (N,)"""
    labels: np.ndarray
    """int64 (N,), class numbers."""
    units: np.ndarray
    """int64 (N,), as of :class:`Labelled`."""
    features: Features
    sha256: np.ndarray
    """uint8 (N, 32)"""

    def __len__(self) -> int:
        return len(self.ids)

    def examples(self) -> Examples:
        """What heads are fitted on."""
        return Examples(self.features.vectors, self.features.norms, self.labels)


@dataclass(frozen=True)
class School:
    """What a head learns from, under one backbone."""

    lesson: Lesson
    resolved: ResolvedName
    train: Part
    val: Part

    @property
    def left_out(self) -> int:
        """Photos of both parts that are gone, cannot be read or have lost their label."""
        return self.lesson.drawn - len(self.train) - len(self.val)


def lesson(catalog: Catalog) -> Lesson:
    """The training and validation parts of the workspace's split, under the labels of now.

    Raises :class:`BadInput` when there is no split, fewer than two classes to learn, or no
    validation.
    """
    parts = read_split(catalog)[1]
    ids = {part: parts[part].ids for part in (TRAIN, VAL)}
    label_of = _labels(catalog, np.concatenate([ids[TRAIN], ids[VAL]]))
    classes = sorted({label_of[one] for one in ids[TRAIN].tolist() if one in label_of})
    if len(classes) < 2:
        what = f"only {shown(classes[0])}" if classes else "nothing"
        raise BadInput(
            f"there is {what} to learn: the training part needs photos of two classes; "
            "see 'embedkit split'"
        )
    untaught = {label_of[one] for one in ids[VAL].tolist() if one in label_of} - set(classes)
    if untaught:
        raise BadInput(
            f"{shown(min(untaught))} has photos for validation and none for training; draw the "
            "split again with 'embedkit split'"
        )
    train, val = (numbered(parts[part], label_of, classes) for part in (TRAIN, VAL))
    if not len(val):
        raise BadInput(
            "the split has no validation part, which everything is chosen on; draw one with "
            "'embedkit split --val N --test N'"
        )
    return Lesson(tuple(classes), train, val, len(ids[TRAIN]) + len(ids[VAL]))


@dataclass(frozen=True)
class Exam:
    """The test part of the split."""

    images: Labelled
    drawn: int
    """Photos that the split has in it, whatever became of them."""


def exam(catalog: Catalog, classes: Sequence[str]) -> Exam:
    """The test part of the workspace's split, its labels numbered as in ``classes``.

    Raises :class:`BadInput` when it is empty, or holds a class that is not one of ``classes``.
    """
    part = read_split(catalog)[1][TEST]
    label_of = _labels(catalog, part.ids)
    unknown = sorted(set(label_of.values()) - set(classes))
    if unknown:
        raise BadInput(
            f"the test part has photos of {', '.join(map(shown, unknown[:5]))}, which the head was "
            "not taught: see whether 'embedkit split' has some for training, and train it again"
        )
    found = numbered(part, label_of, classes)
    if not len(found):
        raise BadInput(
            "the split has no test part; draw one with 'embedkit split --val N --test N'"
        )
    return Exam(found, len(part.ids))


def numbered(part: SplitPart, label_of: dict[int, str], classes: Sequence[str]) -> Labelled:
    """Those images of a part that have a label, with its number."""
    number_of = {name: number for number, name in enumerate(classes)}
    rows = [row for row, one in enumerate(part.ids.tolist()) if one in label_of]
    ids, units = part.ids[rows], part.units[rows]
    labels = [number_of[label_of[one]] for one in ids.tolist()]
    return Labelled(ids, np.array(labels, np.int64), units)


def embedded_part(catalog: Catalog, spec: str, images: Labelled) -> Part:
    """The embeddings of ``images`` under a spec; those that have none are left out."""
    with catalog.read() as reader:
        ids, vectors, norms, sha256 = reader.embeddings.features(spec, images.ids)
    found = images[np.searchsorted(images.ids, ids)]
    return Part(found.ids, found.labels, found.units, Features(vectors, norms), sha256)


@dataclass(frozen=True)
class Together:
    """Labelled images with the embeddings that several backbones made of them."""

    images: Labelled
    embedded: dict[str, Features]
    """By digest of spec."""
    sha256: np.ndarray
    """uint8 (N, 32)"""


def embedded_by_all(catalog: Catalog, specs: Iterable[str], images: Labelled) -> Together:
    """Those of ``images`` that every one of the specs has an embedding of.

    Raises :class:`BadInput` when there are none.
    """
    found = {spec: embedded_part(catalog, spec, images) for spec in specs}
    there = np.ones(len(images), bool)
    for some in found.values():
        there &= np.isin(images.ids, some.ids)
    if not there.any():
        raise BadInput("none of the photos can be read any more; see 'embedkit info'")
    kept = images[there]
    rows = {spec: np.isin(some.ids, kept.ids) for spec, some in found.items()}
    first = next(iter(found))
    return Together(
        kept,
        {spec: some.features[rows[spec]] for spec, some in found.items()},
        found[first].sha256[rows[first]],
    )


def _labels(catalog: Catalog, ids: np.ndarray) -> dict[int, str]:
    """The label of each of some images that has files under one label, and no other."""
    with catalog.read() as reader:
        table = reader.labels.by_image()
    wanted = set(ids.tolist())
    columns = (table.column(name).to_pylist() for name in ("image_id", "label", "other"))
    return {
        one: label
        for one, label, other in zip(*columns, strict=True)
        if one in wanted and label is not None and other is None
    }
