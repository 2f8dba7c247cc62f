"""The examination of a pair: whether two files are copies, and which of them was changed."""

from dataclasses import replace
from math import prod

import cv2
import numpy as np

from embedkit.duplicates.examination.aligned import (
    AlignedPair,
    LazyImage,
    agreement_of,
    in_one_frame,
)
from embedkit.duplicates.examination.changes import (
    OTHER_TONE,
    describe_copy,
    shape_changes,
)
from embedkit.duplicates.examination.compare import Agreement, sharpness
from embedkit.duplicates.examination.framing import Framing
from embedkit.duplicates.examination.picture import DETAIL_AREA, load_picture, resize
from embedkit.duplicates.examination.placement import (
    best_orientation,
    candidate_placements,
    have_same_aspect,
    placement_from_homography,
    refine,
)
from embedkit.images import raw
from embedkit.images.decode import Decoder, exclusive
from embedkit.results import COPY, DIFFERENT, OPEN, Change, Examination, FileMetadata
from embedkit.search.verification.geometry import aligned

VERSION = 10
"""Raise this whenever an examination may have another result."""

CONSISTENT = (0.6, 0.06)
"""Maximum deviation and mismatch that compression and resampling explain."""
CONSISTENT_GRAPHIC = (0.6, 0.1)
"""The same for documents and drawings, which may differ in a single glyph."""
CONSISTENT_DETAIL = (0.5, 0.06)
"""The same for documents and drawings at a resolution that shows their print."""
DOUBTFUL = ((0.8, 0.02), (1.1, 0.0005))
"""Two such limits: within either of them, photographs may still be copies and are for review."""
DOUBTFUL_NOISE, DOUBTFUL_EXPLAINED = 0.25, 0.98
"""Maximum noise and minimum explained share of the variance of such photographs."""
DOUBTFUL_GRAPHIC, NOISY_GRAPHIC = (0.75, 0.003), 0.1
"""Such a limit for documents and drawings, and the minimum noise, which indicates strong
compression."""
MAX_NOISE = 0.35
"""Noise above which a small difference may go unnoticed."""
NOISY, UNCERTAIN = 0.25, 0.4
"""Noise and deviation of photographs; if both are exceeded, a small difference may go unnoticed
too."""
NOISY_FINE, COARSE_STEP = 0.15, 7.0
"""The noise in place of :data:`NOISY` unless one of the files is a JPEG with at least this mean
quantisation step (quality 78 and less). Without such compression, the noise may come from the
sensor, and differ in each frame."""
MAX_NOISE_GRAPHIC = 0.2
""":data:`MAX_NOISE` for documents, drawings, and images with other tones."""
DITHERED = (2.5, 0.1)
"""Limits for photographs of which one was reduced to few colours."""
SAME_SCENE = (0.3, 0.97)
"""Maximum mismatch, or minimum explained share of the variance, of two images that show the same
scene in the same position."""
MIN_SHOWN_SHARE = 0.99
"""Minimum share of a crop that its original shows, given the uncertainty of the placement."""
MAX_SHARPNESS_RATIO = 0.5
"""Maximum sharpness, relative to the other image, of a strongly blurred image."""
MIN_SIDE = 48
"""Shorter side, pixels, below which images are compared as a whole."""
MIN_CORRELATION = 0.85
"""Correlation below which such small images are not copies."""
MAX_FLAT_DIFFERENCE = 6.0
"""Levels by which the soft tones of two images without texture may differ."""
SOFT_SIDE = 15
"""Side of the squares over which these tones are averaged, pixels of a small version."""
MIN_FLAT_STD = 10.0
"""Minimum standard deviation of luma at which images without texture are compared without
colours."""

_LOW_AREA = 60_000  # pixels of the resolution at which images are aligned
_SAME_LUMA = 1.0  # levels: JPEGs are decoded at a reduced scale
_MIN_LEVEL_SIDE = 96  # pixels of the coarsest resolution at which blurred images are compared
_TINY_SAME, _TINY_DIFFERENT = 12.0, 40.0  # levels of the largest difference of small images


def examine(one: LazyImage, other: LazyImage) -> Examination:
    """Return whether two files are copies of one picture, with the changes of either file.

    Raises :class:`UnreadableImage` when one of them cannot be read.
    """
    first, second = one.picture, other.picture
    if first.background and second.background and first.background != second.background:
        second = load_picture(other.read(), background=first.background)
    if _have_same_pixels(one, other):
        return Examination(COPY, same_pixels=True)
    orientation = best_orientation(first, second)
    pair = AlignedPair(one, other, orientation, first.oriented(orientation), second)
    return _with_uncompared_data(_Comparison(pair).examine(), first.metadata, second.metadata)


def _with_uncompared_data(
    found: Examination, first: FileMetadata, second: FileMetadata
) -> Examination:
    """Return an examination that takes into account the data that is not compared.

    It is a camera's RAW data, further frames, bits beyond the 8th, and embedded data.
    """
    if found.outcome == DIFFERENT:
        return found
    if first.format in raw.FORMATS or second.format in raw.FORMATS:
        note = found.note or "a camera's RAW data contains more data than was compared"
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
        note = found.note or "the other data in both files was not compared"
        found = replace(found, outcome=OPEN, note=note)
    return replace(found, changes=tuple(changes))


def _have_same_pixels(one: LazyImage, other: LazyImage) -> bool:
    """Return whether two files decode to the same pixels at full scale, including transparency.

    Only images that look the same are decoded at full scale.
    """
    first, second = one.picture, other.picture
    if first.size != second.size or first.rgb.shape != second.rgb.shape:
        return False
    if float(np.abs(first.grey - second.grey).mean()) > _SAME_LUMA:
        return False
    with exclusive(prod(first.size)):
        return Decoder(one.read()).pixel_digest() == Decoder(other.read()).pixel_digest()


class _Comparison:
    """The comparison of a pair with different pixels."""

    def __init__(self, pair: AlignedPair) -> None:
        self._pair = pair

    def examine(self) -> Examination:
        """Align the images, compare them, and return the result."""
        pair = self._pair
        if min(*pair.first.rgb.shape[:2], *pair.second.rgb.shape[:2]) < MIN_SIDE:
            return self._compare_tiny()
        if pair.is_flat and self._differ_in_tone():
            return Examination(DIFFERENT, note="they differ, though they show little")
        found = self._align()
        if _shows_something_else(found):
            if pair.is_graphic:
                return Examination(DIFFERENT, note="they show different things")
            by_features = self._align_by_features()
            if isinstance(by_features, Examination):
                return by_features
            found = by_features
        pair.framing = Framing(pair.first, pair.second, pair.placement)
        if wider_side := pair.framing.wider_side:  # only the area of the narrower image is compared
            pair.is_graphic = (pair.second if wider_side == 1 else pair.first).is_graphic
        if not self._is_consistent(found):
            return self._disagreement(found)
        if not self._have_same_outline():
            return Examination(DIFFERENT, note="their transparency differs")
        fine, blurred_side = self._finest_agreement()
        if not self._is_consistent(fine):
            return self._disagreement(fine)
        if self._are_shifted():
            return Examination(
                DIFFERENT, note="each shows something at its edges that the other does not"
            )
        noise = fine.noise
        if pair.first.is_graphic or pair.second.is_graphic:
            detailed = self._detailed_agreement()
            if not _is_within(detailed, CONSISTENT_DETAIL if pair.is_graphic else CONSISTENT):
                return self._disagreement(detailed)
            noise = max(noise, detailed.noise)
        has_other_tones = fine.tone > OTHER_TONE
        max_noise = MAX_NOISE_GRAPHIC if pair.is_graphic or has_other_tones else MAX_NOISE
        if noise > max_noise and not pair.is_flat:
            if has_other_tones or not pair.placement.is_straight:
                return Examination(DIFFERENT, note="they were scanned or photographed separately")
            doubt = "a small difference would not show in them"
            return describe_copy(pair, fine, blurred_side, doubt)
        step = max(item.picture.metadata.step for item in (pair.one, pair.other))
        noisy = NOISY if step >= COARSE_STEP else NOISY_FINE
        if noise > noisy and fine.deviation > UNCERTAIN and not pair.is_flat:
            doubt = "a small difference may not show in them"
            return describe_copy(pair, fine, blurred_side, doubt)
        return describe_copy(pair, fine, blurred_side)

    def _is_consistent(self, found: Agreement) -> bool:
        """Return whether compression and resampling explain all differences."""
        return _is_within(found, CONSISTENT_GRAPHIC if self._pair.is_graphic else CONSISTENT)

    # -- alignment ---------------------------------------------------------------------------------

    def _align(self) -> Agreement:
        """Find where the second image lies in the first; return the agreement at low resolution."""
        pair = self._pair
        best: Agreement | None = None
        for placement in candidate_placements(pair.first, pair.second):
            found = agreement_of(pair.first.grey, pair.second.grey, placement, _LOW_AREA)
            if best is None or (found.mismatch, found.deviation) < (best.mismatch, best.deviation):
                pair.placement, best = placement, found
            if self._is_consistent(found):
                break
        assert best is not None
        return best

    def _align_by_features(self) -> Agreement | Examination:
        """Align photographs by local features, which crops and rotations do not change."""
        pair = self._pair
        pair.orientation, pair.first = 0, pair.one.picture
        one, other = pair.one.view().features, pair.other.view().features
        _, alignment = aligned(other, one)
        if alignment is None:
            return Examination(DIFFERENT, note="they show different things")
        start = placement_from_homography(alignment.homography, one.size, other.size)
        pair.placement = refine(pair.first, pair.second, start, cv2.MOTION_HOMOGRAPHY) or start
        found = pair.agreement(_LOW_AREA)
        if _shows_something_else(found):
            note = "they show different things, or the same from another position"
            return Examination(DIFFERENT, note=note)
        return found

    def _finest_agreement(self) -> tuple[Agreement, int]:
        """Return the agreement at the finest common resolution, and which image is blurred: 0 to 2.

        A blurred copy agrees at a coarser resolution only, and has weak fine contrasts everywhere.
        """
        pair = self._pair
        area = pair.common_area
        finest = pair.agreement(area)
        if self._is_consistent(finest):
            return finest, 0
        here, there, _ = in_one_frame(pair.first.grey, pair.second.grey, pair.placement, area)
        contrasts = sharpness(here), sharpness(there)
        if pair.framing.wider_side or min(contrasts) > MAX_SHARPNESS_RATIO * max(contrasts):
            return finest, 0
        while area > 4 * _MIN_LEVEL_SIDE**2:
            area //= 4
            found = pair.agreement(area)
            if self._is_consistent(found):
                return found, 1 if contrasts[0] < contrasts[1] else 2
        return finest, 0

    def _have_same_outline(self) -> bool:
        """Return whether the transparency of both agrees, if both have any.

        On one background, a part of the same colour is invisible.
        """
        one, other = self._pair.first.alpha, self._pair.second.alpha
        if one is None or other is None:
            return True
        outlines = one.astype(np.float32), other.astype(np.float32)
        found = agreement_of(*outlines, self._pair.placement, min(one.size, other.size))
        return _is_within(found, CONSISTENT_GRAPHIC)

    def _detailed_agreement(self) -> Agreement:
        """Return the agreement of documents and drawings at a resolution that shows their print."""
        pair = self._pair
        colour = pair.first.background
        pictures = [
            load_picture(image.read(), DETAIL_AREA, colour) for image in (pair.one, pair.other)
        ]
        one, other = pictures[0].oriented(pair.orientation), pictures[1]
        area = min(one.grey.size, other.grey.size)
        return agreement_of(one.grey, other.grey, pair.placement, area)

    # -- differences -------------------------------------------------------------------------------

    def _disagreement(self, found: Agreement) -> Examination:
        """Return the examination of images that differ beyond compression and resampling."""
        where = _place_name(found.where)
        if self._are_shifted():
            return Examination(DIFFERENT, note=f"they differ {where}")
        if self._pair.is_graphic:
            if _is_within(found, DOUBTFUL_GRAPHIC) and found.noise >= NOISY_GRAPHIC:
                return Examination(OPEN, note=f"they differ slightly {where}")
            return Examination(DIFFERENT, note=f"they differ {where}")
        quantised = self._pair.quantised_side
        if quantised and _is_within(found, DITHERED):
            few = Change("quantised", quantised)
            return Examination(OPEN, (few,), f"it has too few colours for a comparison {where}")
        if found.overlaid:
            return Examination(OPEN, (Change("overlaid", found.overlaid),), where)
        if _may_agree(found):
            return Examination(OPEN, note=f"they differ slightly {where}")
        return Examination(DIFFERENT, note=f"they differ {where}")

    def _are_shifted(self) -> bool:
        """Return whether each shows something at its edges that the other does not, as bursts do.

        A crop shows nothing that its original does not.
        """
        placement = self._pair.placement
        return placement.is_shift or max(placement.shares) < MIN_SHOWN_SHARE

    def _differ_in_tone(self) -> bool:
        """Return whether two images without texture differ in their soft tones.

        Colours are ignored if one image has none and the tones alone are distinctive enough.
        """
        both = self._pair.first, self._pair.second
        is_faded = bool(self._pair.colourless_side) and both[0].grey.std() > MIN_FLAT_STD
        height, width = both[1].small.shape
        softened = (
            cv2.blur(resize(image.astype(np.float32), (width, height)), (SOFT_SIDE, SOFT_SIDE))
            for image in (item.grey if is_faded else item.rgb for item in both)
        )
        return float(np.abs(np.subtract(*softened)).max()) > MAX_FLAT_DIFFERENCE

    # -- images of a few pixels --------------------------------------------------------------------

    def _compare_tiny(self) -> Examination:
        """Compare images that are as small as a single window of larger ones."""
        pair = self._pair
        one, other = pair.at_common_size()
        difference = float(np.abs(cv2.blur(one - other, (3, 3))).max())
        same_size = pair.first.size == pair.second.size
        if pair.orientation == 0 and same_size and difference <= _TINY_SAME:
            return Examination(COPY)
        if difference > _TINY_DIFFERENT and (
            pair.is_graphic or not have_same_aspect(pair.first, pair.second)
        ):
            return Examination(DIFFERENT, note="they differ")
        if _correlation(one, other) < MIN_CORRELATION:
            return Examination(DIFFERENT, note="they show different things")
        return Examination(OPEN, shape_changes(pair), "they are too small to be compared")


def _shows_something_else(found: Agreement) -> bool:
    return found.mismatch > SAME_SCENE[0] and found.explained < SAME_SCENE[1]


def _may_agree(found: Agreement) -> bool:
    """Return whether photographs that differ somewhere may be copies after all."""
    is_doubtful = any(_is_within(found, limits) for limits in DOUBTFUL)
    return is_doubtful and found.noise <= DOUBTFUL_NOISE and found.explained >= DOUBTFUL_EXPLAINED


def _is_within(found: Agreement, limits: tuple[float, float]) -> bool:
    return found.deviation <= limits[0] and found.mismatch <= limits[1]


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Return the correlation of two images (H, W, 3) in grey; 1 if one of them is uniform."""
    grey, other_grey = (image.mean(axis=2).ravel() for image in (one, other))
    if min(grey.std(), other_grey.std()) < 1:
        return 1.0
    return float(np.corrcoef(grey, other_grey)[0, 1])


def _place_name(where: tuple[float, float]) -> str:
    """Return a position in an image, given as shares of width and height, in words."""
    across = "left" if where[0] < 1 / 3 else "right" if where[0] > 2 / 3 else ""
    down = "top" if where[1] < 1 / 3 else "bottom" if where[1] > 2 / 3 else ""
    if not across and not down:
        return "in the middle"
    return f"at the {' '.join(filter(None, (down, across)))}"
