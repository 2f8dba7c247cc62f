"""How alike two images are at 16 x 16: turned, mirrored, or one of them cropped.

All of it is worked out from the lumas that fingerprints keep, without a decode. The likeness of two
images is the correlation of their lumas and that of their gradients, averaged: gradients tell
drawings on one background apart, and photos with one sky.
"""

import numpy as np

from embedkit.duplicates.orientations import TURNS, turned
from embedkit.results import LUMA_SIDE

CERTAIN = 0.97
"""Likeness from which on nobody need look whether a crop would be more alike."""
HOPELESS = 0.1
"""Likeness below which crops are not looked at either."""

_SIDE = LUMA_SIDE // 2
_BLOCK = 2048
_KEPT = (0.96, 0.9, 0.85, 0.8)
"""Shares of width and height that a crop leaves, at any of 3 x 3 places."""
_PLACES = (0.0, 0.5, 1.0)


def likeness(
    lumas: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    turn: np.ndarray,
    cropped: np.ndarray,
) -> np.ndarray:
    """The likeness of pairs: float32 (P,), in [-1, 1].

    ``lumas`` is uint8 (N, 1024); ``first`` and ``second`` are rows of it, (P,). The best counts of
    the pair as it is, the first turned by ``turn`` (0 to 7), and, where the mask ``cropped`` says
    so, each against crops of the other.
    """
    small = np.concatenate(
        [halved(lumas[start : start + _BLOCK]) for start in range(0, len(lumas), _BLOCK)]
        or [np.empty((0, _SIDE, _SIDE), np.float32)]
    )
    best = np.empty(len(first), np.float32)
    for start in range(0, len(first), _BLOCK):
        part = slice(start, start + _BLOCK)
        wanted = described(small[second[part]])
        best[part] = _likeness(described(small[first[part]]), wanted)
        for number in range(1, TURNS):
            some = np.flatnonzero(turn[part] == number)
            one = turned(small[first[part][some]], number)
            found = _likeness(described(one), wanted[some])
            best[start + some] = np.maximum(best[start + some], found)
        unsure = (best[part] < CERTAIN) & (best[part] > HOPELESS) & cropped[part]
        some = start + np.flatnonzero(unsure)
        one, other = small[first[some]], small[second[some]]
        aligned = np.maximum(_cropped(one, other), _cropped(other, one))
        best[some] = np.maximum(best[some], aligned)
    return best


def halved(lumas: np.ndarray) -> np.ndarray:
    """Lumas (n, 1024) as images of half the side: float32 (n, 16, 16)."""
    blocks = lumas.reshape(-1, _SIDE, 2, _SIDE, 2).astype(np.float32)
    return np.asarray(blocks.mean(axis=(2, 4)))


def described(images: np.ndarray) -> np.ndarray:
    """Luma and gradients of images (..., h, w), each less its mean and of length 1 / sqrt(2).

    The product of two such descriptions is the likeness; those of flat images are 0.
    """
    across = np.diff(images, axis=-1)[..., :-1, :]
    down = np.diff(images, axis=-2)[..., :-1]
    luma, across, down = (
        part.reshape(*part.shape[:-2], part.shape[-2] * part.shape[-1])
        for part in (images, across, down)
    )
    parts = []
    for values in (luma, np.concatenate([across, down], axis=-1)):
        centred = values - values.mean(axis=-1, keepdims=True)
        lengths = np.linalg.norm(centred, axis=-1, keepdims=True)
        parts.append(centred / np.maximum(lengths, 1e-6) * np.float32(np.sqrt(0.5)))
    return np.concatenate(parts, axis=-1)


def _likeness(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum("np,np->n", one, other))


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
    """The largest likeness of ``other`` to a crop of ``one``: float32 (n,)."""
    wanted = described(other)
    best = np.full(len(one), -1.0, np.float32)
    for kept in _KEPT:
        windows = _windows(kept)
        rows = np.einsum("kij,njl->nkil", windows, one, optimize=True)
        crops = np.einsum("nkil,mpl->nkmip", rows, windows, optimize=True)
        shown = described(crops.reshape(len(one), len(_PLACES) ** 2, _SIDE, _SIDE))
        best = np.maximum(best, np.einsum("nkp,np->nk", shown, wanted).max(axis=1))
    return best
