"""Decode truncated JPEG and PNG files as far as possible.

The bytes are repaired before they are decoded. Unlike Pillow's ``LOAD_TRUNCATED_IMAGES``, this has
no effect on other threads.
"""

import numpy as np
from PIL import Image

from embedkit.errors import UnreadableImage
from embedkit.images import png
from embedkit.images.decode import Decoder
from embedkit.images.faults import quiet
from embedkit.images.opening import (
    JPEG_BARE,
    JPEG_END,
    JPEG_LAST,
    JPEG_MARKER,
    JPEG_SCAN,
    JPEG_START,
    check_size,
    is_progressive,
    open_image,
)
from embedkit.images.strips import strips

_REPAIRABLE = (JPEG_START, png.MAGIC)
_FILLER = b"\0\xff"  # padding in broken copies
_PROGRESSIVE = 0xC2
_GREY = (127, 128)  # libjpeg's colour of missing blocks
_TOO_LITTLE = "it ends before the end of its first row"


def decode_partial(data: bytes) -> tuple[Image.Image, np.ndarray]:
    """Decode a file that may be truncated.

    Returns the upright RGB image and a mask of the decoded pixels, bool (H, W). A JPEG has whole
    rows of blocks, without the last one, which is damaged. A progressive JPEG has all rows of its
    first scan, as sharp as its complete scans make them. A PNG has whole rows or, if interlaced,
    the pixels of its passes. Missing pixels are grey in a JPEG and of one colour in a PNG. An
    intact image of any format has all pixels.

    Raises :class:`UnreadableImage` when no row can be decoded, and for truncated files of other
    formats.
    """
    try:
        image = _whole(Decoder(data))
    except UnreadableImage:
        if not data.startswith(_REPAIRABLE):
            raise
        decoder, there = repaired(data)
        return _whole(decoder), there
    return image, np.ones((image.height, image.width), bool)


def repaired(data: bytes) -> tuple[Decoder, np.ndarray]:
    """Return a decoder of a truncated file, and the mask of its decoded pixels.

    Both are described in :func:`decode_partial`. Raises :class:`UnreadableImage` when no row can be
    decoded, and for formats other than JPEG and PNG.
    """
    if data.startswith(JPEG_START):
        return _jpeg(data)
    if data.startswith(png.MAGIC):
        return _png(data)
    raise UnreadableImage("decode", "neither a JPEG nor a PNG")


def _png(data: bytes) -> tuple[Decoder, np.ndarray]:
    header = png.header(data)
    if header is None:
        raise UnreadableImage("decode", _TOO_LITTLE)
    check_size(header.width, header.height)
    whole, rows = png.repaired_png(data, header)
    there = np.zeros((header.height, header.width), bool)
    for part, count in zip(header.passes, rows, strict=True):
        there[part.y :: part.down, part.x :: part.across][:count] = True
    return _decoded(whole, there)


def _jpeg(data: bytes) -> tuple[Decoder, np.ndarray]:
    whole = _terminated(data)
    image = open_image(whole)
    there = np.zeros((image.height, image.width), bool)
    there[: _rows(image)] = True
    return _decoded(whole, there)


def _terminated(data: bytes) -> bytes:
    """Return a truncated JPEG with an end marker after its last intact data.

    A progressive JPEG ends before the scan that is cut off, unless that is the first one, so that
    all rows are equally sharp.
    """
    at, end = 2, 0
    scans: list[int] = []
    is_progressive = False
    while (marker := JPEG_MARKER.search(data, at)) is not None:
        start, at = marker.span()
        kind = data[start + 1]
        if kind in JPEG_BARE:
            continue
        size = int.from_bytes(data[at : at + 2], "big")
        if kind == JPEG_LAST or at + max(2, size) > len(data):
            end = min(end, start)
            break
        at += size
        is_progressive |= kind == _PROGRESSIVE
        if kind == JPEG_SCAN:
            end = len(data)
            scans.append(start)
    else:
        if is_progressive and len(scans) > 1:
            end = scans[-1]
    if not end:
        raise UnreadableImage("decode", _TOO_LITTLE)
    return data[:end].rstrip(_FILLER) + JPEG_END


def _rows(image: Image.Image) -> int:
    """Return the number of rows decoded of a JPEG that was cut off."""
    blocks = 8 * max((part[2] for part in getattr(image, "layer", ())), default=1)
    image.draft("L", None)  # with colours, rows of blocks overlap
    try:
        with quiet():
            image.load()
    except Exception as error:  # parsers raise anything
        raise UnreadableImage("decode", _TOO_LITTLE) from error
    last = np.asarray(image.crop((0, image.height - 1, image.width, image.height))).ravel()[-1]
    parts = (np.asarray(strip).reshape(strip.height, -1) for _, strip in strips(image))
    empty = np.concatenate([(part == last).all(axis=1) for part in parts]) & (last in _GREY)
    rows = len(empty) - int(np.argmin(empty[::-1])) if not empty.all() else 0
    if rows == len(empty) and is_progressive(image):
        return rows
    return max(0, -(-rows // blocks) - 1) * blocks


def _decoded(whole: bytes, there: np.ndarray) -> tuple[Decoder, np.ndarray]:
    """Return the decoder of a repaired file, and the mask in the orientation of its image."""
    if not there.any():
        raise UnreadableImage("decode", _TOO_LITTLE)
    decoder = Decoder(whole)
    _whole(decoder)
    mask = Image.fromarray(there.astype(np.uint8))
    if decoder.transpose is not None:
        mask = mask.transpose(decoder.transpose)
    return decoder, np.asarray(mask) > 0


def _whole(decoder: Decoder) -> Image.Image:
    return decoder.at_least(short=min(decoder.stored_size))
