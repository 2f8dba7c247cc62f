"""The eight orientations of an image, and its perceptual hash in each of them without a decode.

A fingerprint stores the 32 x 32 luma that ``imagehash.phash`` computes. The hash records which of
its lowest cosine coefficients are above their median. Mirroring an image changes the sign of every
other coefficient and transposing it transposes them, so one cosine transform gives the hashes of
all eight orientations.

An **orientation** is a number from 0 to 7. Bit 4 transposes the image; then bit 1 mirrors it left
to right and bit 2 flips it upside down.
"""

import numpy as np

from embedkit.results import LUMA_SIDE

ORIENTATIONS = 8
_BLOCK = 512
"""Images that are transformed at once, within a core's own cache."""


def oriented_hashes(lumas: np.ndarray, side: int = 8) -> np.ndarray:
    """Return the perceptual hashes in every orientation: uint64 (N, 8, W), W = side * side / 64.

    ``lumas`` is uint8 (N, 1024), as stored in fingerprints. With ``side`` 8, the hash in
    orientation 0 is ``imagehash.phash``; with 16, the 256-bit ``imagehash.phash(hash_size=16)`` of
    the same 32 x 32 pixels. The first bit is the highest bit of the first word.
    """
    words = side * side // 64
    hashes = np.empty((len(lumas), ORIENTATIONS, words), np.uint64)
    steps = np.arange(LUMA_SIDE)
    cosines = 2 * np.cos(np.pi * steps[:side, None] * (2 * steps + 1) / (2 * LUMA_SIDE))
    signs = np.where(steps[:side] % 2, -1.0, 1.0)
    for start in range(0, len(lumas), _BLOCK):
        block = lumas[start : start + _BLOCK].reshape(-1, LUMA_SIDE, LUMA_SIDE).astype(np.float64)
        lowest = cosines @ block @ cosines.T
        for mirrored in range(4):
            changed = lowest * signs if mirrored & 1 else lowest
            changed = changed * signs[:, None] if mirrored & 2 else changed
            flat = changed.reshape(len(block), -1)
            ordered = np.sort(flat, axis=1)
            median = ordered[:, side * side // 2 - 1 : side * side // 2 + 1].mean(axis=1)
            above = (flat > median[:, None]).reshape(changed.shape)
            # Transposed first and then mirrored: the other mirrors, and the same median.
            transposed = 4 | (mirrored & 1) << 1 | mirrored >> 1
            for orientation, bits in (
                (mirrored, above),
                (transposed, above.transpose(0, 2, 1)),
            ):
                packed = np.packbits(bits.ravel()).view(">u8").reshape(len(block), words)
                hashes[start : start + _BLOCK, orientation] = packed
    return hashes


def orient(image: np.ndarray, orientation: int) -> np.ndarray:
    """Return an image (H, W, ...) in an orientation, as a contiguous array."""
    return np.ascontiguousarray(_orient(image, orientation, rows=0, columns=1))


def orient_all(images: np.ndarray, orientation: int) -> np.ndarray:
    """Return images (n, H, W) in an orientation, as a view."""
    return _orient(images, orientation, rows=1, columns=2)


def undo_orientation(image: np.ndarray, orientation: int) -> np.ndarray:
    """Invert :func:`orient`: return the original of an oriented image (H, W, ...)."""
    image = image[::-1] if orientation & 2 else image
    image = image[:, ::-1] if orientation & 1 else image
    image = image.swapaxes(0, 1) if orientation & 4 else image
    return np.ascontiguousarray(image)


def _orient(images: np.ndarray, orientation: int, rows: int, columns: int) -> np.ndarray:
    images = images.swapaxes(rows, columns) if orientation & 4 else images
    images = np.flip(images, columns) if orientation & 1 else images
    return np.flip(images, rows) if orientation & 2 else images
