"""What can be said of an image without a network: digests, a perceptual hash, quality.

A **sketch** is all that is needed of the pixels. Many sketches become fingerprints together, which
takes a fraction of the time for small images. Each fingerprint is the same as one made alone.
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
"""Fingerprints are taken from the reduced-scale decode whose short side is at least this."""

_HASH_SIDE = 8
_LUMA_SCALE = np.float32(1 / 255.0)
_TOGETHER = 1 << 20  # pixels


@dataclass(frozen=True)
class Sketch:
    """What a fingerprint is made from."""

    hashed: np.ndarray
    """What :func:`hashed_luma` gives: uint8 (32, 32)."""
    luma: np.ndarray
    """uint8 (H, W), at a short side of :data:`FINGERPRINT_SIDE` if the image has as much."""
    format: str
    width: int
    height: int


def digests(data: bytes) -> tuple[bytes, bytes]:
    """SHA-256 and MD5 of a file's content, 32 and 16 bytes."""
    return hashlib.sha256(data).digest(), hashlib.md5(data, usedforsecurity=False).digest()


def hashed_luma(image: Image.Image) -> Image.Image:
    """The 32 x 32 grey image that ``imagehash.phash`` makes of an image before all else."""
    side = (LUMA_SIDE, LUMA_SIDE)
    return image.convert("L").resize(side, Image.Resampling.LANCZOS)


def phashes(lumas: np.ndarray) -> np.ndarray:
    """The 64 bits of ``imagehash.phash``, of what :func:`hashed_luma` makes of images.

    ``lumas`` is uint8 (N, 32, 32); the hashes are uint8 (N, 8), the first bit the highest of the
    first byte. Bit for bit the same as imagehash's: both take the transform from SciPy.
    """
    import scipy.fft  # a run in which no image is new does without it

    rows = scipy.fft.dct(lumas.astype(np.float64), axis=1)[:, :_HASH_SIDE]
    lowest = scipy.fft.dct(rows, axis=2)[:, :, :_HASH_SIDE].reshape(len(lumas), -1)
    return np.packbits(lowest > np.median(lowest, axis=1, keepdims=True), axis=1)


def sketch(decoder: Decoder) -> Sketch:
    """The sketch of a decoded image, whose very long sides are reduced first.

    Raises :class:`UnreadableImage` when the image does not decode.
    """
    image = shortened(decoder.at_least(short=FINGERPRINT_SIDE))
    width, height = decoder.size
    luma = image.convert("L")
    hashed = np.asarray(hashed_luma(luma))
    scale = FINGERPRINT_SIDE / min(luma.size)
    if scale < 1:
        small = [max(1, round(side * scale)) for side in luma.size]
        luma = luma.resize(small, Image.Resampling.BOX)
    return Sketch(hashed, np.asarray(luma), decoder.format, width, height)


def fingerprints(sketches: Sequence[Sketch]) -> list[Fingerprint]:
    """The fingerprints that sketches make, in their order."""
    if not sketches:
        return []
    hashes = phashes(np.stack([one.hashed for one in sketches]))
    qualities = _qualities([one.luma for one in sketches])
    return [
        Fingerprint(
            phash=int.from_bytes(bits.tobytes(), "big"),
            luma=one.hashed.tobytes(),
            format=one.format,
            width=one.width,
            height=one.height,
            sharpness=sharpness,
            brightness=brightness,
            contrast=contrast,
        )
        for one, bits, (sharpness, brightness, contrast) in zip(
            sketches, hashes, qualities, strict=True
        )
    ]


def fingerprint(decoder: Decoder) -> Fingerprint:
    """The fingerprint of one decoded image; raises as :func:`sketch` does."""
    return fingerprints([sketch(decoder)])[0]


def _qualities(lumas: Sequence[np.ndarray]) -> list[tuple[float, float, float]]:
    """Sharpness, brightness and contrast of each; those of one size are worked out together."""
    of_size: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for number, luma in enumerate(lumas):
        of_size[luma.shape].append(number)
    qualities = [(0.0, 0.0, 0.0)] * len(lumas)
    for shape, numbers in of_size.items():
        together = max(1, _TOGETHER // (shape[0] * shape[1]))
        for start in range(0, len(numbers), together):
            some = numbers[start : start + together]
            stack = np.stack([lumas[number] for number in some]).astype(np.float32) * _LUMA_SCALE
            flat = stack.reshape(len(some), -1)
            made = zip(_sharpness(stack), flat.mean(axis=1), flat.std(axis=1), strict=True)
            for number, values in zip(some, made, strict=True):
                qualities[number] = (float(values[0]), float(values[1]), float(values[2]))
    return qualities


def _sharpness(lumas: np.ndarray) -> np.ndarray:
    """The variance of the Laplacian of each of float32 (N, H, W)."""
    if min(lumas.shape[1:]) < 3:
        return np.zeros(len(lumas), np.float32)
    centre = lumas[:, 1:-1, 1:-1]
    laplacian = lumas[:, :-2, 1:-1] + lumas[:, 2:, 1:-1]
    laplacian = laplacian + lumas[:, 1:-1, :-2] + lumas[:, 1:-1, 2:] - 4 * centre
    return np.asarray(laplacian.reshape(len(lumas), -1).var(axis=1))
