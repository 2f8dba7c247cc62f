"""Facts about a photo file, as text for a page."""

import os
import re
from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from PIL import Image

from embedkit._internal.paths import shown
from embedkit.images.decode import Decoder
from embedkit.images.exif import EXIF_IFD, GPS_IFD, MAKE, MODEL, SOFTWARE, TAKEN
from embedkit.images.faults import quiet


class Fact(NamedTuple):
    """A fact about a file."""

    name: str
    text: str
    """The text on the page; two files differ in the fact if their texts differ."""
    meaning: str
    """An explanation of the fact."""


def facts_of(decoder: Decoder) -> list[Fact]:
    """Return facts from the metadata of a photo, always the same ones in the same order."""
    exif = decoder.exif()
    return [
        Fact("format", decoder.format, "File format"),
        Fact("taken", _parsed(_taken, exif), "When the photo was taken (EXIF)"),
        Fact("camera", _parsed(_camera, exif), "Camera (EXIF)"),
        Fact("software", _parsed(_software, exif), "Program that wrote the file (EXIF)"),
        Fact("position", _parsed(_position, exif), "Whether the photo has a GPS position (EXIF)"),
    ]


def modified(status: os.stat_result) -> Fact:
    """Return when a file was last changed, in local time to the minute."""
    try:
        when = f"{datetime.fromtimestamp(status.st_mtime):%Y-%m-%d %H:%M}"
    except (OverflowError, ValueError, OSError):  # a year that Python's dates do not have
        when = "unreadable"
    return Fact("modified", when, "When the file was last changed")


def size_text(count: int) -> str:
    """Format a number of bytes with a unit: ``320 kB``, ``1.2 MB``."""
    if count < 1e6:
        return f"{count / 1e3:,.0f} kB"
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.2f} GB"


def _parsed(read: Callable[[Image.Exif], str], exif: Image.Exif) -> str:
    try:
        with quiet():
            return read(exif) or "none"
    except Exception:  # the parsers raise any exception on malformed bytes
        return "unreadable"


def _taken(exif: Image.Exif) -> str:
    text = _text(exif.get_ifd(EXIF_IFD).get(TAKEN))
    written = re.fullmatch(r"(\d{4}):(\d\d):(\d\d) (\d\d:\d\d).*", text)
    return "{}-{}-{} {}".format(*written.groups()) if written else text


def _camera(exif: Image.Exif) -> str:
    make, model = _text(exif.get(MAKE)), _text(exif.get(MODEL))
    return model if model.startswith(make) else f"{make} {model}".strip()


def _software(exif: Image.Exif) -> str:
    return _text(exif.get(SOFTWARE))


def _position(exif: Image.Exif) -> str:
    return "yes" if exif.get_ifd(GPS_IFD) else ""


def _text(value: object) -> str:
    """Return an EXIF text without padding, on one line of at most 80 characters."""
    if value is None:
        return ""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return shown(text.strip(" \0\t\r\n"))[:80]
