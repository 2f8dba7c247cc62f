"""One photo of a listing."""

from typing import NamedTuple


class Entry(NamedTuple):
    """A photo, as its source lists it."""

    path: str
    """The stored form of an absolute path, or a URL."""
    bytes: int = 0
    """Its size; 0 if the source does not name it."""
    mtime_ns: int = 0
    """When it was changed; 0 if the source does not name it."""
    label: str | None = None
    """Label from a table or an archive."""
    folder_label: str | None = None
    """Label from the name of a folder."""
    attributes: tuple[tuple[str, str], ...] = ()
    """Name and value of other columns."""
