"""Facts in the header of an image's file: camera, editing software, compression."""

from datetime import datetime
from typing import Any

from PIL import Image

from embedkit.images.depth import has_deep_colours, is_deep
from embedkit.images.embedded import has_embedded_data
from embedkit.images.exif import (
    EXIF_IFD,
    EXPOSURE,
    F_NUMBER,
    GPS_IFD,
    HEIGHT,
    ISO,
    MAKE,
    MODEL,
    SOFTWARE,
    TAKEN,
    WIDTH,
)
from embedkit.images.faults import quiet
from embedkit.images.opening import count_frames, open_image
from embedkit.results import FileMetadata


def read_metadata(data: bytes) -> FileMetadata:
    """Return the metadata in an image's bytes; fields that are missing or broken have their
    defaults.

    Raises :class:`UnreadableImage` when the bytes are not an image.
    """
    image = open_image(data)
    # Before the metadata is read, which loads PNGs.
    deep = is_deep(image) or has_deep_colours(image, data)
    exif = _exif(image)
    exif_tags, gps_tags = _ifd(exif, EXIF_IFD), _ifd(exif, GPS_IFD)
    camera = " ".join(filter(None, (_text(exif.get(MAKE)), _text(exif.get(MODEL)))))
    recorded_size = (_integer(exif_tags.get(WIDTH)), _integer(exif_tags.get(HEIGHT)))
    return FileMetadata(
        format=image.format or "",
        camera=camera or None,
        taken=_time(_text(exif_tags.get(TAKEN))),
        software=_text(exif.get(SOFTWARE)) or None,
        exposure=any(exif_tags.get(tag) is not None for tag in (EXPOSURE, F_NUMBER, ISO)),
        place=bool(gps_tags),
        resized=0 not in recorded_size and sorted(recorded_size) != sorted(image.size),
        tables=_tables(image),
        frames=count_frames(image, data),
        deep=deep,
        embedded=has_embedded_data(image, data),
        colours=len(image.palette.colors) if image.mode == "P" and image.palette else None,
    )


def _exif(image: Image.Image) -> Image.Exif:
    try:
        with quiet():
            return image.getexif()
    except Exception:  # broken EXIF is common, and its parser may raise any exception
        return Image.Exif()


def _ifd(exif: Image.Exif, tag: int) -> dict[int, Any]:
    try:
        with quiet():
            return exif.get_ifd(tag)
    except Exception:  # as above
        return {}


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    text = str(value).strip(" \0") if isinstance(value, str) else ""
    return "".join(letter for letter in text if letter.isprintable())[:80]


def _integer(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0


def _time(text: str) -> str | None:
    try:
        return datetime.strptime(text, "%Y:%m:%d %H:%M:%S").isoformat()
    except ValueError:
        return None


def _tables(image: Image.Image) -> tuple[tuple[int, ...], ...]:
    tables = getattr(image, "quantization", None) or {}
    found = (tuple(tables[number]) for number in sorted(tables))
    return tuple(table for table in found if len(table) == 64 and min(table) > 0)
