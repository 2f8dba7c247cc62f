"""Pictures of a verified pair: one image laid over the other, and where the two differ."""

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
_STEP = 8  # pixels between the places at which the zoom is measured


def overlay(query: Pixels, candidate: Pixels, verification: Verification) -> Pixels:
    """The candidate warped to where it lies in the query, half and half; the rest is faded.

    Of upright RGB images (H, W, 3) of any sizes; in the frame of the query, reduced as for
    verification. Raises ValueError for a pair that is not verified: nothing says where one lies.
    """
    homography = _homography(verification)
    here, there = fitted(query), fitted(candidate)
    valid = valid_mask(here.shape, there.shape, homography)
    blended = (
        here.astype(np.float32) + warped(here.shape, there, homography, cv2.INTER_LINEAR)
    ) / 2
    return _bytes(np.where(valid[:, :, None], blended, _fade(here)))


def difference_map(query: Pixels, candidate: Pixels, verification: Verification) -> Pixels:
    """The query in faded grey, and red where the candidate differs.

    Of the same images as :func:`overlay`, in the same frame; raises as it does.
    """
    homography = _homography(verification)
    here, there = reduced(query), reduced(candidate)
    valid = valid_mask(here.shape, there.shape, homography)
    faded = _fade(np.repeat(here[:, :, None], 3, axis=2))
    rows, columns = np.nonzero(valid[::_STEP, ::_STEP])
    if not len(rows):
        return _bytes(faded)
    places = np.stack([columns, rows], axis=1).astype(np.float32) * _STEP
    pair = registered(here, there, homography, zoom(homography, places))
    correlation, either = pair.correlation()
    differs = np.where(either, 1 - np.maximum(correlation, 0), 0)[:, :, None]
    return _bytes((1 - differs) * faded + differs * _DIFFERENT)


def _homography(verification: Verification) -> NDArray[np.float64]:
    if verification.homography is None:
        raise ValueError("a pair that is not verified cannot be laid over each other")
    return np.array(verification.homography)


def _fade(pixels: Pixels) -> NDArray[np.float32]:
    return _PAPER - (_PAPER - pixels.astype(np.float32)) * (1 - _FADED)


def _bytes(values: np.ndarray) -> Pixels:
    whole: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return whole
