"""Open DuckDB files, each attached to a DuckDB instance of its own.

Starting an instance takes far longer than attaching a file to it. So an instance whose file has
been closed waits for the next one.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb

# Nearly all of a catalog is vectors, which cannot be compressed: trying takes half the time of
# storing them.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "1GB",
    "force_compression": "uncompressed",
    # DuckDB would download an extension to read another kind of file in place of the catalog.
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
NAME = "catalog"
"""Name of the open file in SQL."""
_IDLE = 1
"""Maximum number of instances that wait for a file."""
_SHORT = 1.0
"""An instance that had a file for longer than so many seconds ends, and does not wait for another.

After large statements an instance keeps much of its memory. Starting a new one costs little in
comparison with them.
"""

_idle: list[duckdb.DuckDBPyConnection] = []


class Database:
    """A DuckDB file that is open until :meth:`close`.

    Parameters
    ----------
    path : Path
        The file. It is created unless it is opened for reading only.
    read_only : bool
        Whether to open it for reading only.
    temporary : Path, optional
        Folder for what does not fit into memory, such as the result of a sort. DuckDB creates it;
        the caller removes it. Without it a statement that needs one fails.

    Raises
    ------
    duckdb.Error
        The file cannot be opened.
    """

    def __init__(self, path: Path, read_only: bool = False, temporary: Path | None = None) -> None:
        self._temporary = temporary
        self._opened = time.monotonic()
        self._instance = _take()
        mode = "READ_ONLY" if read_only else "READ_WRITE"
        path = path.absolute()  # in a relative one, DuckDB takes what precedes a colon for a format
        try:
            for statement in (
                f"SET temp_directory = {_literal(temporary or '')}",
                f"ATTACH {_literal(path)} AS {NAME} ({mode})",
            ):
                self._instance.execute(statement).fetchall()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection to the file; threads may use several at once."""
        with self._instance.cursor() as connection:
            connection.execute(f"USE {NAME}").fetchall()
            yield connection

    def close(self) -> None:
        """Close the file, so that others may write to it."""
        try:
            self._instance.execute(f"DETACH DATABASE IF EXISTS {NAME}").fetchall()
            has_spilled = self._temporary is not None and self._temporary.exists()
            # DuckDB uses one folder only in the life of an instance.
            is_usable = not has_spilled and time.monotonic() < self._opened + _SHORT
        except duckdb.Error:  # what is not in the file yet is in its log
            is_usable = False
        _give_back(self._instance, is_usable)


@contextmanager
def attached(connection: duckdb.DuckDBPyConnection, path: Path, name: str) -> Iterator[None]:
    """Attach a second file to the instance of a connection, until the block ends.

    Otherwise the next file of the instance would have it too.
    """
    connection.execute(f"ATTACH {_literal(path.absolute())} AS {name}").fetchall()
    try:
        yield
    finally:
        connection.execute(f"DETACH DATABASE IF EXISTS {name}").fetchall()


def _take() -> duckdb.DuckDBPyConnection:
    with suppress(IndexError):
        return _idle.pop()
    return duckdb.connect(config=_CONFIG)


def _give_back(instance: duckdb.DuckDBPyConnection, is_usable: bool) -> None:
    """Let an instance wait for the next file, or end it."""
    if is_usable and len(_idle) < _IDLE:
        _idle.append(instance)
    else:
        instance.close()


def _literal(path: Path | str) -> str:
    quoted = str(path).replace("'", "''")
    return f"'{quoted}'"


def _end_idle() -> None:
    """End the instances without a file: their threads would not exist in a fork."""
    while _idle:
        _idle.pop().close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_end_idle)
