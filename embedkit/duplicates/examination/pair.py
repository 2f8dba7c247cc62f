"""The examination of a pair: whether two files are copies, and what was done to which."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any

import cv2
import numpy as np

from embedkit.duplicates.examination.colour import colour_agreement, stroke_shift
from embedkit.duplicates.examination.compare import Agreement, agreement, sharpness
from embedkit.duplicates.examination.extent import Framing
from embedkit.duplicates.examination.picture import (
    DETAIL_AREA,
    Floats,
    Picture,
    Pixels,
    deviation_in,
    picture_of,
    resized,
)
from embedkit.duplicates.examination.placement import (
    Placement,
    best_turn,
    have_one_shape,
    placement_of,
    placements,
    refined,
)
from embedkit.duplicates.examination.quality import Quality, detail_of, quality
from embedkit.images import raw
from embedkit.images.decode import Decoder, alone
from embedkit.results import COPY, DIFFERENT, OPEN, Change, Examination, FileMetadata
from embedkit.search.verification.features import View
from embedkit.search.verification.geometry import aligned

VERSION = 10
"""Raised whenever an examination may come to another end."""

CONSISTENT = (0.6, 0.06)
"""Deviation and unlike share up to which nothing differs but by compression and resampling."""
CONSISTENT_PRINT = (0.6, 0.1)
"""The same for documents and drawings, which may differ in a glyph."""
CONSISTENT_DETAIL = (0.5, 0.06)
"""The same for these at the resolution that shows their print."""
DOUBTFUL = ((0.8, 0.02), (1.1, 0.0005))
"""The same, in two pairs, up to one of which photographs may still be copies: a person decides."""
DOUBTFUL_NOISE, DOUBTFUL_EXPLAINED = 0.25, 0.98
"""The most residual beside texture that such photographs have, and the least explained share."""
DOUBTFUL_PRINT, NOISY_PRINT = (0.75, 0.003), 0.1
"""What documents and drawings may differ by when so much residual shows strong compression."""
NOISE = 0.35
"""Residual beside texture from which on a small difference may go unnoticed."""
NOISY, UNCERTAIN = 0.25, 0.4
"""The residual and the deviation of photographs above which, both at once, it may too."""
NOISE_PRINT = 0.2
"""The same for documents and drawings, and for images of other tones."""
DITHERED = (2.5, 0.1)
"""The same for photographs one of which was reduced to few colours."""
LAID_ON = (0.3, 0.97)
"""Two images show the same scene in the same place up to this unlike share, or from this explained
share of their variance on."""
TONE, CHROMA, SHIFT = 4.0, 7.0, 7.0
"""Levels of luma and of chroma by which tones differ on average, and of luma by which one tone
differs at most, in an image whose brightness or colours were changed."""
OTHER_TONE, OTHER_CHROMA, OTHER_SHIFT = 8.0, 18.0, 16.0
"""The same for plain drawings, which are other ones then."""
RESIZED_SHIFT = 48.0
"""Levels of luma by which the strokes of plain drawings of different sizes may differ: resizing
makes thin strokes lighter."""
HUES = 0.3
"""Share of the coloured pixels of another hue from which on a drawing is another one."""
INSIDE = 0.99
"""Share of a crop that its original shows, but for what its placement is uncertain by."""
SOFTER = 0.5
"""Share of the other's finest contrasts below which an image is strongly blurred."""
EMPTY = 2.5
"""Softness beside the other image from which on one is strongly blurred."""
TEXT_SCALE = 0.45
"""Scale below which a small version of a document no longer shows what the large one says."""
LEAST_SIDE = 48
"""Pixels of the shorter side below which an image shows too little to be sure of."""
LEAST_PRINT = 128
"""Pixels of the shorter side below which nothing is sure of drawings of different sizes."""
ALIKE = 0.85
"""Correlation below which two such images are no copies."""
LEAST_TEXTURE = 0.002
"""Share of textured pixels below which nothing in an image is sure: only its soft tones show."""
FLAT_LEVELS = 6.0
"""Levels by which two images without texture may differ where their tones are."""
SOFT = 15
"""Side of the squares over which these tones are averaged, pixels of a small version."""
LEAST_TONES = 10.0
"""Standard deviation of luma from which on an image without texture is known without colours."""
FEW_COLOURS = 256

_LOOK_AREA = 60_000
_SAME_LUMA = 1.0  # levels, as JPEGs are decoded at a reduced scale
_COLOUR_AREA = 150_000
_BLENDED = 3  # pixels of an edge that may be blended with what is beyond
_LEAST_LEVEL = 96
_TEXTURED = 10.0
_TINY = (12.0, 40.0)
_SHAPES = (1.0, 5 / 4, 4 / 3, 7 / 5, 3 / 2, 16 / 10, 16 / 9, 2.0)
"""Aspect ratios that cameras and screens have."""


@dataclass(frozen=True, eq=False)
class Opened:
    """A file that is examined; it is read when it is needed.

    ``read`` gives its bytes, ``view`` its local features; both raise :class:`UnreadableImage` when
    the file is gone, or holds other bytes by now.
    """

    read: Callable[[], bytes]
    view: Callable[[], View]

    @cached_property
    def picture(self) -> Picture:
        """The image at the working resolution."""
        return picture_of(self.read())

    @property
    def is_open(self) -> bool:
        """Whether the image is decoded already."""
        return "picture" in self.__dict__


def examine(one: Opened, other: Opened) -> Examination:
    """Whether two files are copies of one picture, and what was done to which.

    Raises :class:`UnreadableImage` when one of them cannot be read.
    """
    first, second = one.picture, other.picture
    if first.background and second.background and first.background != second.background:
        second = picture_of(other.read(), background=first.background)
    if _have_same_pixels(one, other):
        return Examination(COPY, same_pixels=True)
    turn = best_turn(first, second)
    found = _Pair(one, other, turn, first.turned(turn), second).examined()
    return _with_the_rest(found, first.facts, second.facts)


def _with_the_rest(found: Examination, first: FileMetadata, second: FileMetadata) -> Examination:
    """An examination that knows of what was not compared: a camera's RAW data, other frames,
    bits beyond the 8th, and embedded data."""
    if found.outcome == DIFFERENT:
        return found
    if first.format in raw.FORMATS or second.format in raw.FORMATS:
        note = found.note or "a camera's RAW data hold more than what was compared"
        found = replace(found, outcome=OPEN, note=note)
    changes = list(found.changes)
    if min(first.frames, second.frames) > 1:
        note = found.note or "only the first frame, page or picture of each was compared"
        found = replace(found, outcome=OPEN, note=note)
    elif first.frames != second.frames:
        changes.append(Change("single", 1 if first.frames < second.frames else 2))
    if first.deep != second.deep:
        changes.append(Change("shallow", 2 if first.deep else 1))
    elif first.deep:
        note = found.note or "only the upper 8 bits of each colour were compared"
        found = replace(found, outcome=OPEN, note=note)
    if first.embedded != second.embedded:
        changes.append(Change("stripped", 2 if first.embedded else 1))
    elif first.embedded:
        note = found.note or "the other data that both files contain were not compared"
        found = replace(found, outcome=OPEN, note=note)
    return replace(found, changes=tuple(changes))


def _have_same_pixels(one: Opened, other: Opened) -> bool:
    """Whether two files decode to the same pixels at full scale, transparency included.

    Only those that look the same are decoded at full scale.
    """
    first, second = one.picture, other.picture
    if first.size != second.size or first.rgb.shape != second.rgb.shape:
        return False
    if float(np.abs(first.grey - second.grey).mean()) > _SAME_LUMA:
        return False
    with alone(prod(first.size)):
        return Decoder(one.read()).pixel_digest() == Decoder(other.read()).pixel_digest()


class _Pair:
    """Two files under examination; the first is turned like the second."""

    def __init__(
        self, one: Opened, other: Opened, turn: int, first: Picture, second: Picture
    ) -> None:
        self.one, self.other, self.turn = one, other, turn
        self.first, self.second = first, second
        self.graphic = first.is_graphic or second.is_graphic
        self.is_flat = is_flat(first) and is_flat(second)
        self.placement = Placement.same_frame()
        self.framing = Framing(first, second, self.placement)

    def examined(self) -> Examination:
        """What the examination comes to."""
        if min(*self.first.rgb.shape[:2], *self.second.rgb.shape[:2]) < LEAST_SIDE:
            return self._tiny()
        if self.is_flat and self._differ_in_tone():
            return Examination(DIFFERENT, note="they differ, though there is little in them")
        look = self._lay()
        if self._shows_something_else(look):
            if self.graphic:
                return Examination(DIFFERENT, note="they show different things")
            placed = self._lay_by_features()
            if isinstance(placed, Examination):
                return placed
            look = placed
        self.framing = Framing(self.first, self.second, self.placement)
        if wider := self.framing.wider:  # what is compared is all of the narrower one
            self.graphic = (self.second if wider == 1 else self.first).is_graphic
        if not self._is_consistent(look):
            return self._disagreeing(look)
        if not self._have_one_outline():
            return Examination(DIFFERENT, note="their transparency differs")
        fine, softer = self._finest()
        if not self._is_consistent(fine):
            return self._disagreeing(fine)
        if self._are_shifted():
            return Examination(
                DIFFERENT, note="each shows something at its edges that the other lacks"
            )
        noise = fine.noise
        if self.first.is_graphic or self.second.is_graphic:
            detailed = self._in_detail()
            if not _is_within(detailed, CONSISTENT_DETAIL if self.graphic else CONSISTENT):
                return self._disagreeing(detailed)
            noise = max(noise, detailed.noise)
        most = NOISE_PRINT if self.graphic or fine.tone > OTHER_TONE else NOISE
        if noise > most and not self.is_flat:
            if fine.tone > OTHER_TONE or not self.placement.is_straight:
                return Examination(DIFFERENT, note="they were scanned or photographed apart")
            return self._copies(fine, softer, "a small difference would not show in them")
        if noise > NOISY and fine.deviation > UNCERTAIN and not self.is_flat:
            return self._copies(fine, softer, "a small difference may not show in them")
        return self._copies(fine, softer)

    def _is_consistent(self, found: Agreement) -> bool:
        """Whether nothing differs but by compression and resampling."""
        if self.graphic:
            return _is_within(found, CONSISTENT_PRINT)
        return _is_within(found, CONSISTENT)

    # -- laying one on the other -------------------------------------------------------------------

    def _lay(self) -> Agreement:
        """Find where the second lies in the first; how they agree there at a low resolution."""
        best: Agreement | None = None
        for placement in placements(self.first, self.second):
            found = self._agreement(placement, _LOOK_AREA)
            if best is None or (found.unlike, found.deviation) < (best.unlike, best.deviation):
                self.placement, best = placement, found
            if self._is_consistent(found):
                break
        assert best is not None
        return best

    def _agreement(self, placement: Placement, area: int) -> Agreement:
        return _agreement(self.first.grey, self.second.grey, placement, area)

    def _finest(self) -> tuple[Agreement, int]:
        """The agreement at the finest resolution that both have, and which one is blurred: 1 or 2.

        A blurred copy agrees at a coarser resolution only, and lacks fine contrasts everywhere.
        """
        area = min(self.first.grey.size, self.second.grey.size)
        first = self._agreement(self.placement, area)
        if self._is_consistent(first):
            return first, 0
        here, there, _ = _laid(self.first.grey, self.second.grey, self.placement, area)
        contrasts = sharpness(here), sharpness(there)
        if self.framing.wider or min(contrasts) > SOFTER * max(contrasts):
            return first, 0
        while area > 4 * _LEAST_LEVEL**2:
            area //= 4
            found = self._agreement(self.placement, area)
            if self._is_consistent(found):
                return found, 1 if contrasts[0] < contrasts[1] else 2
        return first, 0

    def _have_one_outline(self) -> bool:
        """Whether the transparency of both agrees, if both have any.

        On one background a part of the same colour does not show.
        """
        one, other = self.first.alpha, self.second.alpha
        if one is None or other is None:
            return True
        outlines = one.astype(np.float32), other.astype(np.float32)
        found = _agreement(*outlines, self.placement, min(one.size, other.size))
        return _is_within(found, CONSISTENT_PRINT)

    def _in_detail(self) -> Agreement:
        """The agreement of documents and drawings at a resolution that shows their print."""
        colour = self.first.background
        pictures = [picture_of(item.read(), DETAIL_AREA, colour) for item in (self.one, self.other)]
        one, other = pictures[0].turned(self.turn), pictures[1]
        area = min(one.grey.size, other.grey.size)
        return _agreement(one.grey, other.grey, self.placement, area)

    # -- what does not agree -----------------------------------------------------------------------

    def _disagreeing(self, found: Agreement) -> Examination:
        where = _place_name(found.where)
        if self._are_shifted():
            return Examination(DIFFERENT, note=f"they differ {where}")
        if self.graphic:
            if _is_within(found, DOUBTFUL_PRINT) and found.noise >= NOISY_PRINT:
                return Examination(OPEN, note=f"they differ slightly {where}")
            return Examination(DIFFERENT, note=f"they differ {where}")
        quantised = self._quantised()
        if quantised and _is_within(found, DITHERED):
            few = Change("quantised", quantised)
            return Examination(OPEN, (few,), f"its colours are too few to compare it {where}")
        if found.overlaid:
            overlaid = Change("overlaid", found.overlaid)
            return Examination(OPEN, (overlaid,), where)
        if self._may_agree(found):
            return Examination(OPEN, note=f"they differ slightly {where}")
        return Examination(DIFFERENT, note=f"they differ {where}")

    @staticmethod
    def _may_agree(found: Agreement) -> bool:
        """Whether photographs that differ somewhere may be copies all the same."""
        is_doubtful = any(_is_within(found, limits) for limits in DOUBTFUL)
        return (
            is_doubtful and found.noise <= DOUBTFUL_NOISE and found.explained >= DOUBTFUL_EXPLAINED
        )

    def _are_shifted(self) -> bool:
        """Whether each shows something at its edges that the other does not, as bursts do.

        A crop shows nothing that its original does not.
        """
        return self.placement.is_shift or max(self.placement.shares) < INSIDE

    @staticmethod
    def _shows_something_else(found: Agreement) -> bool:
        return found.unlike > LAID_ON[0] and found.explained < LAID_ON[1]

    def _lay_by_features(self) -> Agreement | Examination:
        """Lay photographs on each other by their local features, which no crop or turn does."""
        self.turn, self.first = 0, self.one.picture
        one, other = self.one.view().features, self.other.view().features
        _, alignment = aligned(other, one)
        if alignment is None:
            return Examination(DIFFERENT, note="they show different things")
        start = placement_of(alignment.homography, one.size, other.size)
        self.placement = refined(self.first, self.second, start, cv2.MOTION_HOMOGRAPHY) or start
        found = self._agreement(self.placement, _LOOK_AREA)
        if self._shows_something_else(found):
            note = "they show different things, or the same from elsewhere"
            return Examination(DIFFERENT, note=note)
        return found

    def _differ_in_tone(self) -> bool:
        """Whether two images without texture differ in what they have instead: soft tones.

        The colours of one may be gone, if there are tones enough to know it by without them.
        """
        both = self.first, self.second
        faded = bool(_without_colour(*both)) and self.first.grey.std() > LEAST_TONES
        height, width = self.second.small.shape
        softened = (
            cv2.blur(resized(image.astype(np.float32), (width, height)), (SOFT, SOFT))
            for image in (item.grey if faded else item.rgb for item in both)
        )
        return float(np.abs(np.subtract(*softened)).max()) > FLAT_LEVELS

    def _tiny(self) -> Examination:
        """Images of a few pixels, whose texture is that of a window."""
        apart = self._largest_difference()
        if self.turn == 0 and self.first.size == self.second.size and apart <= _TINY[0]:
            return Examination(COPY)
        if apart > _TINY[1] and (self.graphic or not have_one_shape(self.first, self.second)):
            return Examination(DIFFERENT, note="they differ")
        if self._likeness() < ALIKE:
            return Examination(DIFFERENT, note="they show different things")
        return Examination(OPEN, self._shape(), "they are too small to be compared")

    def _shape(self) -> tuple[Change, ...]:
        """What was done to the shape of images of which no more can be said."""
        changes = []
        if self.turn:
            changes.append(Change("mirrored" if self.turn in _MIRRORS else "rotated", 0))
        if not have_one_shape(self.first, self.second):
            changes.append(Change("stretched", self._misshapen(None)))
        return tuple(changes)

    def _largest_difference(self) -> float:
        """Levels by which 3 x 3 pixels differ at most, at the most pixels that both have."""
        one, other = self._at_one_size()
        return float(np.abs(cv2.blur(one - other, (3, 3))).max())

    def _likeness(self) -> float:
        """The correlation of both, at the most pixels that both have; 1 where there is none."""
        one, other = (image.mean(axis=2).ravel() for image in self._at_one_size())
        if min(one.std(), other.std()) < 1:
            return 1.0
        return float(np.corrcoef(one, other)[0, 1])

    def _at_one_size(self) -> tuple[Floats, Floats]:
        """Both images in colour, float32 (H, W, 3), at the most pixels that both have."""
        height, width = np.minimum(self.first.rgb.shape[:2], self.second.rgb.shape[:2])
        one, other = (
            resized(item.rgb.astype(np.float32), (int(width), int(height)))
            for item in (self.first, self.second)
        )
        return one, other

    # -- what was done to which --------------------------------------------------------------------

    def _copies(self, fine: Agreement, softer: int, doubt: str = "") -> Examination:
        """What was done to which of two that agree; ``doubt`` is why they may be no copies."""
        colour = colour_agreement(
            *_laid(self.first.rgb, self.second.rgb, self.placement, _COLOUR_AREA)
        )
        faded = _without_colour(self.first, self.second)
        if not faded and (colour.deviation > 1 or (self.graphic and colour.turned > HUES)):
            return Examination(DIFFERENT, note="a part of it has another colour")
        moved = fine.tone, colour.moved, max(fine.shift, self._stroke_shift())
        most = (OTHER_TONE, OTHER_CHROMA, OTHER_SHIFT if self.graphic else np.inf)
        if (faded or _exceeds(moved, most)) and (self.first.is_plain or self.second.is_plain):
            return Examination(DIFFERENT, note="they are drawn in other colours")
        recoloured = _exceeds(moved, (TONE, CHROMA, SHIFT))
        judged = self._judged()
        changed = self._changed(judged)
        changes = [framed] if (framed := self.framing.change) else []
        if self.turn:
            changes.append(Change("mirrored" if self.turn in _MIRRORS else "rotated", changed))
        if not self.placement.is_straight:
            changes.append(Change("reframed", changed))
        if (
            self.framing.is_whole
            and not self.framing.wider
            and not have_one_shape(self.first, self.second)
        ):
            changes.append(Change("stretched", changed or self._misshapen(judged)))
        if faded:
            changes.append(Change("grey", faded))
        elif recoloured:
            changes.append(Change("recoloured", changed))
        if judged and not softer and not 1 / EMPTY < judged.softness < EMPTY:
            softer = 2 if judged.softness > 1 else 1
        if softer:
            changes.append(Change("blurred", softer))
        if quantised := self._quantised():
            # A drawing may have had few colours before lossy compression gave it more.
            full = (self.one, self.other)[2 - quantised].picture.facts
            is_reduced = not self.graphic or full.is_lossless
            changes.append(Change("quantised", quantised if is_reduced else 0))
        if not changes and judged and judged.history.retouched and not judged.enlarged:
            changes.append(Change("retouched", changed))
        clear = [item.alpha is not None for item in (self.first, self.second)]
        if clear[0] != clear[1]:
            changes.append(Change("flattened", 2 if clear[0] else 1))
        note = doubt or self._doubt(is_cropped=any(one.name == "cropped" for one in changes))
        return Examination(
            OPEN if note else COPY,
            tuple(changes),
            note,
            resolution=judged.resolution if judged else None,
            derived=judged.history.derived if judged else 0,
            enlarged=judged.enlarged if judged else 0,
        )

    def _stroke_shift(self) -> float:
        """Levels by which the strokes of plain drawings differ more than by resizing; else 0."""
        if not (self.first.is_plain and self.second.is_plain):
            return 0.0
        area = min(self.first.grey.size, self.second.grey.size)
        here, there, valid = _laid(self.first.grey, self.second.grey, self.placement, area)
        shift = stroke_shift(here, there) if valid.all() else 0.0
        return shift if self.first.size == self.second.size or shift > RESIZED_SHIFT else 0.0

    def _quantised(self) -> int:
        """Which of the two has a palette of few colours: 1, 2, or 0 for none or both."""
        few = [
            0 < (item.picture.facts.colours or 0) <= FEW_COLOURS for item in (self.one, self.other)
        ]
        if few[0] == few[1]:
            return 0
        return 1 if few[0] else 2

    def _judged(self) -> Quality | None:
        """How the two compare as files, if they show the same frame."""
        if not self.framing.is_whole:
            return None
        facts = self.one.picture.facts, self.other.picture.facts
        with alone(max(prod(item.picture.size) for item in (self.one, self.other))):
            one = detail_of(self.one.read(), facts[0], self.turn)
            return quality(one, detail_of(self.other.read(), facts[1]))

    def _changed(self, judged: Quality | None) -> int:
        """Which of the two was made from the other, as far as metadata and compression tell."""
        camera = [item.picture.facts.is_from_camera for item in (self.one, self.other)]
        if camera[0] != camera[1]:
            return 2 if camera[0] else 1
        return judged.history.derived if judged else 0

    def _misshapen(self, judged: Quality | None) -> int:
        """Which of two images of other shapes was stretched: one of an unusual shape, if any."""
        usual = [_is_usual_shape(item.size) for item in (self.first, self.second)]
        if usual[0] != usual[1]:
            return 2 if usual[0] else 1
        if judged is None or 0.95 < judged.resolution < 1.05:
            return 0
        return 2 if judged.resolution < 1 else 1

    def _doubt(self, is_cropped: bool) -> str:
        """Why two that agree may be no copies all the same; empty if nothing speaks for it."""
        if self.is_flat:
            return "there is too little in them to be sure"
        shown, shows = self.placement.shares
        if is_cropped and self.framing.has_caption:
            return "the larger one may have a caption"
        if self.graphic:
            is_resized = self.first.size != self.second.size
            if is_resized and min(*self.first.size, *self.second.size) < LEAST_PRINT:
                return "they are too small to show a small difference"
            scale = (self.first.size[0] * self.first.size[1] * shown) / (
                self.second.size[0] * self.second.size[1] * shows
            )
            if min(scale, 1 / scale) < TEXT_SCALE**2:
                return "the smaller one is too small to show what the larger one says"
            if is_cropped:
                return "one of them shows more"
        return ""


_MIRRORS = (1, 2, 4, 7)


def _is_within(found: Agreement, limits: tuple[float, float]) -> bool:
    return found.deviation <= limits[0] and found.unlike <= limits[1]


def _frame(one: np.ndarray, other: np.ndarray, placement: Placement, area: int) -> tuple[int, int]:
    """Width and height at which two images are compared, in the frame of the second.

    Where both show the same frame, one may be stretched: then it has to be reduced the other way.
    """
    height, width = other.shape[:2]
    if placement.is_identity:
        height, width = min(height, one.shape[0]), min(width, one.shape[1])
    scale = min(1.0, (area / (height * width)) ** 0.5)
    return max(8, round(width * scale)), max(8, round(height * scale))


def _laid(
    one: Pixels | Floats, other: Pixels | Floats, placement: Placement, area: int
) -> tuple[Any, Any, np.ndarray]:
    """Both images in one frame, and where they can be compared: bool (H, W)."""
    size = _frame(one, other, placement, area)
    here, valid = placement.onto(one, size)
    if not placement.is_identity:
        edges = np.ones((2 * _BLENDED + 1, 2 * _BLENDED + 1), np.uint8)
        inner = cv2.erode(
            valid.astype(np.uint8), edges, borderType=cv2.BORDER_CONSTANT, borderValue=0
        )
        valid = inner > 0
    return here, resized(other, size), valid


def _agreement(one: Floats, other: Floats, placement: Placement, area: int) -> Agreement:
    here, there, valid = _laid(one, other, placement, area)
    return agreement(here, there, None if valid.all() else valid)


def _exceeds(values: tuple[float, ...], limits: tuple[float, ...]) -> bool:
    return any(value > limit for value, limit in zip(values, limits, strict=True))


def is_flat(picture: Picture) -> bool:
    """Whether an image has hardly any texture: nothing that it would be known by."""
    return bool((deviation_in(picture.grey, 7) > _TEXTURED).mean() < LEAST_TEXTURE)


def _without_colour(one: Picture, other: Picture) -> int:
    """Which of the two lacks the colours that the other one has: 1, 2, or 0."""
    if one.has_colour == other.has_colour:
        return 0
    return 2 if one.has_colour else 1


def _is_usual_shape(size: tuple[int, int]) -> bool:
    aspect = max(size) / min(size)
    return any(abs(np.log(aspect / usual)) < 0.015 for usual in _SHAPES)


def _place_name(where: tuple[float, float]) -> str:
    """A place in an image, given as shares of width and height, in words."""
    across = "left" if where[0] < 1 / 3 else "right" if where[0] > 2 / 3 else ""
    down = "top" if where[1] < 1 / 3 else "bottom" if where[1] > 2 / 3 else ""
    if not across and not down:
        return "in the middle"
    return f"at the {' '.join(filter(None, (down, across)))}"
