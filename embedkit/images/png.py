"""PNG files chunk by chunk: without the text that nothing here reads, and mended where they end.

Pillow reads all text and the colour profile of a PNG when it opens it, and refuses a file in which
they are large. What a picture shows does not depend on them, apart from the orientation that two
kinds of text may hold, and the profile.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from embedkit.images.profiles import PROFILE_BYTES

MAGIC = b"\x89PNG\r\n\x1a\n"

TEXT_BYTES = 1 << 20
"""Text of more bytes, uncompressed, is not looked at for an orientation; Pillow would refuse it."""

_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
_ORIENTED = (b"XML:com.adobe.xmp", b"Raw profile type exif")
"""Keywords of texts in which Pillow finds an orientation."""


class Chunk(NamedTuple):
    """Where a chunk is: all of it is ``data[start:end]``, its content between 8 and -4 bytes."""

    kind: bytes
    start: int
    end: int


class Cleaned(NamedTuple):
    """A PNG without text and profile, and what was in it."""

    data: bytes
    profile: bytes | None
    """The ICC profile, at most one byte more than :data:`PROFILE_BYTES` of it; what is not a
    profile when it cannot be unpacked."""
    significant_bits: int | None
    """The first number of the sBIT chunk, of the first channel."""


def chunks(data: bytes) -> Iterator[Chunk]:
    """The chunks of a PNG that are there as a whole, up to the first that is not."""
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


def cleaned(data: bytes) -> Cleaned:
    """A PNG without the chunks that hold text, unless for an orientation, and without its profile.

    A file that is damaged comes back as it is from the damage on.
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
    return Cleaned(data, profile, bits)


def _profile(content: bytes) -> bytes:
    packed = content.partition(b"\0")[2]
    return _unpacked(packed[1:], PROFILE_BYTES) or b"unreadable"


def _unpacked(packed: bytes, most: int) -> bytes | None:
    """What zlib packed, at most one byte more than ``most`` of it; None where it cannot be read."""
    try:
        return zlib.decompressobj().decompress(packed, most + 1)
    except zlib.error:
        return None


def _may_orient(kind: bytes, content: bytes) -> bool:
    """Whether a text may hold an orientation and is one that Pillow reads."""
    keyword = content.partition(b"\0")[0]
    if keyword not in _ORIENTED:
        return False
    found = text(kind, content, TEXT_BYTES)
    return found is not None and len(found) <= TEXT_BYTES


def text(kind: bytes, content: bytes, most: int) -> bytes | None:
    """Return the text of a tEXt, zTXt or iTXt chunk, unpacked; None if it cannot be unpacked.

    Of a packed text, at most ``most + 1`` bytes are unpacked.
    """
    rest = content.partition(b"\0")[2]
    if kind == b"zTXt":
        return _unpacked(rest[1:], most)
    if kind == b"iTXt" and rest[:1] == b"\1":
        return _unpacked(rest[2:].split(b"\0", 2)[-1], most)
    return rest


# -- files that end early --------------------------------------------------------------------------

_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
           (0, 1, 1, 2))  # fmt: skip
"""Adam7: first column, first row, and the steps across and down, of each pass."""
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


class Pass(NamedTuple):
    """The pixels that a part of the data holds, row by row: all of them, unless interlaced."""

    x: int
    y: int
    across: int
    down: int
    rows: int
    row_bytes: int
    """Of a row of pixels, with the byte that names its filter."""


class Header(NamedTuple):
    """What the first chunk of a PNG says."""

    width: int
    height: int
    passes: tuple[Pass, ...]


def header(data: bytes) -> Header | None:
    """The header of a PNG; None where there is none that makes sense."""
    first = next(chunks(data), None) if data.startswith(MAGIC) else None
    if first is None or first.kind != b"IHDR" or first.end - first.start < 25:
        return None
    width, height, bits, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    if not width or not height or colour not in _CHANNELS or bits not in (1, 2, 4, 8, 16):
        return None
    passes = []
    for x, y, across, down in _PASSES if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - x) // across), -(-(height - y) // down)
        if columns > 0 and rows > 0:
            row_bytes = 1 + -(-columns * bits * _CHANNELS[colour] // 8)
            passes.append(Pass(x, y, across, down, rows, row_bytes))
    return Header(width, height, tuple(passes))


def mended(data: bytes, head: Header) -> tuple[bytes, list[int]]:
    """A whole PNG of what one that ends early, or is damaged, has of its pixels.

    Returns it with the number of rows that are there of each pass; other pixels are 0.
    """
    pieces = [data[: len(MAGIC)]]
    unpack, pack = zlib.decompressobj(), zlib.compressobj(1)
    total = sum(item.rows * item.row_bytes for item in head.passes)
    there = 0
    packed: list[bytes] = []
    for kind, content in _contents(data):
        if kind == b"IDAT":
            try:
                while content and there < total and not unpack.eof:
                    pixels = unpack.decompress(content, min(1 << 20, total - there))
                    content = unpack.unconsumed_tail
                    there += len(pixels)
                    packed.append(pack.compress(pixels))
                    if not pixels:
                        break
            except zlib.error:
                break
        elif kind in (b"IHDR", b"PLTE", b"tRNS", b"iCCP", b"eXIf", b"sBIT", *_TEXTS):
            pieces.append(_chunk(kind, content))
    rows = []
    left = there
    for item in head.passes:
        rows.append(min(item.rows, left // item.row_bytes))
        left = max(0, left - item.rows * item.row_bytes)
    lacking = (min(1 << 20, total - start) for start in range(there, total, 1 << 20))
    packed += [pack.compress(bytes(count)) for count in lacking]
    packed.append(pack.flush())
    pieces += [_chunk(b"IDAT", b"".join(packed)), _chunk(b"IEND", b"")]
    return b"".join(pieces), rows


def _contents(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kinds and contents of the chunks before any damage, and the pixels of one that ends early."""
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
