"""Keep downloaded images: checked by content, named by digest."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from embedkit._internal.artifacts import atomic_write, storage_errors
from embedkit._internal.paths import shown
from embedkit.errors import UnreadableImage
from embedkit.images.opening import open_image

FOLDER = "images"
"""Folder of the images below that of the collection."""
SUFFIXES = {
    "JPEG": ".jpg",
    "MPO": ".jpg",
    "PNG": ".png",
    "WEBP": ".webp",
    "GIF": ".gif",
    "BMP": ".bmp",
    "DIB": ".bmp",
    "TIFF": ".tif",
    "JPEG2000": ".jp2",
    "AVIF": ".avif",
    "HEIF": ".heic",
}
"""Suffix of the files by Pillow's name of the format; all others are camera RAW files."""


@dataclass(frozen=True)
class KeptImage:
    """An image on disk."""

    digest: str
    """SHA-256 of its bytes, hex."""
    path: str
    """Path below the folder of the collection, with ``/`` between its parts."""
    bytes: int
    width: int
    height: int


def keep(data: bytes, folder: Path, megapixels: float) -> KeptImage:
    """Write an image below the folder of a collection, unless it is there.

    The format is that of the content. The file is on disk, under its name, when this returns.

    Raises
    ------
    UnreadableImage
        The bytes are not an image, or one of more than ``megapixels``.
    StorageError
        The file cannot be written.
    """
    image = open_image(data)
    width, height = image.size
    if width * height > megapixels * 1e6:
        raise UnreadableImage(
            "decode", f"{width} x {height} pixels, more than image_megapixels = {megapixels:g}"
        )
    digest = sha256(data).hexdigest()
    path = f"{FOLDER}/{digest[:2]}/{digest}{SUFFIXES.get(image.format or '', '.dng')}"
    target = folder / path
    with storage_errors(f"cannot write {shown(str(target))}"):
        if not _is_there(target, digest):
            with atomic_write(target) as temporary:
                temporary.write_bytes(data)
    return KeptImage(digest, path, len(data), width, height)


def _is_there(target: Path, digest: str) -> bool:
    """Return whether a file has the bytes that its name promises."""
    try:
        return sha256(target.read_bytes()).hexdigest() == digest
    except FileNotFoundError:
        return False
