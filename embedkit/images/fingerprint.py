"""What can be said of an image without a network: digests, a perceptual hash, quality."""

import hashlib

import imagehash
import numpy as np
from PIL import Image

from embedkit.images.decode import Decoder
from embedkit.images.strips import shortened
from embedkit.records import LUMA_SIDE, Fingerprint

FINGERPRINT_SIDE = 256
"""Fingerprints are taken from the reduced-scale decode whose short side is at least this."""

_LUMA_SCALE = 1 / 255.0


def digests(data: bytes) -> tuple[bytes, bytes]:
    """SHA-256 and MD5 of a file's content, 32 and 16 bytes."""
    return hashlib.sha256(data).digest(), hashlib.md5(data, usedforsecurity=False).digest()


def hashed_luma(image: Image.Image) -> Image.Image:
    """The 32 x 32 grey image that ``imagehash.phash`` makes of an image before all else."""
    side = (LUMA_SIDE, LUMA_SIDE)
    return image.convert("L").resize(side, Image.Resampling.LANCZOS)


def phash(luma: Image.Image) -> int:
    """The 64 bits of ``imagehash.phash``, the first one highest, of what it makes of an image."""
    bits = imagehash.phash(luma).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def fingerprint(decoder: Decoder) -> Fingerprint:
    """The fingerprint of a decoded image, whose very long sides are reduced first.

    Raises :class:`UnreadableImage` when the image does not decode.
    """
    image = shortened(decoder.at_least(short=FINGERPRINT_SIDE))
    width, height = decoder.size
    luma_image = image.convert("L")
    hashed = hashed_luma(luma_image)
    scale = FINGERPRINT_SIDE / min(luma_image.size)
    if scale < 1:
        small = [max(1, round(side * scale)) for side in luma_image.size]
        luma_image = luma_image.resize(small, Image.Resampling.BOX)
    luma = np.asarray(luma_image, dtype=np.float32) * _LUMA_SCALE
    return Fingerprint(
        phash=phash(hashed),
        luma=hashed.tobytes(),
        format=decoder.format,
        width=width,
        height=height,
        sharpness=_sharpness(luma),
        brightness=float(luma.mean()),
        contrast=float(luma.std()),
    )


def _sharpness(luma: np.ndarray) -> float:
    if min(luma.shape) < 3:
        return 0.0
    centre = luma[1:-1, 1:-1]
    laplacian = luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * centre
    return float(laplacian.var())
