"""Training, validation and test sets of a workspace: images, class numbers and embeddings."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from embedkit._internal.paths import shown
from embedkit.backbones.projection import Projection
from embedkit.catalog import Catalog
from embedkit.classify.heads.examples import Examples
from embedkit.classify.heads.linear import Features
from embedkit.classify.split import TEST, TRAIN, VAL, SplitSet, labelled_images, read_split
from embedkit.errors import BadInput
from embedkit.results import ResolvedName


@dataclass(frozen=True)
class LabelledSet:
    """Images with their class numbers, in order of id."""

    ids: np.ndarray
    """Image ids: int64 (N,)."""
    labels: np.ndarray
    """Class numbers: int64 (N,)."""
    groups: np.ndarray
    """Group numbers, int64 (N,): images that are tied to each other share one."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: np.ndarray) -> "LabelledSet":
        return LabelledSet(self.ids[rows], self.labels[rows], self.groups[rows])

    def photos(self, catalog: Catalog) -> list[tuple[str, int]]:
        """Return a path and the class number of each image that still has a file."""
        files = catalog.live_files(self.ids.tolist())
        pairs = zip(self.ids.tolist(), self.labels.tolist(), strict=True)
        return [
            (files[image_id][0].path, number) for image_id, number in pairs if image_id in files
        ]


@dataclass(frozen=True)
class EmbeddedSet:
    """Labelled images with their embeddings under one backbone."""

    ids: np.ndarray
    """Image ids: int64 (N,)."""
    labels: np.ndarray
    """Class numbers: int64 (N,)."""
    groups: np.ndarray
    """Group numbers, int64 (N,), as in :class:`LabelledSet`."""
    features: Features
    sha256: np.ndarray
    """SHA-256 of the images: uint8 (N, 32)."""

    def __len__(self) -> int:
        return len(self.ids)

    def examples(self) -> Examples:
        """Return the embeddings and labels in the form that heads are fitted on."""
        return Examples(self.features.vectors, self.features.norms, self.labels)


@dataclass(frozen=True)
class TrainingData:
    """The training and validation sets of the split, without the test set."""

    classes: tuple[str, ...]
    """Sorted names of the classes in the training set."""
    train: LabelledSet
    val: LabelledSet
    split_size: int
    """Number of images in both sets of the split, including images that are now missing."""


@dataclass(frozen=True)
class EmbeddedTrainingData:
    """Training and validation sets embedded by one backbone."""

    images: TrainingData
    resolved: ResolvedName
    train: EmbeddedSet
    val: EmbeddedSet
    projection: Projection | None = None
    """The projection of the backbone's spec, if it has one."""

    @property
    def left_out(self) -> int:
        """Number of images of both sets that are missing, unreadable or no longer labelled."""
        return self.images.split_size - len(self.train) - len(self.val)


def load_training_data(catalog: Catalog) -> TrainingData:
    """Return the training and validation sets of the workspace's split, with current labels.

    Raises :class:`BadInput` when there is no split, no validation set, fewer than two classes, or
    a class with validation but no training images.
    """
    _, sets = read_split(catalog)
    ids = {name: sets[name].ids for name in (TRAIN, VAL)}
    label_of = _labels_of(catalog, np.concatenate([ids[TRAIN], ids[VAL]]))
    labels = {
        name: {label_of[image_id] for image_id in ids[name].tolist() if image_id in label_of}
        for name in (TRAIN, VAL)
    }
    classes = sorted(labels[TRAIN])
    if len(classes) < 2:
        photos = f"photos of one class only, {shown(classes[0])}" if classes else "no photos"
        raise BadInput(f"the training set has {photos} and needs two classes; see 'embedkit split'")
    untrained = labels[VAL] - labels[TRAIN]
    if untrained:
        raise BadInput(
            f"{shown(min(untrained))} has validation photos and no training photos; draw the "
            "split again with 'embedkit split'"
        )
    train, val = (_numbered(sets[name], label_of, classes) for name in (TRAIN, VAL))
    if not len(val):
        raise BadInput(
            "the split has no validation set, which training needs to select hyperparameters; "
            "draw one with 'embedkit split --val N --test N'"
        )
    return TrainingData(tuple(classes), train, val, len(ids[TRAIN]) + len(ids[VAL]))


@dataclass(frozen=True)
class TestData:
    """The test set of the split."""

    __test__ = False  # not a class of tests for pytest

    images: LabelledSet
    split_size: int
    """Number of images in the test set of the split, including images that are now missing."""


def load_test_data(catalog: Catalog, classes: Sequence[str]) -> TestData:
    """Return the test set of the workspace's split, with labels as indices into ``classes``.

    Raises :class:`BadInput` when it is empty, or has a class that is not one of ``classes``.
    """
    _, sets = read_split(catalog)
    label_of = _labels_of(catalog, sets[TEST].ids)
    unknown = sorted(set(label_of.values()) - set(classes))
    if unknown:
        raise BadInput(
            f"the test set has photos of {', '.join(map(shown, unknown[:5]))}, which the head was "
            "not trained on; check with 'embedkit split' that the training set has photos of these "
            "classes, and train the head again"
        )
    images = _numbered(sets[TEST], label_of, classes)
    if not len(images):
        raise BadInput("the split has no test set; draw one with 'embedkit split --val N --test N'")
    return TestData(images, len(sets[TEST].ids))


def load_embeddings(catalog: Catalog, spec: str, images: LabelledSet) -> EmbeddedSet:
    """Return the images that have an embedding under a spec, with the embeddings.

    ``spec`` is the digest of the spec.
    """
    with catalog.read() as reader:
        ids, vectors, norms, sha256 = reader.embeddings.features(spec, images.ids)
    embedded = images[np.searchsorted(images.ids, ids)]
    return EmbeddedSet(
        embedded.ids, embedded.labels, embedded.groups, Features(vectors, norms), sha256
    )


@dataclass(frozen=True)
class JointlyEmbeddedSet:
    """Labelled images with an embedding under each of several backbones."""

    images: LabelledSet
    embedded: dict[str, Features]
    """Features by the digest of their spec."""
    sha256: np.ndarray
    """SHA-256 of the images: uint8 (N, 32)."""


def load_joint_embeddings(
    catalog: Catalog, specs: Iterable[str], images: LabelledSet
) -> JointlyEmbeddedSet:
    """Return the images that have an embedding under every spec, with all of these embeddings.

    Raises :class:`BadInput` when there are none.
    """
    sets = {spec: load_embeddings(catalog, spec, images) for spec in specs}
    in_all = np.ones(len(images), bool)
    for embedded in sets.values():
        in_all &= np.isin(images.ids, embedded.ids)
    if not in_all.any():
        raise BadInput(
            "none of the photos has an embedding of every backbone that the heads use; see "
            "'embedkit info'"
        )
    common = images[in_all]
    rows = {spec: np.isin(embedded.ids, common.ids) for spec, embedded in sets.items()}
    first = next(iter(sets))
    return JointlyEmbeddedSet(
        common,
        {spec: embedded.features[rows[spec]] for spec, embedded in sets.items()},
        sets[first].sha256[rows[first]],
    )


def _numbered(images: SplitSet, label_of: dict[int, str], classes: Sequence[str]) -> LabelledSet:
    """Return the images that have a label, with its index in ``classes``."""
    number_of = {name: number for number, name in enumerate(classes)}
    rows = [row for row, image_id in enumerate(images.ids.tolist()) if image_id in label_of]
    ids, groups = images.ids[rows], images.groups[rows]
    labels = [number_of[label_of[image_id]] for image_id in ids.tolist()]
    return LabelledSet(ids, np.array(labels, np.int64), groups)


def _labels_of(catalog: Catalog, ids: np.ndarray) -> dict[int, str]:
    """Return the label of each of these images that has exactly one, by image id."""
    images = labelled_images(catalog)
    requested = set(ids.tolist())
    pairs = zip(images.ids.tolist(), images.labels, strict=True)
    return {image_id: label for image_id, label in pairs if image_id in requested}
