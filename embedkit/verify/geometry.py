"""The plane that two images share: features matched, and one homography through the matches."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from embedkit.verify.features import LocalFeatures

RATIO = 0.8
"""A match's distance is at most this share of that to the second nearest (Lowe 2004)."""
TOLERANCE = 4.0
"""Pixels by which an inlier may miss its place."""
INLIERS = 10
"""Inliers, at places of their own, that a homography needs to be believed."""

_LARGEST_ZOOM = 12.0
_LARGEST_STRETCH = 6.0  # of one direction against the other: a page seen from 80 degrees aside
_LARGEST_SLANT = 8.0  # by which the area of what is near grows against what is far
_LEAST_SPREAD = 2 * TOLERANCE  # pixels of standard deviation, across the inliers' narrow direction
_ITERATIONS = 5000


@dataclass(frozen=True, eq=False)
class Alignment:
    """How one image's plane lies in another image."""

    homography: NDArray[np.float64]
    """3 x 3: from the pixels of the first image to those of the second."""
    here: NDArray[np.float32]
    """Inliers (I, 2) in the first image."""
    there: NDArray[np.float32]
    """The same inliers (I, 2) in the second."""

    def reverse(self) -> "Alignment":
        """The same alignment, from the second image to the first."""
        return Alignment(np.linalg.inv(self.homography), self.there, self.here)


def matched(one: LocalFeatures, other: LocalFeatures) -> NDArray[np.intp]:
    """Rows (M, 2) of features that are each other's nearest, and far nearer than the next."""
    if min(len(one), len(other)) < 2:
        return np.empty((0, 2), np.intp)
    unit = _unit(one), _unit(other)
    cosines = unit[0] @ unit[1].T
    rows = np.arange(len(one))
    nearest = cosines.argmax(axis=1)
    best = cosines[rows, nearest].copy()
    back = cosines.argmax(axis=0)
    cosines[rows, nearest] = -1
    second = cosines.max(axis=1)
    near, next_near = np.maximum(1 - best, 0), np.maximum(1 - second, 0)
    clear = (near < RATIO**2 * next_near) & (back[nearest] == rows)
    return np.stack([rows[clear], nearest[clear]], axis=1)


def _unit(features: LocalFeatures) -> NDArray[np.float32]:
    floats = features.descriptors.astype(np.float32)
    return floats / np.maximum(np.linalg.norm(floats, axis=1, keepdims=True), 1e-6)


def aligned(one: LocalFeatures, other: LocalFeatures) -> tuple[int, Alignment | None]:
    """The number of inliers, and the alignment that they make if it is one that a camera could see.

    The homography is MAGSAC++'s (Barath et al., CVPR 2020).
    """
    rows = matched(one, other)
    if len(rows) < 4:
        return 0, None
    here, there = one.points[rows[:, 0]], other.points[rows[:, 1]]
    homography, mask = cv2.findHomography(
        here, there, cv2.USAC_MAGSAC, TOLERANCE, maxIters=_ITERATIONS, confidence=0.999
    )
    if homography is None:
        return 0, None
    inside = mask.ravel().astype(bool)
    found = Alignment(homography.astype(np.float64), here[inside], there[inside])
    inliers = min(_places(found.here), _places(found.there))
    credible = inliers >= INLIERS and _is_credible(found)
    return inliers, found if credible else None


def _places(points: NDArray[np.float32]) -> int:
    """How many of the points lie at places of their own: SIFT may find several at one."""
    return len(np.unique(np.rint(points / 2), axis=0))


def _is_credible(found: Alignment) -> bool:
    """Whether a camera could see it so: not mirrored, torn, or squeezed to a line."""
    if not np.isfinite(found.homography).all() or abs(np.linalg.det(found.homography)) < 1e-12:
        return False
    spread = _narrow(found.here), _narrow(found.there)
    if min(spread) < _LEAST_SPREAD:
        return False
    jacobians = local_affine(found.homography, found.here)
    if jacobians is None:
        return False
    areas = np.linalg.det(jacobians)
    if areas.min() <= 0:
        return False
    zoom = np.sqrt(areas)
    stretch = np.linalg.cond(jacobians)
    return bool(
        zoom.max() <= _LARGEST_ZOOM
        and zoom.min() >= 1 / _LARGEST_ZOOM
        and areas.max() <= _LARGEST_SLANT * areas.min()
        and stretch.max() <= _LARGEST_STRETCH
    )


def _narrow(points: NDArray[np.float32]) -> float:
    """Standard deviation of points along the direction in which they spread least, pixels."""
    return float(np.sqrt(max(0.0, np.linalg.eigvalsh(np.cov(points.T))[0])))


def local_affine(
    homography: NDArray[np.float64], points: NDArray[np.float32]
) -> NDArray[np.float64] | None:
    """The homography's derivatives (I, 2, 2) at points (I, 2); None if the horizon parts them."""
    lifted = np.column_stack([points.astype(np.float64), np.ones(len(points))]) @ homography.T
    depth = lifted[:, 2]
    if not (np.all(depth > 1e-9) or np.all(depth < -1e-9)):
        return None
    places = lifted[:, :2] / depth[:, None]
    upper, lower = homography[:2, :2], homography[2, :2]
    return (upper[None] - places[:, :, None] * lower) / depth[:, None, None]
