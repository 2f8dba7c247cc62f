"""Minimal camera RAW files, written byte by byte."""

import struct
from collections.abc import Mapping

import numpy as np
from PIL import Image

SHORT, LONG = 3, 4

Entry = tuple[int, bytes | list[int]]
"""Type of TIFF, and the values: numbers, or the bytes of text and of bytes."""

CFA = 32803


def tiff(
    folders: list[Mapping[int, Entry]], *blobs: bytes, head: bytes = b"II*\0", chained: bool = True
) -> bytes:
    """A TIFF file: its directories one after the other, then blobs.

    A LONG -n stands for where blob n - 1 begins, -100 - n for directory n; with ``chained`` each
    directory names the next.
    """
    order = "<" if head.startswith(b"II") else ">"
    sizes = {1: 1, 2: 1, 3: 2, 4: 4, 7: 1, 10: 4}
    places, at = [], 8
    for folder in folders:
        places.append(at)
        at += 6 + 12 * len(folder)
        at += sum(_padded(len(_packed(order, *entry))) for entry in folder.values())
    starts = []
    for blob in blobs:
        starts.append(at)
        at += _padded(len(blob))
    written = [head + struct.pack(f"{order}I", 8)]
    for number, folder in enumerate(folders):
        beyond = places[number] + 6 + 12 * len(folder)
        entries, values = b"", b""
        for tag, (kind, content) in sorted(folder.items()):
            if isinstance(content, list) and kind == LONG:
                content = [_resolved(value, starts, places) for value in content]
            packed = _packed(order, kind, content)
            count = len(packed) // sizes[kind] // (2 if kind == 10 else 1)
            if len(packed) <= 4:
                field = packed.ljust(4, b"\0")
            else:
                field = struct.pack(f"{order}I", beyond + len(values))
            values += packed.ljust(_padded(len(packed)), b"\0")
            entries += struct.pack(f"{order}HHI", tag, kind, count) + field
        following = places[number + 1] if chained and number + 1 < len(folders) else 0
        written += [struct.pack(f"{order}H", len(folder)), entries]
        written += [struct.pack(f"{order}I", following), values]
    written += [blob.ljust(_padded(len(blob)), b"\0") for blob in blobs]
    return b"".join(written)


def with_preview(preview: bytes, orientation: int = 1, head: bytes = b"II*\0") -> bytes:
    """Return a file like NEF and ARW: a first directory, and below it the sensor data and a
    preview."""
    sensor: dict[int, Entry] = {
        0x0100: (SHORT, [4]), 0x0101: (SHORT, [4]), 0x0103: (SHORT, [1]), 0x0106: (SHORT, [CFA]),
        0x0111: (LONG, [-2]), 0x0117: (LONG, [32]),
    }  # fmt: skip
    jpeg: dict[int, Entry] = {0x0201: (LONG, [-1]), 0x0202: (LONG, [len(preview)])}
    first: dict[int, Entry] = {
        0x010F: (2, b"Maker\0"), 0x0110: (2, b"Model 7\0"), 0x0112: (SHORT, [orientation]),
        0x014A: (LONG, [-101, -102]),
    }  # fmt: skip
    return tiff([first, sensor, jpeg], preview, bytes(32), head=head, chained=False)


def dng(image: Image.Image, preview: bytes = b"") -> bytes:
    """Return a DNG of an RGB image behind a Bayer filter, 16 bits, linear; its sides must be
    even."""
    levels = (np.asarray(image, np.float64) / 255) ** 2.2 * 60000
    mosaic = np.empty(levels.shape[:2], "<u2")
    for row, column, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        mosaic[row::2, column::2] = levels[row::2, column::2, channel]
    pixels = mosaic.tobytes()
    # From XYZ to the camera's colours: those of sRGB, so that the picture comes out as it was.
    matrix = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415],
                       [0.0557, -0.2040, 1.0570]])  # fmt: skip
    rationals = [part for value in matrix.ravel() for part in (round(value * 10000), 10000)]
    folder: dict[int, Entry] = {
        0x00FE: (LONG, [0]), 0x0100: (LONG, [image.width]), 0x0101: (LONG, [image.height]),
        0x0102: (SHORT, [16]), 0x0103: (SHORT, [1]), 0x0106: (SHORT, [CFA]),
        0x010F: (2, b"Maker\0"), 0x0110: (2, b"Model 7\0"), 0x0111: (LONG, [-1]),
        0x0112: (SHORT, [1]), 0x0115: (SHORT, [1]), 0x0116: (LONG, [image.height]),
        0x0117: (LONG, [len(pixels)]), 0x011C: (SHORT, [1]), 0x828D: (SHORT, [2, 2]),
        0x828E: (1, bytes([0, 1, 1, 2])), 0xC612: (1, bytes([1, 4, 0, 0])),
        0xC613: (1, bytes([1, 1, 0, 0])), 0xC614: (2, b"Maker Model 7\0"),
        0xC61D: (LONG, [60000]), 0xC621: (10, rationals), 0xC65A: (SHORT, [21]),
    }  # fmt: skip
    if preview:
        folder[0x014A] = (LONG, [-101])
        jpeg: dict[int, Entry] = {0x0201: (LONG, [-2]), 0x0202: (LONG, [len(preview)])}
        return tiff([folder, jpeg], pixels, preview, chained=False)
    return tiff([folder], pixels)


def raf(preview: bytes) -> bytes:
    """Return the header of a RAF file with its preview."""
    head = b"FUJIFILMCCD-RAW 0201FF000000Camera".ljust(84, b"\0")
    return head + struct.pack(">II", 148, len(preview)) + bytes(56) + preview + bytes(64)


def _padded(size: int) -> int:
    return size + size % 2


def _packed(order: str, kind: int, content: bytes | list[int]) -> bytes:
    if isinstance(content, bytes):
        return content
    letter = {SHORT: "H", LONG: "I", 10: "i"}[kind]
    if kind == LONG:
        content = [max(0, value) for value in content]
    return struct.pack(f"{order}{len(content)}{letter}", *content)


def _resolved(value: int, starts: list[int], places: list[int]) -> int:
    if value >= 0:
        return value
    return places[-value - 100] if value <= -100 else starts[-value - 1]
