"""The images that backbones are compared on, and the class of each."""

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
    """Images with a class, in order of path; an image has the class of its first file."""

    by: str
    ids: np.ndarray
    """int64 (N,)"""
    files: tuple[tuple[LiveFile, ...], ...]
    names: tuple[str, ...]
    """Of the classes, sorted."""
    classes: np.ndarray
    """int64 (N,), places in ``names``."""
    left_out: int
    root: str
    """Folder that names of folders are told from."""

    def class_of(self, path: str, label: str | None) -> str | None:
        """The name of the class of a file at an absolute path; None when it has none."""
        return _class_of(self.by, self.root, path, label)


def collection(
    catalog: Catalog, embedded: Sequence[np.ndarray], by: str, failures: Sequence[Failure] = ()
) -> Collection:
    """The images with a class and an embedding in each of ``embedded``, int64 arrays of ids.

    Classes are labels, or ``by`` folder the folders that files are in. Raises :class:`BadInput`
    when nothing can be told apart by them; the ``failures`` are why images have no embedding.
    """
    if by not in BY:
        raise BadInput(f"photos are compared by {' or '.join(BY)}, not by {by!r}")
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
        raise BadInput(_nothing_to_tell(by, len(found), names) + _failed(failures))
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
    # The separator at its end tells the root's own name from those of folders below it.
    return os.path.basename(root) + os.sep if folder == root else os.path.relpath(folder, root)


def _nothing_to_tell(by: str, images: int, names: Sequence[str]) -> str:
    how = (
        "give labels with 'embedkit labels --from-folders DIR' or '--from-csv FILE', or compare "
        "with '--by folder'"
        if by == LABEL
        else "give labels with 'embedkit labels' and compare by them"
    )
    if not images:
        return "there are no photos to compare backbones on"
    if not names:
        none = f"none of the {images} photos has" if images > 1 else "the only photo does not have"
        return f"{none} a label; {how}"
    if len(names) == 1:
        return (
            f"all photos are of one class, {shown(names[0])}, so nothing can be told apart; {how}"
        )
    return f"each of the {images} photos is alone in its class; {how}"


def _failed(failures: Sequence[Failure]) -> str:
    if not failures:
        return ""
    count, first = len(failures), failures[0]
    return (
        f"; {count} file{'s' if count > 1 else ''} could not be embedded, "
        f"the first is {shown(first.path)}: {first.reason}"
    )
