"""Pictures of a verified pair: an overlay, and a map of the differences."""

import cv2
import numpy as np
from numpy.typing import NDArray

from embedkit.results import Verification
from embedkit.search.verification.agreement import registered, valid_mask, warped
from embedkit.search.verification.features import fitted, reduced
from embedkit.search.verification.geometry import zoom

Pixels = NDArray[np.uint8]

_DIFFERENT = np.array([214, 39, 40], np.float32)
_PAPER = 255.0
_FADED = 0.7
_STEP = 8  # pixels between the points at which the scale is measured


def overlay(query: Pixels, candidate: Pixels, verification: Verification) -> Pixels:
    """Return the mean of the query and the warped candidate; the rest of the query is faded.

    The images are upright RGB (H, W, 3) of any sizes. The result has the frame of the query,
    reduced as for verification. Raises ValueError for a pair that is not verified.
    """
    homography = _homography(verification)
    first, second = fitted(query), fitted(candidate)
    valid = valid_mask(first.shape, second.shape, homography)
    blended = (
        first.astype(np.float32) + warped(first.shape, second, homography, cv2.INTER_LINEAR)
    ) / 2
    return _to_pixels(np.where(valid[:, :, None], blended, _fade(first)))


def aligned(query: Pixels, candidate: Pixels, verification: Verification) -> Pixels:
    """Return the warped candidate; where it shows nothing of the query, the faded query.

    Parameters, frame and errors are those of :func:`overlay`.
    """
    homography = _homography(verification)
    first, second = fitted(query), fitted(candidate)
    valid = valid_mask(first.shape, second.shape, homography)
    moved = warped(first.shape, second, homography, cv2.INTER_LINEAR)
    return _to_pixels(np.where(valid[:, :, None], moved, _fade(first)))


def difference_map(query: Pixels, candidate: Pixels, verification: Verification) -> Pixels:
    """Return the query in faded grey, with differences from the candidate in red.

    Parameters, frame and errors are those of :func:`overlay`.
    """
    homography = _homography(verification)
    first, second = reduced(query), reduced(candidate)
    valid = valid_mask(first.shape, second.shape, homography)
    faded = _fade(np.repeat(first[:, :, None], 3, axis=2))
    rows, columns = np.nonzero(valid[::_STEP, ::_STEP])
    if not len(rows):
        return _to_pixels(faded)
    points = np.stack([columns, rows], axis=1).astype(np.float32) * _STEP
    pair = registered(first, second, homography, zoom(homography, points))
    correlation, is_textured = pair.correlation()
    differs = np.where(is_textured, 1 - np.maximum(correlation, 0), 0)[:, :, None]
    return _to_pixels((1 - differs) * faded + differs * _DIFFERENT)


def _homography(verification: Verification) -> NDArray[np.float64]:
    if verification.homography is None:
        raise ValueError("a pair that is not verified has no overlay")
    return np.array(verification.homography)


def _fade(pixels: Pixels) -> NDArray[np.float32]:
    return _PAPER - (_PAPER - pixels.astype(np.float32)) * (1 - _FADED)


def _to_pixels(values: np.ndarray) -> Pixels:
    whole: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return whole
