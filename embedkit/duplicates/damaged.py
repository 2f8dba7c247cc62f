"""Damaged files, and the intact images that they may be copies of.

What is there of a damaged file is as good as it was, so it is compared with the same part of the
images of the catalog: first with that of the 32 x 32 lumas that their fingerprints keep, without a
decode.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import groupby

import numpy as np
from PIL import Image

from embedkit._internal.paths import stamp
from embedkit.catalog import Catalog, Reader
from embedkit.duplicates.evidence import FLAT
from embedkit.duplicates.examination import remains_of
from embedkit.duplicates.examination.partial import LEAST_SHARE
from embedkit.duplicates.examination.placement import are_of_one_shape
from embedkit.duplicates.orientations import turned
from embedkit.duplicates.similarity import described, halved
from embedkit.errors import UnreadableImage
from embedkit.images.decode import Decoder, alone, read_bytes
from embedkit.images.faults import one_file
from embedkit.images.opening import PIXEL_CAP, opened
from embedkit.images.scan import FoundFile
from embedkit.results import LUMA_SIDE, Progress, ProgressCallback

ALIKE = 0.9
"""Likeness of what is there, at 32 x 32, from which on an image is opened."""
MOST = 4
"""Images opened for each damaged file: those that are most alike."""

_LEAST = 0.8  # correlation at 16 x 16 below which no image is so alike
_MANY = 16  # images looked at at 32 x 32: those that correlate best at 16 x 16
_BLOCK = 8192  # images whose lumas are looked at together
_SOME = 1024  # damaged files that are compared with them together


@dataclass(frozen=True, eq=False)
class Damaged:
    """Bytes that do not decode, as far as they are there; several files may have them."""

    paths: tuple[str, ...]
    sha256: str
    """Hex digest."""
    width: int
    """Of the whole upright image; likewise ``height``."""
    height: int
    turn: int
    """One of the turns of :mod:`embedkit.duplicates.orientations`: it brings what is there to the
    top."""
    share: float
    """Of the image, that is there."""
    luma: np.ndarray
    """The rows that are there, after the turn, of what a perceptual hash is made from: uint8."""


def damaged_files(catalog: Catalog, progress: ProgressCallback) -> list[Damaged]:
    """The files that failed to decode and still have the bytes that failed, each bytes once.

    Those that are gone, or of which too little is there, are left out.
    """
    with catalog.read() as reader:
        files = reader.failures.undecodable()
    found: dict[str, Damaged] = {}
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for done, seen in enumerate(threads.map(_seen, files), 1):
            progress(Progress("reading damaged files", done, len(files)))
            if seen is not None:
                same = found.get(seen.sha256)
                paths = (*same.paths, *seen.paths) if same else seen.paths
                found[seen.sha256] = replace(seen, paths=paths)
    return list(found.values())


def proposed(
    reader: Reader, damaged: Sequence[Damaged], progress: ProgressCallback
) -> list[list[int]]:
    """For each damaged file the ids of the images that it may be a copy of, the likeliest first.

    They are of its aspect ratio, and have a file.
    """
    if not damaged:
        return []
    table = reader.images.fingerprints()
    ids, width, height = (table.column(name).to_numpy() for name in ("image_id", "width", "height"))
    best = _Best(
        np.full((len(damaged), _MANY), -1.0, np.float32),
        np.zeros((len(damaged), _MANY), np.int64),
    )
    looks = _looks(damaged)
    for start in range(0, len(ids), _BLOCK):
        progress(Progress("looking for intact copies", start, len(ids)))
        part = slice(start, start + _BLOCK)
        small = halved(reader.images.lumas(ids[part]))
        for look in looks:
            theirs = _centred(turned(small, look.turn)[:, : look.rows])
            for first in range(0, len(look.numbers), _SOME):
                some = slice(first, first + _SOME)
                numbers = look.numbers[some]
                alike = look.described[some] @ theirs.T
                own = np.array([(damaged[n].width, damaged[n].height) for n in numbers])
                fit = are_of_one_shape(own[:, :1], own[:, 1:], width[part], height[part])
                alike[~fit] = -1
                best.take(numbers, alike, ids[part])
    close = best.close()
    found: list[list[int]] = []
    for start in range(0, len(damaged), _SOME):
        some = slice(start, start + _SOME)
        found += _likeliest(reader, damaged[some], close[some])
    return found


@dataclass(frozen=True, eq=False)
class _Look:
    """Damaged files of which as much is there, on the same side."""

    turn: int
    rows: int
    """Of 16, that are compared."""
    numbers: np.ndarray
    """int64 (n,): which they are."""
    described: np.ndarray
    """float32 (n, P): their rows as :func:`_centred` makes them."""


def _looks(damaged: Sequence[Damaged]) -> list[_Look]:
    def kind(number: int) -> tuple[int, int]:
        return damaged[number].turn, len(damaged[number].luma) // 2

    looks = []
    for (turn, rows), members in groupby(sorted(range(len(damaged)), key=kind), kind):
        numbers = np.array(list(members))
        lumas = np.zeros((len(numbers), LUMA_SIDE, LUMA_SIDE), np.uint8)
        for place, number in enumerate(numbers):
            lumas[place, : 2 * rows] = damaged[number].luma[: 2 * rows]
        described = _centred(halved(lumas.reshape(len(numbers), -1))[:, :rows])
        looks.append(_Look(turn, rows, numbers, described))
    return looks


def _centred(images: np.ndarray) -> np.ndarray:
    """Images (n, h, w) less their means and of length 1: float32 (n, h * w)."""
    flat = images.reshape(len(images), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(lengths, 1e-6), np.float32)


@dataclass(frozen=True, eq=False)
class _Best:
    """The images that are most alike, of each damaged file: correlations and ids (D, MANY)."""

    alike: np.ndarray
    ids: np.ndarray

    def take(self, numbers: np.ndarray, alike: np.ndarray, ids: np.ndarray) -> None:
        """Take in the correlations of some damaged files with further images, (n, N)."""
        known = np.concatenate([self.alike[numbers], alike], axis=1)
        order = np.argpartition(-known, _MANY - 1, axis=1)[:, :_MANY]
        images = np.concatenate([self.ids[numbers], np.broadcast_to(ids, alike.shape)], axis=1)
        self.alike[numbers] = np.take_along_axis(known, order, axis=1)
        self.ids[numbers] = np.take_along_axis(images, order, axis=1)

    def close(self) -> list[np.ndarray]:
        """Of each damaged file the ids of images that are alike enough."""
        rows = zip(self.ids, self.alike, strict=True)
        return [ids[alike >= _LEAST] for ids, alike in rows]


def _likeliest(
    reader: Reader, damaged: Sequence[Damaged], ids: Sequence[np.ndarray]
) -> list[list[int]]:
    """Of each damaged file the images to open, by the likeness of what is there at 32 x 32."""
    known = np.unique(np.concatenate(ids))
    lumas = reader.images.lumas(known).reshape(-1, LUMA_SIDE, LUMA_SIDE)
    found = []
    for one, some in zip(damaged, ids, strict=True):
        theirs = turned(lumas[np.searchsorted(known, some)], one.turn)[:, : len(one.luma)]
        mine = described(one.luma[None].astype(np.float32))[0]
        alike = described(theirs.astype(np.float32)) @ mine
        order = np.lexsort((some, -alike))[:MOST]
        found.append([int(some[place]) for place in order if alike[place] >= ALIKE])
    return found


def _seen(file: FoundFile) -> Damaged | None:
    """What there is of a file; None for one that is no damaged image, or not the one that was."""
    try:
        if _state(file.path) != (file.bytes, file.mtime_ns):
            return None
        with one_file():
            data = read_bytes(file.path)
            if _state(file.path) != (file.bytes, file.mtime_ns):
                return None
            with alone(_pixels(data)):
                return None if _is_intact(data) else _remaining(file.path, data)
    except (OSError, UnreadableImage):
        return None


def _remaining(path: str, data: bytes) -> Damaged | None:
    """What there is of bytes that are damaged; None where it is too little."""
    remains = remains_of(data)
    rows = int(remains.share * LUMA_SIDE)
    if remains.share < LEAST_SHARE:
        return None
    pixels = Image.fromarray(remains.pixels).convert("L")
    box = (0, 0, pixels.width, min(pixels.height, remains.height * rows / LUMA_SIDE))
    luma = np.asarray(
        pixels.resize((LUMA_SIDE, rows), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    )
    if luma.std() < FLAT * 255:
        return None
    width = pixels.width
    size = (remains.height, width) if remains.turn & 4 else (width, remains.height)
    digest = sha256(data).hexdigest()
    return Damaged((path,), digest, *size, remains.turn, remains.share, luma)


def _state(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return stamp(status)


def _pixels(data: bytes) -> int:
    """How many pixels a file has; as many as there can be where its header does not tell."""
    try:
        width, height = opened(data).size
    except UnreadableImage:
        return PIXEL_CAP
    return width * height


def _is_intact(data: bytes) -> bool:
    try:
        Decoder(data).at_least()
    except UnreadableImage:
        return False
    return True
