"""Placing the images of a store in parts, with everything that pairs are compared by."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from embedkit._internal.fixed_point import to_fixed_point
from embedkit.cluster.duplicates.cells import Cells
from embedkit.cluster.duplicates.exchange import divided, fixed, numbers, unfixed
from embedkit.cluster.duplicates.order import vectors_of
from embedkit.cluster.duplicates.run import Block, Run
from embedkit.duplicates.evidence import MIN_CONTRAST
from embedkit.duplicates.orientations import ORIENTATIONS, oriented_hashes
from embedkit.duplicates.pixels import MAX_LUMA_DIFFERENCE
from embedkit.duplicates.similarity import OUTLINE_LENGTH, Outlines, sums_of_four
from embedkit.results.fingerprint import LUMA_SIDE

HASHES = [f"hash{orientation}" for orientation in range(ORIENTATIONS)]
HASHED = pa.schema(
    [
        ("number", pa.int64()),
        ("home", pa.int16()),
        ("clear", pa.bool_()),  # enough contrast for a hash that means something
        *((name, pa.uint64()) for name in HASHES),
    ]
)
SMALL = np.dtype((np.uint16, (LUMA_SIDE // 2) ** 2))
"""The luma at 16 x 16: the sums of four pixels each, from which the means follow exactly."""
TRAITS = [
    ("number", pa.int64()),
    ("contrast", pa.float32()),
    ("kind", pa.uint64()),  # width, height and format, as one number
    ("hashes", pa.binary(8 * ORIENTATIONS)),
]
"""Columns of every image in a part."""
FEATURES = [*TRAITS, ("small", pa.binary(SMALL.itemsize))]
"""Columns of an image that is compared in full, except the vector."""
OUTLINED = [*TRAITS, ("outline", pa.binary(2 * OUTLINE_LENGTH))]
"""Columns of an image of another part, except the vector: enough to rule most pairs out."""
FORMAT = np.uint64(0xFFFF)
"""Bits of the format in the kind of an image."""
LOOKS = pa.schema([("number", pa.int64()), ("look", pa.uint64())])
"""Images by a number made of their size and luma, which pixel-identical ones mostly share."""
FAINT = pa.schema(
    [
        ("number", pa.int64()),
        ("kind", pa.uint64()),
        ("phash", pa.uint64()),
        ("luma", pa.binary(LUMA_SIDE**2)),
    ]
)
"""Images with too little contrast to be found by their hashes, or hardly enough."""
_FAINT_BELOW = MIN_CONTRAST + MAX_LUMA_DIFFERENCE / 255
"""Contrast below which an image may have the pixels of one that hashes do not find."""


@dataclass(frozen=True)
class Placed:
    """Files with the images of all parts: those at home there, and those that visit."""

    images: list[str]
    vectors: list[str]
    visiting_images: list[str]
    visiting_vectors: list[str]

    @property
    def files(self) -> list[str]:
        """All files."""
        return [*self.images, *self.vectors, *self.visiting_images, *self.visiting_vectors]


def vectors_schema(dim: int, visited: int) -> pa.Schema:
    """Return the columns of the vectors of images at home."""
    return pa.schema([("number", pa.int64()), ("cells", pa.binary(4 * visited)), vector_field(dim)])


def vector_field(dim: int) -> pa.Field:
    """Return the column of the vectors of images that are compared in full."""
    return pa.field("vector", pa.binary(4 * dim))


def rounded_vector_field(dim: int) -> pa.Field:
    """Return the column of the vectors of images of other parts, rounded to 16 bits."""
    return pa.field("vector", pa.binary(2 * dim))


@dataclass(frozen=True, eq=False)
class Probe:
    """Sampled images that are compared with all others, to measure how many pairs cells find."""

    numbers: np.ndarray
    """int64 (Q,): their numbers."""
    vectors: np.ndarray
    """float32 (Q, dim)."""
    cells: np.ndarray
    """int32 (Q, V)."""
    distance: float
    """Maximum distance of the pairs."""

    def count(self, others: np.ndarray, vectors: np.ndarray, cells: np.ndarray) -> tuple[int, int]:
        """Return the number of near pairs with other images, and how many the cells find."""
        near = np.flatnonzero((self.vectors @ vectors.T).ravel() >= 1 - self.distance)
        query, row = near // len(vectors), near % len(vectors)
        different = self.numbers[query] != others[row]
        query, row = query[different], row[different]
        found = (self.cells[query] == cells[row][:, :1]).any(axis=1)
        found |= (cells[row] == self.cells[query][:, :1]).any(axis=1)
        return len(query), int(found.sum())


def place_vectors(
    run: Run,
    block: Block,
    number: int,
    vector_numbers: str,
    cells: Cells,
    probe: Probe,
    image_blocks: int,
    parts: int,
) -> tuple[str, str, str, tuple[int, int]]:
    """Write the vectors of a block to their home part and to those that they visit.

    Returns the names of these two files, of one with the places of the images for each block of
    images, and the counts of :class:`Probe`.
    """
    known = run.exchange.read([vector_numbers], number)
    of_row = numbers(known["number"])
    used = np.flatnonzero(of_row >= 0)
    vectors = vectors_of(run.read_block("embeddings", block, ["vector"])["vector"])[used]
    of_row, image_block = of_row[used], numbers(known["block"])[used]
    nearest = cells.nearest(vectors)
    places = np.where(nearest >= 0, cells.part[nearest], -1).astype(np.int16)
    schema = pa.schema([("number", pa.int64()), ("places", pa.binary(2 * cells.visited))])
    table = pa.table({"number": of_row, "places": fixed(places)}, schema)
    placed = run.exchange.write("places", schema, divided(table, image_block, image_blocks))
    schema = vectors_schema(vectors.shape[1], cells.visited)
    table = pa.table({"number": of_row, "cells": fixed(nearest), "vector": fixed(vectors)}, schema)
    at_home = run.exchange.write("vectors", schema, divided(table, places[:, 0], parts))
    row, part = _visits(places)
    schema = pa.schema(
        [
            ("number", pa.int64()),
            ("cells", pa.binary(4 * cells.visited)),
            ("home", pa.int16()),
            rounded_vector_field(vectors.shape[1]),
        ]
    )
    rounded = fixed(to_fixed_point(vectors))
    values = {"number": of_row, "cells": fixed(nearest), "home": places[:, 0], "vector": rounded}
    visits = pa.table(values, schema).take(pa.array(row))
    visiting = run.exchange.write("visiting-vectors", schema, divided(visits, part, parts))
    return at_home, visiting, placed, probe.count(of_row, vectors, nearest)


def place_images(
    run: Run, block: Block, number: int, image_numbers: str, places: list[str], parts: int
) -> tuple[str, str, str, str, str]:
    """Write the fingerprints of a block to the home part of the images, and to those they visit.

    Returns the names of these two files, of one with the hashes of all images, of one with the
    looks, and of one with the faint images.
    """
    of_row = numbers(run.exchange.read([image_numbers], number)["number"])
    used = np.flatnonzero(of_row >= 0)
    columns = ["phash", "luma", "contrast", "width", "height", "format"]
    rows = run.read_block("images", block, columns).take(pa.array(used))
    of_row = of_row[used]
    luma = unfixed(rows["luma"], np.uint8)
    hashes = oriented_hashes(luma)[:, :, 0]
    hashes[:, 0] = numbers(rows["phash"])
    contrast = numbers(rows["contrast"])
    kind = _kinds(rows)
    home, (row, part) = _places(run, of_row, number, places, parts)
    small = sums_of_four(luma)
    traits = {"number": of_row, "contrast": contrast, "kind": kind, "hashes": fixed(hashes)}
    schema = pa.schema(FEATURES)
    table = pa.table({**traits, "small": fixed(small)}, schema)
    at_home = run.exchange.write("images", schema, divided(table, home, parts))
    schema = pa.schema(OUTLINED)
    table = pa.table({**traits, "outline": fixed(Outlines.of(small).packed())}, schema)
    visits = divided(table.take(pa.array(row)), part, parts)
    visiting = run.exchange.write("visiting-images", schema, visits)
    clear = contrast >= MIN_CONTRAST
    values = {name: hashes[:, number] for number, name in enumerate(HASHES)}
    hashed = pa.table({"number": of_row, "home": home, "clear": clear, **values}, HASHED)
    looks = kind & ~FORMAT ^ _mixed(luma.view(np.uint64))
    table = pa.table({"number": of_row, "look": looks}, LOOKS)
    by_look = divided(table, (looks % np.uint64(parts)).astype(np.int64), parts)
    chosen = np.flatnonzero(contrast < _FAINT_BELOW)
    values = {"number": of_row, "kind": kind, "phash": hashes[:, 0], "luma": rows["luma"]}
    faint = pa.table(values, FAINT).take(pa.array(chosen))
    mixed = _mixed(sizes_of(kind[chosen])[:, None]) % np.uint64(parts)
    by_size = divided(faint, mixed.astype(np.int64), parts)
    return (
        at_home,
        visiting,
        run.exchange.write("hashes", HASHED, [hashed]),
        run.exchange.write("looks", LOOKS, by_look),
        run.exchange.write("faint", FAINT, by_size),
    )


def sizes_of(kind: np.ndarray) -> np.ndarray:
    """Return width and height of images of some kinds as one number each: uint64 (n,)."""
    return kind >> np.uint64(16)


def _places(
    run: Run, of_row: np.ndarray, block: int, places: list[str], parts: int
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Return the home of each image, and the rows and parts of all visits.

    Images without an embedding are spread over all parts.
    """
    found = (of_row % parts).astype(np.int16)[:, None]
    if places and len(of_row):
        known = run.exchange.read(places, block)
        order = np.argsort(of_row)
        rows = order[np.searchsorted(of_row, numbers(known["number"]), sorter=order)]
        of_embedded = unfixed(known["places"], np.int16)
        found = np.pad(found, ((0, 0), (0, of_embedded.shape[1] - 1)), constant_values=-1)
        found[rows] = of_embedded
    return found[:, 0], _visits(found)


def _visits(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and parts of places (n, V), -1 for none, that are not the home of a row.

    Each part of a row is there once.
    """
    new = places >= 0
    new[:, 0] = False
    for column in range(1, places.shape[1]):
        new[:, column] &= (places[:, :column] != places[:, column : column + 1]).all(axis=1)
    row, place = np.nonzero(new)
    return row, places[row, place]


def _kinds(rows: pa.Table) -> np.ndarray:
    """Return size and format of images as one number each: uint64 (n,)."""
    from zlib import crc32

    encoded = rows["format"].combine_chunks().dictionary_encode()
    codes = np.array([crc32(name.encode()) & 0xFFFF for name in encoded.dictionary.to_pylist()])
    codes = codes.astype(np.uint64)[encoded.indices.to_numpy()] if len(rows) else codes[:0]
    width, height = (numbers(rows[name]).astype(np.uint64) for name in ("width", "height"))
    return np.asarray(width << np.uint64(40) | height << np.uint64(16) | codes.astype(np.uint64))


def _mixed(words: np.ndarray) -> np.ndarray:
    """Return a hash of each row of words (n, k): uint64 (n,)."""
    factors = np.random.default_rng(0).integers(1, 1 << 63, words.shape[1], np.uint64)
    product = (words * (factors << np.uint64(1) | np.uint64(1))).sum(axis=1, dtype=np.uint64)
    return np.asarray(product ^ (product >> np.uint64(32)))
