"""What there is of an image whose file ends early: JPEG and PNG.

The bytes are mended and decoded like any others, so that nothing is set for the whole process and
threads may decode at the same time.
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
    opened,
)
from embedkit.images.strips import strips

_MENDABLE = (JPEG_START, png.MAGIC)
_FILLER = b"\0\xff"  # what broken copies fill a file up with
_PROGRESSIVE = 0xC2
_GREY = (127, 128)  # what libjpeg makes of blocks that are not there
_TOO_LITTLE = "it ends before its first row does"


def decode_partial(data: bytes) -> tuple[Image.Image, np.ndarray]:
    """The upright RGB image of a file that may end early, and which of its pixels are there.

    The mask is bool (H, W). In a JPEG whole rows are there, rounded down to its blocks and one
    row of blocks less, as the last one is damaged; of a progressive one, all rows that its first
    scan has, as sharp as its whole scans make them. In a PNG whole rows are there or, of an
    interlaced one, the pixels of the passes. Pixels that are not there are of one colour in a PNG,
    grey in a JPEG. Of an intact image of any format, all are there.

    Raises :class:`UnreadableImage` when no row is there, and for other formats that end early.
    """
    try:
        image = _whole(Decoder(data))
    except UnreadableImage:
        if not data.startswith(_MENDABLE):
            raise
        decoder, there = mended(data)
        return _whole(decoder), there
    return image, np.ones((image.height, image.width), bool)


def mended(data: bytes) -> tuple[Decoder, np.ndarray]:
    """What decodes as much of a file that ends early as is there, and which pixels are there.

    Both as :func:`decode_partial` says. Raises :class:`UnreadableImage` when no row is there, and
    for other formats than JPEG and PNG.
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
    whole, rows = png.mended(data, header)
    there = np.zeros((header.height, header.width), bool)
    for part, count in zip(header.passes, rows, strict=True):
        there[part.y :: part.down, part.x :: part.across][:count] = True
    return _decoded(whole, there)


def _jpeg(data: bytes) -> tuple[Decoder, np.ndarray]:
    whole = _ended(data)
    image = opened(whole)
    there = np.zeros((image.height, image.width), bool)
    there[: _rows(image)] = True
    return _decoded(whole, there)


def _ended(data: bytes) -> bytes:
    """A JPEG that ends after the last segment or pixels that are there of one that ends early.

    A progressive one ends before the scan that is cut off, unless it is the first: so all of its
    rows are equally sharp.
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
    """How many rows are there of a JPEG that was cut off and ended."""
    blocks = 8 * max((part[2] for part in getattr(image, "layer", ())), default=1)
    image.draft("L", None)  # where it can: in colours, rows of blocks run into each other
    try:
        with quiet():
            image.load()
    except Exception as error:  # as in Decoder: parsers raise anything
        raise UnreadableImage("decode", _TOO_LITTLE) from error
    last = np.asarray(image.crop((0, image.height - 1, image.width, image.height))).ravel()[-1]
    parts = (np.asarray(strip).reshape(strip.height, -1) for _, strip in strips(image))
    empty = np.concatenate([(part == last).all(axis=1) for part in parts]) & (last in _GREY)
    rows = len(empty) - int(np.argmin(empty[::-1])) if not empty.all() else 0
    if rows == len(empty) and is_progressive(image):
        return rows
    return max(0, -(-rows // blocks) - 1) * blocks


def _decoded(whole: bytes, there: np.ndarray) -> tuple[Decoder, np.ndarray]:
    """The decoder of a file that was mended, and the mask turned with its image."""
    if not there.any():
        raise UnreadableImage("decode", _TOO_LITTLE)
    decoder = Decoder(whole)
    _whole(decoder)
    mask = Image.fromarray(there.astype(np.uint8))
    if decoder.turn is not None:
        mask = mask.transpose(decoder.turn)
    return decoder, np.asarray(mask) > 0


def _whole(decoder: Decoder) -> Image.Image:
    return decoder.at_least(short=min(decoder.stored_size))
