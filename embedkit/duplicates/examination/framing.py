"""The framing of two aligned images: the areas that only one of them shows."""

from functools import cached_property

import cv2
import numpy as np

from embedkit.duplicates.examination.picture import Floats, Picture
from embedkit.duplicates.examination.placement import Placement
from embedkit.results import Change

MIN_WHOLE_SHARE = 0.97
"""Minimum share of an image that counts as all of it."""
MIN_CAPTION_SHARE = 0.5
"""Minimum share of one colour at which the additional area of a larger image may be a caption."""

_STRIP_SIDE = 5  # pixels: margins of up to (5 - 1) / 2 pixels are not counted as shown
_MAX_PLAIN_STD = 12.0  # levels of standard deviation of a plain frame or background
_MAX_UNIFORM_STD = 1.5  # levels of standard deviation of an area in one colour
_MIN_INK_CONTRAST = 60.0  # levels by which ink differs from its background
_MIN_INK_PIXELS = 12  # minimum number of ink pixels of text
_INSIDE_SIDES = 19, 11  # pixels: dilations whose difference is a band inside the shared area
_MIN_CONTINUED_SHARE = 0.5  # minimum share of that band if the plain area continues inside
_SHADE_LEVELS = 8.0  # width, in levels, of one colour


class Framing:
    """The areas of each of two images that the other one does not show.

    ``placement`` maps the second image to the first.
    """

    def __init__(self, first: Picture, second: Picture, placement: Placement) -> None:
        self._pictures = first, second
        self._placement = placement

    @property
    def is_whole(self) -> bool:
        """Whether each image shows the other completely, except for at most 3 % of its area."""
        return min(self._placement.shares) >= MIN_WHOLE_SHARE

    @cached_property
    def wider_side(self) -> int:
        """Which of the two shows the other completely and more: 1, 2, or 0 for neither.

        Any strip of text at an edge counts as more, however small its share of the image is.
        """
        if self._placement.is_identity:
            return 0
        of_first, of_second = self._placement.shares  # of each image that both show
        if max(of_first, of_second) < MIN_WHOLE_SHARE:
            return 0
        if not self.is_whole:
            return 1 if of_second > of_first else 2
        beyond = [bool(self._beyond(image)[1].any()) for image in (1, 2)]
        return beyond.index(True) + 1 if beyond[0] != beyond[1] else 0

    @property
    def change(self) -> Change | None:
        """The change that explains why one shows more: it was framed, or the other was cropped.
        None if neither shows more."""
        if not self.wider_side:
            return None
        if self._is_framed:
            return Change("framed", self.wider_side)
        return Change("cropped", 3 - self.wider_side)

    @property
    def has_caption(self) -> bool:
        """Whether the additional area of the wider image may be a caption: something on one
        colour."""
        tones = self._tones
        if not len(tones) or self._is_plain:
            return False
        shades = np.bincount((tones / _SHADE_LEVELS).astype(int), minlength=2)
        return bool((shades[1:] + shades[:-1]).max() > MIN_CAPTION_SHARE * len(tones))

    @property
    def _is_framed(self) -> bool:
        """Whether the additional area of the wider image is nothing but a frame.

        An added frame has a uniform colour that seldom occurs in the image. A plain background
        continues inside the shared area.
        """
        if not self._is_plain:
            return False
        whole, outside = self._beyond(self.wider_side)
        outer, inner = (
            cv2.dilate(outside.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
            for side in _INSIDE_SIDES
        )
        inside = whole[outer & ~inner]
        if not len(inside) or self._tones.std() <= _MAX_UNIFORM_STD:
            return True
        is_similar = np.abs(inside - np.median(self._tones)) < _MAX_PLAIN_STD
        return bool(is_similar.mean() <= _MIN_CONTINUED_SHARE)

    @property
    def _is_plain(self) -> bool:
        """Whether the additional area of the wider image has one colour and no text."""
        tones = self._tones
        if not len(tones) or tones.std() >= _MAX_PLAIN_STD:
            return False
        return bool((np.abs(tones - np.median(tones)) > _MIN_INK_CONTRAST).sum() < _MIN_INK_PIXELS)

    @property
    def _tones(self) -> Floats:
        """The luma of the additional area of the wider image: float32 (n,)."""
        whole, outside = self._beyond(self.wider_side)
        return np.asarray(whole[outside], np.float32)

    def _beyond(self, image: int) -> tuple[Floats, np.ndarray]:
        """Return the luma of the first or second image, and where the other does not show it.

        They are float32 (H, W) and bool (H, W); the mask excludes the pixels next to the shared
        area.
        """
        part, whole = self._pictures[2 - image], self._pictures[image - 1]
        placement = self._placement.inverse() if image == 1 else self._placement
        height, width = whole.grey.shape
        _, valid = placement.warp_first(part.grey, (width, height))
        strips = np.ones((_STRIP_SIDE, _STRIP_SIDE), np.uint8)
        return whole.grey, cv2.erode((~valid).astype(np.uint8), strips) > 0
