"""Properties of TIFF files that Pillow does not provide: tile size and number of pages."""

import struct

from PIL import Image

MAX_TILE_BYTES = 1 << 28
"""Maximum size of a tile, bytes: libtiff decodes a whole tile, even if most of it is outside the
image."""

MAX_PAGES = 10_000
"""Maximum number of pages to count."""

_TILE_WIDTH, _TILE_HEIGHT, _SAMPLES, _BITS = 322, 323, 277, 258


def tile_bytes(image: Image.Image) -> int:
    """Return the bytes of one tile of an opened image; 0 without tiles or if unknown."""
    tags = getattr(image, "tag_v2", {})
    width, height, samples = (tags.get(tag) for tag in (_TILE_WIDTH, _TILE_HEIGHT, _SAMPLES))
    if not (isinstance(width, int) and isinstance(height, int)):
        return 0
    bits = tags.get(_BITS)
    depths = [depth for depth in bits if isinstance(depth, int)] if isinstance(bits, tuple) else []
    return width * height * (samples if isinstance(samples, int) else 1) * max([8, *depths]) // 8


def pages(data: bytes) -> int:
    """Return the number of pages of a file, at most :data:`MAX_PAGES`; 1 for invalid directories.

    A cyclic chain of directories ends where it closes.
    """
    order = "<" if data[:1] == b"I" else ">"
    is_big = len(data) > 16 and data[2:4] in (b"+\0", b"\0+")
    count_kind, entry, pointer = ("Q", 20, "Q") if is_big else ("H", 12, "I")
    start = 8 if is_big else 4
    seen: set[int] = set()
    try:
        (at,) = struct.unpack_from(order + pointer, data, start)
        while at and at not in seen and len(seen) < MAX_PAGES:
            seen.add(at)
            (count,) = struct.unpack_from(order + count_kind, data, at)
            after = at + struct.calcsize(count_kind) + entry * count
            (at,) = struct.unpack_from(order + pointer, data, after)
    except struct.error:  # a truncated file
        pass
    return max(1, len(seen))
