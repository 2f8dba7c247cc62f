"""Read the photos of a store, wherever they are."""

from embedkit._internal import paths
from embedkit._internal.text import one_line
from embedkit.catalog import PendingFile
from embedkit.cluster.location import Location, is_url
from embedkit.errors import EmbedkitError, UnreadableImage
from embedkit.images.decode import read_bytes


class StoreFiles:
    """Files by stored path or URL: see :class:`embedkit.ingest.pipeline.Files`."""

    def read(self, file: PendingFile) -> bytes:
        """Return the content of a file."""
        if not is_url(file.path):
            return read_bytes(file_name(file.path))
        location = Location(file.path)
        try:
            content: bytes = location.filesystem.cat_file(location.path)
        except (OSError, EmbedkitError) as error:
            raise UnreadableImage("read", one_line(error)) from error
        return content

    def name(self, file: PendingFile) -> str:
        """Return the path or URL of a file: see :func:`file_name`."""
        return file_name(file.path)


def file_name(stored: str) -> str:
    """Return the absolute path of a file, as the system names it, or its URL."""
    return stored if is_url(stored) else paths.native_path(stored)
