"""How alike two images are at 32 x 32: turned, mirrored, or one of them cropped.

All of it is worked out from the lumas that fingerprints keep, without a decode.
"""

import numpy as np

from embedkit.duplicates.turns import TURNS, turned_pixels
from embedkit.records import LUMA_SIDE

CERTAIN = 0.97
"""Correlation from which on nobody need look whether a crop would be more alike."""

_SIDE = LUMA_SIDE // 2
_BLOCK = 2048
_KEPT = (0.96, 0.9, 0.85, 0.8)
"""Shares of width and height that a crop leaves, at any of 3 x 3 places."""
_PLACES = (0.0, 0.5, 1.0)


def likeness(
    lumas: np.ndarray, first: np.ndarray, second: np.ndarray, turn: np.ndarray
) -> np.ndarray:
    """The largest correlation of luma of each pair: float32 (P,), in [-1, 1].

    ``lumas`` is uint8 (N, 1024); ``first`` and ``second`` are rows of it, (P,). Looked at are the
    pair as it is, the first turned by ``turn`` (0 to 7), and, unless one of these is all but
    equal, each of the two against crops of the other.
    """
    best = np.empty(len(first), np.float32)
    for start in range(0, len(first), _BLOCK):
        part = slice(start, start + _BLOCK)
        one, other = lumas[first[part]], lumas[second[part]]
        best[part] = np.maximum(_correlation(one, other), _turned(one, other, turn[part]))
        cropped = np.flatnonzero(best[part] < CERTAIN)
        one, other = _halved(one[cropped]), _halved(other[cropped])
        aligned = np.maximum(_cropped(one, other), _cropped(other, one))
        best[start + cropped] = np.maximum(best[start + cropped], aligned)
    return best


def _turned(one: np.ndarray, other: np.ndarray, turn: np.ndarray) -> np.ndarray:
    found = np.full(len(one), -1.0, np.float32)
    for number in range(1, TURNS):
        some = np.flatnonzero(turn == number)
        found[some] = _correlation(one[some][:, turned_pixels(number)], other[some])
    return found


def _correlation(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum("np,np->n", _standard(one), _standard(other)))


def _standard(pixels: np.ndarray) -> np.ndarray:
    """Pixels, (..., P), less their mean and of length 1; those of a flat image are 0."""
    centred = pixels.astype(np.float32)
    centred -= centred.mean(axis=-1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=-1, keepdims=True)
    return np.asarray(centred / np.maximum(lengths, 1e-6))


def _halved(lumas: np.ndarray) -> np.ndarray:
    """Lumas (n, 1024) as images of half the side: float32 (n, 16, 16)."""
    blocks = lumas.reshape(-1, _SIDE, 2, _SIDE, 2).astype(np.float32)
    return np.asarray(blocks.mean(axis=(2, 4)))


def _windows(kept: float) -> np.ndarray:
    """Matrices (3, 16, 16) that stretch a share of 16 pixels, at three places, to all 16."""
    windows = np.zeros((len(_PLACES), _SIDE, _SIDE), np.float32)
    target = np.arange(_SIDE)
    for window, place in zip(windows, _PLACES, strict=True):
        source = place * (1 - kept) * _SIDE + (target + 0.5) * kept - 0.5
        low = np.clip(np.floor(source).astype(int), 0, _SIDE - 1)
        high = np.minimum(low + 1, _SIDE - 1)
        share = np.clip(source - low, 0, 1)
        window[target, low] += 1 - share
        window[target, high] += share
    return windows


def _cropped(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The largest correlation of ``other`` with a crop of ``one``: float32 (n,)."""
    wanted = _standard(other.reshape(len(other), -1))
    best = np.full(len(one), -1.0, np.float32)
    for kept in _KEPT:
        windows = _windows(kept)
        rows = np.einsum("kij,njl->nkil", windows, one, optimize=True)
        crops = np.einsum("nkil,mpl->nkmip", rows, windows, optimize=True)
        standard = _standard(crops.reshape(len(one), len(_PLACES) ** 2, -1))
        best = np.maximum(best, np.einsum("nkp,np->nk", standard, wanted).max(axis=1))
    return best
