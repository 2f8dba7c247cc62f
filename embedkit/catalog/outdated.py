"""Catalogs of earlier versions: they are read from an upgraded copy, and stay as they are."""

import shutil
import weakref
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import duckdb

from embedkit._internal.artifacts import storage_errors
from embedkit._internal.paths import shown
from embedkit.catalog import schema


class UpgradedCopy:
    """A copy of a catalog with the current schema, in a temporary folder.

    The folder is removed with the object, or when the process ends. The caller keeps the catalog
    open while it is copied, so that no other process changes it.
    """

    def __init__(self, catalog: Path, config: dict[str, Any]) -> None:
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
        with duckdb.connect(str(self.path), config=config) as connection:
            done = schema.version(connection)
            connection.execute("BEGIN").fetchall()
            schema.upgrade(connection, done)
            connection.execute("COMMIT").fetchall()
