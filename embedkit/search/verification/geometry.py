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
"""Minimum number of inliers at distinct positions for a credible homography."""

_MAX_ZOOM = 12.0
_MAX_STRETCH = 6.0  # of one direction relative to the other: a page at 80 degrees
_MAX_SLANT = 8.0  # ratio of the scale of area at the nearest and the farthest point
_MIN_SPREAD = 2 * TOLERANCE  # standard deviation in pixels along the direction of least spread
_ITERATIONS = 5000
_CHUNK = 256  # rows of cosines at a time, to fit into the processor's cache


@dataclass(frozen=True, eq=False)
class Alignment:
    """The mapping of one image's plane to another image."""

    homography: NDArray[np.float64]
    """Matrix (3, 3) from pixels of the first image to the second; inliers have depth > 0."""
    first_points: NDArray[np.float32]
    """Inliers (I, 2) in the first image."""
    second_points: NDArray[np.float32]
    """The same inliers (I, 2) in the second image."""

    def zoom(self) -> float:
        """Return the scale of the second image relative to the first, around the inliers."""
        return zoom(self.homography, self.first_points)

    def reverse(self) -> "Alignment":
        """Return the alignment from the second image to the first."""
        back = np.linalg.inv(self.homography).astype(np.float64, copy=False)
        return Alignment(back, self.second_points, self.first_points)


def mutual_matches(first: LocalFeatures, second: LocalFeatures) -> NDArray[np.intp]:
    """Return rows (M, 2) of features that are mutual nearest neighbours and pass the ratio test."""
    if min(len(first), len(second)) < 2:
        return np.empty((0, 2), np.intp)
    first_unit, second_unit = _unit(first), _unit(second)
    parts = [
        _nearest(first_unit[row : row + _CHUNK], second_unit)
        for row in range(0, len(first_unit), _CHUNK)
    ]
    nearest, clear = (np.concatenate(part) for part in zip(*parts, strict=True))
    rows = np.flatnonzero(clear)
    mutual = rows[(second_unit[nearest[rows]] @ first_unit.T).argmax(axis=1) == rows]
    return np.stack([mutual, nearest[mutual]], axis=1)


def _nearest(
    first: NDArray[np.float32], second: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Return the nearest row of ``second`` for each row (n, 128), and the ratio test's result."""
    cosines = first @ second.T
    rows = np.arange(len(first))
    nearest = cosines.argmax(axis=1)
    best = cosines[rows, nearest]
    cosines[rows, nearest] = -1
    clear = 1 - best < RATIO**2 * (1 - cosines.max(axis=1))  # 1 - cosine is half the distance^2
    return nearest, clear


def _unit(features: LocalFeatures) -> NDArray[np.float32]:
    unit = features.descriptors.astype(np.float32)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-6)
    return unit


def aligned(first: LocalFeatures, second: LocalFeatures) -> tuple[int, Alignment | None]:
    """Return the number of inliers, and the alignment if it is credible.

    The homography is estimated with MAGSAC++ (Barath et al., CVPR 2020).
    """
    rows = mutual_matches(first, second)
    if len(rows) < 4:
        return 0, None
    first_points, second_points = first.points[rows[:, 0]], second.points[rows[:, 1]]
    found: tuple[Any, Any] = cv2.findHomography(
        first_points,
        second_points,
        cv2.USAC_MAGSAC,
        TOLERANCE,
        maxIters=_ITERATIONS,
        confidence=0.999,
    )
    homography, mask = found
    if homography is None:
        return 0, None
    inside = mask.ravel().astype(bool)
    first_points, second_points = first_points[inside], second_points[inside]
    inliers = min(_distinct_positions(first_points), _distinct_positions(second_points))
    if inliers < INLIERS or not _is_credible(homography, first_points, second_points):
        return inliers, None
    # The sign of a homography is arbitrary; inliers have a positive depth.
    sign = np.sign(depth(homography, first_points[:1])[0])
    return inliers, Alignment(homography * sign, first_points, second_points)


def _distinct_positions(points: NDArray[np.float32]) -> int:
    """Return the number of distinct positions: SIFT may find several features at one."""
    return len(np.unique(np.rint(points / 2), axis=0))


def _is_credible(
    homography: NDArray[np.float64],
    first_points: NDArray[np.float32],
    second_points: NDArray[np.float32],
) -> bool:
    """Return whether a camera could see a plane like this: not mirrored, torn or flattened."""
    if not np.isfinite(homography).all() or abs(np.linalg.det(homography)) < 1e-12:
        return False
    depths = depth(homography, first_points)
    if (
        depths.min() * depths.max() <= 0
        or min(_least_spread(first_points), _least_spread(second_points)) < _MIN_SPREAD
    ):
        return False
    jacobians = _local_affine(homography, first_points)
    areas = np.linalg.det(jacobians)
    if areas.min() <= 0:
        return False
    return bool(
        areas.max() <= _MAX_ZOOM**2
        and areas.min() >= 1 / _MAX_ZOOM**2
        and areas.max() <= _MAX_SLANT * areas.min()
        and np.linalg.cond(jacobians).max() <= _MAX_STRETCH
    )


def _least_spread(points: NDArray[np.float32]) -> float:
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
    mapped = (points @ homography[:2, :2].T + homography[:2, 2]) / depths
    rows = homography[:2, :2] - mapped[:, :, None] * homography[2, :2]
    derivatives: NDArray[np.float64] = rows / depths[:, :, None]
    return derivatives
