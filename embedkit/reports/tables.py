"""Tables of results as Arrow tables, pandas data frames and CSV."""

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedkit._internal.paths import absolute, shown, to_stored
from embedkit._internal.tables import write_table
from embedkit._internal.text import listed
from embedkit.errors import BadInput, MissingExtra
from embedkit.results.result import BOOL, PATH, PATHS, TEXT, TEXTS, Table

if TYPE_CHECKING:
    import pandas
    import pyarrow

SUFFIX = ".csv"


def arrow_table(tables: Mapping[str, Table], name: str | None) -> "pyarrow.Table":
    """Return a table as a PyArrow table; the first one without a name.

    Raises :class:`BadInput` for a name that is not in ``tables``.
    """
    import pyarrow as pa

    columns, rows = _named(tables, name)
    types = {TEXT: pa.string(), PATH: pa.string(), TEXTS: pa.list_(pa.string())}
    types[PATHS] = types[TEXTS]
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    return pa.table(
        {
            column: pa.array([_valid(value, kind) for value in of_column], types.get(kind, kind))
            for (column, kind), of_column in zip(columns.items(), values, strict=True)
        }
    )


def pandas_frame(tables: Mapping[str, Table], name: str | None) -> "pandas.DataFrame":
    """Return a table as a pandas data frame; the first one without a name.

    Raises :class:`BadInput` as :func:`arrow_table`, and :class:`MissingExtra` without pandas.
    """
    try:
        import pandas  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "a data frame needs pandas; install it with pip install 'embedkit[pandas]'"
        ) from error
    return arrow_table(tables, name).to_pandas()


def write_tables(path: str | os.PathLike[str], tables: Mapping[str, Table]) -> None:
    """Write one table as a CSV file, or several as files in a folder.

    Raises :class:`BadInput` if ``path`` names the wrong one, and :class:`StorageError` when a file
    cannot be written.
    """
    target = Path(absolute(path))
    is_file = target.suffix.lower() == SUFFIX
    if len(tables) == 1:
        if not is_file:
            raise BadInput(f"{shown(os.fspath(path))} does not end with {SUFFIX}")
        (table,) = tables.values()
        _write(target, table)
        return
    if is_file:
        raise BadInput(
            f"{shown(os.fspath(path))} names a file, but the tables {listed(list(tables))} are "
            "written to a folder; name a folder"
        )
    for name, table in tables.items():
        _write(target / f"{name}{SUFFIX}", table)


def _named(tables: Mapping[str, Table], name: str | None) -> Table:
    if name is None:
        return next(iter(tables.values()))
    if name not in tables:
        raise BadInput(f"there is no table {shown(name)}; the tables are {listed(list(tables))}")
    return tables[name]


def table_cells(table: Table) -> Iterator[list[Any]]:
    """Yield the cells of each row of a CSV, before their conversion to text."""
    kinds = table.columns.values()
    for row in table.rows:
        yield [_cell(*cell) for cell in zip(row, kinds, strict=True)]


def _write(target: Path, table: Table) -> None:
    write_table(target, list(table.columns), table_cells(table))


def _valid(value: Any, kind: str) -> Any:
    """Return a value as UTF-8 can represent it: a path in its stored form."""
    if value is not None and kind == PATH:
        return to_stored(value)
    if value is not None and kind == PATHS:
        return [to_stored(path) for path in value]
    return value


def _cell(value: Any, kind: str) -> Any:
    """Return a value as a cell of a CSV: lists as JSON, truth values as most programs read them."""
    if value is None:
        return None
    if kind == BOOL:
        return "true" if value else "false"
    if kind in (TEXTS, PATHS):
        return json.dumps(_valid(value, kind), ensure_ascii=False)
    return _valid(value, kind)
