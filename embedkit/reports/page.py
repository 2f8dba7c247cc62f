"""Write self-contained HTML pages: templates, thumbnails, formatting."""

import base64
import hashlib
import io
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from embedkit._internal.artifacts import write_file
from embedkit._internal.cores import usable_cores
from embedkit._internal.paths import shown
from embedkit.errors import UnreadableImage
from embedkit.images.decode import Decoder, decoding
from embedkit.images.faults import file_errors
from embedkit.images.strips import shortened
from embedkit.version import __version__


def write_page(target: Path, template: str, **values: object) -> None:
    """Fill a template, with every value escaped, and write the page atomically.

    Raises :class:`StorageError` when the file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("embedkit.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(template).render(version=__version__, **values)
    write_file(target, page.encode())


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


def photos_once(paths: Iterable[str], side: int) -> dict[str, dict[str, object]]:
    """Return the values of ``photo.html`` for photos, by path, with thumbnails of ``side`` pixels.

    ``metrics.html`` embeds each thumbnail once, however often a page shows it. An unreadable photo
    has no number and no address (None).
    """
    distinct = list(dict.fromkeys(paths))
    with ThreadPoolExecutor(usable_cores()) as pool:  # decoding releases the GIL
        small = pool.map(thumbnail, distinct, repeat(side))
        return {
            path: {
                "name": shown(os.path.basename(path)),
                "path": shown(path),
                "number": None if picture is None else number,
                "address": None if picture is None else picture.address,
            }
            for number, (path, picture) in enumerate(zip(distinct, small, strict=True))
        }


def small_jpeg(image: Image.Image, side: int) -> str:
    """Return an image, reduced to at most ``side`` pixels per side, as a data URL of a JPEG."""
    return _reduced(image, side, "jpeg", quality=82, optimize=True)


def small_webp(image: Image.Image, side: int) -> str:
    """Return the same as a WebP, in two thirds of the bytes, for pages with thousands of images."""
    return _reduced(image, side, "webp", quality=75, method=2)


def _reduced(image: Image.Image, side: int, encoding: str, **options: int) -> str:
    scale = side / max(image.size)
    if scale < 1:
        width, height = (max(1, round(length * scale)) for length in image.size)
        image = shortened(image).resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = io.BytesIO()
    image.save(buffer, encoding, **options)
    encoded = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f"data:image/{encoding};base64,{encoded}"


def p_value(p: float) -> str:
    """Format a p-value, to follow the letter p."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def hue(label: str | None) -> int:
    """Return the hue of a label, the same on every page: degrees on the colour circle."""
    return hashlib.sha256((label or "").encode("utf-8", "replace")).digest()[0] * 360 // 256
