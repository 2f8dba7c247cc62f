"""Chunks of PNG files: remove unused text, extract the colour profile, repair truncated files.

Pillow reads all text and the colour profile when it opens a PNG, and refuses a file in which they
are large. The decoded image does not depend on text, except for the orientation in two kinds of
text.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from embedkit.images.profiles import MAX_PROFILE_BYTES

MAGIC = b"\x89PNG\r\n\x1a\n"

MAX_TEXT_BYTES = 1 << 20
"""Maximum size of an uncompressed text to search for an orientation, bytes, as in Pillow."""

_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_ORIENTED = (b"XML:com.adobe.xmp", b"Raw profile type exif")
"""Keywords of texts that may contain an orientation."""


class Chunk(NamedTuple):
    """Position of a chunk: ``data[start:end]``, with its content at ``[start + 8:end - 4]``."""

    kind: bytes
    start: int
    end: int


class PngContent(NamedTuple):
    """A PNG without profile and unused text, and the properties that were read from it."""

    data: bytes
    profile: bytes | None
    """The ICC profile, at most one byte longer than :data:`MAX_PROFILE_BYTES`; invalid bytes
    when it cannot be decompressed."""
    significant_bits: int | None
    """The first value of the sBIT chunk, for the first channel."""


def chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the complete chunks of a PNG up to the first incomplete one."""
    start = len(MAGIC)
    while start + 12 <= len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        kind = data[start + 4 : start + 8]
        if end > len(data) or not kind.isalpha():
            return
        yield Chunk(kind, start, end)
        start = end
        if kind == b"IEND":
            return


def stripped(data: bytes) -> PngContent:
    """Return a PNG without its profile and without text, except text with an orientation.

    A damaged file is unchanged from the damage on.
    """
    kept: list[bytes] = []
    profile = bits = None
    done = 0
    for chunk in chunks(data):
        if chunk.kind not in (b"iCCP", b"sBIT", *_TEXTS):
            continue
        content = data[chunk.start + 8 : chunk.end - 4]
        if chunk.kind == b"sBIT":
            bits = content[0] if content and 1 <= content[0] <= 16 else None
            continue
        if chunk.kind == b"iCCP":
            profile = profile or _profile(content)
        elif _may_orient(chunk.kind, content):
            continue
        kept.append(data[done : chunk.start])
        done = chunk.end
    if done:
        data = b"".join([*kept, data[done:]])
    return PngContent(data, profile, bits)


def _profile(content: bytes) -> bytes:
    packed = content.partition(b"\0")[2]
    return _unpacked(packed[1:], MAX_PROFILE_BYTES) or b"unreadable"


def _unpacked(packed: bytes, most: int) -> bytes | None:
    """Decompress at most ``most + 1`` bytes; return None for invalid data."""
    try:
        return zlib.decompressobj().decompress(packed, most + 1)
    except zlib.error:
        return None


def _may_orient(kind: bytes, content: bytes) -> bool:
    """Return whether a text may contain an orientation and Pillow reads it."""
    keyword = content.partition(b"\0")[0]
    if keyword not in _ORIENTED:
        return False
    found = text(kind, content, MAX_TEXT_BYTES)
    return found is not None and len(found) <= MAX_TEXT_BYTES


def text(kind: bytes, content: bytes, most: int) -> bytes | None:
    """Return the text of a tEXt, zTXt or iTXt chunk, unpacked; None if it cannot be unpacked.

    At most ``most + 1`` bytes are unpacked.
    """
    rest = content.partition(b"\0")[2]
    if kind == b"zTXt":
        return _unpacked(rest[1:], most)
    if kind == b"iTXt" and rest[:1] == b"\1":
        return _unpacked(rest[2:].split(b"\0", 2)[-1], most)
    return rest


# -- truncated files -------------------------------------------------------------------------------

_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
           (0, 1, 1, 2))  # fmt: skip
"""Adam7: first column, first row, horizontal and vertical step of each pass."""
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


class Pass(NamedTuple):
    """A pass of an interlaced PNG, or all pixels of another."""

    x: int
    y: int
    """First column and row."""
    step_x: int
    step_y: int
    """Horizontal and vertical step."""
    rows: int
    row_bytes: int
    """Bytes of a row of pixels and its filter type."""


class Header(NamedTuple):
    """Size and passes of a PNG, from its first chunk."""

    width: int
    height: int
    passes: tuple[Pass, ...]


def read_header(data: bytes) -> Header | None:
    """Return the header of a PNG; None when it is missing or invalid."""
    first = next(chunks(data), None) if data.startswith(MAGIC) else None
    if first is None or first.kind != b"IHDR" or first.end - first.start < 25:
        return None
    width, height, bits, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    if not width or not height or colour not in _CHANNELS or bits not in (1, 2, 4, 8, 16):
        return None
    passes = []
    for x, y, step_x, step_y in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - x) // step_x), -(-(height - y) // step_y)
        if columns > 0 and rows > 0:
            row_bytes = 1 + -(-columns * bits * _CHANNELS[colour] // 8)
            passes.append(Pass(x, y, step_x, step_y, rows, row_bytes))
    return Header(width, height, tuple(passes))


def repaired(data: bytes, header: Header) -> tuple[bytes, list[int]]:
    """Return a valid PNG with the pixels of a truncated or damaged one.

    The second value is the number of decoded rows of each pass. Missing pixels are 0.
    """
    pieces = [data[: len(MAGIC)]]
    unpack, pack = zlib.decompressobj(), zlib.compressobj(1)
    total = sum(item.rows * item.row_bytes for item in header.passes)
    decoded = 0
    packed: list[bytes] = []
    for kind, content in _contents(data):
        if kind == b"IDAT":
            try:
                while content and decoded < total and not unpack.eof:
                    pixels = unpack.decompress(content, min(1 << 20, total - decoded))
                    content = unpack.unconsumed_tail
                    decoded += len(pixels)
                    packed.append(pack.compress(pixels))
                    if not pixels:
                        break
            except zlib.error:
                break
        elif kind in (b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"eXIf", b"sBIT", *_TEXTS):
            pieces.append(_chunk(kind, content))
    rows = []
    left = decoded
    for item in header.passes:
        rows.append(min(item.rows, left // item.row_bytes))
        left = max(0, left - item.rows * item.row_bytes)
    missing = (min(1 << 20, total - start) for start in range(decoded, total, 1 << 20))
    packed += [pack.compress(bytes(count)) for count in missing]
    packed.append(pack.flush())
    pieces += [_chunk(b"IDAT", b"".join(packed)), _chunk(b"IEND", b"")]
    return b"".join(pieces), rows


def _contents(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of the chunks before any damage, and of a truncated pixel chunk."""
    end = len(MAGIC)
    for chunk in chunks(data):
        content = data[chunk.start + 8 : chunk.end - 4]
        check = zlib.crc32(data[chunk.start + 4 : chunk.end - 4]).to_bytes(4, "big")
        if check != data[chunk.end - 4 : chunk.end]:
            return
        yield chunk.kind, content
        end = chunk.end
    if data[end + 4 : end + 8] == b"IDAT":
        yield b"IDAT", data[end + 8 :]


def _chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
