"""A connection to the catalog file, with the operations that all table classes share."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb
import numpy as np


class Session:
    """An open DuckDB connection, whose results end with :meth:`close` at the latest.

    Every result is fetched to its end before the call returns, except that of :meth:`batches`.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self._readers: list[Any] = []

    def close(self) -> None:
        """End the readers of :meth:`batches`.

        Until then they keep the file open, even after an error, whose traceback refers to them.
        """
        while self._readers:
            self._readers.pop().close()

    def rows(self, query: str, values: Any = None) -> list[Any]:
        """Return the rows of a query as tuples."""
        return self.connection.execute(query, values).fetchall()

    def columns(self, query: str, values: Any = None) -> dict[str, np.ndarray]:
        """Return the columns of a query by name."""
        return self.connection.execute(query, values).fetchnumpy()

    def table(self, query: str, values: Any = None) -> Any:
        """Return the result of a query as an Arrow table."""
        return self.connection.sql(query, params=values).to_arrow_table()

    def batches(self, query: str, rows: int) -> Any:
        """Return the result of a query as an Arrow reader of batches of at most ``rows`` rows.

        The connection is blocked until the reader is exhausted.
        """
        reader = self.connection.sql(query).to_arrow_reader(rows)
        self._readers.append(reader)
        return reader

    def run(self, statement: str, values: Any = None) -> None:
        """Execute a statement."""
        self.rows(statement, values)

    def scalar(self, statement: str, values: Any = None) -> int:
        """Return the only number that a statement yields, such as the number of deleted rows."""
        return int(self.rows(statement, values)[0][0])

    @contextmanager
    def view(self, name: str, table: Any) -> Iterator[None]:
        """Make an Arrow table available to SQL under ``name`` while the block runs."""
        self.connection.register(name, table)
        yield  # after an error the whole transaction is rolled back, and the connection closed
        self.connection.unregister(name)

    def insert(self, table: str, rows: Any) -> None:
        """Append an Arrow table whose columns are those of ``table``, in the same order."""
        with self.view("rows", rows):
            self.run(f"INSERT INTO {table} SELECT * FROM rows")

    def take_ids(self, counter: str, count: int) -> int:
        """Reserve ``count`` consecutive identifiers and return the first."""
        first = self.scalar("SELECT next FROM counters WHERE name = ?", [counter])
        self.run("UPDATE counters SET next = ? WHERE name = ?", [first + count, counter])
        return first
