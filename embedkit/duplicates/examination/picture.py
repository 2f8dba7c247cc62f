"""An image as the examination compares it: upright, at a working resolution."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from embedkit.duplicates.examination.metadata import read_metadata
from embedkit.duplicates.orientations import orient
from embedkit.images.decode import Decoder
from embedkit.images.transparency import WHITE, Colour, composite, is_opaque
from embedkit.results import FileMetadata

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

AREA = 600_000
"""Maximum number of pixels of the working resolution."""
DETAIL_AREA = 6_000_000
"""Number of pixels at which documents and drawings are compared: enough for the print of a scanned
page."""
SMALL = 288
"""Longest side, pixels, of the version that is aligned."""

_SHARP_SLOPE = 120.0  # slope of a sharp edge (Sobel, sum of both directions)
_MIN_EDGE_SHARE = 0.01  # minimum share of pixels on such edges
_TONES = 6  # number of most frequent tones
_NEIGHBOURING = 2  # levels to each side that count as one tone
_MIN_TEXTURED_SHARE = 0.002  # share of textured pixels below which an image is flat
_TEXTURED = 10.0  # levels of standard deviation in a square of 7 pixels
_PAPER_SHARE = 0.3  # minimum share of the most frequent tone
_GRAPHIC_SHARE = 0.7  # minimum share of the most frequent tones
_PLAIN_SHARE = 0.85  # the same for a drawing without shades
_FLAT_SHARE = 0.95  # the same, regardless of edges
_COLOURED = 20.0  # levels of chroma
_MIN_TINGE = 12  # levels between the channels of a tinged pixel
_MIN_TINGED_SHARE = 0.005  # minimum share of such pixels
_ONE_HUE = 0.9  # length of the mean direction of chroma; 1 for a single hue

ORIENTATION_OF = {
    Image.Transpose.FLIP_LEFT_RIGHT: 1,
    Image.Transpose.FLIP_TOP_BOTTOM: 2,
    Image.Transpose.ROTATE_180: 3,
    Image.Transpose.TRANSPOSE: 4,
    Image.Transpose.ROTATE_270: 5,
    Image.Transpose.ROTATE_90: 6,
    Image.Transpose.TRANSVERSE: 7,
}
"""The orientation (:mod:`embedkit.duplicates.orientations`) that makes a stored image upright."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded and reduced image, and the metadata in its file's header."""

    rgb: Pixels
    """uint8 (H, W, 3), composited on ``background`` if it is transparent."""
    alpha: Pixels | None
    """uint8 (H, W); None for an opaque image."""
    background: Colour | None
    """The colour that a transparent image is composited on; None for an opaque image."""
    size: tuple[int, int]
    """Width and height of the upright image in the file, pixels."""
    metadata: FileMetadata

    @cached_property
    def grey(self) -> Floats:
        """Luma, 0 to 255: float32 (H, W)."""
        return luma(self.rgb)

    @cached_property
    def small(self) -> Floats:
        """Luma of the image reduced to a longest side of :data:`SMALL` pixels."""
        height, width = self.grey.shape
        scale = min(1.0, SMALL / max(height, width))
        return resize(self.grey, (max(8, round(width * scale)), max(8, round(height * scale))))

    @cached_property
    def is_graphic(self) -> bool:
        """Whether it has few tones and sharp edges: documents, screenshots, drawings, cards.

        Such images may differ in a single glyph, and images of the same layout may have different
        contents.
        """
        shares = self._tones
        if shares[0] >= _PAPER_SHARE and sum(shares) >= _FLAT_SHARE:
            return True  # edges of light or blurred strokes may not be sharp
        slope = np.abs(cv2.Sobel(self.grey, cv2.CV_32F, 1, 0)) + np.abs(
            cv2.Sobel(self.grey, cv2.CV_32F, 0, 1)
        )
        if (slope >= _SHARP_SLOPE).mean() < _MIN_EDGE_SHARE:
            return False
        return shares[0] >= _PAPER_SHARE or sum(shares) >= _GRAPHIC_SHARE

    @cached_property
    def is_plain(self) -> bool:
        """Whether it is a drawing of few tones and one colour, such as a letter, a symbol or an
        icon.

        In another colour, such a drawing may mean something else.
        """
        if not self.is_graphic or sum(self._tones) < _PLAIN_SHARE:
            return False
        pixels = cv2.cvtColor(np.ascontiguousarray(self.rgb), cv2.COLOR_RGB2YCrCb)
        chroma = pixels[..., 1:].astype(np.float32) - 128
        length = np.linalg.norm(chroma, axis=2)
        coloured = length > _COLOURED
        if not coloured.any():
            return True
        directions = chroma[coloured] / length[coloured][:, None]
        return bool(np.linalg.norm(directions.mean(axis=0)) > _ONE_HUE)

    @cached_property
    def _tones(self) -> list[float]:
        """Shares of the pixels with the most frequent tones, each including neighbouring tones."""
        counts = np.bincount(np.rint(self.grey).clip(0, 255).astype(np.intp).ravel(), minlength=256)
        tones = counts / self.grey.size
        shares = []
        for _ in range(_TONES):
            around = np.convolve(tones, np.ones(2 * _NEIGHBOURING + 1), "same")
            best = int(around.argmax())
            shares.append(float(around[best]))
            tones[max(0, best - _NEIGHBOURING) : best + _NEIGHBOURING + 1] = 0
        return shares

    @cached_property
    def has_colour(self) -> bool:
        """Whether any part of it is coloured, beyond the traces that compression leaves in grey."""
        red, green, blue = cv2.split(self.rgb)
        spread = cv2.max(cv2.max(red, green), blue) - cv2.min(cv2.min(red, green), blue)
        return bool((spread > _MIN_TINGE).mean() > _MIN_TINGED_SHARE)

    @cached_property
    def is_flat(self) -> bool:
        """Whether it has hardly any texture to recognise it by."""
        return bool((local_std(self.grey, 7) > _TEXTURED).mean() < _MIN_TEXTURED_SHARE)

    def oriented(self, orientation: int) -> "Picture":
        """Return the picture in an orientation of :mod:`embedkit.duplicates.orientations`."""
        if orientation == 0:
            return self
        width, height = self.size
        size = (height, width) if orientation & 4 else self.size
        alpha = None if self.alpha is None else orient(self.alpha, orientation)
        return Picture(orient(self.rgb, orientation), alpha, self.background, size, self.metadata)


def load_picture(data: bytes, area: int = AREA, background: Colour | None = None) -> Picture:
    """Decode an image, reduced to at most ``area`` pixels.

    A transparent image is composited on ``background``, by default on its own. Raises
    :class:`UnreadableImage` when the bytes cannot be decoded.
    """
    decoder = Decoder(data)
    with decoder.exclusive(reduced=True):
        width, height = decoder.size
        scale = min(1.0, (area / (width * height)) ** 0.5)
        target = (max(1, round(width * scale)), max(1, round(height * scale)))
        alpha = _alpha(decoder) if decoder.is_transparent else None
        if alpha is None:
            image = decoder.at_least(short=min(target), long=max(target))
            return Picture(
                _reduced(image, target), None, None, (width, height), read_metadata(data)
            )
        colour = background or decoder.background or WHITE
        has_own_background = colour == decoder.background
        image = decoder.at_least() if has_own_background else composite(decoder.rgba(), colour)
        rgb = _reduced(image, target)
        return Picture(rgb, _reduced(alpha, target), colour, (width, height), read_metadata(data))


def _alpha(decoder: Decoder) -> Image.Image | None:
    """Return the alpha channel of an upright image; None if the image is opaque everywhere."""
    pixels = decoder.rgba()
    return None if is_opaque(pixels) else pixels.getchannel("A")


def _reduced(image: Image.Image, size: tuple[int, int]) -> Pixels:
    return np.asarray(resize(np.asarray(image), size), np.uint8)


def luma(rgb: Pixels) -> Floats:
    """Return the luma of RGB pixels, uint8 (H, W, 3): float32 (H, W)."""
    return cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY).astype(np.float32)


def resize(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize an image to a width and height: averaging when it shrinks, else interpolating."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    shrinks = size[0] * size[1] < width * height
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def box_mean(values: Floats, side: int) -> Floats:
    """Return the mean over a square around each pixel."""
    return cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT).astype(
        np.float32, copy=False
    )


def local_std(values: Floats, side: int) -> Floats:
    """Return the standard deviation over a square around each pixel."""
    mean = box_mean(values, side)
    return np.sqrt(np.maximum(box_mean(values * values, side) - mean * mean, 0))
