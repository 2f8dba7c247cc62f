"""Bytes of image files, encoded by hand, valid or not."""

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"
_PIECE = 1 << 20


def photo(random: np.random.Generator, size: tuple[int, int] = (96, 72)) -> Image.Image:
    """Return a smooth random picture with some grain."""
    coarse = random.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC), np.int16)
    grain = random.integers(-6, 7, smooth.shape)
    return Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return the file that Pillow writes for an image."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def zeros(count: int) -> bytes:
    """Return a number of zero bytes, compressed by zlib."""
    pack = zlib.compressobj(1)
    pieces = [pack.compress(bytes(_PIECE)) for _ in range(count // _PIECE)]
    return b"".join([*pieces, pack.compress(bytes(count % _PIECE)), pack.flush()])


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG."""
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def png(width: int, height: int, *, bits: int = 8, colour: int = 0, pixels: bool = True) -> bytes:
    """Return a black PNG of any size; without ``pixels``, only its header."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = 1 + -(-width * bits * channels // 8)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    content = zeros(row * height) if pixels else zlib.compress(bytes(9))
    return PNG + chunk(b"IHDR", header) + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def with_chunks(data: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG with chunks behind its header."""
    end = len(PNG) + 25
    return data[:end] + b"".join(chunk(kind, content) for kind, content in chunks) + data[end:]


def bmp(width: int, height: int, data: bytes = b"", *, bits: int = 24, packed: int = 0) -> bytes:
    """Return a BMP with a size in its header that may not match its data."""
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, packed, len(data), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(data), 0, 0, 54) + head + data


def gif(width: int, height: int, *blocks: bytes, frames: int = 1) -> bytes:
    """Return a GIF of black frames of one pixel on a canvas of any size, behind some blocks."""
    palette = b"\x80\0\0" + bytes(6)
    frame = b"\x2c" + struct.pack("<HHHH", 0, 0, 1, 1) + b"\0\x02\x02\x44\x01\0"
    head = b"GIF89a" + struct.pack("<HH", width, height) + palette
    return head + b"".join(blocks) + frame * frames + b"\x3b"


def gif_comment(content: bytes) -> bytes:
    """Return a comment block of a GIF."""
    parts = (content[start : start + 255] for start in range(0, len(content), 255))
    return b"\x21\xfe" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


Tag = tuple[int, int, int, int]
"""Number, kind, count and value (or offset) of a TIFF's tag."""

SHORT, LONG, ASCII, RATIONAL, UNDEFINED = 3, 4, 2, 5, 7


def directory(tags: Sequence[Tag], following: int = 0) -> bytes:
    """Return a directory of a TIFF."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)


def tiff(
    width: int,
    height: int,
    data: bytes,
    *,
    packed: int = 8,
    channels: int = 1,
    bits: int = 8,
    tile: int = 0,
    more: Sequence[Tag] = (),
    following: int = 0,
) -> bytes:
    """Return a TIFF of one strip, or of one tile of a given side."""
    tags: list[Tag] = [
        (256, LONG, 1, width), (257, LONG, 1, height), (258, SHORT, 1, bits),
        (259, SHORT, 1, packed), (262, SHORT, 1, 2 if channels > 2 else 1),
        (277, SHORT, 1, channels), *more,
    ]  # fmt: skip
    if channels == 4:
        tags.append((338, SHORT, 1, 2))
    count = len(tags) + (4 if tile else 3)
    at = 8 + 2 + 12 * count + 4
    if tile:
        tags += [(322, LONG, 1, tile), (323, LONG, 1, tile), (324, LONG, 1, at)]
        tags.append((325, LONG, 1, len(data)))
    else:
        tags += [(273, LONG, 1, at), (278, LONG, 1, height), (279, LONG, 1, len(data))]
    return b"II*\0" + struct.pack("<I", 8) + directory(tags, following) + data


def riff(chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return a WebP of chunks."""
    body = b"".join(
        kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)
        for kind, content in chunks
    )
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def segment(marker: int, content: bytes) -> bytes:
    """Return a segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def with_segment(data: bytes, marker: int, content: bytes) -> bytes:
    """Return a JPEG with a segment behind its start."""
    return data[:2] + segment(marker, content) + data[2:]


def jpeg_sized(data: bytes, width: int, height: int) -> bytes:
    """Return a JPEG with another size in its header."""
    start = next(at for at in map(data.find, (b"\xff\xc0", b"\xff\xc2")) if at >= 0)
    return data[: start + 5] + struct.pack(">HH", height, width) + data[start + 9 :]


def jpeg_scans(data: bytes, count: int) -> bytes:
    """Return a progressive JPEG whose last scan is repeated a number of times."""
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]
