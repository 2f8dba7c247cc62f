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

NONE, UNREADABLE = "none", "unreadable"
"""The texts of a fact that a file does not have, and of one that cannot be read."""


class Fact(NamedTuple):
    """A fact about a file."""

    name: str
    text: str
    """The text on the page; files with different texts differ in this fact."""
    meaning: str
    """An explanation of the fact."""


def facts_of(decoder: Decoder) -> list[Fact]:
    """Return the facts in the metadata of a photo: the same ones for every photo, in one order."""
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
        when = UNREADABLE
    return Fact("modified", when, "When the file was last changed")


def _parsed(read: Callable[[Image.Exif], str], exif: Image.Exif) -> str:
    try:
        with quiet():
            return read(exif) or NONE
    except Exception:  # malformed bytes make the parsers raise any exception
        return UNREADABLE


def _taken(exif: Image.Exif) -> str:
    text = _text(exif.get_ifd(EXIF_IFD).get(TAKEN))
    match = re.fullmatch(r"(\d{4}):(\d\d):(\d\d) (\d\d:\d\d).*", text)
    return "{}-{}-{} {}".format(*match.groups()) if match else text


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
