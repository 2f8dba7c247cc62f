"""Where files lie: the roots that stored paths are relative to, and the sources people added."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import pyarrow as pa

from embedkit._internal import paths
from embedkit.catalog.placing import below
from embedkit.catalog.reader import Reader, Scope

PATH_TABLES = ("files", "failures", "small_files")
"""The tables whose rows belong to a path: root_id and path."""


class Places(Reader):
    """An open catalog whose roots and sources can be changed."""

    def scopes(self, places: Sequence[tuple[str, bool]]) -> list[Scope]:
        """The scopes of absolute paths and whether each is a file, their roots made as needed."""
        for _ in range(2):  # a later one may become the root of an earlier one
            folders: dict[PurePath, Scope] = {}
            found = []
            for path, is_file in places:
                folder = PurePath(path).parent if is_file else PurePath(path)
                if folder not in folders:
                    folders[folder] = self.scope(str(folder))
                scope = folders[folder]
                if is_file:
                    name = paths.to_stored(PurePath(path).name)
                    below = f"{scope.prefix}/{name}" if scope.prefix else name
                    scope = Scope(scope.root_id, below, is_file=True)
                found.append(scope)
        return found

    def scope(self, path: str) -> Scope:
        """The scope of an absolute folder, its root made as needed.

        A folder inside a known root belongs to that root; one above known roots absorbs them.
        """
        folder = PurePath(path)
        known = {root_id: PurePath(root) for root_id, root in self.roots().items()}
        for root_id, root in known.items():
            if folder.is_relative_to(root):
                return Scope(root_id, below(root, folder))
        root_id = self._take("root", 1)
        self._run(
            "INSERT INTO roots VALUES (?, ?, NULL, NULL)", [root_id, paths.to_stored(str(folder))]
        )
        for inner_id, inner in known.items():
            if inner.is_relative_to(folder):
                prefix = below(folder, inner)
                moved = "SET root_id = ?, path = ? || '/' || path WHERE root_id = ?"
                for table in PATH_TABLES:
                    self._run(f"UPDATE {table} {moved}", [root_id, prefix, inner_id])
                self._absorb(root_id, prefix, inner_id)
        return Scope(root_id, "")

    def _absorb(self, into_root: int, prefix: str, root_id: int) -> None:
        """Note that all of a root is at ``prefix`` (empty for the top) of another one now."""
        values = [into_root, prefix or None, root_id]
        self._run(
            """UPDATE roots SET into_root = ?, prefix = concat_ws('/', ?::VARCHAR, prefix)
               WHERE into_root = ?""",
            values,
        )
        self._run("UPDATE roots SET into_root = ?, prefix = ? WHERE root_id = ?", values)

    def _absorbed(self) -> dict[int, tuple[int, str]]:
        """Where the roots went that another run has absorbed: root id and prefix, by root id."""
        rows = self._rows(
            """SELECT root_id, into_root, coalesce(prefix, '') FROM roots
               WHERE into_root IS NOT NULL"""
        )
        return {root_id: (into, prefix) for root_id, into, prefix in rows}

    def remember_sources(self, sources: dict[str, bool]) -> None:
        """Note paths that a person added, and whether folders below them are labels."""
        new = dict(sources.items() - self.sources().items())
        for table in ("sources", "label_folders"):
            self._forget(table, list(new))
        stored = [paths.to_stored(path) for path in new]
        self._insert(
            "sources",
            pa.table(
                {"path": pa.array(stored, pa.string()), "l": pa.array(new.values(), pa.bool_())}
            ),
        )

    def remember_label_folder(self, folder: str) -> None:
        """Note an absolute folder, a source or not, whose folders are the labels of photos."""
        if folder in self.sources():
            self.remember_sources({folder: True})
        elif folder not in self.label_folders():
            self._run("INSERT INTO label_folders VALUES (?)", [paths.to_stored(folder)])

    def _forget(self, table: str, places: Sequence[str]) -> None:
        """Forget some of the sources or of the label folders."""
        stored = [paths.to_stored(path) for path in places]
        self._run(f"DELETE FROM {table} WHERE path IN (SELECT unnest($paths))", {"paths": stored})

    def _take(self, counter: str, count: int) -> int:
        """Reserve ``count`` identifiers; the first of them."""
        first = self._rows("SELECT next FROM counters WHERE name = ?", [counter])[0][0]
        self._run("UPDATE counters SET next = ? WHERE name = ?", [first + count, counter])
        return int(first)

    def _insert(self, table: str, rows: pa.Table) -> None:
        """Append rows whose columns are those of the table, in its order."""
        self._connection.register("rows", rows)
        self._run(f"INSERT INTO {table} SELECT * FROM rows")
        self._connection.unregister("rows")

    def _run(self, statement: str, values: Any = None) -> None:
        self._rows(statement, values)
