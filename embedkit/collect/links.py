"""Folders by label with links to the images of a collection. A new label moves no bytes."""

import os
from collections.abc import Iterable
from pathlib import Path

from embedkit._internal.artifacts import read_json, storage_errors, write_json
from embedkit._internal.paths import from_stored, shown
from embedkit.collect.images import FOLDER
from embedkit.errors import BadInput

_LIST = ".embedkit-links.json"
"""File with the links that were made: no others are removed."""
_MAX_NAME = 200
"""Longest name of a label's folder, bytes."""


def write_links(images: Iterable[tuple[str, str]], collection: Path, target: Path) -> int:
    """Make ``target`` have one folder a label, with a relative link to each of its images.

    Links of earlier calls to images that have another label now are removed; other files and links
    are left alone. Images that are not on disk any more have no link. Returns the number of links.

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
        Two labels would have the same folder, or another file has the place of a link.
    StorageError
        A link cannot be written or removed.
    """
    with storage_errors(f"cannot write to {shown(str(target))}"):
        wanted = _wanted(images, collection, target)
        own = _own_links(target)
        for name, destination in wanted.items():
            place = target / name
            if os.path.lexists(place) and (name not in own or not place.is_symlink()):
                if place.is_symlink() and os.readlink(place) == destination:
                    continue
                raise BadInput(f"{shown(str(place))} exists already; give another folder")
        target.mkdir(parents=True, exist_ok=True)
        write_json(target / _LIST, {"links": sorted(own | wanted.keys())})
        for name in own - wanted.keys():
            _remove(target / name)
        for name, destination in wanted.items():
            place = target / name
            if place.is_symlink() and os.readlink(place) == destination:
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_symlink():
                place.unlink()
            place.symlink_to(destination)
        write_json(target / _LIST, {"links": sorted(wanted)})
        return len(wanted)


def _wanted(images: Iterable[tuple[str, str]], collection: Path, target: Path) -> dict[str, str]:
    """Return the links by their path below the target, with what they point to."""
    wanted: dict[str, str] = {}
    labels: dict[str, str] = {}
    for path, label in images:
        image = collection / from_stored(path)
        if not image.exists():
            continue
        folder = _folder_name(label)
        if labels.setdefault(folder.casefold(), label) != label:
            raise BadInput(
                f"the labels {shown(labels[folder.casefold()])!r} and {shown(label)!r} would "
                f"have the same folder in {shown(str(target))}; rename one of them"
            )
        name = Path(folder) / _link_name(path)
        while str(name) in wanted:
            name = name.with_stem(f"{name.stem}_")
        wanted[str(name)] = os.path.relpath(image, (target / name).parent)
    return wanted


def _own_links(target: Path) -> set[str]:
    """Return the links that earlier calls have made, by their path below the target."""
    if not (target / _LIST).exists():
        return set()
    links = read_json(target / _LIST).get("links")
    return {name for name in links if isinstance(name, str)} if isinstance(links, list) else set()


def _remove(link: Path) -> None:
    """Remove a link, and its folder if that is empty then."""
    if link.is_symlink():
        link.unlink()
        if not any(link.parent.iterdir()):
            link.parent.rmdir()


def _link_name(path: str) -> str:
    """Return the name of the link to an image: its digest, or its path in one word."""
    parts = from_stored(path).split("/")
    return parts[-1] if parts[0] == FOLDER else "_".join(parts)


def _folder_name(label: str) -> str:
    """Return the name of a label's folder: the label, with characters replaced that names lack."""
    name = "".join(
        "_" if char in '/\\:*?"<>|' or not char.isprintable() else char for char in label
    )
    name = name.strip(" .") or "_"
    while len(name.encode("utf-8", "surrogateescape")) > _MAX_NAME:
        name = name[:-1]
    return name
