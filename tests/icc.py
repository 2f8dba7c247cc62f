"""ICC profiles written here: of RGB spaces by their primaries, of grey, and of a press."""

import io
import struct

import numpy as np
from PIL import Image, ImageCms

SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
DISPLAY_P3 = (
    (0.51512, 0.24120, -0.00105),
    (0.29198, 0.69225, 0.04189),
    (0.15710, 0.06657, 0.78407),
)
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
"""Red, green and blue as CIE XYZ, adapted to D50."""

SRGB_CURVE = struct.pack(
    ">4sIHH5i", b"para", 0, 3, 0,
    *(round(65536 * number) for number in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)),
)  # fmt: skip


def gamma(value: float) -> bytes:
    """The curve of a power."""
    return struct.pack(">4sIIHxx", b"curv", 0, 1, round(256 * value))


def rgb(primaries: tuple[tuple[float, ...], ...], curve: bytes, name: str = "a space") -> bytes:
    """A profile of an RGB space."""
    tags = {b"wtpt": _xyz((0.9642, 1.0, 0.8249)), b"desc": _text(name)}
    for letter, colour in zip(b"rgb", primaries, strict=True):
        tags[bytes([letter]) + b"XYZ"] = _xyz(colour)
        tags[bytes([letter]) + b"TRC"] = curve
    return _profile(b"mntr", b"RGB ", b"XYZ ", tags)


def grey(curve: bytes) -> bytes:
    """A profile of grey."""
    tags = {b"wtpt": _xyz((0.9642, 1.0, 0.8249)), b"kTRC": curve, b"desc": _text("grey")}
    return _profile(b"mntr", b"GRAY", b"XYZ ", tags)


def press() -> bytes:
    """A profile of CMYK: each ink darkens, cyan leaves (0, 160, 220) and black (40, 40, 40)."""
    ramp = bytes(range(256))
    corners = np.indices((2, 2, 2, 2)).reshape(4, 16).T
    left = np.array([[0, 160, 220], [220, 0, 120], [255, 230, 0], [40, 40, 40]]) / 255
    seen = np.where(corners[..., None] == 1, left, 1.0).prod(axis=1)
    colours = Image.fromarray(np.rint(seen * 255).astype(np.uint8)[None])
    to_lab = ImageCms.buildTransform(
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )  # fmt: skip
    lab = np.asarray(ImageCms.applyTransform(colours, to_lab)).copy()
    lab[..., 1:] += 128  # Pillow's a and b are signed
    one = [65536 if row == column else 0 for row in range(3) for column in range(3)]
    table = struct.pack(">4sIBBBx9i", b"mft1", 0, 4, 3, 2, *one)
    table += ramp * 4 + lab.tobytes() + ramp * 3
    return _profile(b"prtr", b"CMYK", b"Lab ", {b"A2B0": table, b"desc": _text("press")})


def in_space(image: Image.Image, profile: bytes) -> Image.Image:
    """An sRGB image as another space has it."""
    converted = ImageCms.profileToProfile(
        image,
        ImageCms.createProfile("sRGB"),
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
    )
    converted.info = {}
    return converted


def _profile(kind: bytes, space: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, content = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += struct.pack(">4sII", name, start + len(content), len(data))
        content += data + bytes(-len(data) % 4)
    header = struct.pack(
        ">I4sI4s4s4s12x4s28x3i48x", start + len(content), b"none", 0x02400000, kind, space, pcs,
        b"acsp", round(65536 * 0.9642), 65536, round(65536 * 0.8249),
    )  # fmt: skip
    return header + struct.pack(">I", len(tags)) + table + content


def _xyz(colour: tuple[float, ...]) -> bytes:
    return struct.pack(">4sI3i", b"XYZ ", 0, *(round(65536 * value) for value in colour))


def _text(text: str) -> bytes:
    data = text.encode() + b"\0"
    return struct.pack(">4sII", b"desc", 0, len(data)) + data + bytes(78)
