"""The style of photos: their framing and their size, computed from stored fingerprints.

A collection has a style as well as a topic, for example cut-outs on a plain background, scans,
screenshots, or photographs of one camera. Photos from another source often differ in style. The
framing of a photo is described by its tones from the border to the centre.
"""

import numpy as np

from embedkit.results import LUMA_SIDE

_RINGS = (1, 2, 4, 8, LUMA_SIDE // 2)
"""Distance from the border at which each ring ends, pixels of the luma thumbnail."""
_LEVEL = 1 / 255
"""Added to gradients before their logarithm: one level of the luma."""
_ROWS_AT_A_TIME = 1024


def styles_of(lumas: np.ndarray, sizes: np.ndarray) -> list[np.ndarray]:
    """Return the framing and the size of N photos, as two arrays.

    Parameters
    ----------
    lumas : ndarray
        Luma thumbnails: uint8 (N, 1024).
    sizes : ndarray
        Widths and heights in pixels: int64 (N, 2).

    Returns
    -------
    list of ndarray
        Mean, standard deviation and log gradient of the luma in five rings, float64 (N, 15), and
        the logarithms of the width and the height, float64 (N, 2).
    """
    starts = range(0, len(lumas), _ROWS_AT_A_TIME)
    framings = [_framing(lumas[start : start + _ROWS_AT_A_TIME]) for start in starts]
    framing = np.concatenate(framings) if framings else np.empty((0, 3 * len(_RINGS)))
    return [framing, np.log(np.maximum(sizes, 1, dtype=np.float64))]


def _framing(lumas: np.ndarray) -> np.ndarray:
    pixels = lumas.reshape(-1, LUMA_SIDE, LUMA_SIDE).astype(np.float32) / 255
    gradients = np.zeros_like(pixels)
    gradients[:, :, :-1] += np.abs(np.diff(pixels, axis=2))
    gradients[:, :-1] += np.abs(np.diff(pixels, axis=1))
    from_border = np.minimum(np.arange(LUMA_SIDE), np.arange(LUMA_SIDE)[::-1])
    ring = np.searchsorted(_RINGS, np.minimum.outer(from_border, from_border), side="right")
    means, deviations, edges = [], [], []
    for number in range(len(_RINGS)):
        inside = pixels[:, ring == number]
        means.append(inside.mean(axis=1))
        deviations.append(inside.std(axis=1))
        edges.append(np.log(gradients[:, ring == number].mean(axis=1) + _LEVEL))
    return np.stack([*means, *deviations, *edges], axis=1).astype(np.float64)
