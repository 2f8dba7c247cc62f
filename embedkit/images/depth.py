"""Grey pixels of more than 8 bits, scaled to 8."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from embedkit.images import jpeg2000
from embedkit.images.strips import strips

BITS = (8, 10, 12, 14, 16)
"""Possible bit depths of grey values with more than 8 bits."""

SIGNIFICANT_BITS = "significant bits"
"""Key in ``info`` of an opened PNG for the first byte of its sBIT chunk."""

_BITS_PER_SAMPLE, _MAX_SAMPLE_VALUES = 258, (281, 341)  # tags of TIFF
_FILLED = 15 / 16
"""Share of a range that the largest value must reach for the depth not to be a guess."""

_SIXTEEN = (";16B", ";16L", ";16N")
"""Endings of Pillow's raw modes with 16 bits per colour, one for each byte order."""


@dataclass(frozen=True)
class Depth:
    """The range from which grey values are scaled to 8 bits."""

    bits: int
    """Bit depth of the range."""
    largest: int
    """The largest value in the image, at most 65,535."""
    is_guess: bool = False
    """Whether the values cover so little of the range that it may be wrong."""


def is_deep(image: Image.Image) -> bool:
    """Return whether an image has grey pixels of more than 8 bits, integers or floats."""
    return image.mode.startswith(("I", "F"))


def has_deep_colours(image: Image.Image, data: bytes) -> bool:
    """Return whether the pixels of an opened image, not loaded yet, have over 8 bits per colour.

    ``data`` is its file: Pillow decodes JPEG 2000, AVIF and HEIF to 8 bits without reporting it.
    """
    if image.format in ("AVIF", "HEIF"):
        return _has_deep_heif(data)
    if image.format == "JPEG2000":
        return not is_deep(image) and jpeg2000.bits(data) > 8
    for tile in getattr(image, "tile", ()):
        arguments = tile[3]
        raw = arguments if isinstance(arguments, str) else next(iter(arguments or ()), None)
        if isinstance(raw, str) and raw.endswith(_SIXTEEN):
            return not is_deep(image)
    return False


def _has_deep_heif(data: bytes) -> bool:
    """Return whether a decoder configuration of an AVIF or HEIF file has more than 8 bits.

    The boxes are those of ISO/IEC 14496-15 (hvcC) and of the AV1 ISOBMFF binding (av1C). The whole
    file is searched for their names, as they may come after the pixels. The same bytes among the
    pixels can only make a file count as deep.
    """
    for name, at, mask in ((b"av1C", 2, 0x60), (b"hvcC", 17, 0x07)):
        start = data.find(name)
        while start >= 0:
            if any(value & mask for value in data[start + 4 + at : start + 5 + at]):
                return True
            start = data.find(name, start + 4)
    return False


def to_eight_bits(image: Image.Image) -> tuple[Image.Image, Depth | None]:
    """Convert a deep image to L, or LA if a grey value means transparent; return it and its depth.

    Programs store 8, 10, 12 or 14 bits in files of 16, so integers are scaled from the smallest
    depth in :data:`BITS` that contains their maximum, unless the file declares a depth (see
    :func:`_depth`). Values beyond the range are clipped. Floats have no depth: their range is 0 to
    1 if no value exceeds 1, else 0 to 255.
    """
    scaled = Image.new("L", image.size)
    depth = None
    if image.mode == "F":
        parts = ((top, _finite(strip)) for top, strip in strips(image))
        factor = np.float32(1 if max(part.max() for _, part in parts) > 1.0 else 255)
        for top, strip in strips(image):
            pixels = np.rint(_finite(strip).clip(0, 255) * factor)
            scaled.paste(Image.fromarray(pixels.astype(np.uint8)), (0, top))
    else:
        depth = _depth(image)
        largest = (1 << depth.bits) - 1
        table = np.rint(np.arange(1 << 16).clip(0, largest) * (255 / largest)).astype(np.uint8)
        for top, strip in strips(image):
            scaled.paste(Image.fromarray(table[_integers(strip)]), (0, top))
    if "transparency" in image.info:
        alpha = Image.new("L", image.size)
        for top, strip in strips(image):
            shown = np.asarray(strip) != image.info["transparency"]
            alpha.paste(Image.fromarray(shown.astype(np.uint8) * np.uint8(255)), (0, top))
        scaled.putalpha(alpha)
    return scaled, depth


def _depth(image: Image.Image) -> Depth:
    """Return the depth of the integers of an image.

    - JPEG 2000 decodes to the whole range.
    - In a TIFF, BitsPerSample below 16 is the depth, and MaxSampleValue counts as a value.
    - Values that are all multiples of 256 or of 257 are 8 bits scaled to 16.
    - A PNG with an sBIT chunk has the whole range, by its specification. Some programs do not scale
      the values: if all of them fit the chunk's number of bits and are not multiples of the scaling
      factor, that number is the depth.
    - Otherwise the maximum decides. It is a guess unless it reaches 15/16 of the range.
    """
    present = np.zeros(1 << 16, bool)
    for _, strip in strips(image):
        present[_integers(strip)] = True
    values = np.flatnonzero(present)
    largest = int(values[-1])
    if image.format == "JPEG2000":
        return Depth(16, largest)
    declared = _bits_per_sample(image)
    if declared is not None and largest < 1 << declared < 1 << 16:
        return Depth(declared, largest)
    maximum = _max_sample_value(image)
    if maximum is not None:
        return Depth(_smallest_depth(max(largest, maximum)), largest)
    if (largest > 255 and not (values % 256).any()) or not (values % 257).any():
        return Depth(16, largest)
    significant = image.info.get(SIGNIFICANT_BITS)
    if significant is not None:
        is_scaled = largest >= 1 << significant or not (values % (1 << 16 - significant)).any()
        return Depth(16 if is_scaled else _smallest_depth((1 << significant) - 1), largest)
    bits = _smallest_depth(largest)
    return Depth(bits, largest, bits < 16 and 0 < largest < _FILLED * (1 << bits))


def _smallest_depth(value: int) -> int:
    return next(bits for bits in BITS if value < 1 << bits)


def _bits_per_sample(image: Image.Image) -> int | None:
    value = _tag(image, _BITS_PER_SAMPLE)
    return value if value is not None and 8 <= value <= 16 else None


def _max_sample_value(image: Image.Image) -> int | None:
    found = [value for tag in _MAX_SAMPLE_VALUES if (value := _tag(image, tag)) is not None]
    return min(found[0], (1 << 16) - 1) if found and found[0] > 0 else None


def _tag(image: Image.Image, tag: int) -> int | None:
    """Return the first integer of a TIFF tag; None for other formats, tags and types."""
    tags: Any = getattr(image, "tag_v2", {})
    value = tags.get(tag)
    if isinstance(value, tuple):
        value = value[0] if value else None
    is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return int(value) if is_whole else None


def _integers(image: Image.Image) -> np.ndarray:
    values: np.ndarray = np.asarray(image)
    if values.dtype.kind != "u":
        values = values.clip(0, (1 << 16) - 1)
    return np.asarray(values, np.uint16)


def _finite(image: Image.Image) -> np.ndarray:
    return np.asarray(np.nan_to_num(np.asarray(image), nan=0.0, posinf=0.0, neginf=0.0))
