"""Numbering the images of a store, the best images first, as one machine orders them.

Images with more pixels come first, then those with more bytes, then in order of path. DuckDB sorts
and joins; it uses the disk when the memory is not enough.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from embedkit.cluster.duplicates.exchange import numbers
from embedkit.cluster.duplicates.run import Block, Run
from embedkit.cluster.tables import USABLE
from embedkit.duplicates.cells import sampled_rows

MAX_BLOCK = 1 << 17
"""Maximum number of rows that a task reads at a time."""
MIN_BLOCK = 1 << 12
WHOLE = "share IS NULL OR share >= 1"
"""Condition of the images that are not truncated."""
NUMBER = pa.schema([("number", pa.int64())])
VECTOR_NUMBER = pa.schema([("number", pa.int64()), ("block", pa.int32())])
NUMBERED = pa.schema(
    [
        ("number", pa.int64()),
        ("sha256", pa.binary(32)),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("bytes", pa.int64()),
        ("files", pa.int64()),
    ]
)
_MEMORY = "4GB"
"""Memory of DuckDB; above it, it uses the disk."""
_ROWS = 1 << 17


@dataclass(frozen=True, eq=False)
class Numbering:
    """The numbered images of a store."""

    count: int
    """Number of images with a usable file."""
    embedded: int
    """Number of them with an embedding."""
    image_blocks: list[Block]
    image_numbers: str
    """File with a part for each block: the numbers of its rows, -1 for an image without a file."""
    vector_blocks: list[Block]
    vector_numbers: str
    """The same for the embeddings, with the block of the image of each."""
    numbered: str
    """File with the digest and size of each image, in order of the number."""
    sample: np.ndarray
    """float32 (S, dim): sampled embeddings, the first of which are those of
    :func:`embedkit.duplicates.distribution.sampled_places`."""
    sample_numbers: np.ndarray
    """int64 (S,): the numbers of their images."""


@contextmanager
def database() -> Iterator[Any]:
    """Connect to a DuckDB that is removed when the block ends."""
    import duckdb

    with tempfile.TemporaryDirectory(prefix="embedkit-") as folder:
        connection = duckdb.connect(f"{folder}/order.duckdb")
        connection.execute(f"SET memory_limit = '{_MEMORY}'")
        connection.execute(f"SET temp_directory = '{folder}/spill'")
        try:
            yield connection
        finally:
            connection.close()


def number_images(run: Run, workers: int) -> Numbering:
    """Number the images of a store, and sample embeddings."""
    from embedkit._internal.cores import usable_cores

    with database() as connection:
        connection.execute(f"SET threads = {usable_cores()}")
        files = run.opened("files")
        if files is not None:
            connection.register(
                "files", files.scanner(columns=["sha256", "path"], filter=USABLE).to_reader()
            )
        else:
            connection.execute("CREATE TABLE files (sha256 BLOB, path VARCHAR)")
        connection.execute(
            """CREATE TABLE known AS
               SELECT sha256, min(path) AS first, count(*) AS files FROM files GROUP BY sha256"""
        )
        images = run.opened("images")
        connection.register(
            "images",
            images.scanner(
                columns=["sha256", "width", "height", "bytes", "share"], with_row_address=True
            ).to_reader(),
        )
        connection.execute("CREATE TABLE every AS SELECT * FROM images")
        connection.execute(
            f"""CREATE TABLE ordered AS
               SELECT sha256, width, height, bytes, files, _rowaddr
               FROM (SELECT sha256, any_value(width) AS width, any_value(height) AS height,
                            any_value(bytes) AS bytes, min(_rowaddr) AS _rowaddr
                     FROM every WHERE {WHOLE} GROUP BY sha256)
               JOIN known USING (sha256)
               ORDER BY width::BIGINT * height DESC, bytes DESC, first, sha256"""
        )
        connection.execute("CREATE VIEW numbered AS SELECT rowid AS number, * FROM ordered")
        ((count,),) = connection.execute("SELECT count(*) FROM ordered").fetchall()
        # DuckDB stores rows in the order in which they are inserted, and returns them in it.
        rows = _tables(connection, "SELECT * EXCLUDE _rowaddr FROM numbered", NUMBERED)
        numbered = run.exchange.write("numbered", NUMBERED, rows)
        table = connection.sql(
            """SELECT e._rowaddr AS address, coalesce(number, -1) AS number
               FROM every e LEFT JOIN numbered n USING (_rowaddr) ORDER BY address"""
        ).to_arrow_table()
        addresses, image_numbers = numbers(table["address"]), numbers(table["number"])
        size = int(np.clip(len(addresses) // (4 * workers) + 1, MIN_BLOCK, MAX_BLOCK))
        image_blocks, bounds = _blocks(addresses, size)
        pieces = (pa.table({"number": image_numbers[a:b]}, NUMBER) for a, b in bounds)
        written = run.exchange.write("image-numbers", NUMBER, pieces)
        block_of = np.full(count + 1, -1, np.int32)  # the last one is that of the number -1
        for block, (start, end) in enumerate(bounds):
            of_block = image_numbers[start:end]
            block_of[of_block[of_block >= 0]] = block
        vectors = run.opened("embeddings") if run.embeddings else None
        if vectors is None:
            none = np.empty((0, 1), np.float32)
            return Numbering(
                count, 0, image_blocks, written, [], "", numbered, none, np.empty(0, np.int64)
            )
        connection.register(
            "vectors",
            vectors.scanner(
                columns=["sha256"], with_row_address=True, with_row_id=True
            ).to_reader(),
        )
        table = connection.sql(
            """SELECT v._rowaddr AS address, v._rowid AS id, coalesce(number, -1) AS number
               FROM vectors v LEFT JOIN numbered n USING (sha256) ORDER BY address"""
        ).to_arrow_table()
    addresses, ids, of_vector = (numbers(table[name]) for name in ("address", "id", "number"))
    # A row that is there twice counts once.
    of_vector = of_vector.copy()
    of_vector[
        np.setdiff1d(np.arange(len(of_vector)), np.unique(of_vector, return_index=True)[1])
    ] = -1
    vector_blocks, bounds = _blocks(addresses, size)
    image_block = block_of[of_vector]
    pieces = (
        pa.table({"number": of_vector[a:b], "block": image_block[a:b]}, VECTOR_NUMBER)
        for a, b in bounds
    )
    vector_numbers = run.exchange.write("vector-numbers", VECTOR_NUMBER, pieces)
    known = np.flatnonzero(of_vector >= 0)
    known = known[np.argsort(of_vector[known])]
    chosen = known[sampled_rows(len(known))]
    taken = vectors._take_rows(ids[chosen].tolist(), columns=["vector"])
    return Numbering(
        count,
        len(known),
        image_blocks,
        written,
        vector_blocks,
        vector_numbers,
        numbered,
        vectors_of(taken["vector"]),
        of_vector[chosen],
    )


def vectors_of(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column of vectors as float32 (n, dim)."""
    width = column.type.list_size
    pieces = [np.empty((0, width), np.float32)]
    pieces += [np.asarray(chunk.flatten()).reshape(-1, width) for chunk in column.chunks]
    return np.concatenate(pieces)


def _blocks(addresses: np.ndarray, size: int) -> tuple[list[Block], list[tuple[int, int]]]:
    """Divide rows at sorted addresses into blocks of at most ``size``; return these and bounds."""
    fragments = addresses >> np.uint64(32)
    new = np.ones(len(addresses), bool)
    new[1:] = fragments[1:] != fragments[:-1]
    blocks, bounds = [], []
    for start, end in pairwise([*np.flatnonzero(new).tolist(), len(addresses)]):
        for first in range(start, end, size):
            last = min(first + size, end)
            blocks.append(Block(int(fragments[start]), first - start, last - first))
            bounds.append((first, last))
    return blocks, bounds


def _tables(connection: Any, query: str, schema: pa.Schema) -> Iterator[pa.Table]:
    for batch in connection.sql(query).to_arrow_reader(_ROWS):
        yield pa.Table.from_batches([batch]).cast(schema)
