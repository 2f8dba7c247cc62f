"""The similarity of two images at 16 x 16 pixels, including when one is reoriented or cropped.

It is computed from the lumas stored in fingerprints, without a decode: the mean of the correlation
of the lumas and that of their gradients. Gradients distinguish drawings on the same background and
photos with the same sky.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from embedkit._internal.fixed_point import from_fixed_point, to_fixed_point
from embedkit.duplicates.orientations import ORIENTATIONS, orient_all
from embedkit.results import LUMA_SIDE

MAX_SIMILARITY_FOR_CROPS = 0.97
"""Similarity above which crops are not tried, because they could hardly raise it."""
MIN_SIMILARITY_FOR_CROPS = 0.1
"""Similarity below which crops are not tried, because they could not raise it enough."""

_SIDE = LUMA_SIDE // 2
_BLOCK = 2048
_PAIRS = 256
"""Pairs that are compared at once, so that their crops stay in a core's own cache."""
_LUMAS = 512
"""Lumas that are added up at once, within a core's own cache."""
_TOLERANCE = 1e-4
"""Upper bound of the rounding error of a similarity."""
OUTLINE_LENGTH = (LUMA_SIDE // 4) ** 2 + 1
"""Numbers of a packed outline."""
_OUTLINE_TOLERANCE = 1.2e-3
"""Upper bound of the error of a bound, from packed outlines."""
_MIN_LENGTH = 0.05
"""Length below which centred values, in grey levels, are those of a flat image.

A flat part of a picture that is stretched to a crop has values that differ by rounding errors.
"""
_CROP_SHARES = (0.96, 0.9, 0.85, 0.8)
"""Shares of width and height that the compared crops keep, at each of 3 x 3 positions."""
_POSITIONS = (0.0, 0.5, 1.0)


def similarity(
    small: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    orientation: np.ndarray,
    may_be_crop: np.ndarray,
    needed: np.ndarray | None = None,
) -> np.ndarray:
    """Return the similarity of pairs: float32 (P,), in [-1, 1].

    ``small`` is float32 (N, 16, 16), from :func:`downsampled`; ``first`` and ``second`` are rows of
    it, (P,). The result is the largest similarity of the pair as it is, of the first image in
    ``orientation`` (0 to 7), and, where the mask ``may_be_crop`` is set, of each image with crops
    of the other. Where a crop cannot reach the similarity ``needed``, it is not compared, so that
    the result may be too low, but only below this limit.
    """
    best = np.empty(len(first), np.float32)
    for start in range(0, len(first), _PAIRS):
        part = slice(start, start + _PAIRS)
        rows, places = np.unique(np.concatenate([first[part], second[part]]), return_inverse=True)
        images = small[rows]
        described = descriptors(images)
        one, other = np.split(places, 2)
        best[part] = _products(described[one], described[other])
        for number in range(1, ORIENTATIONS):
            chosen = np.flatnonzero(orientation[part] == number)
            oriented = descriptors(orient_all(images[one[chosen]], number))
            found = _products(oriented, described[other[chosen]])
            best[start + chosen] = np.maximum(best[start + chosen], found)
        unsure = (
            (best[part] < MAX_SIMILARITY_FOR_CROPS)
            & (best[part] > MIN_SIMILARITY_FOR_CROPS)
            & may_be_crop[part]
        )
        chosen = np.flatnonzero(unsure)
        of_block = best[part][chosen]
        if needed is not None:
            of_block = np.maximum(of_block, needed[part][chosen])
        for source, target in ((one, other), (other, one)):
            found = _crop_similarity(images, described, source[chosen], target[chosen], of_block)
            best[start + chosen] = np.maximum(best[start + chosen], found)
    return best


def downsampled(lumas: np.ndarray) -> np.ndarray:
    """Return lumas, uint8 (n, 1024), as images of half the side: float32 (n, 16, 16)."""
    return sums_of_four(lumas) / np.float32(4)


def sums_of_four(lumas: np.ndarray) -> np.ndarray:
    """Return the sums of each 2 x 2 pixels of lumas, uint8 (n, 1024): uint16 (n, 16, 16)."""
    sums = np.empty((len(lumas), _SIDE, _SIDE), np.uint16)
    for start in range(0, len(lumas), _LUMAS):
        part = slice(start, start + _LUMAS)
        wide = lumas[part].reshape(-1, LUMA_SIDE, LUMA_SIDE).astype(np.uint16)
        tall = wide[:, :, ::2] + wide[:, :, 1::2]
        np.add(tall[:, ::2], tall[:, 1::2], out=sums[part])
    return sums


@dataclass(frozen=True, eq=False)
class Outlines:
    """Images at 8 x 8 pixels, from which an upper bound of similarities follows."""

    images: np.ndarray
    """float32 (N, 8, 8): projections of the centred images of length 1."""
    rest: np.ndarray
    """float32 (N,): length of what the projection leaves out, 0 to 1."""

    @classmethod
    def of(cls, small: np.ndarray) -> "Outlines":
        """Return the outlines of images (N, 16, 16), in any unit."""
        half = _SIDE // 2
        images = np.empty((len(small), half, half), np.float32)
        rest = np.empty(len(small), np.float32)
        for start in range(0, len(small), _BLOCK):
            part = slice(start, start + _BLOCK)
            flat = small[part].reshape(-1, _SIDE**2).astype(np.float32)
            flat -= flat.mean(axis=1, keepdims=True)
            lengths = np.sqrt(np.einsum("ni,ni->n", flat, flat))
            blocks = (flat @ _block_matrix()) / np.maximum(lengths, 1e-6)[:, None]
            images[part] = blocks.reshape(-1, half, half)
            rest[part] = np.sqrt(np.maximum(0, 1 - np.einsum("ni,ni->n", blocks, blocks)))
        return cls(images, rest)

    def packed(self) -> np.ndarray:
        """Return the outlines in half the memory: int16 (N, :data:`OUTLINE_LENGTH`).

        Bounds from them are as safe: they allow for the rounding.
        """
        flat = self.images.reshape(-1, OUTLINE_LENGTH - 1)
        return to_fixed_point(np.concatenate([flat, self.rest[:, None]], axis=1))

    @classmethod
    def unpacked(cls, packed: np.ndarray) -> "Outlines":
        """Return the outlines from :meth:`packed`."""
        half = _SIDE // 2
        wide = from_fixed_point(packed)
        return cls(wide[:, :-1].reshape(-1, half, half), wide[:, -1])

    def bound(
        self,
        others: "Outlines",
        rows: tuple[np.ndarray, np.ndarray],
        orientation: np.ndarray,
    ) -> np.ndarray:
        """Return an upper bound of the similarity of pairs without crops: float32 (P,).

        The luma is half of the similarity, and the gradients correlate by at most 1.

        Parameters
        ----------
        others : Outlines
            Those of the second images of the pairs.
        rows : tuple of ndarray
            Rows of the pairs' images here, and in ``others``: int64 (P,).
        orientation : ndarray
            Orientation of the first images: uint8 (P,).
        """
        first, second = rows
        rest = self.rest[first] * others.rest[second]
        best = np.empty(len(first), np.float32)
        for start in range(0, len(first), _BLOCK):
            part = slice(start, start + _BLOCK)
            one, other = self.images[first[part]], others.images[second[part]]
            best[part] = np.einsum("nij,nij->n", one, other)
            for number in range(1, ORIENTATIONS):
                chosen = np.flatnonzero(orientation[part] == number)
                oriented = orient_all(one[chosen], number)
                found = np.einsum("nij,nij->n", oriented, other[chosen])
                best[start + chosen] = np.maximum(best[start + chosen], found)
        return np.asarray((best + rest + 1) / 2 + _OUTLINE_TOLERANCE, np.float32)


def descriptors(images: np.ndarray) -> np.ndarray:
    """Return luma and gradients of images (..., H, W), each centred and scaled to 1 / sqrt(2).

    The inner product of two descriptors is the similarity. Flat images have descriptors of 0.
    """
    luma = images.reshape(*images.shape[:-2], images.shape[-2] * images.shape[-1])
    return np.concatenate([_normalised(luma), _gradients(images)], axis=-1)


def _gradients(images: np.ndarray) -> np.ndarray:
    """Return the gradients of images (..., H, W), centred and scaled to 1 / sqrt(2)."""
    across = np.diff(images, axis=-1)[..., :-1, :]
    down = np.diff(images, axis=-2)[..., :-1]
    parts = [
        part.reshape(*part.shape[:-2], part.shape[-2] * part.shape[-1]) for part in (across, down)
    ]
    return _normalised(np.concatenate(parts, axis=-1))


def _normalised(values: np.ndarray) -> np.ndarray:
    """Return values (..., n) centred and scaled to 1 / sqrt(2)."""
    centred = values - values.mean(axis=-1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=-1, keepdims=True)
    return np.asarray(centred / np.maximum(lengths, _MIN_LENGTH) * np.float32(np.sqrt(0.5)))


@cache
def _block_matrix() -> np.ndarray:
    """Return the matrix (256, 64) that projects 16 x 16 pixels on blocks of four."""
    places = np.arange(_SIDE**2).reshape(_SIDE, _SIDE)
    blocks = np.zeros((_SIDE**2, (_SIDE // 2) ** 2), np.float32)
    number = (places // _SIDE // 2) * (_SIDE // 2) + places % _SIDE // 2
    blocks[places.ravel(), number.ravel()] = 0.5
    return blocks


def _products(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray(np.einsum("np,np->n", one, other))


def _crop_matrices(share: float) -> np.ndarray:
    """Return matrices (3, 16, 16) that stretch a share of 16 pixels, at 3 positions, to all 16."""
    windows = np.zeros((len(_POSITIONS), _SIDE, _SIDE), np.float32)
    target = np.arange(_SIDE)
    for window, position in zip(windows, _POSITIONS, strict=True):
        source = position * (1 - share) * _SIDE + (target + 0.5) * share - 0.5
        low = np.clip(np.floor(source).astype(int), 0, _SIDE - 1)
        high = np.minimum(low + 1, _SIDE - 1)
        fraction = np.clip(source - low, 0, 1)
        window[target, low] += 1 - fraction
        window[target, high] += fraction
    return windows


def _crop_similarity(
    images: np.ndarray,
    described: np.ndarray,
    source: np.ndarray,
    target: np.ndarray,
    limit: np.ndarray,
) -> np.ndarray:
    """Return the largest similarity of a target to a crop of its source: float32 (n,).

    ``source`` and ``target`` are rows of images (u, 16, 16), and ``described`` are the descriptors
    of these. Gradients are compared only where the luma shows that a crop may exceed the ``limit``.
    """
    best = np.full(len(source), -1.0, np.float32)
    rows, places = np.unique(source, return_inverse=True)
    lumas, gradients = np.split(described[target], [_SIDE**2], axis=1)
    for share in _CROP_SHARES if len(source) else ():
        windows = _crop_matrices(share)
        across = np.einsum("kij,njl->nkil", windows, images[rows], optimize=True)
        crops = np.einsum("nkil,mpl->nkmip", across, windows, optimize=True)
        crops = crops.reshape(len(rows), len(_POSITIONS) ** 2, _SIDE, _SIDE)
        flat = _normalised(crops.reshape(*crops.shape[:2], _SIDE**2))
        products = np.matmul(flat[places], lumas[:, :, None])[:, :, 0]
        pair, crop = np.nonzero(products + 0.5 > np.maximum(limit, best)[:, None])
        similar = products[pair, crop]
        similar += _products(_gradients(crops[places[pair], crop]), gradients[pair])
        np.maximum.at(best, pair, similar)
    return best
