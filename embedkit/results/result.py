"""Base class of the results that a workspace returns: JSON, tables, pages and notebooks."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas
    import pyarrow

INT, FLOAT, BOOL, TEXT, TEXTS = "int64", "float64", "bool", "string", "list<string>"
"""Types of columns. Every value can be None."""
PATH, PATHS = "path", "list<path>"
"""Types of columns of file names: text that need not be UTF-8."""
NOT_IN_JSON = {"json": False}
"""Metadata of a field that :meth:`Result.to_dict` leaves out."""


class Table(NamedTuple):
    """A table: the type of each column by name, and the rows."""

    columns: Mapping[str, str]
    rows: Iterable[Sequence[object]]


def table_of(items: Iterable[object], columns: Mapping[str, str]) -> Table:
    """Return a table of the attributes of objects that have the names of the columns."""
    attributes = [attrgetter(name) for name in columns]
    return Table(columns, ([attribute(item) for attribute in attributes] for item in items))


def interval_columns(names: Iterable[str]) -> dict[str, str]:
    """Return the columns of metrics with intervals: ``f1``, ``f1_low`` and ``f1_high``."""
    return {f"{name}{end}": FLOAT for name in names for end in ("", "_low", "_high")}


class Result:
    """Base class of results: conversion to JSON, Arrow, pandas and CSV, and display as HTML.

    A result has one or several tables, which the page "Tables" describes. A library that reads
    the Arrow PyCapsule interface takes a result as its first table. In a notebook, a result is
    displayed with thumbnails or as a table.
    """

    def _tables(self) -> dict[str, Table]:
        """Return the tables by name, the main one first."""
        raise NotImplementedError

    def _summary(self) -> str:
        """Return one line that describes the result."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._summary()}>"

    def _repr_html_(self) -> str:
        from embedkit.reports.notebook import notebook_html

        return notebook_html(self)

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables, the main one first."""
        return tuple(self._tables())

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON document that the command prints with ``--json``.

        Returns
        -------
        dict
            The document, with tuples for arrays.
        """
        result: Any = self  # a dataclass; other results override this method
        left_out = [item.name for item in fields(result) if item.metadata == NOT_IN_JSON]
        document = asdict(replace(result, **dict.fromkeys(left_out)))
        for name in left_out:
            del document[name]
        return document

    def to_arrow(self, table: str | None = None) -> "pyarrow.Table":
        """Return a table as a PyArrow table.

        Paths with bytes that are not UTF-8 are in the form that plans have too: such a byte is one
        private-use character, U+F780 to U+F7FF.

        Parameters
        ----------
        table : str, optional
            One of :attr:`tables`. Default: the first one.

        Returns
        -------
        pyarrow.Table
            Columns of the types int64, float64, bool, string and list of strings; null for None.

        Raises
        ------
        BadInput
            There is no table of that name.
        """
        from embedkit.reports.tables import arrow_table

        return arrow_table(self._tables(), table)

    def to_pandas(self, table: str | None = None) -> "pandas.DataFrame":
        """Return a table as a pandas data frame.

        Parameters
        ----------
        table : str, optional
            One of :attr:`tables`. Default: the first one.

        Returns
        -------
        pandas.DataFrame
            The table of :meth:`to_arrow`, converted with pandas' default types.

        Raises
        ------
        BadInput
            There is no table of that name.
        MissingExtra
            The extra ``pandas`` is not installed.
        """
        from embedkit.reports.tables import pandas_frame

        return pandas_frame(self._tables(), table)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the tables as CSV, for spreadsheets too.

        The files are UTF-8 with a byte order mark. Lists are JSON arrays, and text that a
        spreadsheet would take for a formula begins with an apostrophe.

        Parameters
        ----------
        path : str or path-like
            For a result with one table, a file that ends with ``.csv``. For one with several, a
            folder, which gets a file for each table, such as ``heads.csv``.

        Raises
        ------
        BadInput
            ``path`` is a folder where a file is needed, or the reverse.
        StorageError
            A file cannot be written.
        """
        from embedkit.reports.tables import write_tables

        write_tables(path, self._tables())

    def save_html(self, path: str | os.PathLike[str]) -> None:
        """Write the result as one HTML page, as the commands do with ``--html``.

        Thumbnails are embedded in the page.

        Parameters
        ----------
        path : str or path-like
            The page.

        Raises
        ------
        StorageError
            The file cannot be written.
        """
        from embedkit.reports.result_page import write_result_page

        write_result_page(path, self)
