"""The paths of a store in a workspace on a machine that does not have its folders.

The workspace knows the files there by URLs, such as ``file:///cluster/photos/1.jpg``: so no command
takes them for deleted, or opens another file in their place. URLs are not quoted. When a folder at
a URL is relocated to a folder of this machine, the catalog remembers both.
"""

from collections.abc import Mapping

SCHEME = "file://"


class Elsewhere:
    """Places of files in a store and in a workspace, all in stored form.

    Parameters
    ----------
    relocated : mapping of str to str
        Folders at URLs that were relocated, and where they are now: see
        :meth:`embedkit.catalog.readers.folders.FolderReader.relocated_urls`.
    """

    def __init__(self, relocated: Mapping[str, str]) -> None:
        self._relocated = [
            (_start(url.removeprefix(SCHEME)), _start(folder)) for url, folder in relocated.items()
        ]
        self._urls: list[str] = []

    @property
    def is_empty(self) -> bool:
        """Whether no folder was relocated, and none was added."""
        return not (self._relocated or self._urls)

    def add(self, folder: str) -> None:
        """Let a folder of the store have a URL in the workspace."""
        self._urls.append(_start(folder))

    def in_workspace(self, path: str) -> str:
        """Return the path or URL in the workspace, by the path or URL in the store."""
        for start, folder in self._relocated:
            if path.startswith(start):
                return folder + path[len(start) :]
        return SCHEME + path if any(map(path.startswith, self._urls)) else path

    def before_relocation(self, place: str) -> str:
        """Return the path or URL that the store has if it knows the file, by the place here."""
        for start, folder in self._relocated:
            if place.startswith(folder):
                return start + place[len(folder) :]
        return in_store(place)


def in_store(place: str) -> str:
    """Return the path or URL in the store of a file that was not relocated, by the place here."""
    return place.removeprefix(SCHEME)


def _start(folder: str) -> str:
    return folder.rstrip("/") + "/"
