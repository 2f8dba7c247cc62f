"""Where one image lies in another: the same frame, turned, cropped, framed or stretched."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from embedkit.duplicates.examination.picture import Floats, Picture, resized, turned

Sides = int | NDArray[np.int64]
"""Widths or heights, pixels."""

TURNS = 8
SAME_SHAPE = 0.02
"""By this share two aspect ratios may differ, as sizes are whole pixels."""
LEAST_KEPT = 0.5
"""A crop is looked for down to this share of the sides."""

_THUMB = 48
_GRID = 200  # places to each side at which shares of areas are counted
_LOOK = 96  # longest side in pixels at which crops are looked for
_SCALES = np.geomspace(LEAST_KEPT, 0.98, 16)
_LEAST_CROP = 0.75  # correlation of a crop with its place
_REFINING = ((96, 50, 0.8), (192, 30, 0.85))  # side, iterations, the least correlation
_GAIN = 1e-4  # in correlation, below which refining stops
_NO_MASK: Any = None
_FARTHEST = 0.15  # of the side, that refining may move a corner
_SAME_PLACE = 0.0015  # of the side: refining from the same frame came back to it
_SAME_SCALE = 0.0015  # share by which scales differ
_SHIFT = 0.002  # of the side
_STRAIGHT = 0.006  # of the other side: a third of a degree
_LEVEL_TURN = 0.02  # by how much another turn has to correlate better than none


@dataclass(frozen=True, eq=False)
class Placement:
    """A homography from the second image's unit square to the first's: (x', y', w) = M @ (x, y, 1).

    Places are shares of width and height, so that the identity is the same frame at any size.
    """

    matrix: np.ndarray
    """float64 (3, 3)."""

    @classmethod
    def same_frame(cls) -> "Placement":
        """Both show the very same frame."""
        return cls(_IDENTITY)

    def onto(self, one: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """The first image in the frame of the second at ``size``, and which pixels it covers."""
        width, height = size
        if self.is_identity:
            return resized(one, size), np.ones((height, width), bool)
        tall, wide = one.shape[:2]
        scale = np.sqrt(abs(np.linalg.det(self.matrix[:2, :2])))  # of the first that is shown
        shrink = min(1.0, max(width / (wide * scale), height / (tall * scale)))
        if shrink < 0.95:
            one = resized(one, (max(8, round(wide * shrink)), max(8, round(tall * shrink))))
            tall, wide = one.shape[:2]
        pixels = _in_pixels(self.matrix, (wide, tall), size)
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
        """Whether both show the very same frame."""
        return bool(np.array_equal(self.matrix, _IDENTITY))

    @property
    def is_straight(self) -> bool:
        """Whether it neither turns nor slants, as a crop does not."""
        slants = np.abs([*self.matrix[2, :2], self.matrix[0, 1], self.matrix[1, 0]])
        return bool(slants.max() < _STRAIGHT)

    @property
    def is_shift(self) -> bool:
        """Whether it only moves one image against the other, at the same scale: no crop does."""
        scales = np.abs(np.diag(self.matrix)[:2] - 1)
        moved = np.abs(self.matrix[:2, 2] + (np.diag(self.matrix)[:2] - 1) / 2)
        return bool(scales.max() < _SAME_SCALE and moved.max() > _SHIFT)

    @property
    def shares(self) -> tuple[float, float]:
        """Shares of the first image's area, and of the second's, that both show."""
        if self.is_identity:
            return 1.0, 1.0
        return _inside(self.inverse().matrix), _inside(self.matrix)

    def inverse(self) -> "Placement":
        """The map the other way round."""
        undo_orientation = np.linalg.inv(self.matrix)
        return Placement(undo_orientation / undo_orientation[2, 2])


def _in_pixels(matrix: np.ndarray, one: tuple[int, int], other: tuple[int, int]) -> np.ndarray:
    """The same map from the pixels of the second image, of width and height ``other``, to those of
    the first, whose centres are at whole numbers."""
    return np.asarray(_to_pixels(*one) @ matrix @ np.linalg.inv(_to_pixels(*other)))


def _to_pixels(width: int, height: int) -> np.ndarray:
    return np.array([[width, 0, -0.5], [0, height, -0.5], [0, 0, 1]])


def _inside(matrix: np.ndarray) -> float:
    """The share of a unit square that a map takes to places inside the unit square."""
    places = (np.arange(_GRID) + 0.5) / _GRID
    x, y = np.meshgrid(places, places)
    moved = _moved(np.stack([x, y, np.ones_like(x)], axis=-1), matrix)
    return float(((moved >= 0) & (moved <= 1)).all(axis=-1).mean())


def _moved(places: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Where a map takes places (..., 3) of the form (x, y, 1): (..., 2)."""
    moved = places @ matrix.T
    return np.asarray(moved[..., :2] / np.maximum(moved[..., 2:], 1e-6))


_IDENTITY = np.eye(3)
_CORNERS = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1]], np.float64)


def best_orientation(one: Picture, other: Picture) -> int:
    """The turn of the first image that correlates best with the second; 0 if none does."""
    size = (_THUMB, _THUMB)
    wanted = _described(resized(other.small, size))
    thumb = resized(one.small, size)
    found = [float(_described(turned(thumb, turn)) @ wanted) for turn in range(TURNS)]
    best = int(np.argmax(found))
    return best if found[best] > found[0] + _LEVEL_TURN else 0


def have_same_aspect(one: Picture, other: Picture) -> bool:
    """Whether the images have one aspect ratio, but for sizes being whole pixels."""
    return bool(same_aspect(*one.size, *other.size))


def same_aspect(
    width: Sides, height: Sides, other_width: Sides, other_height: Sides
) -> NDArray[np.bool_]:
    """Whether images of these sides, pixels, have one aspect ratio, but for whole pixels.

    The four are broadcast against each other.
    """
    apart = np.abs(np.log(np.divide(width, height)) - np.log(np.divide(other_width, other_height)))
    rounding = 1 / np.minimum(width, height) + 1 / np.minimum(other_width, other_height)
    return np.asarray(apart <= SAME_SHAPE + rounding)


def placements(one: Picture, other: Picture) -> Iterator[Placement]:
    """Where the second image may lie in the first, the likeliest first: to be tried in turn."""
    same = Placement.same_frame()
    yield same
    if (moved := refined(one, other, same)) is not None:
        if moved.is_identity:
            return  # there is no better place than the same
        yield moved
    if (cropped := _cropped(one, other)) is not None:
        yield refined(one, other, cropped) or cropped


def _edges(image: Floats) -> tuple[Floats, Floats]:
    across, down = cv2.Sobel(image, cv2.CV_32F, 1, 0), cv2.Sobel(image, cv2.CV_32F, 0, 1)
    return np.asarray(across, np.float32), np.asarray(down, np.float32)


def _described(image: Floats) -> np.ndarray:
    """Luma and gradients as one vector of length 1."""
    parts = [image, *_edges(image)]
    flat = [(part - part.mean()).ravel() for part in parts]
    lengths = [max(float(np.linalg.norm(part)), 1e-3) for part in flat]
    slope = max(np.hypot(lengths[1], lengths[2]), 1e-3)
    parts = [flat[0] / lengths[0], flat[1] / slope, flat[2] / slope]
    return np.asarray(np.concatenate(parts) / np.sqrt(2))


def placement_from_homography(
    homography: np.ndarray, one: tuple[int, int], other: tuple[int, int]
) -> Placement:
    """The placement that a homography makes, from pixels of the second image to the first's.

    ``one`` and ``other`` are the widths and heights that it is for.
    """
    matrix = np.linalg.inv(_to_pixels(*one)) @ homography @ _to_pixels(*other)
    return Placement(matrix / matrix[2, 2])


def refined(
    one: Picture, other: Picture, start: Placement, motion: int = cv2.MOTION_AFFINE
) -> Placement | None:
    """A placement moved to where the images correlate best (ECC: Evangelidis, Psarakis 2008).

    ``start`` itself where that is next to it; None where they do not correlate well anywhere near.
    """
    if _is_part(start):
        return _refined_part(one, other, start, motion)
    found = _refined(one, other, start, motion)
    if found is not None and _is_part(found):
        return _refined_part(one, other, found, motion) or found
    return found


def _is_part(placement: Placement) -> bool:
    """Whether the second image shows less than the first."""
    return bool(np.linalg.det(placement.matrix[:2, :2]) < 0.98)


def _refined_part(one: Picture, other: Picture, start: Placement, motion: int) -> Placement | None:
    """The same where the second image is the narrower one: beyond that nothing counts."""
    undo_orientation = _refined(other, one, start.inverse(), motion)
    return None if undo_orientation is None else undo_orientation.inverse()


def _refined(one: Picture, other: Picture, start: Placement, motion: int) -> Placement | None:
    """The same, whichever of the two is the narrower one."""
    matrix = start.matrix.astype(np.float64)
    for side, steps, least in _REFINING:
        here, there = (resized(picture.small, (side, side)) for picture in (one, other))
        warp = _in_pixels(matrix, (side, side), (side, side)).astype(np.float32)
        if motion == cv2.MOTION_AFFINE:
            warp = warp[:2]
        criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, steps, _GAIN)
        try:
            correlation, found = cv2.findTransformECC(
                there, here, warp, motion, criteria, _NO_MASK, 5
            )
        except cv2.error:  # it does not converge: images without texture, or of nothing in common
            return None
        if correlation < least:
            return None
        whole = np.vstack([found, [0, 0, 1]]) if motion == cv2.MOTION_AFFINE else found
        matrix = placement_from_homography(whole, (side, side), (side, side)).matrix
        moved = np.abs(_moved(_CORNERS, matrix) - _moved(_CORNERS, start.matrix)).max()
        if moved < _SAME_PLACE:
            return start
        if moved > _FARTHEST:
            return None
    return Placement(matrix)


def _cropped(one: Picture, other: Picture) -> Placement | None:
    """The best placement of either image, cut out, within the other, if there is a good one."""
    within = _place_of(other, one)
    around = _place_of(one, other)
    if max(within[0], around[0]) < _LEAST_CROP:
        return None
    return around[1].inverse() if around[0] > within[0] else within[1]


def _place_of(part: Picture, whole: Picture) -> tuple[float, Placement]:
    """How well a part correlates with where it fits best in the whole, and that placement."""
    wide, high = whole.size
    scale = _LOOK / max(wide, high)
    image = resized(whole.small, (max(8, round(wide * scale)), max(8, round(high * scale))))
    height, width = image.shape
    aspect = part.size[0] / part.size[1]
    largest = min(width, height * aspect)  # width of the largest rectangle of that shape
    best, found = -1.0, Placement.same_frame()
    for share in _SCALES:
        size = (round(largest * share), round(largest * share / aspect))
        if min(size) < 8:
            continue
        scores = cv2.matchTemplate(image, resized(part.small, size), cv2.TM_CCOEFF_NORMED)
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
