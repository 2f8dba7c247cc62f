"""The images that backbones are compared on, with their classes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedkit._internal.paths import shown
from embedkit.catalog import Catalog, LiveFile
from embedkit.errors import BadInput
from embedkit.results import Failure

LABEL, FOLDER = BY = ("label", "folder")


@dataclass(frozen=True)
class Collection:
    """Images with a class, in order of path; the class is that of the image's first file."""

    by: str
    """What the classes are: ``label`` or ``folder``."""
    ids: np.ndarray
    """Image ids: int64 (N,)."""
    files: tuple[tuple[LiveFile, ...], ...]
    """The files of each image."""
    names: tuple[str, ...]
    """Names of the classes, sorted."""
    classes: np.ndarray
    """Class numbers, indices into ``names``: int64 (N,)."""
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
        What the classes are: ``label``, or ``folder`` for the folder that a file is in.
    failures : sequence of Failure, optional
        Files that could not be embedded, for the message of the error.

    Raises
    ------
    BadInput
        When there are fewer than two classes, or no class has two images.
    """
    if by not in BY:
        raise BadInput(f"by must be {' or '.join(BY)}, not {by!r}")
    with catalog.read() as reader:
        live = reader.files.image_ids()
    ids = live
    for some in embedded:
        ids = ids[np.isin(ids, some)]
    found = sorted(catalog.live_files(ids.tolist()).items(), key=lambda item: item[1][0].path)
    root = os.path.commonpath([os.path.dirname(files[0].path) for _, files in found] or ["."])
    named = [
        (image_id, tuple(files), name)
        for image_id, files in found
        if (name := _class_of(by, root, files[0].path, files[0].label)) is not None
    ]
    names = sorted({name for _, _, name in named})
    if len(names) < 2 or len(named) == len(names):
        raise BadInput(_too_few_classes(by, len(found), names) + _failed(failures))
    number_of = {name: number for number, name in enumerate(names)}
    return Collection(
        by,
        np.array([image_id for image_id, _, _ in named]),
        tuple(files for _, files, _ in named),
        tuple(names),
        np.array([number_of[name] for _, _, name in named]),
        len(live) - len(named),
        root,
    )


def _class_of(by: str, root: str, path: str, label: str | None) -> str | None:
    if by == LABEL:
        return label
    folder = os.path.dirname(path)
    # The separator at the end distinguishes the root from a folder of the same name in it.
    return os.path.basename(root) + os.sep if folder == root else os.path.relpath(folder, root)


def _too_few_classes(by: str, images: int, names: Sequence[str]) -> str:
    how = (
        "add labels with 'embedkit labels --from-folders DIR' or '--from-csv FILE', or compare "
        "with '--by folder'"
        if by == LABEL
        else "add labels with 'embedkit labels' and compare by label"
    )
    if not images:
        return "there are no photos to compare backbones on"
    if not names:
        none = f"none of the {images} photos has" if images > 1 else "the only photo does not have"
        return f"{none} a label; {how}"
    if len(names) == 1:
        return f"all photos are of one class, {shown(names[0])}; a comparison needs two; {how}"
    return f"each of the {images} photos is the only one of its class; {how}"


def _failed(failures: Sequence[Failure]) -> str:
    if not failures:
        return ""
    count, first = len(failures), failures[0]
    return (
        f"; {count} file{'s' if count > 1 else ''} could not be embedded, "
        f"the first is {shown(first.path)}: {first.reason}"
    )
