"""Folders of photos that moved as a whole: recognised, and relocated without reading a photo."""

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass

from embedkit._internal.paths import shown
from embedkit.catalog import Catalog
from embedkit.errors import BadInput, NotInWorkspace
from embedkit.ingest.labels import relabel_from_folders
from embedkit.results import RelocationReport


@dataclass(frozen=True)
class Presence:
    """Which of some files are at a new place, by id."""

    there: list[int]
    """With the size that is known."""
    changed: list[int]
    """With another one."""
    absent: list[int]

    @property
    def is_same(self) -> bool:
        """Whether the new place may be taken for the old one: half of the files are there."""
        return bool(self.there) and len(self.there) >= len(self.changed) + len(self.absent)


def presence(files: Iterable[tuple[int, str, int]], folder: str) -> Presence:
    """Look for files (id, relative path, bytes) below a folder; none is opened."""
    found = Presence([], [], [])
    for file_id, path, size in files:
        try:
            status = os.stat(os.path.join(folder, path))
        except (OSError, ValueError):
            found.absent.append(file_id)
            continue
        same = stat.S_ISREG(status.st_mode) and status.st_size == size
        (found.there if same else found.changed).append(file_id)
    return found


def relocate(catalog: Catalog, old: str, new: str) -> RelocationReport:
    """Take the files of one absolute folder for those of another, to which they were moved.

    At least half of the files have to be at the new place with their sizes. Raises
    :class:`BadInput` otherwise, and when the workspace has files at the new place already, and
    :class:`NotInWorkspace` when it has none at the old one.
    """
    if not os.path.isdir(new):
        raise BadInput(f"{shown(new)} is not a folder; give the folder where the photos are now")
    if old == new:
        raise BadInput("give two folders: where the photos were, and where they are now")
    with catalog.read() as reader:
        files = reader.files.below(old)
    if not files:
        raise NotInWorkspace(f"the workspace has no photos below {shown(old)}")
    found = presence(files, new)
    if not found.is_same:
        raise BadInput(
            f"{len(found.there)} of the {len(files)} files of {shown(old)} are at {shown(new)} "
            "with their sizes, fewer than half; nothing was changed. Check the folder, or add it "
            f"and remove {shown(old)}: labels stay with the photos"
        )
    with catalog.write() as writer:
        sources, warnings = writer.relocate(old, new, found.absent)
        labelled = relabel_from_folders(writer, new)
    return RelocationReport(
        files=len(found.there),
        missing=len(found.absent),
        changed=len(found.changed),
        sources=tuple(sources),
        warnings=(*warnings, *labelled.warnings),
    )
