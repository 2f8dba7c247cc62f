"""List the photos that tables name: Parquet files, Lance datasets and CSV files.

The column ``path`` or ``url`` names a photo. ``label``, ``bytes`` and ``mtime_ns`` may describe it.
Other columns with texts, whole numbers or truth values are attributes; columns with anything else
are not read.
"""

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from embedkit._internal.paths import from_stored, is_url, shown, to_stored
from embedkit._internal.tables import Table
from embedkit.cluster.entries import Entry
from embedkit.cluster.location import Location, reason_of
from embedkit.cluster.reading import opened
from embedkit.cluster.tables import Dataset
from embedkit.errors import BadInput, EmbedkitError, StorageError, UnreadableImage
from embedkit.ingest.labels import LABEL, PATH, as_label
from embedkit.results import Failure

URL, BYTES, MTIME = "url", "bytes", "mtime_ns"
_ROWS = 10_000
"""Rows that are in memory at a time."""
_NANOSECONDS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
"""Nanoseconds of the units of times."""
_tidy = lru_cache(1 << 16)(as_label)


def photos_of_parquet(table: Location) -> Iterator[Entry | Failure]:
    """Yield the photos that the rows of a Parquet file name, and the rows that name none.

    Raises :class:`BadInput` for a file without the column of their names.
    """
    with _reported(table) as failures, opened(table) as file:
        parquet = pq.ParquetFile(file)
        columns = _Columns(table, parquet.schema_arrow)
        batches = parquet.iter_batches(batch_size=_ROWS, columns=columns.names)
        yield from _rows(table, columns, batches)
    yield from failures


def photos_of_lance(table: Location) -> Iterator[Entry | Failure]:
    """Yield the photos that the rows of a Lance dataset name, and the rows that name none.

    Raises as :func:`photos_of_parquet` does.
    """
    with _reported(table) as failures:
        dataset = Dataset(table, pa.schema([])).open()
        if dataset is None:
            raise BadInput(f"{table} is not a Lance dataset; give a photo, a folder or a listing")
        columns = _Columns(table, dataset.schema)
        batches = dataset.to_batches(columns=columns.names, batch_size=_ROWS, scan_in_order=True)
        yield from _rows(table, columns, batches)
    yield from failures


def photos_of_csv(table: Location) -> Iterator[Entry | Failure]:
    """Yield the photos that the rows of a CSV file name, and the rows that name none.

    Raises as :func:`photos_of_parquet` does, and :class:`BadInput` for a file that is not CSV.
    """
    with _reported(table) as failures, opened(table) as file:
        is_utf_16 = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
        file.seek(0)
        encoding = "utf-16" if is_utf_16 else "utf-8-sig"
        lines = io.TextIOWrapper(file, encoding, newline="")
        optional = (PATH, URL, LABEL, BYTES, MTIME)
        rows = Table(str(table), lines, (), "a table of photos", optional)
        schema = pa.schema([(name, pa.string()) for name in rows.columns if name])
        columns = _Columns(table, schema)
        yield from _rows(table, columns, _csv_batches(rows, schema))
    yield from failures


def _csv_batches(rows: Table, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    cells: list[dict[str, str]] = []
    for _, row in rows:
        cells.append(row)
        if len(cells) == _ROWS:
            yield pa.RecordBatch.from_pylist(cells, schema)
            cells = []
    yield pa.RecordBatch.from_pylist(cells, schema)


@contextmanager
def _reported(table: Location) -> Iterator[list[Failure]]:
    """Add a failure to a list when a table cannot be read to its end."""
    failures: list[Failure] = []
    try:
        yield failures
    except (StorageError, UnreadableImage, OSError, ValueError, pa.ArrowException) as error:
        reason = str(error) if isinstance(error, EmbedkitError) else reason_of(error)
        failures.append(Failure(table.place, "scan", f"{reason}; what follows was not read"))


class _Columns:
    """The columns of a table that are read, by their meaning."""

    def __init__(self, table: Location, schema: pa.Schema) -> None:
        by_name = {as_label(name).casefold(): name for name in reversed(schema.names)}
        self.place = by_name.get(PATH) or by_name.get(URL) or ""
        if not self.place or not _is_text(schema.field(self.place).type):
            raise BadInput(
                f"{table} has no text column called path or url, which names the photos; rename "
                f"one of its columns: {', '.join(map(shown, schema.names[:20]))}"
            )
        self.label = by_name.get(LABEL)
        if self.label is not None and not _is_scalar(schema.field(self.label).type):
            raise BadInput(
                f"the column {self.label} of {table} has the type {schema.field(self.label).type}, "
                "which is not that of labels; write it as text"
            )
        self.bytes = self._of(schema, by_name.get(BYTES), _is_number)
        self.mtime_ns = self._of(schema, by_name.get(MTIME), _is_number)
        known = (self.place, self.label, self.bytes, self.mtime_ns)
        self.attributes = [
            name
            for name in schema.names
            if name not in known
            and as_label(name) != LABEL  # another column has the label
            and _is_scalar(schema.field(name).type)
        ]
        self.names = [name for name in (*known, *self.attributes) if name]

    @staticmethod
    def _of(
        schema: pa.Schema, name: str | None, is_suitable: Callable[[pa.DataType], bool]
    ) -> str | None:
        return name if name is not None and is_suitable(schema.field(name).type) else None


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _is_scalar(kind: pa.DataType) -> bool:
    return bool(_is_text(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(_is_text(kind) or pa.types.is_integer(kind) or pa.types.is_timestamp(kind))


def _rows(
    table: Location, columns: _Columns, batches: Iterator[pa.RecordBatch]
) -> Iterator[Entry | Failure]:
    number = 0
    names = [as_label(name) for name in columns.attributes]
    for batch in batches:
        texts = [_texts(batch.column(name)) for name in columns.attributes]
        nothing = [None] * len(batch)
        for cell, label, size, mtime_ns, *attributes in zip(
            _texts(batch.column(columns.place)),
            _texts(batch.column(columns.label)) if columns.label else nothing,
            _numbers(batch.column(columns.bytes)) if columns.bytes else nothing,
            _numbers(batch.column(columns.mtime_ns)) if columns.mtime_ns else nothing,
            *texts,
            strict=True,
        ):
            number += 1
            try:
                path = _path(table, cell)
            except BadInput as error:
                yield Failure(f"{table.place}, row {number}", "scan", str(error))
                continue
            yield Entry(
                path,
                size or 0,
                mtime_ns or 0,
                _tidy(label or "") or None,
                None,
                tuple(
                    (name, text)
                    for name, value in zip(names, attributes, strict=True)
                    if value is not None and (text := _tidy(value)) and name
                ),
            )


def _texts(column: pa.Array) -> list[str | None]:
    texts: list[str | None] = pc.cast(column, pa.string()).to_pylist()
    return texts


def _numbers(column: pa.Array) -> list[int | None]:
    """Return whole numbers, times as nanoseconds, and None for texts that are no numbers."""
    if _is_text(column.type):
        texts = _texts(column)
        return [_whole(int(text)) if text and text.isdecimal() else None for text in texts]
    unit = 1
    if pa.types.is_timestamp(column.type):
        unit = _NANOSECONDS[column.type.unit]
    if not pa.types.is_integer(column.type):
        column = pc.cast(column, pa.int64())
    return [None if number is None else _whole(number * unit) for number in column.to_pylist()]


def _whole(number: int | None) -> int | None:
    """Return a size or time; None for one that cannot be that of a file."""
    return number if number is not None and 0 <= number < 1 << 63 else None


def _path(table: Location, cell: str | None) -> str:
    """Return the stored form of what a row names; raise :class:`BadInput` with the reason.

    Relative paths start at the folder of the table; absolute ones are of this machine.
    """
    if cell is None or not cell.strip():
        raise BadInput("no path")
    if is_url(cell):
        location = Location(cell)
        if location.is_local:
            return _stored(from_stored(location.place))
        location.check_readable()
        return location.place
    if table.is_local or cell.startswith("/"):
        return _stored(os.path.join(os.path.dirname(table.place), from_stored(cell)))
    scheme, _, rest = table.place.partition("://")
    parts = rest.split("/")[:-1]
    for part in (quote(cell) if table.is_http else cell).split("/"):
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
        if not parts:
            raise BadInput("a relative path that leaves the storage of the table")
    return f"{scheme}://{'/'.join(parts)}"


def _stored(path: str) -> str:
    if "\0" in path:
        raise BadInput("a NUL character, which no file name contains")
    return to_stored(os.path.abspath(path))
