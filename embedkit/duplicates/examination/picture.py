"""An image as the examination of a pair looks at it: upright, at a working resolution."""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from embedkit.duplicates.examination.metadata import facts_of
from embedkit.images.decode import Decoder
from embedkit.images.transparency import WHITE, Colour, composite, is_opaque
from embedkit.results import FileMetadata

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

AREA = 600_000
"""Pixels of the working resolution; larger images are reduced to it."""
DETAIL_AREA = 6_000_000
"""Pixels at which images of little texture are compared: enough for the print of a scanned page."""
SMALL = 288
"""Longest side, pixels, of the version that is aligned and looked at first."""

_SHARP = 120.0  # slope (Sobel, both directions) of a sharp edge
_EDGES = 0.01  # share of the pixels on such edges
_TONES, _NEXT = 6, 2
_PAPER = 0.3  # share of the pixels that have the most frequent tone
_FLAT_TONES = 0.7  # share that have one of the most frequent ones
_PLAIN_TONES = 0.85  # the same of a drawing without shades
_NOTHING_ELSE = 0.95  # share that have one of the most frequent ones, whatever the edges
_COLOURED = 20.0  # levels of chroma
_TINGE, _TINGED = 12, 0.005  # levels between the colours of a pixel; share of such pixels
_ONE_HUE = 0.9  # length of the mean direction of chroma, 1 for one hue

TURN_OF = {
    Image.Transpose.FLIP_LEFT_RIGHT: 1,
    Image.Transpose.FLIP_TOP_BOTTOM: 2,
    Image.Transpose.ROTATE_180: 3,
    Image.Transpose.TRANSPOSE: 4,
    Image.Transpose.ROTATE_270: 5,
    Image.Transpose.ROTATE_90: 6,
    Image.Transpose.TRANSVERSE: 7,
}
"""The turn, as :func:`turned` takes it, of what makes a stored image upright."""


@dataclass(frozen=True, eq=False)
class Picture:
    """One decoded image, reduced, and what its file says of where it comes from.

    ``rgb`` is uint8 (H, W, 3), composited on ``background``; ``alpha`` is uint8 (H, W) for an image
    with transparency, else None, as ``background`` is; ``size`` is the upright width and height of
    the file's image, pixels.
    """

    rgb: Pixels
    alpha: Pixels | None
    background: Colour | None
    size: tuple[int, int]
    facts: FileMetadata

    @cached_property
    def grey(self) -> Floats:
        """Luma, 0 to 255: float32 (H, W)."""
        return luma(self.rgb)

    @cached_property
    def small(self) -> Floats:
        """Luma of the image reduced to a longest side of :data:`SMALL` pixels."""
        height, width = self.grey.shape
        scale = min(1.0, SMALL / max(height, width))
        return resized(self.grey, (max(8, round(width * scale)), max(8, round(height * scale))))

    @cached_property
    def is_graphic(self) -> bool:
        """Whether it has few tones and sharp edges: documents, screenshots, drawings, cards.

        Such images may differ in one glyph only, and their layout says nothing of their content.
        """
        shares = self._tones
        if shares[0] >= _PAPER and sum(shares) >= _NOTHING_ELSE:
            return True  # the edges may be those of a light stroke, or of a blurred one
        slope = np.abs(cv2.Sobel(self.grey, cv2.CV_32F, 1, 0)) + np.abs(
            cv2.Sobel(self.grey, cv2.CV_32F, 0, 1)
        )
        if (slope >= _SHARP).mean() < _EDGES:
            return False
        return shares[0] >= _PAPER or sum(shares) >= _FLAT_TONES

    @cached_property
    def is_plain(self) -> bool:
        """Whether it is a drawing of few tones and one colour: in another colour it is another one.

        What is known by its colour is not known any more without it: letters, symbols, icons.
        """
        if not self.is_graphic or sum(self._tones) < _PLAIN_TONES:
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
        """Shares of the pixels that have the most frequent tones, each with those next to it."""
        counts = np.bincount(np.rint(self.grey).clip(0, 255).astype(np.intp).ravel(), minlength=256)
        tones = counts / self.grey.size
        shares = []
        for _ in range(_TONES):
            around = np.convolve(tones, np.ones(2 * _NEXT + 1), "same")
            best = int(around.argmax())
            shares.append(float(around[best]))
            tones[max(0, best - _NEXT) : best + _NEXT + 1] = 0
        return shares

    @cached_property
    def has_colour(self) -> bool:
        """Whether any part of it is coloured, beyond what compression leaves of grey."""
        red, green, blue = cv2.split(self.rgb)
        spread = cv2.max(cv2.max(red, green), blue) - cv2.min(cv2.min(red, green), blue)
        return bool((spread > _TINGE).mean() > _TINGED)

    def turned(self, turn: int) -> "Picture":
        """The picture under one of the eight turns of :mod:`embedkit.duplicates.orientations`."""
        if turn == 0:
            return self
        width, height = self.size
        size = (height, width) if turn & 4 else self.size
        alpha = None if self.alpha is None else turned(self.alpha, turn)
        return Picture(turned(self.rgb, turn), alpha, self.background, size, self.facts)


def picture_of(data: bytes, area: int = AREA, background: Colour | None = None) -> Picture:
    """The picture of an image's bytes, reduced to at most ``area`` pixels.

    A transparent image is composited on ``background``, on its own if that is None. Raises
    :class:`UnreadableImage` when the bytes do not decode.
    """
    decoder = Decoder(data)
    with decoder.alone(reduced=True):
        width, height = decoder.size
        scale = min(1.0, (area / (width * height)) ** 0.5)
        target = (max(1, round(width * scale)), max(1, round(height * scale)))
        alpha = _alpha(decoder) if decoder.is_transparent else None
        if alpha is None:
            image = decoder.at_least(short=min(target), long=max(target))
            return Picture(_reduced(image, target), None, None, (width, height), facts_of(data))
        colour = background or decoder.background or WHITE
        own = colour == decoder.background
        image = decoder.at_least() if own else composite(decoder.rgba(), colour)
        rgb = _reduced(image, target)
        return Picture(rgb, _reduced(alpha, target), colour, (width, height), facts_of(data))


def _alpha(decoder: Decoder) -> Image.Image | None:
    """The alpha channel of an upright image; None where it covers its background everywhere."""
    pixels = decoder.rgba()
    return None if is_opaque(pixels) else pixels.getchannel("A")


def _reduced(image: Image.Image, size: tuple[int, int]) -> Pixels:
    return np.asarray(resized(np.asarray(image), size), np.uint8)


def luma(rgb: Pixels) -> Floats:
    """Luma of RGB pixels, uint8 (H, W, 3): float32 (H, W)."""
    return cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY).astype(np.float32)


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """An image of width and height ``size``: averaged when it shrinks, else interpolated."""
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    shrinks = size[0] * size[1] < width * height
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def turned(image: np.ndarray, turn: int) -> np.ndarray:
    """An image (H, W, ...) transposed (4), mirrored (1) and turned upside down (2), as asked."""
    image = image.swapaxes(0, 1) if turn & 4 else image
    image = image[:, ::-1] if turn & 1 else image
    image = image[::-1] if turn & 2 else image
    return np.ascontiguousarray(image)


def turned_back(image: np.ndarray, turn: int) -> np.ndarray:
    """The image (H, W, ...) that :func:`turned` made this one of."""
    image = image[::-1] if turn & 2 else image
    image = image[:, ::-1] if turn & 1 else image
    image = image.swapaxes(0, 1) if turn & 4 else image
    return np.ascontiguousarray(image)


def box(values: Floats, side: int) -> Floats:
    """Means over squares around each pixel."""
    return cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT).astype(
        np.float32, copy=False
    )


def deviation_in(values: Floats, side: int) -> Floats:
    """Standard deviations over squares around each pixel."""
    mean = box(values, side)
    return np.sqrt(np.maximum(box(values * values, side) - mean * mean, 0))
