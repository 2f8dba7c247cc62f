"""The comparison of the colours of two aligned images."""

from dataclasses import dataclass

import cv2
import numpy as np

from embedkit.duplicates.examination.picture import Floats, Pixels, box_mean

_WINDOW = 11  # pixels
_CHROMA_SIDE = 5  # pixels over which chroma is averaged: files store it at half the resolution
_MIN_CHROMA_DIFFERENCE = 22.0  # minimum residual of a deviating window, levels of chroma
_MIN_EXCESS = 5.0  # minimum residual of a deviating window, relative to the median
_MARGIN = 9  # pixels at the edge of the shared area that are not compared
_MIN_CHROMA = 20.0  # minimum chroma, in levels, of a coloured pixel
_MAX_GROUND_DIFFERENCE = 7  # maximum difference of equal backgrounds, levels
_MIN_CONTRAST, _MIN_DRAWN_PIXELS = 24.0, 20  # of a drawing: levels from its background, pixels
_INK_PERCENTILE = 90  # percentile of a drawing's contrasts that measures strokes rather than edges


@dataclass(frozen=True)
class ColourAgreement:
    """How well the chroma of one aligned image is predicted from the other."""

    deviation: float
    """Deviation of the worst window from a prediction for the whole image; below 1 for copies."""
    chroma_shift: float
    """Mean distance of the chroma of coloured pixels, levels."""
    hue_changed: float
    """Share of the coloured pixels with another hue."""


def compare_colours(one: Pixels, other: Pixels, valid: np.ndarray) -> ColourAgreement:
    """Compare the chroma of two images (H, W, 3) that are aligned where ``valid``, bool (H, W)."""
    first, second = (
        cv2.cvtColor(image, cv2.COLOR_RGB2YCrCb).astype(np.float32) for image in (one, other)
    )
    here, there = first[..., 1:] - 128, second[..., 1:] - 128
    valid = cv2.erode(valid.astype(np.uint8), np.ones((_MARGIN, _MARGIN), np.uint8)) > 0
    strong = (np.maximum(_length(here), _length(there)) > _MIN_CHROMA) & valid
    residual = there - _predict_chroma(first, there, valid)
    residual[~valid] = 0
    residuals = np.sqrt(
        np.maximum(box_mean(_squared_length(box_mean(residual, _CHROMA_SIDE)), _WINDOW), 0)
    )
    colourful = box_mean(np.maximum(_length(here), _length(there)), _WINDOW) > _MIN_CHROMA
    inside = residuals[colourful & valid]
    usual = float(np.median(inside)) if len(inside) else 0.0
    deviation = float(
        np.minimum(
            residuals / _MIN_CHROMA_DIFFERENCE, residuals / (_MIN_EXCESS * (usual + 1))
        ).max()
    )
    if not strong.any():
        return ColourAgreement(deviation, 0.0, 0.0)
    cosine = (here[..., 0] * there[..., 0] + here[..., 1] * there[..., 1])[strong]
    lengths = (_length(here) * _length(there))[strong]
    both = np.minimum(_length(here), _length(there))[strong] > _MIN_CHROMA / 2
    hue_changed = both & (cosine < 0.8 * lengths)
    chroma_shift = float(_length(box_mean(there - here, _CHROMA_SIDE))[strong].mean())
    return ColourAgreement(deviation, chroma_shift, float(hue_changed.mean()))


def stroke_shift(one: Floats, other: Floats) -> float:
    """Return the levels by which the contrast of a drawing's strokes differs between two images.

    ``one`` and ``other`` are aligned luma (H, W). Other comparisons of tones are limited to smooth
    areas, which thin strokes do not have. The result is 0 if the backgrounds differ, or if hardly
    anything is drawn.
    """
    grounds = [_most_frequent(image) for image in (one, other)]
    if abs(grounds[0] - grounds[1]) > _MAX_GROUND_DIFFERENCE:
        return 0.0
    contrasts = [np.abs(image - tone) for image, tone in zip((one, other), grounds, strict=True)]
    drawn = np.maximum(*contrasts) > _MIN_CONTRAST
    if drawn.sum() < _MIN_DRAWN_PIXELS:
        return 0.0
    first, second = (
        float(np.percentile(contrast[drawn], _INK_PERCENTILE)) for contrast in contrasts
    )
    return abs(first - second)


def _most_frequent(luma: Floats) -> int:
    tones = np.rint(luma).clip(0, 255).astype(np.intp).ravel()
    return int(np.bincount(tones, minlength=256).argmax())


def _length(chroma: Floats) -> Floats:
    return np.asarray(np.sqrt(_squared_length(chroma)), np.float32)


def _squared_length(chroma: Floats) -> Floats:
    """Return the squared lengths (H, W) of chroma (H, W, 2)."""
    return np.asarray(chroma[..., 0] ** 2 + chroma[..., 1] ** 2, np.float32)


def _predict_chroma(first: Floats, there: Floats, valid: np.ndarray) -> Floats:
    """Return the chroma predicted by one matrix for the whole image, fitted by robust least
    squares."""
    rows = np.flatnonzero(valid)
    rows = rows[:: len(rows) // 20_000 + 1]
    terms = np.concatenate([first - 128, np.full((*first.shape[:2], 1), 64, np.float32)], axis=2)
    flat, target = terms.reshape(-1, 4)[rows], there.reshape(-1, 2)[rows]
    weights = np.ones(len(rows), np.float32)
    matrix = np.zeros((4, 2), np.float32)
    for _ in range(3):
        weighted = flat * weights[:, None]
        gram = (weighted.T @ flat).astype(np.float64) + np.eye(4) * max(len(rows), 1)
        matrix = np.linalg.solve(gram, (weighted.T @ target).astype(np.float64)).astype(np.float32)
        residuals = np.linalg.norm(target - flat @ matrix, axis=1)
        weights = 1 / (
            1
            + (residuals / max(4.0, 3 * float(np.median(residuals)) if len(residuals) else 4.0))
            ** 2
        )
    return terms @ matrix
