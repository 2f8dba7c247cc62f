"""Local features of an image: positions of corners and blobs, each with a descriptor."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from embedkit.results import PIPELINE_VERSION

Grey = NDArray[np.uint8]

AREA = 768 * 960
"""Number of pixels to which larger images are reduced, whatever their shape. With 1280 x 960,
scripts/bench_verify.py took longer and ranked its sets no better."""
DETECTION_AREA = 512 * 768
"""Number of pixels in which features are detected, half of :data:`AREA`. Detection in all of them
takes two to three times as long and hardly improves the ranking of the same sets."""
FEATURES = 3000
"""Maximum number of features of an image; the strongest are kept."""
CONTRAST = 0.02
"""SIFT's contrast threshold, half of the usual one, for dim pages."""
DESCRIPTOR = 128
_UNIT = 512.0  # scale of stored descriptors, whose components are rarely above 0.5
EXTRACTION = (
    f"sift {cv2.__version__} area={AREA} sought={DETECTION_AREA} features={FEATURES} "
    f"contrast={CONTRAST} root={_UNIT:.0f} pipeline={PIPELINE_VERSION}"
)
"""Everything that determines an image's local features besides its bytes."""


@dataclass(frozen=True, eq=False)
class LocalFeatures:
    """SIFT features of an image, in pixels of its reduced grey version (:func:`reduced`)."""

    points: NDArray[np.float32]
    """Positions (K, 2), x and y in pixels."""
    descriptors: NDArray[np.uint8]
    """RootSIFT descriptors (K, 128): unit vectors times 512, clipped at 255."""
    size: tuple[int, int]
    """Width and height of the reduced image in pixels."""

    def __len__(self) -> int:
        return len(self.points)


@dataclass(frozen=True, eq=False)
class View:
    """Local features of an image, and its pixels on demand."""

    features: LocalFeatures
    grey: Callable[[], Grey]
    """Function that returns the reduced grey pixels (H, W) of the features."""


def view(pixels: NDArray[np.uint8]) -> View:
    """Return the view of an upright RGB image (H, W, 3)."""
    grey = reduced(pixels)
    return View(local_features(grey), lambda: grey)


def reduced(pixels: NDArray[np.uint8]) -> Grey:
    """Return the luma (h, w) of an RGB image (H, W, 3), at most :data:`AREA` pixels."""
    return cv2.cvtColor(fitted(pixels), cv2.COLOR_RGB2GRAY).astype(np.uint8, copy=False)


def fitted(pixels: NDArray[np.uint8], area: int = AREA) -> NDArray[np.uint8]:
    """Reduce an image (H, W) or (H, W, 3) to at most ``area`` pixels; keep its aspect ratio."""
    height, width = pixels.shape[:2]
    share = (area / (height * width)) ** 0.5
    if share >= 1:
        return pixels
    size = (max(1, round(width * share)), max(1, round(height * share)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def local_features(grey: Grey) -> LocalFeatures:
    """Return the strongest SIFT features of grey pixels (H, W) as RootSIFT.

    SIFT: Lowe, IJCV 2004. RootSIFT, the square root of the L1-normalised descriptor: Arandjelovic
    and Zisserman, CVPR 2012.
    """
    size = (grey.shape[1], grey.shape[0])
    small = fitted(grey, DETECTION_AREA)
    if min(small.shape) < 2:  # SIFT's pyramid needs more
        return LocalFeatures(
            np.empty((0, 2), np.float32), np.empty((0, DESCRIPTOR), np.uint8), size
        )
    sift: Any = cv2.SIFT.create(nfeatures=FEATURES, contrastThreshold=CONTRAST)
    keypoints, descriptors = sift.detectAndCompute(small, None)
    if descriptors is None:
        descriptors = np.empty((0, DESCRIPTOR), np.float32)
    # SIFT may return more features than requested when several are equally strong.
    strongest = np.argsort([-keypoint.response for keypoint in keypoints], kind="stable")[:FEATURES]
    points = np.array([keypoint.pt for keypoint in keypoints], np.float32).reshape(-1, 2)
    scale = np.array(size, np.float32) / small.shape[::-1]
    positions = ((points[strongest] + 0.5) * scale - 0.5).astype(np.float32)  # centres of pixels
    return LocalFeatures(positions, _root(descriptors[strongest]), size)


def _root(descriptors: NDArray[np.float32]) -> NDArray[np.uint8]:
    sums = np.maximum(descriptors.sum(axis=1, keepdims=True), 1e-6)
    root = np.rint(np.sqrt(descriptors / sums) * _UNIT)
    stored: NDArray[np.uint8] = np.minimum(root, 255).astype(np.uint8)
    return stored
