"""The paths of a store in a workspace on a machine that does not have its folders.

The workspace knows the files there by URLs, such as ``file:///cluster/photos/1.jpg``: so no command
takes them for deleted, or opens another file in their place. URLs are not quoted. When a folder at
a URL is relocated to a folder of this machine, the catalog remembers both.
"""

from collections.abc import Mapping

from embedkit._internal.paths import FILE_URL


class Elsewhere:
    """Places of files in a store and in a workspace, all in stored form.

    Parameters
    ----------
    relocated : mapping of str to str
        Folders at URLs that were relocated, and where they are now: see
        :meth:`embedkit.catalog.readers.folders.FolderReader.relocated_urls`.
    """

    def __init__(self, relocated: Mapping[str, str]) -> None:
        moved = [
            (_start(url.removeprefix(FILE_URL)), _start(folder))
            for url, folder in relocated.items()
        ]
        # A folder inside another one may have been relocated on its own: the longest start counts.
        self._from_store = sorted(moved, key=lambda pair: -len(pair[0]))
        self._from_here = sorted(moved, key=lambda pair: -len(pair[1]))
        self._folders: dict[str, bool] = {}

    @property
    def is_empty(self) -> bool:
        """Whether no folder was relocated."""
        return not self._from_store

    def add(self, folder: str, is_elsewhere: bool) -> None:
        """Record whether the files of a folder of the store have URLs in the workspace."""
        self._folders[folder.rstrip("/")] = is_elsewhere

    def in_workspace(self, path: str) -> str:
        """Return the path or URL in the workspace, by the path or URL in the store."""
        for start, folder in self._from_store:
            if path.startswith(start):
                return folder + path[len(start) :]
        return FILE_URL + path if self._is_elsewhere(path) else path

    def before_relocation(self, place: str) -> str:
        """Return the path or URL that the store has if it knows the file, by the place here."""
        for start, folder in self._from_here:
            if place.startswith(folder):
                return start + place[len(folder) :]
        return in_store(place)

    def _is_elsewhere(self, path: str) -> bool:
        """Return what is known of the folder of a path, or else of the nearest one above it."""
        folder = path
        while "/" in folder:
            folder = folder.rpartition("/")[0]
            if folder in self._folders:
                return self._folders[folder]
        return False


def in_store(place: str) -> str:
    """Return the path or URL in the store of a file that was not relocated, by the place here."""
    return place.removeprefix(FILE_URL)


def _start(folder: str) -> str:
    return folder.rstrip("/") + "/"
