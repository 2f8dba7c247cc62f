"""Write self-contained HTML pages: templates, thumbnails, formatting."""

import base64
import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import NamedTuple, TypeAlias

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from embedkit._internal.artifacts import write_file
from embedkit._internal.cores import usable_cores
from embedkit._internal.paths import shown
from embedkit.errors import UnreadableImage
from embedkit.images.decode import Decoder, decoding
from embedkit.images.faults import file_errors
from embedkit.images.thumbnail import jpeg, webp, within
from embedkit.version import __version__


def write_page(target: Path, template: str, **values: object) -> None:
    """Fill a template and write the page atomically.

    Raises :class:`StorageError` if the file cannot be written.
    """
    write_file(target, filled(template, **values).encode())


def filled(template: str, **values: object) -> str:
    """Return a template filled with values, each of them escaped."""
    environment = Environment(
        loader=PackageLoader("embedkit.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(version=__version__, **values)


def script_json(value: object) -> str:
    """Return JSON in ASCII without markup, so that no text in it can end the script element."""
    text = json.dumps(value, separators=(",", ":"))
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def content_policy(style: str, script: str) -> str:
    """Return a content security policy that allows only this style and this script.

    Images may be data URLs, and local files for the enlarged view.
    """
    style_hash, script_hash = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (style, script)
    )
    return (
        f"default-src 'none'; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; "
        "img-src data: file:; base-uri 'none'; form-action 'none'"
    )


Photos: TypeAlias = dict[str, dict[str, object]]
"""The values of ``photo.html`` for each photo, by path."""


class Thumbnail(NamedTuple):
    """A thumbnail of a photo, and the size of the photo."""

    address: str
    """The thumbnail as a data URL of a JPEG."""
    width: int
    """Width of the upright photo, pixels."""
    height: int
    """Height of the upright photo, pixels."""


def thumbnail(photo: str | Decoder, side: int) -> Thumbnail | None:
    """Return a thumbnail of at most ``side`` pixels per side; None if the photo is unreadable."""
    try:
        with file_errors(), decoding(photo, reduced=True) as decoder:
            address = small_jpeg(decoder.at_least(long=side), side)
            return Thumbnail(address, *decoder.size)
    except UnreadableImage:
        return None


def numbered_photos(paths: Iterable[str], side: int) -> Photos:
    """Return the values of ``photo.html`` for photos, with thumbnails of ``side`` pixels.

    ``metrics.html`` embeds each thumbnail once, by its number, however often a page shows it. The
    number and the address of an unreadable photo are None.
    """
    distinct = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(usable_cores()) as pool:  # decoding releases the GIL
        thumbnails = pool.map(thumbnail, distinct, repeat(side))
        return {
            path: {
                "name": shown(os.path.basename(path)),
                "path": shown(path),
                "number": None if found is None else number,
                "address": None if found is None else found.address,
            }
            for number, (path, found) in enumerate(zip(distinct, thumbnails, strict=True))
        }


def small_jpeg(image: Image.Image, side: int) -> str:
    """Return an image, reduced to at most ``side`` pixels per side, as a data URL of a JPEG."""
    return _data_url("jpeg", jpeg(within(image, side)))


def small_webp(image: Image.Image, side: int) -> str:
    """Return the same as a WebP."""
    return _data_url("webp", webp(within(image, side)))


def _data_url(encoding: str, content: bytes) -> str:
    return f"data:image/{encoding};base64,{base64.b64encode(content).decode('ascii')}"


def p_value_text(p: float) -> str:
    """Format a p-value so that it can follow the letter p."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def range_bar(
    value: float, interval: tuple[float, float], scale: tuple[float, float]
) -> dict[str, float]:
    """Return the positions of a value and its interval on a scale, in percent of its length."""
    low, high = scale

    def percent(position: float) -> float:
        return round(100 * (position - low) / ((high - low) or 1.0), 2)

    return {"from": percent(interval[0]), "at": percent(value), "to": percent(interval[1])}


def relative_to(folder: str, path: str) -> str:
    """Return ``path`` relative to the folder that the page names once; empty for the folder."""
    return "" if path == folder else path.removeprefix(os.path.join(folder, ""))


def label_hue(label: str | None) -> int:
    """Return the hue of a label, in degrees; it is the same on every page that uses it."""
    return hashlib.sha256((label or "").encode("utf-8", "replace")).digest()[0] * 360 // 256
