"""Fingerprints of images without a network: digests, a perceptual hash, quality measures.

A *sketch* contains the pixel data that a fingerprint needs. Fingerprints are computed from many
sketches at once, which is much faster for small images and gives the same results.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from embedkit.images.decode import Decoder
from embedkit.images.strips import shortened
from embedkit.results import LUMA_SIDE, Fingerprint

FINGERPRINT_SIDE = 256
"""Minimum short side of the reduced-scale decode from which fingerprints are computed, pixels."""

_HASH_SIDE = 8
_LUMA_SCALE = np.float32(1 / 255.0)
_CHUNK = 1 << 20  # pixels


@dataclass(frozen=True)
class Sketch:
    """The pixel data from which a fingerprint is computed."""

    thumbnail: np.ndarray
    """Result of :func:`luma_thumbnail`: uint8 (32, 32)."""
    luma: np.ndarray
    """Luma, uint8 (H, W), with a short side of at most :data:`FINGERPRINT_SIDE`."""
    format: str
    """As in :class:`Fingerprint`, like the size."""
    width: int
    height: int


def digests(data: bytes) -> tuple[bytes, bytes]:
    """Return SHA-256 (32 bytes) and MD5 (16 bytes) of a file's content."""
    return hashlib.sha256(data).digest(), hashlib.md5(data, usedforsecurity=False).digest()


def luma_thumbnail(image: Image.Image) -> Image.Image:
    """Return the 32 x 32 grey image on which ``imagehash.phash`` is computed."""
    side = (LUMA_SIDE, LUMA_SIDE)
    return image.convert("L").resize(side, Image.Resampling.LANCZOS)


def phashes(thumbnails: np.ndarray) -> np.ndarray:
    """Compute ``imagehash.phash`` from luma thumbnails, uint8 (N, 32, 32).

    The hashes are uint8 (N, 8); the first bit is the highest of the first byte. They equal
    imagehash's bit for bit: both use SciPy's cosine transform.
    """
    import scipy.fft  # not needed when no image is new

    rows = scipy.fft.dct(thumbnails.astype(np.float64), axis=1)[:, :_HASH_SIDE]
    lowest = scipy.fft.dct(rows, axis=2)[:, :, :_HASH_SIDE].reshape(len(thumbnails), -1)
    return np.packbits(lowest > np.median(lowest, axis=1, keepdims=True), axis=1)


def sketch(decoder: Decoder) -> Sketch:
    """Return the sketch of an image; sides above :data:`MAX_SIDE` are reduced first.

    Raises :class:`UnreadableImage` when the image does not decode.
    """
    image = shortened(decoder.at_least(short=FINGERPRINT_SIDE))
    width, height = decoder.size
    luma = image.convert("L")
    thumbnail = np.asarray(luma_thumbnail(luma))
    scale = FINGERPRINT_SIDE / min(luma.size)
    if scale < 1:
        small = [max(1, round(side * scale)) for side in luma.size]
        luma = luma.resize(small, Image.Resampling.BOX)
    return Sketch(thumbnail, np.asarray(luma), decoder.format, width, height)


def fingerprints(sketches: Sequence[Sketch]) -> list[Fingerprint]:
    """Return the fingerprints of sketches, in the same order."""
    if not sketches:
        return []
    hashes = phashes(np.stack([sketch.thumbnail for sketch in sketches]))
    qualities = _qualities([sketch.luma for sketch in sketches])
    return [
        Fingerprint(
            phash=int.from_bytes(bits.tobytes(), "big"),
            luma=sketch.thumbnail.tobytes(),
            format=sketch.format,
            width=sketch.width,
            height=sketch.height,
            sharpness=sharpness,
            brightness=brightness,
            contrast=contrast,
        )
        for sketch, bits, (sharpness, brightness, contrast) in zip(
            sketches, hashes, qualities, strict=True
        )
    ]


def fingerprint(decoder: Decoder) -> Fingerprint:
    """Return the fingerprint of an image; raises as :func:`sketch` does."""
    return fingerprints([sketch(decoder)])[0]


def _qualities(lumas: Sequence[np.ndarray]) -> list[tuple[float, float, float]]:
    """Return sharpness, brightness and contrast of each luma; equal sizes are stacked."""
    of_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for number, luma in enumerate(lumas):
        of_size[luma.shape].append(number)
    qualities = [(0.0, 0.0, 0.0)] * len(lumas)
    for shape, numbers in of_size.items():
        at_once = max(1, _CHUNK // (shape[0] * shape[1]))
        for start in range(0, len(numbers), at_once):
            part = numbers[start : start + at_once]
            stack = np.stack([lumas[number] for number in part]).astype(np.float32) * _LUMA_SCALE
            flat = stack.reshape(len(part), -1)
            measured = zip(_sharpness(stack), flat.mean(axis=1), flat.std(axis=1), strict=True)
            for number, values in zip(part, measured, strict=True):
                qualities[number] = (float(values[0]), float(values[1]), float(values[2]))
    return qualities


def _sharpness(lumas: np.ndarray) -> np.ndarray:
    """Return the variance of the Laplacian of lumas, float32 (N, H, W)."""
    if min(lumas.shape[1:]) < 3:
        return np.zeros(len(lumas), np.float32)
    centre = lumas[:, 1:-1, 1:-1]
    laplacian = lumas[:, :-2, 1:-1] + lumas[:, 2:, 1:-1]
    laplacian = laplacian + lumas[:, 1:-1, :-2] + lumas[:, 1:-1, 2:] - 4 * centre
    return np.asarray(laplacian.reshape(len(lumas), -1).var(axis=1))
