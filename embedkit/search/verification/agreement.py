"""How well two aligned images agree, pixel by pixel."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from embedkit.search.verification.features import Grey
from embedkit.search.verification.geometry import Alignment

BOX = 32
"""Side of the square, pixels, over which two images are correlated."""
TEXTURE = 200.0
"""Variance of luma that a square needs, in one of the images, to be compared."""
WORST = 0.15
"""Share of the compared pixels, those that agree least, whose mean is the agreement: two pages of
one design agree nearly everywhere, and what tells them apart is small."""

_NOISE = 4.0  # variance of luma that tells nothing: noise, and what JPEG leaves of it
_LEAST_PIXELS = 100
_BLUR = 0.8  # pixels; what a camera and JPEG smear by, as a standard deviation

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Registered:
    """Two images in the frame of the first, at the sharpness of the coarser one."""

    here: Floats
    """Luma (H, W) of the first image."""
    there: Floats
    """Luma (H, W) of the second, warped to where it lies in the first."""
    valid: NDArray[np.bool_]
    """Which pixels (H, W) the second image shows."""

    def correlation(self) -> tuple[Floats, NDArray[np.bool_]]:
        """Normalised cross-correlation in [-1, 1] around each pixel, and where it tells something.

        That is where one of the two is textured. Both are (H, W). Around means within
        :data:`BOX`, as far as the second image reaches.
        """
        weight = self.valid.astype(np.float32)
        share = np.maximum(_box(weight), 1e-6)
        one, other = self.here * weight, self.there * weight
        mean, other_mean = _box(one) / share, _box(other) / share
        variance = np.maximum(_box(one * one) / share - mean * mean, 0)
        other_variance = np.maximum(_box(other * other) / share - other_mean * other_mean, 0)
        together = _box(one * other) / share - mean * other_mean
        correlation = together / np.sqrt((variance + _NOISE) * (other_variance + _NOISE))
        either = self.valid & (np.maximum(variance, other_variance) > TEXTURE)
        return np.clip(correlation, -1, 1), either


def _box(values: Floats) -> Floats:
    return cv2.blur(values, (BOX, BOX), borderType=cv2.BORDER_CONSTANT).astype(
        np.float32, copy=False
    )


def registered(one: Grey, other: Grey, homography: NDArray[np.float64], zoom: float) -> Registered:
    """The second image warped onto the first by a homography from the first to the second.

    ``zoom`` is by how much larger the second shows things; the finer one is blurred to match.
    """
    here, there = one.astype(np.float32), other.astype(np.float32)
    if zoom > 1:
        there = _blurred(there, zoom)
    else:
        here = _blurred(here, 1 / zoom)
    moved = warped(one.shape, there, homography, cv2.INTER_LINEAR).astype(np.float32, copy=False)
    return Registered(here, moved, valid_mask(one.shape, other.shape, homography))


def warped(
    shape: tuple[int, ...], image: np.ndarray, homography: NDArray[np.float64], how: int
) -> np.ndarray:
    """``image`` warped to where it lies in one of ``shape``; ``how`` is OpenCV's interpolation."""
    frame = (shape[1], shape[0])
    return cv2.warpPerspective(image, homography, frame, flags=how | cv2.WARP_INVERSE_MAP)


def valid_mask(
    shape: tuple[int, ...], other: tuple[int, ...], homography: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Which pixels (H, W) of an image of ``shape`` are shown by one of the shape ``other``."""
    inside = warped(shape, np.ones(other[:2], np.uint8), homography, cv2.INTER_NEAREST)
    across, down = np.arange(shape[1]) * homography[2, 0], np.arange(shape[0]) * homography[2, 1]
    in_front = across + down[:, None] + homography[2, 2] > 0
    both: NDArray[np.bool_] = (inside > 0) & in_front
    return both


def _blurred(luma: Floats, zoom: float) -> Floats:
    """As sharp as the same seen ``zoom`` times smaller."""
    sigma = _BLUR * float(np.sqrt(zoom**2 - 1))
    return luma if sigma < 0.1 else cv2.GaussianBlur(luma, (0, 0), sigma).astype(np.float32)


def agreement(one: Grey, other: Grey, alignment: Alignment, region: NDArray[np.bool_]) -> float:
    """How well two aligned images agree where they agree least, in [0, 1].

    The mean correlation over the :data:`WORST` part of what is textured in ``region``, a mask
    (H, W) over the first image, and shown by the second. They are compared in the frame of the
    coarser one: what only the finer one can show is no difference.
    """
    if alignment.zoom() < 1:
        alignment = alignment.reverse()
        mask = region.astype(np.uint8)
        moved = warped(other.shape, mask, alignment.homography, cv2.INTER_NEAREST)
        one, other, region = other, one, moved.astype(bool)
    window = _around(region)
    left, top = window[1].start, window[0].start
    homography = alignment.homography @ np.array([[1, 0, left], [0, 1, top], [0, 0, 1]])
    pair = registered(one[window], other, homography, alignment.zoom())
    correlation, either = pair.correlation()
    values = correlation[either & region[window]]
    if len(values) < _LEAST_PIXELS:
        return 0.0
    worst = max(1, int(len(values) * WORST))
    return float(np.clip(np.partition(values, worst - 1)[:worst].mean(), 0, 1))


def _around(region: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The rows and columns that hold a region and what it is correlated with: the rest is idle."""
    window = []
    for axis in (1, 0):
        inside = np.flatnonzero(region.any(axis=axis))
        first, last = (int(inside[0]), int(inside[-1])) if len(inside) else (0, 0)
        window.append(slice(max(0, first - BOX), last + BOX))
    return window[0], window[1]


def covered(alignments: list[Alignment], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The pixels (H, W) of the first image that lie between the inliers of any alignment."""
    mask = np.zeros(shape, np.uint8)
    for alignment in alignments:
        hull = cv2.convexHull(np.rint(alignment.here).astype(np.int32))
        cv2.fillConvexPoly(mask, hull, 1)
    return mask.astype(bool)
