"""What one of two images that lie on each other shows beyond the other one."""

from functools import cached_property

import cv2
import numpy as np

from embedkit.duplicates.examination.picture import Floats, Picture
from embedkit.duplicates.examination.placement import Placement
from embedkit.results import Change

WHOLE = 0.97
"""Share of an image from which on it may count as shown whole."""
MOSTLY = 0.5
"""Share of what a larger image has more that is of one colour, if that may be a caption."""

_STRIP = 5  # pixels: twice the depth, and one, up to which what is beyond an edge is no strip
_PLAIN = 12.0  # levels of luma, the standard deviation of a plain frame or ground
_ONE_COLOUR = 1.5  # the same of what was drawn in one colour
_MARK = 60.0  # levels by which ink differs from the ground
_MARKED = 12  # pixels of ink from which on something may be written
_INSIDE = 19, 11  # pixels: squares whose difference reaches into what both images show
_CONTINUED = 0.5  # share of the edge at which the image goes on as plain as it is beyond
_SHADE = 8.0  # levels that count as one colour


class Framing:
    """What each of two images shows that the other one does not.

    ``placement`` takes the second image to the first.
    """

    def __init__(self, first: Picture, second: Picture, placement: Placement) -> None:
        self._pictures = first, second
        self._placement = placement

    @property
    def is_whole(self) -> bool:
        """Whether each image shows all of the other, or nearly: all but 3 % of its area."""
        return min(self._placement.shares) >= WHOLE

    @cached_property
    def wider(self) -> int:
        """Which of the two shows all of the other one and more: 1, 2, or 0 for neither.

        A strip of text at an edge is more, however small a share of the image it is.
        """
        if self._placement.is_identity:
            return 0
        of_first, of_second = self._placement.shares  # that both show
        if max(of_first, of_second) < WHOLE:
            return 0
        if not self.is_whole:
            return 1 if of_second > of_first else 2
        beyond = [bool(self._beyond(image)[1].any()) for image in (1, 2)]
        return beyond.index(True) + 1 if beyond[0] != beyond[1] else 0

    @property
    def change(self) -> Change | None:
        """What was done to one of them, if one shows more: it was framed, or the other cropped."""
        if not self.wider:
            return None
        if self._is_framed:
            return Change("framed", self.wider)
        return Change("cropped", 3 - self.wider)

    @property
    def has_caption(self) -> bool:
        """Whether what the wider image has more may be a caption: something on one colour."""
        tones = self._tones
        if not len(tones) or self._is_plain:
            return False
        shades = np.bincount((tones / _SHADE).astype(int), minlength=2)
        return bool((shades[1:] + shades[:-1]).max() > MOSTLY * len(tones))

    @property
    def _is_framed(self) -> bool:
        """Whether the wider image has nothing but a frame where the other one ends.

        A frame that was added is of the very same colour all over, and seldom of that of its
        image. A plain ground continues inside of what both images show.
        """
        if not self._is_plain:
            return False
        whole, outside = self._beyond(self.wider)
        near, nearer = (
            cv2.dilate(outside.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
            for side in _INSIDE
        )
        inside = whole[near & ~nearer]
        if not len(inside) or self._tones.std() <= _ONE_COLOUR:
            return True
        alike = np.abs(inside - np.median(self._tones)) < _PLAIN
        return bool(alike.mean() <= _CONTINUED)

    @property
    def _is_plain(self) -> bool:
        """Whether what the wider image has more is of one colour, and nothing is written on it."""
        tones = self._tones
        if not len(tones) or tones.std() >= _PLAIN:
            return False
        return bool((np.abs(tones - np.median(tones)) > _MARK).sum() < _MARKED)

    @property
    def _tones(self) -> Floats:
        """The luma of what the wider image has more: float32 (n,)."""
        whole, outside = self._beyond(self.wider)
        return np.asarray(whole[outside], np.float32)

    def _beyond(self, image: int) -> tuple[Floats, np.ndarray]:
        """The luma of the first or the second image, and where the other one does not show it.

        float32 (H, W) and bool (H, W), which leaves out the pixels next to what both show.
        """
        part, whole = self._pictures[2 - image], self._pictures[image - 1]
        placement = self._placement.inverse() if image == 1 else self._placement
        height, width = whole.grey.shape
        _, valid = placement.onto(part.grey, (width, height))
        strips = np.ones((_STRIP, _STRIP), np.uint8)
        return whole.grey, cv2.erode((~valid).astype(np.uint8), strips) > 0
