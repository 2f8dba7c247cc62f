"""Bytes to an opened image: the formats that are read, and what is refused before it is decoded."""

import io
import re

from PIL import Image, UnidentifiedImageError

from embedkit.errors import UnreadableImage
from embedkit.images import jpeg2000, png, raw, tiff
from embedkit.images.depth import SIGNIFICANT_BITS
from embedkit.images.faults import NOT_AN_IMAGE, damaged, kind_of, quiet

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "JPEG2000", "AVIF", "HEIF")
"""Pillow's formats that are read. Others are not: some of their readers run programs (EPS)."""

PIXEL_CAP = 178_956_970
"""Images of more pixels than this are refused, as Pillow does: decoding them fills the memory."""

MEMORY_CAP = 200_000_000
"""Nor may the pixels and four times the longer side be more than this together: each row of an
image takes the memory of two pixels besides its own, and there are two images on the way."""

WEBP_CAP = 90_000_000
"""WebP images of more pixels than this are refused: decoding takes 16 bytes for each, twice as much
as other formats with transparency, as Pillow reads even a still one as an animation."""

SCAN_CAP = 5_000_000_000
"""Pixels times scans above which a progressive JPEG is refused: each scan goes over all pixels,
however few bytes it has. Photographs have some ten scans."""

JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
"""The markers that a JPEG begins and ends with."""

_FILLER = bytes(64)
_READ_AHEAD = bytes(16)  # what a decoder wants beyond the last pixels if there is no end marker

JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
JPEG_SCAN, JPEG_LAST = 0xDA, 0xD9
JPEG_BARE = (0x01, 0xD8)
"""Markers of a JPEG, but for those inside of pixels: that of a scan, the last one, and those
without a length."""

_heif_opener: bool | None = None


def opened(data: bytes) -> Image.Image:
    """An image whose header was read and whose pixels were not.

    Its ``info`` has the colour profile that the file holds and, of a PNG, the number of significant
    bits. Of a camera RAW file it is the preview or the development
    (:mod:`embedkit.images.raw`). Raises :class:`UnreadableImage` when the bytes are no image of a
    known format, or one that is too large.
    """
    if not data:
        raise UnreadableImage("format", "the file is empty")
    found = png.cleaned(data) if data.startswith(png.MAGIC) else None
    negative = raw.found(data)
    preview = negative.preview if negative else None
    developed = negative.developed(check_size) if negative and not preview else None
    try:
        with quiet():
            content = preview or (found.data if found else _without_filler(data))
            formats = ("JPEG",) if preview else _formats()
            image = developed or Image.open(io.BytesIO(content), formats=formats)
            if negative:
                negative.describe(image)
    except UnidentifiedImageError as error:
        raise UnreadableImage("format", _unidentified(data)) from error
    except Image.DecompressionBombError as error:
        raise UnreadableImage("decode", f"more than {PIXEL_CAP:,} pixels, the cap") from error
    except Exception as error:  # parsers meet hostile bytes here and raise anything
        raise damaged(data, error) from error
    if found and found.profile is not None:
        image.info["icc_profile"] = found.profile
    if found and found.significant_bits is not None:
        image.info[SIGNIFICANT_BITS] = found.significant_bits
    check_size(*image.size)
    if image.format == "WEBP" and image.width * image.height > WEBP_CAP:
        raise UnreadableImage("decode", f"a WebP of more than {WEBP_CAP:,} pixels, the cap")
    if image.format == "JPEG2000":
        if jpeg2000.tile_samples(data) > jpeg2000.SAMPLE_CAP:
            reason = f"a tile of more than {jpeg2000.SAMPLE_CAP:,} samples, the cap"
            raise UnreadableImage("decode", reason)
        image.info["icc_profile"] = jpeg2000.profile(data)
    if image.format == "TIFF" and tiff.tile_bytes(image) > tiff.TILE_BYTES:
        raise UnreadableImage("decode", f"a tile of more than {tiff.TILE_BYTES:,} bytes, the cap")
    if is_progressive(image) and _scans(data) * image.width * image.height > SCAN_CAP:
        raise UnreadableImage("decode", "too many scans for a photograph of its size")
    return image


def is_progressive(image: Image.Image) -> bool:
    """Whether an opened image is a JPEG that is decoded as a whole, whatever the scale."""
    return image.format in ("JPEG", "MPO") and bool(image.info.get("progressive"))


def _scans(data: bytes) -> int:
    """Scans of a JPEG."""
    at, scans = len(JPEG_START), 0
    while (marker := JPEG_MARKER.search(data, at)) is not None:
        start, at = marker.span()
        kind = data[start + 1]
        if kind == JPEG_LAST:
            break
        if kind not in JPEG_BARE:
            at += max(2, int.from_bytes(data[at : at + 2], "big"))
        scans += kind == JPEG_SCAN
    return scans


def _without_filler(data: bytes) -> bytes:
    """A JPEG without the zeros with which a broken copy fills up what it lacks of the file.

    They would decode to pixels that are not the photo's. Zeros after a whole image stay.
    """
    if data.startswith(JPEG_START) and data.endswith(_FILLER):
        content = data.rstrip(b"\0")
        return data if content.endswith(JPEG_END) else content + _READ_AHEAD
    return data


def frames_of(image: Image.Image, data: bytes) -> int:
    """How many frames, pages or pictures the file of an opened image has."""
    if image.format == "TIFF":
        return tiff.pages(data)
    try:
        with quiet():
            return int(getattr(image, "n_frames", 1))
    except Exception:  # parsers meet hostile bytes here and raise anything; the first one decodes
        return 1


def check_size(width: int, height: int) -> None:
    """Raise :class:`UnreadableImage` for an image that is too large to decode."""
    if width * height > PIXEL_CAP:
        raise UnreadableImage("decode", f"more than {PIXEL_CAP:,} pixels, the cap")
    if width * height + 4 * max(width, height) > MEMORY_CAP:
        raise UnreadableImage("decode", f"{width:,} x {height:,} pixels take too much memory")


def _unidentified(data: bytes) -> str:
    kind = kind_of(data)
    if kind == "HEIC" and "HEIF" not in _formats():
        return "a HEIC image: pip install 'embedkit[heif]' to read these"
    return NOT_AN_IMAGE if kind is None else f"a damaged {kind} file: its header makes no sense"


def _formats() -> tuple[str, ...]:
    """The formats that this installation reads; HEIF with the ``heif`` extra."""
    global _heif_opener
    if _heif_opener is None:
        try:
            from pillow_heif import register_heif_opener
        except ImportError:
            _heif_opener = False
        else:
            register_heif_opener()
            _heif_opener = True
    return FORMATS if _heif_opener else FORMATS[:-1]
