"""What an image's file says of where it comes from: camera, editing software, compression."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from PIL import Image

from embedkit.images.decode import header_of

_MAKE, _MODEL, _SOFTWARE, _EXIF_IFD, _GPS_IFD = 0x010F, 0x0110, 0x0131, 0x8769, 0x8825
_TAKEN, _EXPOSURE, _F_NUMBER, _ISO = 0x9003, 0x829A, 0x829D, 0x8827
_WIDTH, _HEIGHT = 0xA002, 0xA003
_LOSSLESS = ("PNG", "BMP", "DIB", "TIFF", "GIF")


@dataclass(frozen=True)
class Facts:
    """What the header of a file says of its image."""

    format: str
    """Pillow's name of the format."""
    camera: str | None = None
    """Maker and model of the camera; None when the file names neither."""
    taken: datetime | None = None
    """When the photo was taken, by the camera's clock."""
    software: str | None = None
    """The program that wrote the file last, if it left its name."""
    exposure: bool = False
    """Whether exposure, aperture or sensitivity are noted."""
    place: bool = False
    """Whether the place is noted (GPS)."""
    resized: bool = False
    """Whether the image has another size than the metadata say it was taken at."""
    tables: tuple[tuple[int, ...], ...] = ()
    """Quantisation tables of a JPEG, 64 numbers each in natural order; the first is luma's."""
    colours: int | None = None
    """Entries of the palette; None for an image without one."""

    @property
    def is_from_camera(self) -> bool:
        """Whether the metadata are those that a camera leaves."""
        return self.camera is not None and (self.taken is not None or self.exposure)

    @property
    def is_lossless(self) -> bool:
        """Whether the format keeps pixels as they were given to it."""
        return self.format in _LOSSLESS

    @property
    def step(self) -> float:
        """How coarse a JPEG's quantisation is: mean step of the 27 lowest luma frequencies."""
        if not self.tables:
            return 0.0
        low = [self.tables[0][place] for place in LOW]
        return sum(low) / len(low)


LOW = tuple(row * 8 + column for row in range(8) for column in range(8) if 0 < row + column <= 6)
"""Places, in natural order, of the lowest frequencies of an 8 x 8 block, without the mean."""


def facts_of(data: bytes) -> Facts:
    """The facts of an image's bytes; what its metadata lack or garble is left out.

    Raises :class:`UnreadableImage` when they are no image.
    """
    image = header_of(data)
    exif = _exif(image)
    detail, place = _ifd(exif, _EXIF_IFD), _ifd(exif, _GPS_IFD)
    camera = " ".join(filter(None, (_text(exif.get(_MAKE)), _text(exif.get(_MODEL)))))
    noted = (_integer(detail.get(_WIDTH)), _integer(detail.get(_HEIGHT)))
    return Facts(
        format=image.format or "",
        camera=camera or None,
        taken=_time(_text(detail.get(_TAKEN))),
        software=_text(exif.get(_SOFTWARE)) or None,
        exposure=any(detail.get(tag) is not None for tag in (_EXPOSURE, _F_NUMBER, _ISO)),
        place=bool(place),
        resized=0 not in noted and sorted(noted) != sorted(image.size),
        tables=_tables(image),
        colours=len(image.palette.colors) if image.mode == "P" and image.palette else None,
    )


def _exif(image: Image.Image) -> Image.Exif:
    try:
        return image.getexif()
    except Exception:  # broken EXIF is common: a parser may raise anything, and it says nothing
        return Image.Exif()


def _ifd(exif: Image.Exif, tag: int) -> dict[int, Any]:
    try:
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


def _time(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y:%m:%d %H:%M:%S")
    except ValueError:
        return None


def _tables(image: Image.Image) -> tuple[tuple[int, ...], ...]:
    tables = getattr(image, "quantization", None) or {}
    return tuple(tuple(tables[number]) for number in sorted(tables) if len(tables[number]) == 64)
