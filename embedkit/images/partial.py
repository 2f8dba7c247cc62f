"""Decode truncated JPEG and PNG files as far as possible.

The bytes are repaired before they are decoded. Unlike Pillow's ``LOAD_TRUNCATED_IMAGES``, this has
no effect on other threads.
"""

import numpy as np
from PIL import Image

from embedkit.errors import UnreadableImage
from embedkit.images import jpeg, png
from embedkit.images.decode import Decoder
from embedkit.images.faults import quiet
from embedkit.images.opening import check_size, is_progressive, open_image
from embedkit.images.strips import strips

_REPAIRABLE = (jpeg.START, png.MAGIC)
_FILLER = b"\0\xff"  # padding in broken copies
_PROGRESSIVE = 0xC2
_GREY = (127, 128)  # libjpeg's colour of missing blocks
_TOO_LITTLE = "it ends before the end of its first row"


def decode_partial(data: bytes) -> tuple[Image.Image, np.ndarray]:
    """Decode a file that may be truncated.

    Returns the upright RGB image and a mask of the decoded pixels, bool (H, W). Of a JPEG, whole
    rows of blocks are decoded, without the last one, which is damaged; of a progressive JPEG, all
    rows of its first scan, as sharp as its complete scans make them; of a PNG, whole rows or, if it
    is interlaced, the pixels of its passes. Missing pixels are grey in a JPEG and of one colour in
    a PNG. An intact image of any format is decoded completely.

    Raises :class:`UnreadableImage` when no row can be decoded, and for truncated files of other
    formats.
    """
    try:
        image = Decoder(data).full_scale()
    except UnreadableImage:
        if not data.startswith(_REPAIRABLE):
            raise
        decoder, mask = repaired(data)
        return decoder.full_scale(), mask
    return image, np.ones((image.height, image.width), bool)


def repaired(data: bytes) -> tuple[Decoder, np.ndarray]:
    """Return a decoder of a truncated file, and the mask of its decoded pixels.

    Both are described in :func:`decode_partial`. Raises :class:`UnreadableImage` when no row can be
    decoded, and for formats other than JPEG and PNG.
    """
    if data.startswith(jpeg.START):
        return _repaired_jpeg(data)
    if data.startswith(png.MAGIC):
        return _repaired_png(data)
    raise UnreadableImage("decode", "neither a JPEG nor a PNG")


def _repaired_png(data: bytes) -> tuple[Decoder, np.ndarray]:
    header = png.read_header(data)
    if header is None:
        raise UnreadableImage("decode", _TOO_LITTLE)
    check_size(header.width, header.height)
    valid, rows = png.repaired(data, header)
    mask = np.zeros((header.height, header.width), bool)
    for item, count in zip(header.passes, rows, strict=True):
        mask[item.y :: item.step_y, item.x :: item.step_x][:count] = True
    return _decoded(valid, mask)


def _repaired_jpeg(data: bytes) -> tuple[Decoder, np.ndarray]:
    valid = _terminated(data)
    image = open_image(valid)
    mask = np.zeros((image.height, image.width), bool)
    mask[: _rows(image)] = True
    return _decoded(valid, mask)


def _terminated(data: bytes) -> bytes:
    """Return a truncated JPEG with an end marker after its last intact data.

    A progressive JPEG ends before the scan that is cut off, unless that is the first one, so that
    all rows are equally sharp.
    """
    end = 0
    scans: list[int] = []
    is_progressive = False
    for segment in jpeg.segments(data):
        if segment.kind == jpeg.LAST or segment.end > len(data):
            end = min(end, segment.start)
            break
        is_progressive |= segment.kind == _PROGRESSIVE
        if segment.kind == jpeg.SCAN:
            end = len(data)
            scans.append(segment.start)
    else:
        if is_progressive and len(scans) > 1:
            end = scans[-1]
    if not end:
        raise UnreadableImage("decode", _TOO_LITTLE)
    return data[:end].rstrip(_FILLER) + jpeg.END


def _rows(image: Image.Image) -> int:
    """Return the number of rows that can be decoded from a truncated JPEG."""
    block_rows = 8 * max((part[2] for part in getattr(image, "layer", ())), default=1)
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
    return max(0, -(-rows // block_rows) - 1) * block_rows


def _decoded(content: bytes, mask: np.ndarray) -> tuple[Decoder, np.ndarray]:
    """Return the decoder of a repaired file, and the mask in the orientation of its image."""
    if not mask.any():
        raise UnreadableImage("decode", _TOO_LITTLE)
    decoder = Decoder(content)
    decoder.full_scale()  # raises an error if the file does not decode, and sets the orientation
    upright = Image.fromarray(mask.astype(np.uint8))
    if decoder.transpose is not None:
        upright = upright.transpose(decoder.transpose)
    return decoder, np.asarray(upright) > 0
