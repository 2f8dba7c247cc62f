"""Detect and relocate folders of photos that moved as a whole, without reading the photos."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass

from embedkit._internal.paths import FILE_URL, is_within, shown
from embedkit.catalog import Catalog
from embedkit.errors import BadInput, NotInWorkspace
from embedkit.ingest.labels import relabel_from_folders
from embedkit.results import RelocationReport


@dataclass(frozen=True)
class Presence:
    """The ids of files, grouped by their state in another folder."""

    unchanged: list[int]
    """Files with the stored size."""
    changed: list[int]
    """Files with another size."""
    missing: list[int]
    """Files that do not exist there."""

    @property
    def is_same(self) -> bool:
        """Whether at least half of the files are there, so that the folder replaces the old one."""
        return bool(self.unchanged) and len(self.unchanged) >= len(self.changed) + len(self.missing)


def presence(files: Iterable[tuple[int, str, int]], folder: str) -> Presence:
    """Check which files (id, relative path, bytes) are in a folder, without opening them."""
    found = Presence([], [], [])
    for file_id, path, size in files:
        try:
            status = os.stat(os.path.join(folder, path))
        except (OSError, ValueError):
            found.missing.append(file_id)
            continue
        is_unchanged = stat.S_ISREG(status.st_mode) and status.st_size == size
        (found.unchanged if is_unchanged else found.changed).append(file_id)
    return found


def relocate(catalog: Catalog, old: str, new: str) -> RelocationReport:
    """Relocate the files of an absolute folder that was moved to another one.

    Raises :class:`BadInput` unless at least half of the files are in the new folder with their
    sizes, and when the workspace has files there already; :class:`NotInWorkspace` when it has none
    in the old folder.
    """
    if not os.path.isdir(new):
        raise BadInput(
            f"{shown(new)} is not a folder; name the folder that contains the photos now"
        )
    if old == new:
        raise BadInput("both folders are the same; name the old and the new folder of the photos")
    with catalog.read() as reader:
        files = reader.files.below(old)
    if not files:
        raise NotInWorkspace(f"the workspace has no photos below {shown(old)}")
    found = presence(files, new)
    if not found.is_same:
        raise BadInput(
            f"{len(found.unchanged)} of the {len(files)} files of {shown(old)} are below "
            f"{shown(new)} with the same size, fewer than half; nothing was changed. Check the "
            f"folder, or add it and remove {shown(old)}; labels are kept"
        )
    return _relocate(catalog, old, new, found)


def adopt(catalog: Catalog, places: Iterable[str]) -> None:
    """Relocate files that were pulled by URL to the same path on this machine, if they are there.

    ``places`` are absolute paths that are about to be added. A folder is taken for the one at the
    URL if at least half of its files are there with their sizes, and no file below it was added
    here.
    """
    if not catalog.exists:
        return
    with catalog.read() as reader:
        roots = [root for root in reader.folders.roots().values() if root.startswith(FILE_URL)]
        known = reader.files.folders() if roots else set()
    for root in roots:
        for place in places:
            folder = root.removeprefix(FILE_URL)
            if is_within(place, folder):
                folder = place
            elif not is_within(folder, place):
                continue
            if not os.path.isdir(folder) or any(is_within(one, folder) for one in known):
                continue
            with catalog.read() as reader:
                files = reader.files.below(FILE_URL + folder)
            found = presence(files, folder)
            if found.is_same:
                _relocate(catalog, FILE_URL + folder, folder, found)


def _relocate(catalog: Catalog, old: str, new: str, found: Presence) -> RelocationReport:
    with catalog.write() as writer:
        sources, warnings = writer.relocate(old, new, found.missing)
        labelled = relabel_from_folders(writer, new)
    return RelocationReport(
        files=len(found.unchanged),
        missing=len(found.missing),
        changed=len(found.changed),
        sources=tuple(sources),
        warnings=(*warnings, *labelled.warnings),
    )
