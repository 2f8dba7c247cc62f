"""Whether two aligned images have the same colours, or lost, changed or exchanged them."""

from dataclasses import dataclass

import cv2
import numpy as np

from embedkit.duplicates.examination.picture import Floats, Pixels, box

_WINDOW = 11
_FINE = 5  # pixels over which chroma is averaged: files keep it at half the resolution
_LEVELS = 22.0  # levels of chroma by which a place differs
_EXCESS = 5.0  # times what is usual, that it differs by
_MARGIN = 9  # pixels around what both show that are left out: its edge lies half a pixel off
_COLOURED = 20.0  # levels of chroma from which on a pixel has a colour of its own
_GROUND = 7  # levels by which the most frequent tone of two images may differ
_DRAWN, _LEAST_DRAWN = 24.0, 20  # levels from the ground, and pixels, from which on it is drawn
_INK = 90  # percentile of a drawing's contrasts: that of its strokes, not of their edges


@dataclass(frozen=True)
class ColourAgreement:
    """How the chroma of one aligned image follows from the other."""

    deviation: float
    """The worst window's, beyond what the image as a whole explains; copies stay below 1."""
    moved: float
    """Mean distance of the chroma of coloured pixels, levels."""
    turned: float
    """Share of the coloured pixels whose hue is another."""


def compare_colours(one: Pixels, other: Pixels, valid: np.ndarray) -> ColourAgreement:
    """Compare the chroma of two images (H, W, 3) that lie on each other where ``valid``."""
    first, second = (
        cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb).astype(np.float32) for image in (one, other)
    )
    here, there = first[..., 1:] - 128, second[..., 1:] - 128
    valid = cv2.erode(valid.astype(np.uint8), np.ones((_MARGIN, _MARGIN), np.uint8)) > 0
    strong = (np.maximum(_length(here), _length(there)) > _COLOURED) & valid
    residual = there - _explained(first, there, valid)
    residual[~valid] = 0
    left = np.sqrt(np.maximum(box(_square(box(residual, _FINE)), _WINDOW), 0))
    colourful = box(np.maximum(_length(here), _length(there)), _WINDOW) > _COLOURED
    some = left[colourful & valid]
    usual = float(np.median(some)) if len(some) else 0.0
    deviation = float(np.minimum(left / _LEVELS, left / (_EXCESS * (usual + 1))).max())
    if not strong.any():
        return ColourAgreement(deviation, 0.0, 0.0)
    cosine = (here[..., 0] * there[..., 0] + here[..., 1] * there[..., 1])[strong]
    lengths = (_length(here) * _length(there))[strong]
    both = np.minimum(_length(here), _length(there))[strong] > _COLOURED / 2
    turned = both & (cosine < 0.8 * lengths)
    moved = float(_length(box(there - here, _FINE))[strong].mean())
    return ColourAgreement(deviation, moved, float(turned.mean()))


def stroke_shift(one: Floats, other: Floats) -> float:
    """Levels by which the strokes of a drawing stand out more from the ground in one of two images.

    ``one`` and ``other`` are luma (H, W) that lie on each other. Strokes may be too thin to have a
    tone that shows anywhere else. 0 where the grounds differ, or hardly anything is drawn.
    """
    grounds = [_most_frequent(image) for image in (one, other)]
    if abs(grounds[0] - grounds[1]) > _GROUND:
        return 0.0
    contrasts = [np.abs(image - tone) for image, tone in zip((one, other), grounds, strict=True)]
    drawn = np.maximum(*contrasts) > _DRAWN
    if drawn.sum() < _LEAST_DRAWN:
        return 0.0
    first, second = (float(np.percentile(contrast[drawn], _INK)) for contrast in contrasts)
    return abs(first - second)


def _most_frequent(luma: Floats) -> int:
    tones = np.rint(luma).clip(0, 255).astype(np.intp).ravel()
    return int(np.bincount(tones, minlength=256).argmax())


def _length(chroma: Floats) -> Floats:
    return np.asarray(np.sqrt(_square(chroma)), np.float32)


def _square(chroma: Floats) -> Floats:
    """Squared lengths (H, W) of chroma (H, W, 2)."""
    return np.asarray(chroma[..., 0] ** 2 + chroma[..., 1] ** 2, np.float32)


def _explained(first: Floats, there: Floats, valid: np.ndarray) -> Floats:
    """The chroma predicted by one matrix for the whole image, fitted by robust least squares."""
    rows = np.flatnonzero(valid)
    rows = rows[:: len(rows) // 20_000 + 1]
    terms = np.concatenate([first - 128, np.full((*first.shape[:2], 1), 64, np.float32)], axis=2)
    flat, wanted = terms.reshape(-1, 4)[rows], there.reshape(-1, 2)[rows]
    weights = np.ones(len(rows), np.float32)
    matrix = np.zeros((4, 2), np.float32)
    for _ in range(3):
        weighted = flat * weights[:, None]
        gram = (weighted.T @ flat).astype(np.float64) + np.eye(4) * max(len(rows), 1)
        matrix = np.linalg.solve(gram, (weighted.T @ wanted).astype(np.float64)).astype(np.float32)
        left = np.linalg.norm(wanted - flat @ matrix, axis=1)
        weights = 1 / (1 + (left / max(4.0, 3 * float(np.median(left)) if len(left) else 4.0)) ** 2)
    return terms @ matrix
