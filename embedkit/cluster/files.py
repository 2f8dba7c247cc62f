"""Read the photos of a store, wherever they are."""

from collections.abc import Sequence

from embedkit._internal.paths import is_url, native_path
from embedkit.catalog import PendingFile
from embedkit.cluster.location import Location
from embedkit.cluster.reading import read_whole
from embedkit.cluster.shards import Shards, is_member
from embedkit.errors import BadInput, UnreadableImage
from embedkit.images.decode import read_bytes
from embedkit.ingest.pipeline import READERS

_REMOTE_READERS = 32
"""Files that are read concurrently by URL: each takes many milliseconds."""


class StoreFiles:
    """Files by stored path, URL or member of a shard: see :class:`Files` of the ingest pipeline.

    Archives must not change while it is in use.

    Parameters
    ----------
    paths : sequence of str
        The stored paths of the files that will be read.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._shards = Shards()
        self._readers = _REMOTE_READERS if any(map(is_url, paths)) else READERS

    @property
    def readers(self) -> int:
        """Number of files to read concurrently."""
        return self._readers

    def read(self, file: PendingFile) -> bytes:
        """Return the content of a file. Raises :class:`UnreadableImage` (stage ``read``)."""
        if not is_url(file.path):
            return read_bytes(file_name(file.path))
        try:
            if is_member(file.path):
                return self._shards.read(file.path)
            return read_whole(Location(file.path), file.bytes)
        except UnreadableImage:
            raise
        except BadInput as error:
            raise UnreadableImage("read", str(error)) from error

    def name(self, file: PendingFile) -> str:
        """Return the path or URL of a file: see :func:`file_name`."""
        return file_name(file.path)


def file_name(stored: str) -> str:
    """Return the absolute path of a file, as the system names it, or its URL."""
    return stored if is_url(stored) else native_path(stored)
