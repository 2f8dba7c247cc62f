"""The placement of one image in another: the same frame, cropped, framed, stretched or moved."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from embedkit.duplicates.examination.picture import Floats, Picture, resize
from embedkit.duplicates.orientations import ORIENTATIONS, orient

Sides = int | NDArray[np.int64]
"""Widths or heights, pixels."""

ASPECT_TOLERANCE = 0.02
"""Maximum difference of equal aspect ratios, as a share, beyond rounding to whole pixels."""
MIN_CROP_SHARE = 0.5
"""Minimum share of the sides that a searched crop keeps."""

_THUMB_SIDE = 48  # pixels
_GRID = 200  # points per side at which shares of areas are counted
_CROP_SEARCH_SIDE = 96  # longest side in pixels at which crops are searched
_CROP_SCALES = np.geomspace(MIN_CROP_SHARE, 0.98, 16)
_MIN_CROP_CORRELATION = 0.75  # minimum correlation of a crop with the matching part
_REFINEMENT_LEVELS = ((96, 50, 0.8), (192, 30, 0.85))
"""Side in pixels, iterations and minimum correlation of each level."""
_MIN_GAIN = 1e-4  # increase of the correlation below which refinement stops
_NO_MASK: Any = None
_MAX_MOVE = 0.15  # maximum distance, as a share of the side, that refinement moves a corner
_PLACE_TOLERANCE = 0.0015  # share of the side within which refinement confirmed the start
_SCALE_TOLERANCE = 0.0015  # maximum difference of equal scales
_MIN_SHIFT = 0.002  # minimum shift of a moved image, as a share of the side
_MAX_SLANT = 0.006  # maximum slant, as a share of the other side: a third of a degree
_MIN_GAIN_OF_ORIENTATION = 0.02  # minimum increase of the correlation over orientation 0


@dataclass(frozen=True, eq=False)
class Placement:
    """A homography from the second image's unit square to the first's: (x', y', w) = M @ (x, y, 1).

    Coordinates are shares of width and height, so the identity is the same frame at any size.
    """

    matrix: np.ndarray
    """float64 (3, 3)."""

    @classmethod
    def same_frame(cls) -> "Placement":
        """Return the identity: both images show the same frame."""
        return cls(_IDENTITY)

    def warp_first(self, one: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the first image in the frame of the second at ``size``, and which pixels it
        covers."""
        width, height = size
        if self.is_identity:
            return resize(one, size), np.ones((height, width), bool)
        tall, wide = one.shape[:2]
        # The share of the first image's sides that is visible.
        share = np.sqrt(abs(np.linalg.det(self.matrix[:2, :2])))
        shrink = min(1.0, max(width / (wide * share), height / (tall * share)))
        if shrink < 0.95:
            one = resize(one, (max(8, round(wide * shrink)), max(8, round(tall * shrink))))
            tall, wide = one.shape[:2]
        pixels = _pixel_matrix(self.matrix, (wide, tall), size)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        warped = cv2.warpPerspective(
            one, pixels, size, flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        inside = cv2.warpPerspective(
            np.ones((tall, wide), np.uint8),
            pixels,
            size,
            flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP,
        )
        return warped, inside > 0

    @property
    def is_identity(self) -> bool:
        """Whether both images show exactly the same frame."""
        return bool(np.array_equal(self.matrix, _IDENTITY))

    @property
    def is_straight(self) -> bool:
        """Whether it neither rotates nor slants, as a crop does not."""
        slants = np.abs([*self.matrix[2, :2], self.matrix[0, 1], self.matrix[1, 0]])
        return bool(slants.max() < _MAX_SLANT)

    @property
    def is_shift(self) -> bool:
        """Whether it only moves one image relative to the other, at the same scale, as no crop
        does."""
        scales = np.abs(np.diag(self.matrix)[:2] - 1)
        moved = np.abs(self.matrix[:2, 2] + (np.diag(self.matrix)[:2] - 1) / 2)
        return bool(scales.max() < _SCALE_TOLERANCE and moved.max() > _MIN_SHIFT)

    @property
    def shares(self) -> tuple[float, float]:
        """Shares of the first image's area, and of the second's, that both show."""
        if self.is_identity:
            return 1.0, 1.0
        return _share_inside(self.inverse().matrix), _share_inside(self.matrix)

    def inverse(self) -> "Placement":
        """Return the inverse placement."""
        inverse = np.linalg.inv(self.matrix)
        return Placement(inverse / inverse[2, 2])


def _pixel_matrix(matrix: np.ndarray, one: tuple[int, int], other: tuple[int, int]) -> np.ndarray:
    """Return a matrix as a map of pixels, whose centres have integer coordinates.

    ``one`` and ``other`` are the widths and heights of the first and the second image.
    """
    return np.asarray(_to_pixels(*one) @ matrix @ np.linalg.inv(_to_pixels(*other)))


def _to_pixels(width: int, height: int) -> np.ndarray:
    return np.array([[width, 0, -0.5], [0, height, -0.5], [0, 0, 1]])


def _share_inside(matrix: np.ndarray) -> float:
    """Return the share of the unit square that a map takes into the unit square."""
    steps = (np.arange(_GRID) + 0.5) / _GRID
    x, y = np.meshgrid(steps, steps)
    moved = _transform(np.stack([x, y, np.ones_like(x)], axis=-1), matrix)
    return float(((moved >= 0) & (moved <= 1)).all(axis=-1).mean())


def _transform(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Map points (..., 3) of the form (x, y, 1): (..., 2)."""
    moved = points @ matrix.T
    return np.asarray(moved[..., :2] / np.maximum(moved[..., 2:], 1e-6))


_IDENTITY = np.eye(3)
_CORNERS = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1]], np.float64)


def best_orientation(one: Picture, other: Picture) -> int:
    """Return the orientation of the first image that correlates best with the second."""
    size = (_THUMB_SIDE, _THUMB_SIDE)
    target = _descriptor(resize(other.small, size))
    thumb = resize(one.small, size)
    found = [
        float(_descriptor(orient(thumb, orientation)) @ target)
        for orientation in range(ORIENTATIONS)
    ]
    best = int(np.argmax(found))
    return best if found[best] > found[0] + _MIN_GAIN_OF_ORIENTATION else 0


def have_same_aspect(one: Picture, other: Picture) -> bool:
    """Return whether two pictures have the same aspect ratio, except for rounding to whole
    pixels."""
    return bool(same_aspect(*one.size, *other.size))


def same_aspect(
    width: Sides, height: Sides, other_width: Sides, other_height: Sides
) -> NDArray[np.bool_]:
    """Return whether images with these sides, in pixels, have the same aspect ratio.

    Tolerates rounding to whole pixels. The four arrays are broadcast against each other.
    """
    difference = np.abs(
        np.log(np.divide(width, height)) - np.log(np.divide(other_width, other_height))
    )
    rounding = 1 / np.minimum(width, height) + 1 / np.minimum(other_width, other_height)
    return np.asarray(difference <= ASPECT_TOLERANCE + rounding)


def candidate_placements(one: Picture, other: Picture) -> Iterator[Placement]:
    """Yield placements of the second image in the first, the likeliest first."""
    same = Placement.same_frame()
    yield same
    if (moved := refine(one, other, same)) is not None:
        if moved.is_identity:
            return  # no other placement fits better
        yield moved
    if (cropped := _find_crop(one, other)) is not None:
        yield refine(one, other, cropped) or cropped


def _edges(image: Floats) -> tuple[Floats, Floats]:
    across, down = cv2.Sobel(image, cv2.CV_32F, 1, 0), cv2.Sobel(image, cv2.CV_32F, 0, 1)
    return np.asarray(across, np.float32), np.asarray(down, np.float32)


def _descriptor(image: Floats) -> np.ndarray:
    """Return luma and gradients as one vector of length 1."""
    parts = [image, *_edges(image)]
    flat = [(part - part.mean()).ravel() for part in parts]
    lengths = [max(float(np.linalg.norm(part)), 1e-3) for part in flat]
    slope = max(np.hypot(lengths[1], lengths[2]), 1e-3)
    parts = [flat[0] / lengths[0], flat[1] / slope, flat[2] / slope]
    return np.asarray(np.concatenate(parts) / np.sqrt(2))


def placement_from_homography(
    homography: np.ndarray, one: tuple[int, int], other: tuple[int, int]
) -> Placement:
    """Return the placement of a homography from pixels of the second image to those of the first.

    ``one`` and ``other`` are the widths and heights that it applies to.
    """
    matrix = np.linalg.inv(_to_pixels(*one)) @ homography @ _to_pixels(*other)
    return Placement(matrix / matrix[2, 2])


def refine(
    one: Picture, other: Picture, start: Placement, motion: int = cv2.MOTION_AFFINE
) -> Placement | None:
    """Refine a placement to a maximum of the correlation (ECC: Evangelidis and Psarakis, 2008).

    Returns ``start`` itself if the maximum is next to it, and None if the images do not correlate
    well nearby.
    """
    if _is_part(start):
        return _refine_part(one, other, start, motion)
    found = _refine(one, other, start, motion)
    if found is not None and _is_part(found):
        return _refine_part(one, other, found, motion) or found
    return found


def _is_part(placement: Placement) -> bool:
    """Return whether the second image shows less than the first."""
    return bool(np.linalg.det(placement.matrix[:2, :2]) < 0.98)


def _refine_part(one: Picture, other: Picture, start: Placement, motion: int) -> Placement | None:
    """Refine a placement of a second image that shows less, over its area only."""
    found = _refine(other, one, start.inverse(), motion)
    return None if found is None else found.inverse()


def _refine(one: Picture, other: Picture, start: Placement, motion: int) -> Placement | None:
    """Refine a placement over the frame of the second image."""
    matrix = start.matrix.astype(np.float64)
    for side, steps, least in _REFINEMENT_LEVELS:
        here, there = (resize(picture.small, (side, side)) for picture in (one, other))
        warp = _pixel_matrix(matrix, (side, side), (side, side)).astype(np.float32)
        if motion == cv2.MOTION_AFFINE:
            warp = warp[:2]
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, steps, _MIN_GAIN)
        try:
            correlation, found = cv2.findTransformECC(
                there, here, warp, motion, criteria, _NO_MASK, 5
            )
        except cv2.error:  # no convergence: no texture, or nothing in common
            return None
        if correlation < least:
            return None
        whole = np.vstack([found, [0, 0, 1]]) if motion == cv2.MOTION_AFFINE else found
        matrix = placement_from_homography(whole, (side, side), (side, side)).matrix
        moved = np.abs(_transform(_CORNERS, matrix) - _transform(_CORNERS, start.matrix)).max()
        if moved < _PLACE_TOLERANCE:
            return start
        if moved > _MAX_MOVE:
            return None
    return Placement(matrix)


def _find_crop(one: Picture, other: Picture) -> Placement | None:
    """Return the best placement of either image as a crop of the other, if there is a good one."""
    within = _match_part(other, one)
    around = _match_part(one, other)
    if max(within[0], around[0]) < _MIN_CROP_CORRELATION:
        return None
    return around[1].inverse() if around[0] > within[0] else within[1]


def _match_part(part: Picture, whole: Picture) -> tuple[float, Placement]:
    """Return the best correlation of a part with the whole image, and its placement."""
    wide, high = whole.size
    scale = _CROP_SEARCH_SIDE / max(wide, high)
    image = resize(whole.small, (max(8, round(wide * scale)), max(8, round(high * scale))))
    height, width = image.shape
    aspect = part.size[0] / part.size[1]
    largest = min(width, height * aspect)  # width of the largest rectangle of that aspect ratio
    best, found = -1.0, Placement.same_frame()
    for share in _CROP_SCALES:
        size = (round(largest * share), round(largest * share / aspect))
        if min(size) < 8:
            continue
        scores = cv2.matchTemplate(image, resize(part.small, size), cv2.TM_CCOEFF_NORMED)
        _, score, _, (left, top) = cv2.minMaxLoc(scores)
        if score > best:
            best = score
            found = Placement(
                np.array(
                    [
                        [size[0] / width, 0, left / width],
                        [0, size[1] / height, top / height],
                        [0, 0, 1],
                    ]
                )
            )
    return best, found
