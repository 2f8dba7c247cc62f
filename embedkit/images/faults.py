"""Failures of parsers: one exception with a one-line reason for each file, nothing on stderr.

For hostile bytes, image parsers raise any exception and write warnings through ``warnings``,
``logging`` and, in C, stderr.
"""

import ctypes
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from embedkit._internal.text import one_line
from embedkit.errors import EmbedkitError, UnreadableImage

NO_MEMORY = "too large for the free memory"
NOT_AN_IMAGE = "not an image of a known format"

_TRUNCATED = ("truncated", "end of file", "not enough data", "unexpected end", "ended prematurely")
_UNSUPPORTED = ("unsupported", "not implemented", "not supported", "cannot handle", "unknown")
"""Parts of the messages for truncated files and for unsupported variants of a format."""

_STARTS = (
    (b"\xff\xd8", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"), (b"GIF8", "GIF"), (b"BM", "BMP"),
    (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"II+\0", "TIFF"), (b"MM\0+", "TIFF"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"), (b"\xff\x4f\xff\x51", "JPEG 2000"),
)  # fmt: skip
_BRANDS = {
    b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC",
    b"mif1": "HEIC", b"msf1": "HEIC",
}  # fmt: skip


def format_of(data: bytes) -> str | None:
    """Return the image format that the first bytes indicate, if any."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12])
    return next((kind for start, kind in _STARTS if data.startswith(start)), None)


def decode_error(data: bytes, error: Exception) -> UnreadableImage:
    """Return the error for an image whose parser raised ``error``."""
    kind, message = format_of(data) or "image", str(error).lower()
    if isinstance(error, MemoryError) or "out of memory" in message:
        return UnreadableImage("read", NO_MEMORY)  # stage "read": it is tried again
    if any(part in message for part in _TRUNCATED):
        return UnreadableImage("decode", f"a truncated {kind} file: it ends early")
    if any(part in message for part in _UNSUPPORTED):
        return UnreadableImage(
            "decode", f"a {kind} file that is damaged or of an unsupported variant"
        )
    return UnreadableImage("decode", f"a damaged {kind} file")


@contextmanager
def file_errors(name: str = "", stage: str = "decode") -> Iterator[None]:
    """Raise :class:`UnreadableImage` for any unexpected exception in the block.

    Errors of embedkit's own pass through. ``name`` is the file's name in the message, ``stage`` the
    stage of unexpected exceptions.
    """
    try:
        yield
    except EmbedkitError:
        raise
    except MemoryError as error:
        raise UnreadableImage("read", NO_MEMORY, name) from error
    except Exception as error:
        reason = f"unexpected {type(error).__name__}: {one_line(error)}"
        raise UnreadableImage(stage, reason, name) from error


# -- messages of parsers ---------------------------------------------------------------------------

_filters_lock = threading.Lock()  # warning filters are global
_filters: list[warnings.catch_warnings] = []
_quiet = 0


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress Pillow's messages on stderr; several threads may use it at once."""
    global _quiet
    _silence_c()
    with _filters_lock:
        _quiet += 1
        if _quiet == 1:
            _filters.append(warnings.catch_warnings())
            _filters[-1].__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.|pillow_heif")
    try:
        yield
    finally:
        with _filters_lock:
            _quiet -= 1
            if _quiet == 0:
                _filters.pop().__exit__(None, None, None)


@cache
def _silence_c() -> None:
    """Suppress errors that Pillow logs, unless there is a handler, and that libtiff prints.

    Pillow still raises an exception for every error of libtiff.
    """
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    from PIL import _imaging

    try:
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)
    except (AttributeError, OSError):  # a Pillow whose libtiff has no such symbol
        return
