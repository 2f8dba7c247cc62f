"""Properties of JPEG 2000 files that Pillow does not provide: tile size, depth, colour profile."""

import struct
from collections.abc import Iterator

MAX_TILE_SAMPLES = 134_217_728
"""Maximum number of samples of a tile, over all channels: OpenJPEG decodes a whole tile and takes
six bytes per sample. Many files have one tile."""

_SIGNATURE = b"\x00\x00\x00\x0cjP  \x0d\x0a\x87\x0a"
_CODESTREAM = b"\xff\x4f\xff\x51"


def tile_samples(data: bytes) -> int:
    """Return the number of samples of one tile; 0 if unknown."""
    start = _codestream(data)
    if start is None:
        return 0
    fields: tuple[int, ...] = struct.unpack_from(">6I", data, start + 8)
    right, bottom, left, top, width, height = fields
    channels = int.from_bytes(data[start + 40 : start + 42], "big")
    across, down = min(width, right - left), min(height, bottom - top)
    return channels * max(0, across) * max(0, down)


def bits(data: bytes) -> int:
    """Return the largest number of bits of a component of a file; 0 if unknown."""
    start = _codestream(data)
    if start is None:
        return 0
    channels = int.from_bytes(data[start + 40 : start + 42], "big")
    depths = data[start + 42 : start + 42 + 3 * channels : 3]
    return max(((depth & 0x7F) + 1 for depth in depths), default=0)


def _codestream(data: bytes) -> int | None:
    """Return the start of a file's codestream; None if its header is incomplete."""
    start = 0
    if data.startswith(_SIGNATURE):
        start = next((at for kind, at, _ in _boxes(data, 0, len(data)) if kind == b"jp2c"), -1)
    if start < 0 or data[start : start + 4] != _CODESTREAM or len(data) < start + 42:
        return None
    return start


def profile(data: bytes) -> bytes | None:
    """Return the ICC profile of a file, if it has one."""
    for kind, start, end in _boxes(data, 0, len(data)):
        if kind == b"jp2h":
            for inner, at, stop in _boxes(data, start, end):
                if inner == b"colr" and data[at : at + 1] == b"\2":
                    return data[at + 3 : stop]
    return None


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the type of each box in a part of a file, and the start and end of its content."""
    while start + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, start)
        content = start + 8
        if size == 1 and start + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, content)
            content += 8
        stop = end if size == 0 else start + size
        if not content <= stop <= end:
            return
        yield kind, content, stop
        start = stop
