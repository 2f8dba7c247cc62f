"""What goes wrong with one image: as one kind of error, in words, and without a sound.

The parsers that read images meet hostile bytes. They raise anything, warn through Python, through
``logging`` and, in C, on stderr. All of that is one file's failure, and one line.
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

NO_MEMORY = "too large for the memory that is free"
NOT_AN_IMAGE = "not an image of a known format"

_SHORT = ("truncated", "end of file", "not enough data", "unexpected end", "ended prematurely")
_UNSUPPORTED = ("unsupported", "not implemented", "not supported", "cannot handle", "unknown")
"""Parts of what parsers say of files that end early, and of kinds that they do not decode."""

_STARTS = (
    (b"\xff\xd8", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"), (b"GIF8", "GIF"), (b"BM", "BMP"),
    (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"II+\0", "TIFF"), (b"MM\0+", "TIFF"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"), (b"\xff\x4f\xff\x51", "JPEG 2000"),
)  # fmt: skip
_BRANDS = {
    b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIC", b"heix": "HEIC", b"hevc": "HEIC",
    b"mif1": "HEIC", b"msf1": "HEIC",
}  # fmt: skip


def kind_of(data: bytes) -> str | None:
    """The format that bytes begin like; None for those that begin like no image."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12])
    return next((kind for start, kind in _STARTS if data.startswith(start)), None)


def damaged(data: bytes, error: Exception) -> UnreadableImage:
    """What a parser could not do with the bytes of an image. What it said itself is the cause."""
    kind, said = kind_of(data) or "image", str(error).lower()
    if isinstance(error, MemoryError) or "out of memory" in said:
        return UnreadableImage("read", NO_MEMORY)  # may well fit another time, so not for ever
    if any(part in said for part in _SHORT):
        return UnreadableImage("decode", f"a truncated {kind} file: it ends early")
    if any(part in said for part in _UNSUPPORTED):
        return UnreadableImage("decode", f"a {kind} file that is damaged, or of an unusual kind")
    return UnreadableImage("decode", f"a damaged {kind} file")


@contextmanager
def one_file(name: str = "", stage: str = "decode") -> Iterator[None]:
    """What is done with one file inside fails as :class:`UnreadableImage`, whatever goes wrong.

    Other errors that embedkit raises on purpose are not the file's. ``name`` is what the message
    calls the file, ``stage`` that of what nobody expected.
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


# -- parsers that talk -----------------------------------------------------------------------------

_filters_lock = threading.Lock()  # warning filters are the whole process's
_filters: list[warnings.catch_warnings] = []
_quiet = 0


@contextmanager
def quiet() -> Iterator[None]:
    """Pillow says nothing on stderr inside. Threads may be inside at the same time."""
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
    """Errors that Pillow logs, and that libtiff prints, go nowhere unless somebody listens.

    Pillow knows of every error of libtiff by its result.
    """
    logging.getLogger("PIL").addHandler(logging.NullHandler())
    from PIL import _imaging

    try:
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)
    except (AttributeError, OSError):  # libtiff inside Pillow without a name: it goes on printing
        return
