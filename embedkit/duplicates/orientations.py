"""Images turned and mirrored: the perceptual hash of each of the eight ways, without a decode.

A fingerprint keeps the 32 x 32 luma that ``imagehash.phash`` makes of an image; the hash is which
of its lowest cosine coefficients are above their median. Mirroring an image changes the sign of
every other coefficient and transposing it transposes them, so the hashes of all eight ways come
from one cosine transform.

A **turn** is a number from 0 to 7: with 4 the image is transposed, then with 1 mirrored left to
right and with 2 upside down.
"""

import numpy as np

from embedkit.results import LUMA_SIDE

TURNS = 8
_BLOCK = 8192


def turned_hashes(lumas: np.ndarray, side: int = 8) -> np.ndarray:
    """Perceptual hashes under every turn: uint64 (N, 8, W) with W = side * side / 64 words.

    ``lumas`` is uint8 (N, 1024), as fingerprints keep them. With ``side`` 8 the hash under turn 0
    is ``imagehash.phash``, with 16 it is the 256-bit ``imagehash.phash(hash_size=16)`` of the same
    32 x 32 pixels; the first bit is the highest of the first word.
    """
    words = side * side // 64
    hashes = np.empty((len(lumas), TURNS, words), np.uint64)
    steps = np.arange(LUMA_SIDE)
    cosines = 2 * np.cos(np.pi * steps[:side, None] * (2 * steps + 1) / (2 * LUMA_SIDE))
    odd = np.where(steps[:side] % 2, -1.0, 1.0)
    for start in range(0, len(lumas), _BLOCK):
        block = lumas[start : start + _BLOCK].reshape(-1, LUMA_SIDE, LUMA_SIDE).astype(np.float64)
        lowest = cosines @ block @ cosines.T
        for turn in range(TURNS):
            changed = lowest.transpose(0, 2, 1) if turn & 4 else lowest
            changed = changed * odd if turn & 1 else changed
            changed = changed * odd[:, None] if turn & 2 else changed
            flat = changed.reshape(len(block), -1)
            bits = np.packbits(flat > np.median(flat, axis=1, keepdims=True), axis=1)
            hashes[start : start + _BLOCK, turn] = bits.view(">u8")
    return hashes


def turned(images: np.ndarray, turn: int) -> np.ndarray:
    """Square images (n, side, side), each turned."""
    images = images.transpose(0, 2, 1) if turn & 4 else images
    images = images[:, :, ::-1] if turn & 1 else images
    return images[:, ::-1] if turn & 2 else images
