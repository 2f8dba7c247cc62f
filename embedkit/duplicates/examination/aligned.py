"""Two images of a pair, aligned: one in the frame of the other."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from embedkit.duplicates.examination.compare import Agreement, compare_aligned
from embedkit.duplicates.examination.framing import Framing
from embedkit.duplicates.examination.picture import (
    Floats,
    Picture,
    Pixels,
    load_picture,
    resize,
)
from embedkit.duplicates.examination.placement import Placement
from embedkit.search.verification.features import View

FEW_COLOURS = 256
"""Maximum number of colours in a palette that counts as reduced."""

_BLENDED = 3  # pixels at the edge of the shared area that may be blended with those beyond it


@dataclass(frozen=True, eq=False)
class LazyImage:
    """An image that is read and decoded when it is needed.

    ``read`` returns its bytes and ``view`` its local features. Both raise :class:`UnreadableImage`
    when the file is missing or has changed.
    """

    read: Callable[[], bytes]
    view: Callable[[], View]

    @cached_property
    def picture(self) -> Picture:
        """The image at the working resolution."""
        return load_picture(self.read())

    @property
    def is_decoded(self) -> bool:
        """Whether the image has been decoded."""
        return "picture" in self.__dict__


class AlignedPair:
    """Two images of a pair, and where the second lies in the first.

    ``first`` and ``second`` are the pictures of the images ``one`` and ``other``, the first in the
    ``orientation`` in which it matches the second best.
    """

    def __init__(
        self, one: LazyImage, other: LazyImage, orientation: int, first: Picture, second: Picture
    ) -> None:
        self.one, self.other, self.orientation = one, other, orientation
        self.first, self.second = first, second
        self.is_graphic = first.is_graphic or second.is_graphic
        """Whether the compared area is a document or drawing, of which every glyph counts."""
        self.is_flat = first.is_flat and second.is_flat
        """Whether neither image has any texture to recognise it by."""
        self.placement = Placement.same_frame()
        self.framing = Framing(first, second, self.placement)

    def agreement(self, area: int) -> Agreement:
        """Return how well the images agree at a resolution of at most ``area`` pixels."""
        return agreement_of(self.first.grey, self.second.grey, self.placement, area)

    @property
    def common_area(self) -> int:
        """Number of pixels of the smaller picture."""
        return min(self.first.grey.size, self.second.grey.size)

    def at_common_size(self) -> tuple[Floats, Floats]:
        """Return both images in colour, float32 (H, W, 3), at the largest size that both have."""
        height, width = np.minimum(self.first.rgb.shape[:2], self.second.rgb.shape[:2])
        one, other = (
            resize(item.rgb.astype(np.float32), (int(width), int(height)))
            for item in (self.first, self.second)
        )
        return one, other

    @property
    def quantised_side(self) -> int:
        """Which of the two has a palette of few colours: 1, 2, or 0 for none or both."""
        few = [
            0 < (item.picture.metadata.colours or 0) <= FEW_COLOURS
            for item in (self.one, self.other)
        ]
        if few[0] == few[1]:
            return 0
        return 1 if few[0] else 2

    @property
    def colourless_side(self) -> int:
        """Which of the two has no colours, though the other has some: 1, 2, or 0."""
        if self.first.has_colour == self.second.has_colour:
            return 0
        return 2 if self.first.has_colour else 1


def agreement_of(one: Floats, other: Floats, placement: Placement, area: int) -> Agreement:
    """Return how well two images (H, W) agree at a resolution of at most ``area`` pixels."""
    here, there, valid = in_one_frame(one, other, placement, area)
    return compare_aligned(here, there, None if valid.all() else valid)


def in_one_frame(
    one: Pixels | Floats, other: Pixels | Floats, placement: Placement, area: int
) -> tuple[Any, Any, np.ndarray]:
    """Return both images in one frame, and where they can be compared: bool (H, W)."""
    size = _frame_size(one, other, placement, area)
    here, valid = placement.warp_first(one, size)
    if not placement.is_identity:
        edges = np.ones((2 * _BLENDED + 1, 2 * _BLENDED + 1), np.uint8)
        inner = cv2.erode(
            valid.astype(np.uint8), edges, borderType=cv2.BORDER_CONSTANT, borderValue=0
        )
        valid = inner > 0
    return here, resize(other, size), valid


def _frame_size(
    one: np.ndarray, other: np.ndarray, placement: Placement, area: int
) -> tuple[int, int]:
    """Return the width and height at which two images are compared, in the frame of the second.

    Where both show the same frame, neither side is enlarged, even if one image is stretched.
    """
    height, width = other.shape[:2]
    if placement.is_identity:
        height, width = min(height, one.shape[0]), min(width, one.shape[1])
    scale = min(1.0, (area / (height * width)) ** 0.5)
    return max(8, round(width * scale)), max(8, round(height * scale))
