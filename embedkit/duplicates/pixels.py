"""Pixel-identical images: different files that decode to the same pixels."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from embedkit.duplicates.evidence import Fingerprints
from embedkit.duplicates.hamming import near_pairs_between
from embedkit.errors import UnreadableImage
from embedkit.images.decode import decoding
from embedkit.images.faults import file_errors

MAX_PIXEL_BITS = 4
"""Maximum Hamming distance of pixel-identical images in files of different formats."""
MAX_LUMA_DIFFERENCE = 4
"""Maximum difference of their lumas, 0 to 255, since JPEGs are decoded at a reduced scale."""

_THREADS = 4

PixelDigests = Callable[[np.ndarray], Sequence[bytes | None]]
"""Maps image ids to digests of their pixels; None for an image that cannot be read."""


def pixel_identical_pairs(
    fingerprints: Fingerprints, digests: PixelDigests
) -> tuple[np.ndarray, np.ndarray]:
    """Return pairs of pixel-identical rows: each row with the first row that has its pixels.

    Decodes only images that may qualify: images of one size and format with equal lumas, and
    images of one size and different formats with nearly equal lumas.
    """
    sizes = fingerprints.width.astype(np.int64) << 32 | fingerprints.height
    rows = np.flatnonzero(
        may_be_pixel_identical(sizes, fingerprints.format, fingerprints.phash, fingerprints.luma)
    )
    first_rows: dict[bytes, int] = {}
    pairs = [
        (first_rows.setdefault(digest, row), row)
        for row, digest in zip(rows.tolist(), digests(fingerprints.ids[rows]), strict=True)
        if digest is not None
    ]
    found = np.array([pair for pair in pairs if pair[0] != pair[1]], np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def may_be_pixel_identical(
    sizes: np.ndarray, formats: np.ndarray, hashes: np.ndarray, lumas: np.ndarray
) -> np.ndarray:
    """Return which of N images may have the pixels of another one: bool (N,).

    Parameters
    ----------
    sizes : ndarray
        Width and height of each image as one number, int64 or uint64 (N,).
    formats : ndarray
        Their formats, as names or numbers (N,).
    hashes : ndarray
        Their perceptual hashes, uint64 (N,).
    lumas : ndarray
        Their lumas, uint8 (N, 1024).
    """
    maybe = np.zeros(len(sizes), bool)
    first_row: dict[tuple[object, ...], int] = {}
    by_size: dict[int, list[int]] = {}
    columns = sizes.tolist(), formats.tolist(), lumas
    for row, (size, kind, luma) in enumerate(zip(*columns, strict=True)):
        first = first_row.setdefault((size, kind, luma.tobytes()), row)
        if first == row:
            by_size.setdefault(size, []).append(row)
        else:
            maybe[[first, row]] = True
    for members in by_size.values():
        rows = np.array(members)
        of_row = formats[rows]
        for kind in sorted(set(of_row.tolist()))[1:]:  # many of one format may have equal hashes
            one, other = rows[of_row == kind], rows[of_row < kind]
            found = near_pairs_between(hashes[one], hashes[other], MAX_PIXEL_BITS)
            one, other = one[found.first], other[found.second]
            difference = np.abs(lumas[one].astype(np.int16) - lumas[other])
            near = difference.max(axis=1, initial=0) <= MAX_LUMA_DIFFERENCE
            maybe[one[near]] = maybe[other[near]] = True
    return maybe


def pixel_digests(ids: np.ndarray, paths: Mapping[int, str]) -> list[bytes | None]:
    """Return digests of the pixels of images, decoded from ``paths`` by id; None if unreadable."""
    files = [paths.get(image_id, "") for image_id in ids.tolist()]
    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(_digest, files))


def _digest(path: str) -> bytes | None:
    try:
        with file_errors(), decoding(path) as decoder:
            return decoder.pixel_digest()
    except UnreadableImage:
        return None
