"""Folders by label with links to the images of a collection. A new label moves no bytes."""

import os
from collections.abc import Iterable
from pathlib import Path

from embedkit._internal.artifacts import storage_errors
from embedkit._internal.paths import from_stored, shown
from embedkit.collect.images import FOLDER
from embedkit.errors import BadInput

_MAX_NAME = 200
"""Longest name of a label's folder, bytes."""


def write_links(images: Iterable[tuple[str, str]], collection: Path, target: Path) -> int:
    """Make ``target`` have one folder a label, with a relative link to each of its images.

    Links to images that have another label now are removed; other files are left alone. Returns the
    number of links.

    Parameters
    ----------
    images : iterable of (str, str)
        Paths of the images below the folder of the collection, and their labels.
    collection : Path
        Absolute folder of the collection.
    target : Path
        Absolute folder of the links.

    Raises
    ------
    BadInput
        Two labels would have the same folder.
    StorageError
        A link cannot be written or removed.
    """
    with storage_errors(f"cannot write to {shown(str(target))}"):
        wanted = {}
        labels: dict[str, str] = {}
        for path, label in images:
            folder = _folder_name(label)
            if labels.setdefault(folder.casefold(), label) != label:
                raise BadInput(
                    f"the labels {shown(labels[folder.casefold()])!r} and {shown(label)!r} would "
                    f"have the same folder in {shown(str(target))}; rename one of them"
                )
            place = target / folder / _link_name(path)
            while place in wanted:
                place = place.with_stem(f"{place.stem}_")
            wanted[place] = os.path.relpath(collection / from_stored(path), place.parent)
        own = os.path.realpath(collection)
        for place in _links_below(target):
            points_to = os.path.realpath(place)
            if os.path.commonpath([own, points_to]) == own and place not in wanted:
                place.unlink()
                if not any(place.parent.iterdir()):
                    place.parent.rmdir()
        for place, destination in wanted.items():
            if place.is_symlink() and os.readlink(place) == destination:
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_symlink():
                place.unlink()
            place.symlink_to(destination)
        return len(wanted)


def _link_name(path: str) -> str:
    """Return the name of the link to an image: its digest, or its path in one word."""
    parts = from_stored(path).split("/")
    return parts[-1] if parts[0] == FOLDER else "_".join(parts)


def _links_below(target: Path) -> list[Path]:
    if not target.is_dir():
        return []
    folders = [item for item in target.iterdir() if item.is_dir() and not item.is_symlink()]
    return [item for folder in folders for item in folder.iterdir() if item.is_symlink()]


def _folder_name(label: str) -> str:
    """Return the name of a label's folder: the label, with characters replaced that names lack."""
    name = "".join(
        "_" if char in '/\\:*?"<>|' or not char.isprintable() else char for char in label
    )
    name = name.strip(" .") or "_"
    while len(name.encode("utf-8", "surrogateescape")) > _MAX_NAME:
        name = name[:-1]
    return name
