"""The changes between two copies, and which image was changed."""

from math import prod

import numpy as np

from embedkit.duplicates.examination.aligned import AlignedPair, in_one_frame
from embedkit.duplicates.examination.colour import compare_colours, stroke_shift
from embedkit.duplicates.examination.compare import Agreement
from embedkit.duplicates.examination.placement import have_same_aspect
from embedkit.duplicates.examination.quality import Quality, compare_quality, load_detail
from embedkit.images.decode import exclusive
from embedkit.results import COPY, DIFFERENT, OPEN, Change, Examination

TONE, CHROMA, SHIFT = 4.0, 7.0, 7.0
"""Levels of mean luma difference, mean chroma difference and largest luma difference of one tone
above which brightness or colours count as changed."""
OTHER_TONE, OTHER_CHROMA, OTHER_SHIFT = 8.0, 18.0, 16.0
"""The same limits for plain drawings; above them, the drawings are different."""
RESIZED_SHIFT = 48.0
"""Levels of luma by which the strokes of plain drawings of different sizes may differ: resizing
makes thin strokes lighter."""
MAX_HUE_CHANGED = 0.3
"""Share of the coloured pixels with another hue above which drawings are different."""
STRONGLY_BLURRED = 2.5
"""Minimum ratio of oversampling of a strongly blurred image."""
MIN_TEXT_SCALE = 0.45
"""Scale below which a small version of a document does not show what the large one says."""
MIN_RESIZED_SIDE = 128
"""Shorter side, pixels, below which a resized copy is always for review: that of the smaller of two
drawings, that of the larger of two photographs."""

_COLOUR_AREA = 150_000
_MIRRORS = (1, 2, 4, 7)
_ASPECT_RATIOS = (1.0, 5 / 4, 4 / 3, 7 / 5, 3 / 2, 16 / 10, 16 / 9, 2.0)
"""Aspect ratios of cameras and screens."""


def describe_copy(
    pair: AlignedPair, fine: Agreement, blurred_side: int, uncertainty: str = ""
) -> Examination:
    """Return the examination of two images that agree: the changes, and which image has them.

    ``uncertainty`` is the reason why they may not be copies after all. Images with different
    colours are different.
    """
    colourless_side = pair.colourless_side
    recoloured = _recoloured(pair, fine, colourless_side)
    if isinstance(recoloured, Examination):
        return recoloured
    quality = _file_quality(pair)
    edited = _edited_side(pair, quality)
    changes = [framed] if (framed := pair.framing.change) else []
    if pair.orientation:
        changes.append(Change(_orientation_change(pair), _side_without_camera(pair)))
    if not pair.placement.is_straight:
        changes.append(Change("reframed", edited))
    if (
        pair.framing.is_whole
        and not pair.framing.wider_side
        and not have_same_aspect(pair.first, pair.second)
    ):
        changes.append(Change("stretched", edited or _stretched_side(pair, quality)))
    if colourless_side:
        changes.append(Change("grey", colourless_side))
    elif recoloured:
        changes.append(Change("recoloured", edited))
    if (
        quality
        and not blurred_side
        and not 1 / STRONGLY_BLURRED < quality.oversampling < STRONGLY_BLURRED
    ):
        blurred_side = 2 if quality.oversampling > 1 else 1
    if blurred_side:
        changes.append(Change("blurred", blurred_side))
    if quantised := pair.quantised_side:
        # A drawing may have had few colours before lossy compression added others.
        full = (pair.one, pair.other)[2 - quantised].picture.metadata
        is_reduced = not pair.is_graphic or full.is_lossless
        changes.append(Change("quantised", quantised if is_reduced else 0))
    if not changes and quality and quality.history.retouched and not quality.enlarged:
        changes.append(Change("retouched", edited))
    transparent = [item.alpha is not None for item in (pair.first, pair.second)]
    if transparent[0] != transparent[1]:
        changes.append(Change("flattened", 2 if transparent[0] else 1))
    note = uncertainty or _uncertainty(
        pair, is_cropped=any(one.name == "cropped" for one in changes)
    )
    return Examination(
        OPEN if note else COPY,
        tuple(changes),
        note,
        resolution=quality.resolution if quality else None,
        derived=quality.history.derived if quality else 0,
        enlarged=quality.enlarged if quality else 0,
    )


def shape_changes(pair: AlignedPair) -> tuple[Change, ...]:
    """Return the changes of orientation and aspect ratio, for images too small to see others."""
    changes = []
    if pair.orientation:
        changes.append(Change(_orientation_change(pair), 0))
    if not have_same_aspect(pair.first, pair.second):
        changes.append(Change("stretched", _stretched_side(pair, None)))
    return tuple(changes)


def _orientation_change(pair: AlignedPair) -> str:
    return "mirrored" if pair.orientation in _MIRRORS else "rotated"


def _recoloured(pair: AlignedPair, fine: Agreement, colourless_side: int) -> bool | Examination:
    """Return whether brightness or colours were changed, or why the images are different.

    ``colourless_side`` is the side without colours.
    """
    colour = compare_colours(
        *in_one_frame(pair.first.rgb, pair.second.rgb, pair.placement, _COLOUR_AREA)
    )
    if not colourless_side and (
        colour.deviation > 1 or (pair.is_graphic and colour.hue_changed > MAX_HUE_CHANGED)
    ):
        return Examination(DIFFERENT, note="a part of it has another colour")
    shifts = fine.tone, colour.chroma_shift, max(fine.shift, _stroke_shift(pair))
    limits = (OTHER_TONE, OTHER_CHROMA, OTHER_SHIFT if pair.is_graphic else np.inf)
    if (colourless_side or _exceeds(shifts, limits)) and (
        pair.first.is_plain or pair.second.is_plain
    ):
        return Examination(DIFFERENT, note="they are drawn in different colours")
    return _exceeds(shifts, (TONE, CHROMA, SHIFT))


def _stroke_shift(pair: AlignedPair) -> float:
    """Return the difference of the strokes of plain drawings, levels; 0 if resizing explains it."""
    if not (pair.first.is_plain and pair.second.is_plain):
        return 0.0
    here, there, valid = in_one_frame(
        pair.first.grey, pair.second.grey, pair.placement, pair.common_area
    )
    shift = stroke_shift(here, there) if valid.all() else 0.0
    return shift if pair.first.size == pair.second.size or shift > RESIZED_SHIFT else 0.0


def _file_quality(pair: AlignedPair) -> Quality | None:
    """Return how the two compare as files; None if they do not show the same frame."""
    if not pair.framing.is_whole:
        return None
    metadata = pair.one.picture.metadata, pair.other.picture.metadata
    with exclusive(max(prod(item.picture.size) for item in (pair.one, pair.other))):
        one = load_detail(pair.one.read(), metadata[0], pair.orientation)
        return compare_quality(one, load_detail(pair.other.read(), metadata[1]))


def _edited_side(pair: AlignedPair, quality: Quality | None) -> int:
    """Return which image was made from the other, by metadata and compression: 1, 2, or 0."""
    return _side_without_camera(pair) or (quality.history.derived if quality else 0)


def _side_without_camera(pair: AlignedPair) -> int:
    """Return which image lacks the camera's metadata that the other one has: 1, 2, or 0.

    Only this shows which of two images was mirrored or rotated. Recompression does not show it: a
    JPEG can be mirrored without loss, and both images may come from a third file.
    """
    from_camera = [item.picture.metadata.is_from_camera for item in (pair.one, pair.other)]
    if from_camera[0] == from_camera[1]:
        return 0
    return 2 if from_camera[0] else 1


def _stretched_side(pair: AlignedPair, quality: Quality | None) -> int:
    """Return which image was stretched: the one with an unusual aspect ratio, or less detail."""
    usual = [_has_usual_aspect(item.size) for item in (pair.first, pair.second)]
    if usual[0] != usual[1]:
        return 2 if usual[0] else 1
    if quality is None or 0.95 < quality.resolution < 1.05:
        return 0
    return 2 if quality.resolution < 1 else 1


def _uncertainty(pair: AlignedPair, is_cropped: bool) -> str:
    """Return why two images that agree may not be copies after all; empty for no reason."""
    if pair.is_flat:
        return "they show too little to be sure"
    if is_cropped and pair.framing.has_caption:
        return "the larger one may have a caption"
    if pair.first.size != pair.second.size:
        sides = min(pair.first.size), min(pair.second.size)
        if (min(sides) if pair.is_graphic else max(sides)) < MIN_RESIZED_SIDE:
            return "they are too small to show a small difference"
    if pair.is_graphic:
        of_first, of_second = pair.placement.shares
        scale = (pair.first.size[0] * pair.first.size[1] * of_first) / (
            pair.second.size[0] * pair.second.size[1] * of_second
        )
        if min(scale, 1 / scale) < MIN_TEXT_SCALE**2:
            return "the smaller one is too small to compare its text"
        if is_cropped:
            return "one of them shows more"
    return ""


def _exceeds(values: tuple[float, ...], limits: tuple[float, ...]) -> bool:
    return any(value > limit for value, limit in zip(values, limits, strict=True))


def _has_usual_aspect(size: tuple[int, int]) -> bool:
    aspect = max(size) / min(size)
    return any(abs(np.log(aspect / usual)) < 0.015 for usual in _ASPECT_RATIOS)
