"""Catalogs of earlier versions: they are read from an upgraded copy, and stay as they are."""

import shutil
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import mkdtemp

import duckdb

from embedkit._internal.artifacts import storage_errors
from embedkit._internal.paths import shown
from embedkit.catalog import schema
from embedkit.catalog.database import Database


class UpgradedCopy:
    """A copy of a catalog with the current schema, in a temporary folder.

    The folder is removed with the object, or when the process ends. The caller keeps the catalog
    open while it is copied, so that no other process changes it.
    """

    def __init__(self, catalog: Path) -> None:
        with storage_errors(
            f"cannot copy {shown(str(catalog))}, which an earlier version of embedkit wrote, to "
            "read it; 'embedkit compact' upgrades it in place"
        ):
            folder = Path(mkdtemp(prefix="embedkit-catalog-"))
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            self.path = folder / catalog.name
            shutil.copyfile(catalog, self.path)
            log = catalog.with_name(f"{catalog.name}.wal")
            if log.exists():
                shutil.copyfile(log, self.path.with_name(log.name))
        with closing(self._opened()) as database, database.connection() as connection:
            done = schema.version(connection)
            connection.execute("BEGIN").fetchall()
            schema.upgrade(connection, done)
            connection.execute("COMMIT").fetchall()

    @contextmanager
    def connection(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection that reads the copy."""
        with (
            closing(self._opened(read_only=True)) as database,
            database.connection() as connection,
        ):
            yield connection

    def _opened(self, read_only: bool = False) -> Database:
        return Database(self.path, read_only, self.path.with_name("spill"))
