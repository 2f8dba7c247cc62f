"""Quality measures of one image, at one working size.

An image is reduced to at most :data:`WORKING_PIXELS`; a smaller one keeps its size. A transparent
image is measured on the background that :mod:`embedkit.images.transparency` chooses. Grey levels
are those of luma, 0 to 255.

**Edge width.** A step edge that was blurred with a Gaussian of standard deviation ``s`` has, after
a further blur with ``a`` or ``b``, gradients in the ratio ``sqrt((s² + b²) / (s² + a²))``, whatever
its contrast (Zhuo and Sim, "Defocus map estimation from a single image", 2011). The ratio is
measured for each tile of the image and four directions, weighted by the squared gradient. Only
tiles with a steep edge count, and of these the sharpest, so neither flat areas nor a blurred
background make an image blurred. The width of the image is that of its most blurred direction,
because motion blurs one direction only.

**Details.** Shadows, midtones, highlights and the clipped share are those of the pixels that differ
from a neighbour, so that a plain background, such as white paper, does not count as exposure.

**Fading.** In an over-exposed photograph, white areas end in gentle slopes; in a drawing, they end
at steep edges or at thin marks.

**Drawings.** Light tones in a drawing are not over-exposure. Three signs distinguish drawings: flat
areas that are not white, a white border (paper, or the background of a transparent image), and a
small size.
"""

from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from embedkit.images.decode import Decoder
from embedkit.images.strips import shortened

WORKING_PIXELS = 384 * 512
"""Maximum number of pixels of the image that is measured."""

_TONE_PIXELS = 192 * 256
"""Maximum number of pixels of the image whose details are measured; reducing removes noise."""

_BLURS = (0.8, 1.6)  # standard deviations of the two blurs, pixels
_TILES = 8  # along each side
_MIN_TILE = 12  # pixels
_FAINT = 1.0  # grey levels a pixel: smaller gradients are noise and rounding
_STEEP = 0.25  # share of the steepest tile's gradient: smaller ones may be traces of compression
_DIRECTION = 0.05  # share of the steepest gradient that a direction needs
_SHARPEST = 0.1  # quantile of the tiles' edge widths
_MAX_WIDTH = 20.0  # pixels

_DETAIL = 6  # grey levels between neighbours
_MIN_DETAILS = 0.01  # share of the pixels: with fewer details all pixels are measured
_MIN_SHARE = 0.05  # of details, in the effective side
_CLIPPED = 253
_STEP = 4  # grey levels: smaller differences carry no information
_GENTLE = (15, 60)  # grey levels between neighbours at the end of a white area
_CLIPPING = 0.7  # weight of the root of the clipped share in the exposure
_FADING = 2.0  # weight of the root of the fading share in the exposure
_PAPER = 0.5  # reduction of the exposure by a border that is white everywhere
_HIGHLIGHTS = 0.9  # weight of the highlights in the brightness; midtones depend on the subject
_NEIGHBOURS = np.ones((3, 3), np.uint8)


@dataclass(frozen=True)
class QualityMeasures:
    """Quality measures of one image."""

    width: float
    """Width of the upright image at full scale, pixels."""
    height: float
    """Height of the upright image at full scale, pixels."""
    contrast: float
    """Difference of the 99.9th and the 0.1th percentile, grey levels."""
    edge_contrast: float
    """Gradient of the steepest tile, grey levels per pixel."""
    edge_width: float
    """Standard deviation of the blur of the sharpest edges, pixels; 0 without edges."""
    shadows: float
    """0.5th percentile of the details, 0 to 1."""
    midtones: float
    """Median of the details, 0 to 1."""
    highlights: float
    """Of the largest colour channel: 99th percentile of the details or 99.5th of all pixels, the
    larger, 0 to 1."""
    clipped: float
    """Number of pixels in areas with a clipped colour channel and detail in another one, relative
    to the number of details."""
    fading: float
    """Number of pixels on gentle slopes at the ends of white areas, relative to the number of
    details."""
    white_border: float
    """Share of the border pixels that are white, 0 to 1."""
    texture: float
    """Share of details among the pixels that are not white, 0 to 1."""
    tones: float
    """Entropy of the grey levels, bits."""
    information: float
    """Mean entropy of the differences of horizontal and of vertical neighbours, bits per pixel."""
    detail: float
    """Share of the pixels that are details, 0 to 1."""

    @property
    def aspect_ratio(self) -> float:
        """The long side divided by the short side."""
        return max(self.width, self.height) / min(self.width, self.height)

    @property
    def effective_side(self) -> float:
        """Side of the square with as many pixels, divided by the squared share of details, pixels.

        A small drawing with flat areas can be complete; a small photograph lacks details.
        """
        return sqrt(self.width * self.height) / max(self.detail, _MIN_SHARE) ** 2

    @property
    def variation(self) -> float:
        """Geometric mean of the contrast and of the edge contrast, grey levels.

        It is small for a plain area and for a smooth gradient between two tones.
        """
        return sqrt(self.contrast * self.edge_contrast)

    @property
    def brightness(self) -> float:
        """Weighted mean of the highlights and the midtones, 0 to 1."""
        return _HIGHLIGHTS * self.highlights + (1 - _HIGHLIGHTS) * self.midtones

    @property
    def exposure(self) -> float:
        """Index of over-exposure: large if no detail is dark, many are clipped, or many fade.

        Flat areas, a white border and a small size reduce it.
        """
        side = min(1.0, sqrt(self.width * self.height / _TONE_PIXELS))
        paper = 1 - _PAPER * self.white_border**4
        exposure = self._lightness + _FADING * sqrt(self.fading)
        return exposure * paper * sqrt(side * self.texture)

    @property
    def is_fading(self) -> bool:
        """Whether slopes into white areas, rather than light tones, decide the exposure."""
        return _FADING * sqrt(self.fading) > self._lightness

    @property
    def is_clipped(self) -> bool:
        """Whether clipped details, rather than light shadows, decide the lightness."""
        return _CLIPPING * sqrt(self.clipped) > self.shadows

    @property
    def _lightness(self) -> float:
        return (max(self.shadows, _CLIPPING * sqrt(self.clipped)) + 0.4 * self.midtones) / 1.4

    @property
    def content(self) -> float:
        """Geometric mean of the information, the entropy of the tones and the share of details."""
        return float((self.information * self.tones * self.detail) ** (1 / 3))


def measure(decoder: Decoder) -> QualityMeasures:
    """Return the quality measures of an image.

    Raises :class:`UnreadableImage` when it does not decode.
    """
    width, height = decoder.size
    size = _size_within((width, height), WORKING_PIXELS)
    image = shortened(decoder.at_least(short=min(size), long=max(size)))
    if image.size != size:
        image = image.resize(size, Image.Resampling.HAMMING)
    pixels = np.asarray(image)
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    low, high = np.percentile(luma, (0.1, 99.9), method="nearest")
    bright = np.percentile(pixels.max(axis=2), 99.5, method="nearest")
    edge_contrast, edge_width = _edges(luma)
    details = _details(pixels)
    return QualityMeasures(
        width=float(width),
        height=float(height),
        contrast=float(high) - float(low),
        edge_contrast=edge_contrast,
        edge_width=edge_width,
        shadows=details.shadows,
        midtones=details.midtones,
        highlights=max(details.highlights, float(bright) / 255),
        clipped=details.clipped,
        fading=details.fading,
        white_border=details.white_border,
        texture=details.texture,
        tones=details.tones,
        information=_information(luma),
        detail=details.share,
    )


def _size_within(size: tuple[int, int], pixels: int) -> tuple[int, int]:
    """Return the size reduced to a number of pixels."""
    scale = min(1.0, (pixels / (size[0] * size[1])) ** 0.5)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _edges(luma: np.ndarray) -> tuple[float, float]:
    """Return the gradient of the steepest tile and the edge width."""
    (fine_x, fine_y), (coarse_x, coarse_y) = (_gradients(luma, blur) for blur in _BLURS)
    slant = np.float32(0.5**0.5)
    directions = (
        (fine_x, coarse_x),
        (fine_y, coarse_y),
        ((fine_x + fine_y) * slant, (coarse_x + coarse_y) * slant),
        ((fine_x - fine_y) * slant, (coarse_x - coarse_y) * slant),
    )
    steepest, widths = [], []
    for fine, coarse in directions:
        energy = fine * fine
        weighted = _tile_sums(energy * energy)
        steep = np.sqrt(weighted / np.maximum(_tile_sums(energy), 1e-6))
        steepest.append(float(steep.max()))
        edges = steep >= max(_FAINT, _STEEP * steepest[-1])
        if edges.any():
            ratio = weighted[edges] / np.maximum(_tile_sums(energy * coarse * coarse)[edges], 1e-6)
            widths.append(float(np.quantile(_blur_of(ratio), _SHARPEST, method="lower")))
        else:
            widths.append(0.0)
    contrast = max(steepest)
    measured = zip(steepest, widths, strict=True)
    return contrast, max(width for steep, width in measured if steep >= _DIRECTION * contrast)


def _gradients(luma: np.ndarray, blur: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the horizontal and the vertical gradient after a blur, grey levels per pixel."""
    smooth = cv2.GaussianBlur(luma.astype(np.float32), (0, 0), blur, borderType=cv2.BORDER_REFLECT)
    return (
        cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=1, scale=0.5, borderType=cv2.BORDER_REPLICATE),
        cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=1, scale=0.5, borderType=cv2.BORDER_REPLICATE),
    )


def _tile_sums(values: np.ndarray) -> np.ndarray:
    """Return the sum of each tile, (rows, columns)."""
    rows, columns = (
        np.arange(0, side, max(_MIN_TILE, -(-side // _TILES))) for side in values.shape
    )
    return np.asarray(np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1))


def _blur_of(ratio: np.ndarray) -> np.ndarray:
    """Return the blur of edges from the ratio of their squared gradients, pixels."""
    fine, coarse = (blur**2 for blur in _BLURS)
    squared = (coarse - ratio * fine) / np.maximum(ratio - 1, 1e-6)
    return np.asarray(np.sqrt(np.clip(squared, 0, _MAX_WIDTH**2)))


class _Details(NamedTuple):
    """Measures of the details of an image."""

    shadows: float
    midtones: float
    highlights: float
    clipped: float
    fading: float
    white_border: float
    texture: float
    tones: float
    share: float


def _details(pixels: np.ndarray) -> _Details:
    height, width = pixels.shape[:2]
    size = _size_within((width, height), _TONE_PIXELS)
    pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    luma = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    steps = cv2.morphologyEx(luma, cv2.MORPH_GRADIENT, _NEIGHBOURS)
    details = steps >= _DETAIL
    share = float(details.mean())
    levels = luma[details] if share >= _MIN_DETAILS else luma.ravel()
    low, middle = np.percentile(levels, (0.5, 50), method="nearest") / 255.0
    largest = pixels.max(axis=2)
    lightest = largest[details] if share >= _MIN_DETAILS else largest.ravel()
    high = np.percentile(lightest, 99, method="nearest") / 255.0

    all_clipped = cv2.erode(largest, _NEIGHBOURS) >= _CLIPPED
    varying = cv2.morphologyEx(pixels.min(axis=2), cv2.MORPH_GRADIENT, _NEIGHBOURS) >= _DETAIL / 2
    white = luma >= _CLIPPED
    border = np.concatenate([white[0], white[-1], white[:, 0], white[:, -1]])
    unclipped = (~white).astype(np.uint8)
    broad = cv2.morphologyEx(unclipped, cv2.MORPH_OPEN, _NEIGHBOURS) > 0  # no thin marks on paper
    is_end = broad & (cv2.dilate(luma, _NEIGHBOURS) >= _CLIPPED)
    is_gentle = (steps >= _GENTLE[0]) & (steps < _GENTLE[1])
    return _Details(
        shadows=float(low),
        midtones=float(middle),
        highlights=float(high),
        clipped=min(1.0, float(np.count_nonzero(all_clipped & varying)) / levels.size),
        fading=float(np.count_nonzero(is_end & is_gentle)) / levels.size,
        white_border=float(border.mean()),
        texture=0.0 if white.all() else float(details[~white].mean()),
        tones=_entropy(luma // _STEP),
        share=share,
    )


def _information(luma: np.ndarray) -> float:
    levels = luma.astype(np.int16)
    return sum(_entropy(np.abs(np.diff(levels, axis=axis)) // _STEP) for axis in (0, 1)) / 2


def _entropy(values: np.ndarray) -> float:
    """Return the entropy of small integers, bits."""
    if values.size == 0:
        return 0.0
    counts = np.bincount(values.ravel())
    shares = counts[counts > 0] / values.size
    return float(-(shares * np.log2(shares)).sum())
