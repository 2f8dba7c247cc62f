"""Images that decode to the same pixels, though their files differ."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from embedkit.duplicates.evidence import Prints
from embedkit.duplicates.hamming import near_pairs
from embedkit.errors import UnreadableImage
from embedkit.images.decode import decoding
from embedkit.images.faults import one_file

SAME_BITS = 4
"""Images of the same pixels in files of different formats differ in up to this many bits."""
SAME_LUMA = 4
"""And in up to this much luma, of 255, as JPEGs are decoded at a reduced scale."""

RULE = 4
"""Raised whenever other images than before have the same pixels."""

_THREADS = 4

PixelDigests = Callable[[np.ndarray], Sequence[bytes | None]]
"""From image ids to digests of their pixels; None for one that cannot be read."""


def same_pixels(prints: Prints, digests: PixelDigests) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rows of ``prints`` with the same pixels, each with the first of its kind.

    Only images that may have a twin are decoded: those of one size and format whose lumas are
    equal, and those of one size and different formats whose lumas are nearly so.
    """
    rows = np.flatnonzero(_may_have_a_twin(prints))
    kinds: dict[bytes, int] = {}
    pairs = [
        (kinds.setdefault(digest, row), row)
        for row, digest in zip(rows.tolist(), digests(prints.ids[rows]), strict=True)
        if digest is not None
    ]
    found = np.array([pair for pair in pairs if pair[0] != pair[1]], np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]


def _may_have_a_twin(prints: Prints) -> np.ndarray:
    maybe = np.zeros(len(prints), bool)
    alike: dict[tuple[object, ...], list[int]] = {}
    by_size: dict[tuple[int, int], list[int]] = {}
    columns = (prints.width.tolist(), prints.height.tolist(), prints.format.tolist(), prints.luma)
    for row, (width, height, kind, luma) in enumerate(zip(*columns, strict=True)):
        same = alike.setdefault((width, height, kind, luma.tobytes()), [])
        if not same:
            by_size.setdefault((width, height), []).append(row)
        same.append(row)
        maybe[same] = len(same) > 1
    for some in by_size.values():
        if len({prints.format[row] for row in some}) > 1:
            rows = np.array(some)
            found = near_pairs(prints.phash[rows], SAME_BITS)
            one, other = rows[found.first], rows[found.second]
            differ = prints.format[one] != prints.format[other]
            one, other = one[differ], other[differ]
            apart = np.abs(prints.luma[one].astype(np.int16) - prints.luma[other])
            near = apart.max(axis=1, initial=0) <= SAME_LUMA
            maybe[one[near]] = maybe[other[near]] = True
    return maybe


def pixel_digests(ids: np.ndarray, paths: Mapping[int, str]) -> list[bytes | None]:
    """Digests of the pixels of images, each decoded from a file; None for one that cannot be."""
    places = [paths.get(image_id, "") for image_id in ids.tolist()]
    with ThreadPoolExecutor(_THREADS) as threads:
        return list(threads.map(_digest, places))


def _digest(path: str) -> bytes | None:
    try:
        with one_file(), decoding(path) as decoder:
            return decoder.pixel_digest()
    except UnreadableImage:
        return None
