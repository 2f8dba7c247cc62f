"""Open images: supported formats, and limits that are checked before decoding."""

import io

from PIL import Image, UnidentifiedImageError

from embedkit.errors import UnreadableImage
from embedkit.images import jpeg, jpeg2000, png, raw, tiff
from embedkit.images.depth import SIGNIFICANT_BITS
from embedkit.images.faults import NOT_AN_IMAGE, decode_error, format_of, quiet

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "JPEG2000", "AVIF", "HEIF")
"""Pillow's formats that are read. Others are refused: some readers run programs (EPS)."""

MAX_PIXELS = 178_956_970
"""Maximum number of pixels of an image, the same as Pillow's limit."""

MAX_MEMORY_PIXELS = 200_000_000
"""Maximum sum of the pixels and four times the longer side of an image: each row takes the memory
of two more pixels, and decoding needs two images."""

MAX_WEBP_PIXELS = 90_000_000
"""Maximum number of pixels of a WebP image: decoding takes 16 bytes per pixel, twice as much as
other formats with transparency, as Pillow reads even a still image as an animation."""

MAX_SCAN_PIXELS = 5_000_000_000
"""Maximum product of pixels and scans of a progressive JPEG: each scan processes all pixels,
however few bytes it has. Photos have about ten scans."""

_FILLER = bytes(64)
_READ_AHEAD = bytes(16)  # bytes that a decoder reads after the last pixels without an end marker
_heif_opener: bool | None = None


def open_image(data: bytes) -> Image.Image:
    """Open an image: read its header, but not its pixels.

    ``info`` contains the colour profile and, for a PNG, the number of significant bits. For a
    camera RAW file the image is its preview or development (:mod:`embedkit.images.raw`). Raises
    :class:`UnreadableImage` when the bytes have no supported format or the image is too large.
    """
    if not data:
        raise UnreadableImage("format", "the file is empty")
    png_content = png.stripped(data) if data.startswith(png.MAGIC) else None
    raw_file = raw.find_raw(data)
    preview = raw_file.preview if raw_file else None
    developed = raw_file.develop(check_size) if raw_file and not preview else None
    try:
        with quiet():
            content = preview or (png_content.data if png_content else _without_filler(data))
            formats = ("JPEG",) if preview else _formats()
            image = developed or Image.open(io.BytesIO(content), formats=formats)
            if raw_file:
                raw_file.add_metadata(image)
    except UnidentifiedImageError as error:
        raise UnreadableImage("format", _unidentified(data)) from error
    except Image.DecompressionBombError as error:
        raise UnreadableImage("decode", f"more than {MAX_PIXELS:,} pixels, the limit") from error
    except Exception as error:  # parsers raise anything for hostile bytes
        raise decode_error(data, error) from error
    if png_content and png_content.profile is not None:
        image.info["icc_profile"] = png_content.profile
    if png_content and png_content.significant_bits is not None:
        image.info[SIGNIFICANT_BITS] = png_content.significant_bits
    check_size(*image.size)
    if image.format == "WEBP" and image.width * image.height > MAX_WEBP_PIXELS:
        raise UnreadableImage(
            "decode", f"a WebP of more than {MAX_WEBP_PIXELS:,} pixels, the limit"
        )
    if image.format == "JPEG2000":
        if jpeg2000.tile_samples(data) > jpeg2000.MAX_TILE_SAMPLES:
            reason = f"a tile of more than {jpeg2000.MAX_TILE_SAMPLES:,} samples, the limit"
            raise UnreadableImage("decode", reason)
        image.info["icc_profile"] = jpeg2000.profile(data)
    if image.format == "TIFF" and tiff.tile_bytes(image) > tiff.MAX_TILE_BYTES:
        raise UnreadableImage(
            "decode", f"a tile of more than {tiff.MAX_TILE_BYTES:,} bytes, the limit"
        )
    if is_progressive(image) and _scans(data) * image.width * image.height > MAX_SCAN_PIXELS:
        raise UnreadableImage("decode", "too many scans for a photograph of its size")
    return image


def is_progressive(image: Image.Image) -> bool:
    """Return whether an image is a progressive JPEG, which is decoded at full scale internally."""
    return image.format in ("JPEG", "MPO") and bool(image.info.get("progressive"))


def _scans(data: bytes) -> int:
    """Return the number of scans of a JPEG."""
    return sum(segment.kind == jpeg.SCAN for segment in jpeg.segments(data))


def _without_filler(data: bytes) -> bytes:
    """Return a JPEG without the zeros that replace missing data in a broken copy.

    They would decode to wrong pixels. Zeros after a complete image are kept.
    """
    if data.startswith(jpeg.START) and data.endswith(_FILLER):
        content = data.rstrip(b"\0")
        return data if content.endswith(jpeg.END) else content + _READ_AHEAD
    return data


def count_frames(image: Image.Image, data: bytes) -> int:
    """Return the number of frames, pages or pictures in the file of an opened image."""
    if image.format == "TIFF":
        return tiff.pages(data)
    try:
        with quiet():
            return int(getattr(image, "n_frames", 1))
    except Exception:  # parsers raise anything for hostile bytes; the first frame decodes
        return 1


def check_size(width: int, height: int) -> None:
    """Raise :class:`UnreadableImage` for an image that is too large to decode."""
    if width * height > MAX_PIXELS:
        raise UnreadableImage("decode", f"more than {MAX_PIXELS:,} pixels, the limit")
    if width * height + 4 * max(width, height) > MAX_MEMORY_PIXELS:
        raise UnreadableImage("decode", f"{width:,} x {height:,} pixels take too much memory")


def _unidentified(data: bytes) -> str:
    kind = format_of(data)
    if kind == "HEIC" and "HEIF" not in _formats():
        return "a HEIC image: pip install 'embedkit[heif]' to read these"
    return NOT_AN_IMAGE if kind is None else f"a damaged {kind} file: its header is invalid"


def _formats() -> tuple[str, ...]:
    """Return the formats that this installation reads; HEIF only with the ``heif`` extra."""
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
