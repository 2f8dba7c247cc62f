"""Exchanges: rows that tasks write for other tasks, in files divided into parts.

A task writes one file with a batch for each part; a later task reads its part of the files of all
tasks. A file is complete or has no name that any task knows: names are random, and are known from
the results of the tasks that wrote them.
"""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from embedkit.cluster.location import Location


class Exchange:
    """A folder with the files of a run."""

    def __init__(self, folder: str) -> None:
        self._folder = Location(folder)

    def write(self, stage: str, schema: pa.Schema, parts: Iterable[pa.Table]) -> str:
        """Write one batch for each part, in order; return the name of the file."""
        name = f"{stage}-{secrets.token_hex(8)}.arrow"
        file = self._folder / name
        with file.errors(), _sink(file) as sink, pa.ipc.new_file(sink, schema) as writer:
            for part in parts:
                columns = [part[name].combine_chunks() for name in schema.names]
                columns = [_single(column) for column in columns]
                writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
        return name

    def read(
        self, names: Sequence[str], part: int, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Return a part of the files with some names, of which there is at least one."""
        batches = []
        for name in names:
            file = self._folder / name
            with file.errors():
                batches.append(_opened(file, columns).get_batch(part))
        return pa.Table.from_batches(batches)

    def stream(self, name: str) -> pa.RecordBatchReader:
        """Return a reader of all parts of a file, one after the other."""
        file = self._folder / name
        with file.errors():
            found = _opened(file, None)

        def batches() -> Iterator[pa.RecordBatch]:
            for part in range(found.num_record_batches):
                yield found.get_batch(part)

        return pa.RecordBatchReader.from_batches(found.schema, batches())

    def parts(self, name: str) -> int:
        """Return the number of parts of a file."""
        file = self._folder / name
        with file.errors():
            return int(_opened(file, None).num_record_batches)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files that no task needs any more."""
        for name in names:
            (self._folder / name).remove()


def divided(table: pa.Table, part: np.ndarray, parts: int) -> Iterator[pa.Table]:
    """Yield the rows of each part, given the part of each row; one part is in memory at a time."""
    for rows in rows_by_part(part, parts):
        yield table.take(pa.array(rows))


def rows_by_part(part: np.ndarray, parts: int) -> list[np.ndarray]:
    """Return the rows of each part, in their order."""
    order = np.argsort(part, kind="stable")
    return np.split(order, np.searchsorted(part[order], np.arange(1, parts)))


def fixed(rows: np.ndarray) -> pa.FixedSizeBinaryArray:
    """Return the rows of an array (n, k) as values of a fixed size."""
    rows = np.ascontiguousarray(rows)
    width = rows.itemsize * int(np.prod(rows.shape[1:]))
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(width), len(rows), [None, pa.py_buffer(rows)]
    )


def unfixed(column: pa.ChunkedArray, dtype: Any) -> np.ndarray:
    """Return values of a fixed size as rows of an array (n, k): the inverse of :func:`fixed`."""
    width = column.type.byte_width
    pieces = [np.empty((0, width), np.uint8)]
    for chunk in column.chunks:
        if len(chunk):
            content = np.frombuffer(chunk.buffers()[1], np.uint8)
            start = width * chunk.offset
            pieces.append(content[start : start + width * len(chunk)].reshape(-1, width))
    return np.concatenate(pieces).view(dtype)


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column of numbers without nulls as an array."""
    return np.asarray(column.to_numpy())


def _single(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    return column


def _sink(file: Location) -> Any:
    if file.is_local:
        return pa.OSFile(file.path, "wb")
    return file.filesystem.open(file.path, "wb")


def _opened(file: Location, columns: Sequence[str] | None) -> Any:
    source = pa.memory_map(file.path) if file.is_local else file.filesystem.open(file.path, "rb")
    options = None
    if columns is not None:
        schema = pa.ipc.open_file(source).schema
        options = pa.ipc.IpcReadOptions(
            included_fields=[schema.get_field_index(name) for name in columns]
        )
    return pa.ipc.open_file(source, options=options)
