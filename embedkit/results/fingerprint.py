"""What is computed of every image besides its embeddings."""

from dataclasses import dataclass

LUMA_SIDE = 32
"""Side, in pixels, of what a perceptual hash is made from."""


@dataclass(frozen=True)
class Fingerprint:
    """What can be said of an image without a network."""

    phash: int
    """The 64 bits of ``imagehash.phash``, the first bit highest."""
    luma: bytes
    """What the hash is made from: the whole image as :data:`LUMA_SIDE` rows of luma values."""
    format: str
    """Pillow's name of the file format, or ``RAW preview`` or ``RAW developed``."""
    width: int
    """Pixels of the upright image; likewise ``height``."""
    height: int
    sharpness: float
    """Variance of the 4-neighbour Laplacian of the luma (0..1) at a short side of 256 pixels."""
    brightness: float
    """Mean luma, 0 (black) to 1 (white)."""
    contrast: float
    """Standard deviation of the luma, 0 to 0.5."""
