"""Read tables of image addresses: CSV, Parquet or JSONL, as img2dataset takes them."""

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from embedkit._internal.paths import shown
from embedkit._internal.tables import open_table
from embedkit.collect.hosts import normalised
from embedkit.collect.recipe import FACTS, ListColumns
from embedkit.errors import BadInput

Row = tuple[int, dict[str, str]]
"""The number of a line or row, and its values by our names: url, page and those of FACTS."""

Entry = tuple[str, str, dict[str, str]]
"""A normalised address, its page, and its facts."""

_BATCH = 10_000


def read_list(columns: ListColumns) -> Iterator[tuple[list[Entry], int]]:
    """Yield batches of the addresses in a table, and the number of rows of each batch.

    Rows without an http or https address are left out. Raises :class:`BadInput` for a table that
    cannot be read or has no column of addresses.
    """
    rows = _rows(columns)
    while batch := list(islice(rows, _BATCH)):
        found = []
        for _, values in batch:
            url = normalised(values.get("url", ""))
            if url is not None:
                facts = {name: values[name] for name in FACTS if values.get(name)}
                found.append((url, normalised(values.get("page", "")) or "", facts))
        yield found, len(batch)


def _rows(columns: ListColumns) -> Iterator[Row]:
    path = Path(columns.file)
    names = {getattr(columns, name): name for name in ("url", "page", *FACTS)}
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet(path, columns.url, names)
    if suffix in (".jsonl", ".ndjson"):
        return _jsonl(path, columns.url, names)
    return _csv(path, columns.url, names)


def _csv(path: Path, url: str, names: dict[str, str]) -> Iterator[Row]:
    optional = [name for name in names if name != url]
    with open_table(path, (url,), "a table of image addresses", optional) as table:
        for line, cells in table:
            yield line, {names[name]: cells[name] for name in cells if name in names}


def _parquet(path: Path, url: str, names: dict[str, str]) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            present = [name for name in file.schema_arrow.names if name in names]
            if url not in present:
                raise BadInput(_no_column(path, url))
            number = 0
            for batch in file.iter_batches(_BATCH, columns=present):
                for row in batch.to_pylist():
                    number += 1
                    yield number, {names[name]: as_text(value) for name, value in row.items()}
    except (OSError, pa.ArrowException) as error:
        raise BadInput(f"{shown(str(path))} cannot be read as Parquet: {error}") from error


def _jsonl(path: Path, url: str, names: dict[str, str]) -> Iterator[Row]:
    try:
        number = 0
        with open(path, encoding="utf-8-sig") as file:
            is_known = False
            for number, line in enumerate(file, 1):
                if not line.strip():
                    continue
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise BadInput(f"{shown(str(path))}, line {number}: not a JSON object")
                is_known |= url in row
                yield number, {names[key]: as_text(row[key]) for key in row if key in names}
            if not is_known:
                raise BadInput(_no_column(path, url))
    except OSError as error:
        raise BadInput(f"{shown(str(path))}: {error.strerror}") from error
    except UnicodeError as error:
        raise BadInput(f"{shown(str(path))} is not UTF-8; save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{shown(str(path))}, line {number}: not JSON ({error})") from error


def as_text(value: Any) -> str:
    """Return a value as text that can be stored; the items of a list one a line."""
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        return "\n".join(filter(None, (as_text(i) for i in value if not isinstance(i, list))))
    text = value if isinstance(value, str) else str(value)
    return text.encode("utf-8", "replace").decode("utf-8")  # without lone surrogates


def _no_column(path: Path, url: str) -> str:
    return (
        f"{shown(str(path))} has no column {shown(url)!r}; name the column of the addresses in the "
        "recipe: [list] url = '...'"
    )
