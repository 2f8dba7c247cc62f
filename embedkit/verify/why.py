"""Why two images count as the same or not: one laid over the other, and where they differ."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from embedkit.records import Verification
from embedkit.verify.agreement import laid_over, overlaid, seen
from embedkit.verify.features import fitted, reduced
from embedkit.verify.geometry import zoom

Pixels = NDArray[np.uint8]

_DIFFERENT = np.array([214, 39, 40], np.float32)
_PAPER = 255.0
_FADED = 0.7
_STEP = 8  # pixels between the places at which the zoom is measured


@dataclass(frozen=True, eq=False)
class Why:
    """Two pictures in the frame of the query, RGB (H, W, 3), reduced as for verification."""

    overlay: Pixels
    """The candidate moved to where it lies in the query, half and half; the rest faded."""
    heat: Pixels
    """The query faded, red where the candidate differs."""


def why(query: Pixels, candidate: Pixels, verification: Verification) -> Why:
    """The two pictures for a verified pair of upright RGB images (H, W, 3) of any sizes.

    Raises ValueError for a pair that is not verified: nothing says how one lies on the other.
    """
    if verification.homography is None:
        raise ValueError("a pair that is not verified cannot be laid over each other")
    homography = np.array(verification.homography)
    here, there = fitted(query), fitted(candidate)
    shown = seen(here.shape, there.shape, homography)
    return Why(_overlay(here, there, homography, shown), _heat(here, there, homography, shown))


def _overlay(
    here: Pixels, there: Pixels, homography: NDArray[np.float64], shown: NDArray[np.bool_]
) -> Pixels:
    moved = laid_over(here.shape, there, homography, cv2.INTER_LINEAR)
    blended = (here.astype(np.float32) + moved) / 2
    return _bytes(np.where(shown[:, :, None], blended, _fade(here)))


def _heat(
    here: Pixels, there: Pixels, homography: NDArray[np.float64], shown: NDArray[np.bool_]
) -> Pixels:
    rows, columns = np.nonzero(shown[::_STEP, ::_STEP])
    if not len(rows):
        return _bytes(_fade(here))
    places = np.stack([columns, rows], axis=1).astype(np.float32) * _STEP
    larger = zoom(homography, places)
    laid = overlaid(reduced(here), reduced(there), homography, larger)
    correlation, told = laid.correlation()
    differs = np.where(told, 1 - np.maximum(correlation, 0), 0)[:, :, None]
    grey = np.repeat(reduced(here)[:, :, None], 3, axis=2)
    return _bytes((1 - differs) * _fade(grey) + differs * _DIFFERENT)


def _fade(pixels: Pixels) -> NDArray[np.float32]:
    return _PAPER - (_PAPER - pixels.astype(np.float32)) * (1 - _FADED)


def _bytes(values: np.ndarray) -> Pixels:
    whole: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return whole
