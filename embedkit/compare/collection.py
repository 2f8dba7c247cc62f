"""The images that backbones are compared on, with their classes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedkit._internal.paths import shown
from embedkit.catalog import Catalog, LiveFile
from embedkit.errors import BadInput
from embedkit.results import Failure
from embedkit.results.wording import counted

LABEL, FOLDER = BY = ("label", "folder")


@dataclass(frozen=True)
class Collection:
    """Images with a class, in order of path; the class is that of the image's first file."""

    by: str
    """The property that defines the classes: ``label`` or ``folder``."""
    ids: np.ndarray
    """Image ids: int64 (N,)."""
    files: tuple[tuple[LiveFile, ...], ...]
    """The files of each image."""
    class_names: tuple[str, ...]
    """Names of the classes, sorted."""
    classes: np.ndarray
    """Class numbers, indices into ``class_names``: int64 (N,)."""
    left_out: int
    """Number of images without a class or an embedding."""
    root: str
    """The folder that contains all files; names of folders are relative to it."""

    def class_of(self, path: str, label: str | None) -> str | None:
        """Return the class name of a file at an absolute path; None if it has no class."""
        return _class_of(self.by, self.root, path, label)


def load_collection(
    catalog: Catalog, embedded: Sequence[np.ndarray], by: str, failures: Sequence[Failure] = ()
) -> Collection:
    """Return the images with a class and an embedding under every backbone.

    Parameters
    ----------
    catalog : Catalog
        The catalog of the workspace.
    embedded : sequence of ndarray
        Ids of the images with an embedding, one int64 array for each backbone.
    by : {'label', 'folder'}
        The property that defines the classes: the label of a file, or the folder that it is in.
    failures : sequence of Failure, optional
        Files that could not be embedded, for the error message.

    Raises
    ------
    BadInput
        There are fewer than two classes, or no class has two images.
    """
    if by not in BY:
        raise BadInput(f"by must be {' or '.join(BY)}, not {by!r}")
    with catalog.read() as reader:
        live = reader.files.image_ids()
    ids = live
    for ids_of_backbone in embedded:
        ids = ids[np.isin(ids, ids_of_backbone)]
    images = sorted(catalog.live_files(ids.tolist()).items(), key=lambda item: item[1][0].path)
    root = os.path.commonpath([os.path.dirname(files[0].path) for _, files in images] or ["."])
    classified = [
        (image_id, tuple(files), name)
        for image_id, files in images
        if (name := _class_of(by, root, files[0].path, files[0].label)) is not None
    ]
    names = sorted({name for _, _, name in classified})
    if len(names) < 2 or len(classified) == len(names):
        raise BadInput(_too_few_classes(by, len(images), names) + _failure_text(failures))
    number_of = {name: number for number, name in enumerate(names)}
    return Collection(
        by,
        np.array([image_id for image_id, _, _ in classified]),
        tuple(files for _, files, _ in classified),
        tuple(names),
        np.array([number_of[name] for _, _, name in classified]),
        len(live) - len(classified),
        root,
    )


def _class_of(by: str, root: str, path: str, label: str | None) -> str | None:
    if by == LABEL:
        return label
    folder = os.path.dirname(path)
    # The separator at the end distinguishes the root from a folder of the same name in it.
    return os.path.basename(root) + os.sep if folder == root else os.path.relpath(folder, root)


def _too_few_classes(by: str, images: int, names: Sequence[str]) -> str:
    remedy = (
        "add labels with 'embedkit labels --from-folders DIR' or '--from-csv FILE', or compare "
        "with '--by folder'"
        if by == LABEL
        else "add labels with 'embedkit labels' and compare by label"
    )
    if not images:
        return "there are no photos to compare backbones on"
    if not names:
        without = f"none of the {images} photos has" if images > 1 else "the photo does not have"
        return f"{without} a label; {remedy}"
    if len(names) == 1:
        return f"all photos are of one class, {shown(names[0])}; a comparison needs two; {remedy}"
    return f"each of the {images} photos is the only one of its class; {remedy}"


def _failure_text(failures: Sequence[Failure]) -> str:
    """Return the end of a message: the number of failures, and the first one; empty without any."""
    if not failures:
        return ""
    count, first = counted(len(failures), "file"), failures[0]
    return f"; {count} could not be embedded, the first is {shown(first.path)}: {first.reason}"
