"""The plane that two images share: matched features, and a homography through the matches."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from embedkit.search.verification.features import LocalFeatures

RATIO = 0.8
"""Maximum ratio of a match's distance to that of the second nearest feature (Lowe 2004)."""
TOLERANCE = 4.0
"""Maximum error of an inlier in pixels."""
INLIERS = 10
"""Minimum of inliers at distinct positions for a credible homography."""

_LARGEST_ZOOM = 12.0
_LARGEST_STRETCH = 6.0  # of one direction relative to the other: a page at 80 degrees
_LARGEST_SLANT = 8.0  # ratio of the scale of area at the nearest and the farthest point
_LEAST_SPREAD = 2 * TOLERANCE  # standard deviation in pixels along the direction of least spread
_ITERATIONS = 5000
_CHUNK = 256  # rows of cosines at a time, to fit into the processor's cache


@dataclass(frozen=True, eq=False)
class Alignment:
    """Position of one image's plane in another image."""

    homography: NDArray[np.float64]
    """Matrix (3, 3) from pixels of the first image to the second; inliers have depth > 0."""
    here: NDArray[np.float32]
    """Inliers (I, 2) in the first image."""
    there: NDArray[np.float32]
    """The same inliers (I, 2) in the second."""

    def zoom(self) -> float:
        """Return the scale of the second image relative to the first, around the inliers."""
        return zoom(self.homography, self.here)

    def reverse(self) -> "Alignment":
        """Return the alignment from the second image to the first."""
        back = np.linalg.inv(self.homography).astype(np.float64, copy=False)
        return Alignment(back, self.there, self.here)


def mutual_matches(one: LocalFeatures, other: LocalFeatures) -> NDArray[np.intp]:
    """Return rows (M, 2) of features that are mutual nearest neighbours and pass the ratio test."""
    if min(len(one), len(other)) < 2:
        return np.empty((0, 2), np.intp)
    here, there = _unit(one), _unit(other)
    parts = [_nearest(here[row : row + _CHUNK], there) for row in range(0, len(here), _CHUNK)]
    nearest, clear = (np.concatenate(part) for part in zip(*parts, strict=True))
    rows = np.flatnonzero(clear)
    mutual = rows[(there[nearest[rows]] @ here.T).argmax(axis=1) == rows]
    return np.stack([mutual, nearest[mutual]], axis=1)


def _nearest(
    here: NDArray[np.float32], there: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the nearest row of ``there`` for each row (n, 128), and the ratio test's result."""
    cosines = here @ there.T
    rows = np.arange(len(here))
    nearest = cosines.argmax(axis=1)
    best = cosines[rows, nearest]
    cosines[rows, nearest] = -1
    clear = 1 - best < RATIO**2 * (1 - cosines.max(axis=1))  # 1 - cosine is half the distance^2
    return nearest, clear


def _unit(features: LocalFeatures) -> NDArray[np.float32]:
    unit = features.descriptors.astype(np.float32)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-6)
    return unit


def aligned(one: LocalFeatures, other: LocalFeatures) -> tuple[int, Alignment | None]:
    """Return the number of inliers, and the alignment if it is credible.

    The homography is estimated with MAGSAC++ (Barath et al., CVPR 2020).
    """
    rows = mutual_matches(one, other)
    if len(rows) < 4:
        return 0, None
    here, there = one.points[rows[:, 0]], other.points[rows[:, 1]]
    found: tuple[Any, Any] = cv2.findHomography(
        here, there, cv2.USAC_MAGSAC, TOLERANCE, maxIters=_ITERATIONS, confidence=0.999
    )
    homography, mask = found
    if homography is None:
        return 0, None
    inside = mask.ravel().astype(bool)
    here, there = here[inside], there[inside]
    inliers = min(_places(here), _places(there))
    if inliers < INLIERS or not _is_credible(homography, here, there):
        return inliers, None
    in_front = np.sign(depth(homography, here[:1])[0])  # the sign of the homography is arbitrary
    return inliers, Alignment(homography * in_front, here, there)


def _places(points: NDArray[np.float32]) -> int:
    """Return the number of distinct positions: SIFT may find several features at one."""
    return len(np.unique(np.rint(points / 2), axis=0))


def _is_credible(
    homography: NDArray[np.float64], here: NDArray[np.float32], there: NDArray[np.float32]
) -> bool:
    """Return whether a camera could see the plane so: not mirrored, torn, or squeezed to a line."""
    if not np.isfinite(homography).all() or abs(np.linalg.det(homography)) < 1e-12:
        return False
    depths = depth(homography, here)
    if depths.min() * depths.max() <= 0 or min(_narrow(here), _narrow(there)) < _LEAST_SPREAD:
        return False
    jacobians = _local_affine(homography, here)
    areas = np.linalg.det(jacobians)
    if areas.min() <= 0:
        return False
    return bool(
        areas.max() <= _LARGEST_ZOOM**2
        and areas.min() >= 1 / _LARGEST_ZOOM**2
        and areas.max() <= _LARGEST_SLANT * areas.min()
        and np.linalg.cond(jacobians).max() <= _LARGEST_STRETCH
    )


def _narrow(points: NDArray[np.float32]) -> float:
    """Return the standard deviation of points, in pixels, along the direction of least spread."""
    return float(np.sqrt(max(0.0, np.linalg.eigvalsh(np.cov(points.T))[0])))


def zoom(homography: NDArray[np.float64], points: NDArray[np.float32]) -> float:
    """Return the scale of the second image relative to the first around points (I, 2).

    This is the median over the points. The homography must not mirror.
    """
    return float(np.sqrt(np.median(np.linalg.det(_local_affine(homography, points)))))


def depth(homography: NDArray[np.float64], points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the homogeneous coordinate (I,) of mapped points (I, 2); negative past the horizon."""
    depths: NDArray[np.float64] = points @ homography[2, :2] + homography[2, 2]
    return depths


def _local_affine(
    homography: NDArray[np.float64], points: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return the derivatives (I, 2, 2) of a homography at points (I, 2)."""
    depths = depth(homography, points)[:, None]
    places = (points @ homography[:2, :2].T + homography[:2, 2]) / depths
    rows = homography[:2, :2] - places[:, :, None] * homography[2, :2]
    derivatives: NDArray[np.float64] = rows / depths[:, :, None]
    return derivatives
