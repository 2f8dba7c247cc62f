"""Agreement of two aligned images, pixel by pixel."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from embedkit.search.verification.features import Grey
from embedkit.search.verification.geometry import Alignment

WINDOW_SIDE = 32
"""Side of the square, in pixels, in which two images are correlated."""
TEXTURE = 200.0
"""Minimum variance of luma in a square, in at least one of the images."""
WORST_SHARE = 0.15
"""Share of the compared pixels that determine the agreement: those with the lowest correlation. Two
pages of one design agree nearly everywhere; their differences are small."""

_NOISE = 4.0  # variance of luma of noise after JPEG compression
_MIN_PIXELS = 100
_BLUR = 0.8  # standard deviation, in pixels, of the blur of a camera and JPEG

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Registered:
    """Two images in the frame of the first, at the sharpness of the coarser one."""

    first: Floats
    """Luma (H, W) of the first image."""
    second: Floats
    """Luma (H, W) of the second image, warped to the first."""
    valid: NDArray[np.bool_]
    """Mask (H, W) of the pixels that the second image shows."""

    def correlation(self) -> tuple[Floats, NDArray[np.bool_]]:
        """Return the normalised cross-correlation around each pixel, and a mask of texture.

        The correlation (H, W), in [-1, 1], is computed in squares of side
        :data:`WINDOW_SIDE`, without pixels outside the second image. The mask (H, W) is true where
        one of the images is textured.
        """
        weight = self.valid.astype(np.float32)
        share = np.maximum(_box(weight), 1e-6)
        first, second = self.first * weight, self.second * weight
        mean, other_mean = _box(first) / share, _box(second) / share
        variance = np.maximum(_box(first * first) / share - mean * mean, 0)
        other_variance = np.maximum(_box(second * second) / share - other_mean * other_mean, 0)
        covariance = _box(first * second) / share - mean * other_mean
        correlation = covariance / np.sqrt((variance + _NOISE) * (other_variance + _NOISE))
        is_textured = self.valid & (np.maximum(variance, other_variance) > TEXTURE)
        return np.clip(correlation, -1, 1), is_textured


def _box(values: Floats) -> Floats:
    return cv2.blur(values, (WINDOW_SIDE, WINDOW_SIDE), borderType=cv2.BORDER_CONSTANT).astype(
        np.float32, copy=False
    )


def registered(
    first: Grey, second: Grey, homography: NDArray[np.float64], zoom: float
) -> Registered:
    """Warp the second image to the first by a homography from the first to the second.

    ``zoom`` is the scale of the second image relative to the first; the finer one is blurred.
    """
    first_luma, second_luma = first.astype(np.float32), second.astype(np.float32)
    if zoom > 1:
        second_luma = _blurred(second_luma, zoom)
    else:
        first_luma = _blurred(first_luma, 1 / zoom)
    moved = warped(first.shape, second_luma, homography, cv2.INTER_LINEAR).astype(
        np.float32, copy=False
    )
    return Registered(first_luma, moved, valid_mask(first.shape, second.shape, homography))


def warped(
    shape: tuple[int, ...], image: np.ndarray, homography: NDArray[np.float64], interpolation: int
) -> np.ndarray:
    """Warp ``image`` to an image of ``shape``; ``interpolation`` is OpenCV's interpolation."""
    frame = (shape[1], shape[0])
    return cv2.warpPerspective(image, homography, frame, flags=interpolation | cv2.WARP_INVERSE_MAP)


def valid_mask(
    shape: tuple[int, ...], other: tuple[int, ...], homography: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Return a mask (H, W) of the pixels of an image of ``shape`` that another image shows.

    ``other`` is the shape of the other image.
    """
    inside = warped(shape, np.ones(other[:2], np.uint8), homography, cv2.INTER_NEAREST)
    across, down = np.arange(shape[1]) * homography[2, 0], np.arange(shape[0]) * homography[2, 1]
    in_front = across + down[:, None] + homography[2, 2] > 0
    both: NDArray[np.bool_] = (inside > 0) & in_front
    return both


def _blurred(luma: Floats, zoom: float) -> Floats:
    """Blur an image to the sharpness that it has ``zoom`` times smaller."""
    sigma = _BLUR * float(np.sqrt(zoom**2 - 1))
    return luma if sigma < 0.1 else cv2.GaussianBlur(luma, (0, 0), sigma).astype(np.float32)


def agreement(first: Grey, second: Grey, alignment: Alignment, region: NDArray[np.bool_]) -> float:
    """Return the agreement of two aligned images where they agree least, in [0, 1].

    This is the lowest mean correlation of a :data:`WORST_SHARE` share of the textured pixels in
    ``region``, a mask (H, W) of the first image, that the second image shows. The images are
    compared in the frame of the coarser one, so that details that only the finer one can show do
    not count.
    """
    if alignment.zoom() < 1:
        alignment = alignment.reverse()
        mask = region.astype(np.uint8)
        moved = warped(second.shape, mask, alignment.homography, cv2.INTER_NEAREST)
        first, second, region = second, first, moved.astype(bool)
    window = _around(region)
    left, top = window[1].start, window[0].start
    homography = alignment.homography @ np.array([[1, 0, left], [0, 1, top], [0, 0, 1]])
    pair = registered(first[window], second, homography, alignment.zoom())
    correlation, is_textured = pair.correlation()
    values = correlation[is_textured & region[window]]
    if len(values) < _MIN_PIXELS:
        return 0.0
    worst = max(1, int(len(values) * WORST_SHARE))
    return float(np.clip(np.partition(values, worst - 1)[:worst].mean(), 0, 1))


def _around(region: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Return the rows and columns that are needed to correlate the pixels of a region."""
    window = []
    for axis in (1, 0):
        inside = np.flatnonzero(region.any(axis=axis))
        first, last = (int(inside[0]), int(inside[-1])) if len(inside) else (0, 0)
        window.append(slice(max(0, first - WINDOW_SIDE), last + WINDOW_SIDE))
    return window[0], window[1]


def covered(alignments: list[Alignment], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return a mask (H, W) of the convex hulls of the inliers in the first image."""
    mask = np.zeros(shape, np.uint8)
    for alignment in alignments:
        hull = cv2.convexHull(np.rint(alignment.first_points).astype(np.int32))
        cv2.fillConvexPoly(mask, hull, 1)
    return mask.astype(bool)
