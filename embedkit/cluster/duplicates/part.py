"""The images of a part: those at home there, and what is known there of those of other parts."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from embedkit._internal.fixed_point import from_fixed_point
from embedkit.cluster.duplicates.exchange import fixed, numbers, unfixed
from embedkit.cluster.duplicates.place import Placed
from embedkit.cluster.duplicates.run import Run
from embedkit.duplicates.evidence import Features, ImageEmbeddings, Traits
from embedkit.duplicates.similarity import Outlines
from embedkit.results.fingerprint import LUMA_SIDE


@dataclass(frozen=True, eq=False)
class OutlinedImages:
    """Images, and what rules most pairs of them out."""

    number: np.ndarray
    """int64 (n,)."""
    home: np.ndarray
    """int16 (n,): the part that an image is at home in."""
    kind: np.ndarray
    """uint64 (n,): width, height and format."""
    traits: Traits
    outlines: Outlines

    def __len__(self) -> int:
        return len(self.number)


@dataclass(frozen=True, eq=False)
class FullImages:
    """Images with all that they are compared by."""

    number: np.ndarray
    """int64 (n,)."""
    kind: np.ndarray
    """uint64 (n,): width, height and format."""
    small: np.ndarray
    """uint16 (n, 256): see :data:`embedkit.cluster.duplicates.place.SMALL`."""
    features: Features

    def __len__(self) -> int:
        return len(self.number)

    def rows_of(self, wanted: np.ndarray) -> np.ndarray:
        """Return the rows of images by number, of images in order of their numbers."""
        return np.searchsorted(self.number, wanted)

    def followed_by(self, others: "FullImages") -> "FullImages":
        """Return these images and others, not in order of their numbers."""
        ours, theirs = self.features, others.features
        return FullImages(
            np.concatenate([self.number, others.number]),
            np.concatenate([self.kind, others.kind]),
            np.concatenate([self.small, others.small]),
            Features(
                np.concatenate([ours.hashes, theirs.hashes]),
                np.concatenate([ours.contrast, theirs.contrast]),
                _joined(ours.embeddings, theirs.embeddings),
                np.concatenate([ours.small, theirs.small]),
            ),
        )

    def outlined(self, part: int) -> OutlinedImages:
        """Return what rules pairs out; ``part`` is the home of the images."""
        home = np.full(len(self), part, np.int16)
        outlines = Outlines.of(self.small)
        return OutlinedImages(self.number, home, self.kind, self.features, outlines)


def read_residents(
    run: Run, placed: Placed, part: int, wanted: np.ndarray | None = None
) -> FullImages:
    """Read the images at home in a part: all, or those with the numbers ``wanted``."""
    table = _rows(run.exchange.read(placed.images, part), wanted)
    if not placed.vectors:
        none = ImageEmbeddings(np.full(len(table), -1), np.empty((0, 1), np.float32))
        return full_images(table, none)
    vectors = _rows(run.exchange.read(placed.vectors, part), wanted)
    embedded = numbers(vectors["number"])
    order = np.argsort(embedded)
    number = numbers(table["number"])
    row_of = np.full(len(number), -1)
    places = np.minimum(np.searchsorted(embedded, number, sorter=order), len(embedded) - 1)
    if len(embedded):
        found = order[places]
        row_of = np.where(embedded[found] == number, found, -1)
    return full_images(table, ImageEmbeddings(row_of, unfixed(vectors["vector"], np.float32)))


def full_images(table: pa.Table, embeddings: ImageEmbeddings) -> FullImages:
    """Return images from the columns of :data:`.place.FEATURES`, with embeddings in their order."""
    order = np.argsort(numbers(table["number"]))
    number, contrast, kind = (
        numbers(table[name])[order] for name in ("number", "contrast", "kind")
    )
    hashes = unfixed(table["hashes"], np.uint64)[order]
    small = unfixed(table["small"], np.uint16)[order]
    embedded = ImageEmbeddings(embeddings.rows[order], embeddings.vectors)
    features = Features(hashes[:, :, None], contrast, embedded, _means(small))
    return FullImages(number, kind, small, features)


def read_cells(run: Run, placed: Placed, part: int, number: np.ndarray) -> np.ndarray:
    """Return the nearest cells of the images at home in a part: int32 (n, V); -1 for none."""
    table = run.exchange.read(placed.vectors, part, ["number", "cells"])
    nearest = unfixed(table["cells"], np.int32)
    cells = np.full((len(number), nearest.shape[1]), -1, np.int32)
    cells[np.searchsorted(number, numbers(table["number"]))] = nearest
    return cells


def read_visitors(run: Run, placed: Placed, part: int) -> tuple[OutlinedImages, np.ndarray]:
    """Read the images that visit a part, and their nearest cells: int32 (n, V)."""
    table = run.exchange.read(placed.visiting_images, part)
    vectors = run.exchange.read(placed.visiting_vectors, part)
    # Only images with an embedding visit, and every one of them.
    table = table.take(pa.array(np.argsort(numbers(table["number"]))))
    row_of = np.argsort(numbers(vectors["number"]))
    embeddings = ImageEmbeddings(row_of, _rounded_vectors(vectors))
    images = outlined_images(table, numbers(vectors["home"])[row_of], embeddings)
    return images, unfixed(vectors["cells"], np.int32)[row_of]


def outlined_images(
    table: pa.Table, home: np.ndarray, embeddings: ImageEmbeddings
) -> OutlinedImages:
    """Return images of other parts from the columns of :data:`.place.OUTLINED`."""
    hashes = unfixed(table["hashes"], np.uint64)[:, :, None]
    return OutlinedImages(
        numbers(table["number"]),
        home,
        numbers(table["kind"]),
        Traits(hashes, numbers(table["contrast"]), embeddings),
        Outlines.unpacked(unfixed(table["outline"], np.int16)),
    )


def received_embeddings(table: pa.Table, *, rounded: bool) -> ImageEmbeddings:
    """Return the embeddings of images that another part has sent."""
    embedded = np.flatnonzero(numbers(table["embedded"]))
    row_of = np.full(len(table), -1)
    row_of[embedded] = np.arange(len(embedded))
    if len(embedded) < len(table):
        table = table.take(pa.array(embedded))
    if rounded:
        return ImageEmbeddings(row_of, _rounded_vectors(table))
    return ImageEmbeddings(row_of, unfixed(table["vector"], np.float32))


def sent_columns(images: FullImages, rows: np.ndarray, vectors: np.ndarray) -> dict[str, Any]:
    """Return the columns of images that are sent to another part, without their lumas.

    ``vectors`` are those of the images, maybe rounded.
    """
    features = images.features
    row_of = features.embeddings.rows[rows]
    is_embedded = row_of >= 0
    if is_embedded.all():
        sent = vectors[row_of]
    else:
        sent = np.zeros((len(rows), vectors.shape[1]), vectors.dtype)
        sent[is_embedded] = vectors[row_of[is_embedded]]
    return {
        "number": images.number[rows],
        "contrast": features.contrast[rows],
        "kind": images.kind[rows],
        "hashes": fixed(features.hashes[rows, :, 0]),
        "embedded": is_embedded,
        "vector": fixed(sent),
    }


def _rounded_vectors(table: pa.Table) -> np.ndarray:
    """Return the vectors of images of other parts: float32 (n, dim)."""
    return from_fixed_point(unfixed(table["vector"], np.int16))


def _joined(ours: ImageEmbeddings, theirs: ImageEmbeddings) -> ImageEmbeddings:
    """Return the embeddings of images and of others that follow."""
    filled = [some.vectors for some in (ours, theirs) if len(some.vectors)]
    vectors = np.concatenate(filled) if filled else ours.vectors
    shifted = np.where(theirs.rows >= 0, theirs.rows + len(ours.vectors), -1)
    return ImageEmbeddings(np.concatenate([ours.rows, shifted]), vectors)


def _means(small: np.ndarray) -> np.ndarray:
    """Return the luma at 16 x 16 from the sums of four pixels: float32 (n, 16, 16)."""
    side = LUMA_SIDE // 2
    found = np.multiply(small, np.float32(0.25), dtype=np.float32)
    return np.asarray(found.reshape(-1, side, side))


def _rows(table: pa.Table, wanted: np.ndarray | None) -> pa.Table:
    """Return the rows of a table with some numbers."""
    if wanted is None:
        return table
    return table.take(pa.array(np.flatnonzero(np.isin(numbers(table["number"]), wanted))))
