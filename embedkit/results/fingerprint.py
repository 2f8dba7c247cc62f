"""Properties that are computed for every image besides its embeddings."""

from dataclasses import dataclass

LUMA_SIDE = 32
"""Side, in pixels, of the luma image that a perceptual hash is computed from."""


@dataclass(frozen=True)
class Fingerprint:
    """Properties of an image that need no network.

    Attributes
    ----------
    phash : int
        The 64 bits of ``imagehash.phash``, the first bit highest.
    luma : bytes
        The whole image as luma values, uint8, :data:`LUMA_SIDE` x :data:`LUMA_SIDE`, by row: the
        input of the hash.
    format : str
        Pillow's name of the file format, or ``RAW preview`` or ``RAW developed``.
    width, height : int
        Size of the upright image in pixels.
    sharpness : float
        Variance of the 4-neighbour Laplacian of the luma (0 to 1) at a short side of 256 pixels.
    brightness : float
        Mean luma, 0 (black) to 1 (white).
    contrast : float
        Standard deviation of the luma, 0 to 0.5.
    """

    phash: int
    luma: bytes
    format: str
    width: int
    height: int
    sharpness: float
    brightness: float
    contrast: float
