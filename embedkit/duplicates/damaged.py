"""Damaged files, and the intact images that they may be copies of.

The decoded part of a damaged file is undistorted, so it is compared with the same part of the
images of the catalog: first on the 32 x 32 lumas stored in fingerprints, without a decode.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import groupby

import numpy as np
from PIL import Image

from embedkit._internal.cores import usable_cores
from embedkit._internal.paths import size_and_mtime
from embedkit.catalog import Catalog, Reader
from embedkit.duplicates.evidence import MIN_CONTRAST
from embedkit.duplicates.examination import load_partial_image
from embedkit.duplicates.examination.partial import MIN_SHARE
from embedkit.duplicates.examination.placement import same_aspect
from embedkit.duplicates.orientations import orient_all
from embedkit.duplicates.similarity import descriptors, downsampled
from embedkit.errors import UnreadableImage
from embedkit.images.decode import Decoder, exclusive, read_bytes
from embedkit.images.faults import file_errors
from embedkit.images.opening import MAX_PIXELS, open_image
from embedkit.images.scan import FoundFile
from embedkit.results import LUMA_SIDE, Progress, ProgressCallback

MIN_DECODED_SIMILARITY = 0.9
"""Minimum similarity of the decoded part, at 32 x 32, for an image to be opened."""
MAX_CANDIDATES = 4
"""Maximum number of images opened for each damaged file: the most similar ones."""

_MIN_CORRELATION = 0.8  # minimum correlation at 16 x 16 for a comparison at 32 x 32
_SHORTLIST = 16  # number compared at 32 x 32: those with the highest correlation at 16 x 16
_BLOCK = 8192  # images compared at once
_DAMAGED_BLOCK = 1024  # damaged files compared with them at once


@dataclass(frozen=True, eq=False)
class DamagedImage:
    """An image that decodes only in part; several files may have its bytes."""

    paths: tuple[str, ...]
    """Absolute paths of its files."""
    sha256: str
    """Hex digest."""
    width: int
    """Width of the whole upright image, pixels."""
    height: int
    """Height of the whole upright image, pixels."""
    orientation: int
    """The orientation (:mod:`embedkit.duplicates.orientations`) that brings the decoded part to
    the top."""
    share: float
    """Share of the image that was decoded, 0 to 1."""
    luma: np.ndarray
    """uint8 (rows, 32): the decoded rows of the 32 x 32 luma, in that orientation."""


def find_damaged_images(catalog: Catalog, progress: ProgressCallback) -> list[DamagedImage]:
    """Return the damaged images among the files that failed to decode.

    Skips files that are missing or have changed since, and those of which too little decodes.
    """
    with catalog.read() as reader:
        files = reader.failures.undecodable()
    found: dict[str, DamagedImage] = {}
    with ThreadPoolExecutor(usable_cores()) as threads:
        for done, image in enumerate(threads.map(_read_damaged, files), 1):
            progress(Progress("reading damaged files", done, len(files)))
            if image is not None:
                same = found.get(image.sha256)
                paths = (*same.paths, *image.paths) if same else image.paths
                found[image.sha256] = replace(image, paths=paths)
    return list(found.values())


def intact_candidates(
    reader: Reader, damaged: Sequence[DamagedImage], progress: ProgressCallback
) -> list[list[int]]:
    """Return, for each damaged image, the ids of similar intact images, the most similar first.

    Candidates have the aspect ratio of the damaged image, and a file.
    """
    if not damaged:
        return []
    table = reader.images.fingerprints()
    ids, width, height = (table.column(name).to_numpy() for name in ("image_id", "width", "height"))
    shortlist = _Shortlist(
        np.full((len(damaged), _SHORTLIST), -1.0, np.float32),
        np.zeros((len(damaged), _SHORTLIST), np.int64),
    )
    batches = _batches(damaged)
    for start in range(0, len(ids), _BLOCK):
        progress(Progress("looking for intact copies", start, len(ids)))
        part = slice(start, start + _BLOCK)
        small = downsampled(reader.images.lumas(ids[part]))
        for batch in batches:
            theirs = _normalised(orient_all(small, batch.orientation)[:, : batch.rows])
            for first in range(0, len(batch.numbers), _DAMAGED_BLOCK):
                block = slice(first, first + _DAMAGED_BLOCK)
                numbers = batch.numbers[block]
                correlation = batch.descriptors[block] @ theirs.T
                own = np.array([(damaged[n].width, damaged[n].height) for n in numbers])
                fit = same_aspect(own[:, :1], own[:, 1:], width[part], height[part])
                correlation[~fit] = -1
                shortlist.update(numbers, correlation, ids[part])
    shortlisted = shortlist.ids_above_limit()
    found: list[list[int]] = []
    for start in range(0, len(damaged), _DAMAGED_BLOCK):
        block = slice(start, start + _DAMAGED_BLOCK)
        found += _most_similar(reader, damaged[block], shortlisted[block])
    return found


@dataclass(frozen=True, eq=False)
class _Batch:
    """Damaged images with the same number of decoded rows on the same side."""

    orientation: int
    rows: int
    """Number of rows that are compared, of 16."""
    numbers: np.ndarray
    """int64 (n,): positions of the damaged images."""
    descriptors: np.ndarray
    """float32 (n, P): their rows, from :func:`_normalised`."""


def _batches(damaged: Sequence[DamagedImage]) -> list[_Batch]:
    def key(number: int) -> tuple[int, int]:
        return damaged[number].orientation, len(damaged[number].luma) // 2

    batches = []
    for (orientation, rows), members in groupby(sorted(range(len(damaged)), key=key), key):
        numbers = np.array(list(members))
        lumas = np.zeros((len(numbers), LUMA_SIDE, LUMA_SIDE), np.uint8)
        for row, number in enumerate(numbers):
            lumas[row, : 2 * rows] = damaged[number].luma[: 2 * rows]
        normalised = _normalised(downsampled(lumas.reshape(len(numbers), -1))[:, :rows])
        batches.append(_Batch(orientation, rows, numbers, normalised))
    return batches


def _normalised(images: np.ndarray) -> np.ndarray:
    """Return images (n, H, W) centred and scaled to length 1: float32 (n, H * W)."""
    flat = images.reshape(len(images), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(lengths, 1e-6), np.float32)


@dataclass(frozen=True, eq=False)
class _Shortlist:
    """The most similar images of each of D damaged images."""

    correlation: np.ndarray
    """float32 (D, 16)."""
    ids: np.ndarray
    """int64 (D, 16)."""

    def update(self, numbers: np.ndarray, correlation: np.ndarray, ids: np.ndarray) -> None:
        """Add the correlations (n, N) of damaged images ``numbers`` with images ``ids``."""
        known = np.concatenate([self.correlation[numbers], correlation], axis=1)
        order = np.argpartition(-known, _SHORTLIST - 1, axis=1)[:, :_SHORTLIST]
        images = np.concatenate(
            [self.ids[numbers], np.broadcast_to(ids, correlation.shape)], axis=1
        )
        self.correlation[numbers] = np.take_along_axis(known, order, axis=1)
        self.ids[numbers] = np.take_along_axis(images, order, axis=1)

    def ids_above_limit(self) -> list[np.ndarray]:
        """Return, for each damaged image, the ids of sufficiently correlated images."""
        rows = zip(self.ids, self.correlation, strict=True)
        return [ids[correlation >= _MIN_CORRELATION] for ids, correlation in rows]


def _most_similar(
    reader: Reader, damaged: Sequence[DamagedImage], ids: Sequence[np.ndarray]
) -> list[list[int]]:
    """Return the ids of the images to open for each damaged image, by similarity at 32 x 32."""
    known = np.unique(np.concatenate(ids))
    lumas = reader.images.lumas(known).reshape(-1, LUMA_SIDE, LUMA_SIDE)
    found = []
    for one, candidates in zip(damaged, ids, strict=True):
        theirs = orient_all(lumas[np.searchsorted(known, candidates)], one.orientation)
        theirs = theirs[:, : len(one.luma)]
        target = descriptors(one.luma[None].astype(np.float32))[0]
        similarity = descriptors(theirs.astype(np.float32)) @ target
        order = np.lexsort((candidates, -similarity))[:MAX_CANDIDATES]
        found.append(
            [int(candidates[row]) for row in order if similarity[row] >= MIN_DECODED_SIMILARITY]
        )
    return found


def _read_damaged(file: FoundFile) -> DamagedImage | None:
    """Decode a file as far as possible; None if it is changed, intact, or too little decodes."""
    try:
        if _state(file.path) != (file.bytes, file.mtime_ns):
            return None
        with file_errors():
            data = read_bytes(file.path)
            if _state(file.path) != (file.bytes, file.mtime_ns):
                return None
            with exclusive(_pixel_count(data)):
                return None if _is_intact(data) else _decode_damaged(file.path, data)
    except (OSError, UnreadableImage):
        return None


def _decode_damaged(path: str, data: bytes) -> DamagedImage | None:
    """Return the damaged image in a file's bytes; None if too little of it decodes."""
    partial = load_partial_image(data)
    rows = int(partial.share * LUMA_SIDE)
    if partial.share < MIN_SHARE:
        return None
    pixels = Image.fromarray(partial.pixels).convert("L")
    box = (0, 0, pixels.width, min(pixels.height, partial.height * rows / LUMA_SIDE))
    luma = np.asarray(
        pixels.resize((LUMA_SIDE, rows), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    )
    if luma.std() < MIN_CONTRAST * 255:
        return None
    width = pixels.width
    size = (partial.height, width) if partial.orientation & 4 else (width, partial.height)
    digest = sha256(data).hexdigest()
    return DamagedImage((path,), digest, *size, partial.orientation, partial.share, luma)


def _state(path: str) -> tuple[int, int]:
    """Return the size and the modification time of a file."""
    status = os.stat(path)
    return size_and_mtime(status)


def _pixel_count(data: bytes) -> int:
    """Return the number of pixels of an image, or the allowed maximum if its header is broken."""
    try:
        width, height = open_image(data).size
    except UnreadableImage:
        return MAX_PIXELS
    return width * height


def _is_intact(data: bytes) -> bool:
    try:
        Decoder(data).at_least()
    except UnreadableImage:
        return False
    return True
