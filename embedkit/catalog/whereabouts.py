"""Where files lie: the questions to the catalog about roots, sources and paths."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import duckdb

from embedkit._internal import paths
from embedkit.catalog.placing import below, placed


@dataclass(frozen=True)
class Scope:
    """A part of a root: everything at or below ``prefix`` (stored form; empty for all of it)."""

    root_id: int
    prefix: str
    is_file: bool = False
    """Whether nothing can be below it."""


class Whereabouts:
    """Questions to an open catalog about where files lie. Paths in and out are absolute."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def roots(self) -> dict[int, str]:
        """Absolute folder of each root that no other has absorbed."""
        return {
            row[0]: paths.from_stored(row[1])
            for row in self._rows(
                "SELECT root_id, path FROM roots WHERE into_root IS NULL ORDER BY root_id"
            )
        }

    def sources(self) -> dict[str, bool]:
        """The paths that a person added, sorted, and whether folders below them are labels."""
        rows = self._rows("SELECT path, labels_from_folders FROM sources ORDER BY path")
        return {paths.from_stored(path): labelled for path, labelled in rows}

    def label_folders(self) -> list[str]:
        """Absolute folders whose folders are the labels of photos, sources or not; sorted."""
        rows = self._rows(
            """SELECT path FROM sources WHERE labels_from_folders
               UNION SELECT path FROM label_folders ORDER BY path"""
        )
        return [paths.from_stored(path) for (path,) in rows]

    def scopes_at(self, path: str) -> list[Scope]:
        """What the roots have at or below an absolute path."""
        wanted = PurePath(path)
        return [
            Scope(root_id, below(root, wanted) if wanted.is_relative_to(root) else "")
            for root_id, root in ((key, PurePath(root)) for key, root in self.roots().items())
            if wanted.is_relative_to(root) or root.is_relative_to(wanted)
        ]

    def files_below(self, folder: str) -> list[tuple[int, str, int]]:
        """The known files below an absolute folder, missing ones too: id, path, bytes.

        Paths are relative to the folder, as the system names them.
        """
        start = len(paths.to_stored(folder).rstrip("/")) + 1
        return [
            (file_id, paths.place(place[start:]), size)
            for file_id, place, size in self._rows(
                f"""SELECT file_id, rtrim(r.path, '/') || '/' || f.path AS place, bytes
                    FROM files f JOIN roots r USING (root_id)
                    WHERE {inside("f", self.scopes_at(folder))} ORDER BY place"""
            )
        ]

    def known_paths(self, absolute: Sequence[str]) -> set[str]:
        """Which of some absolute paths are of known files that are not missing."""
        return {absolute[number] for number, *_ in self._known_files(absolute)}

    def _known_files(
        self, absolute: Sequence[str], only_live: bool = True
    ) -> list[tuple[int, int, int, str]]:
        """Which absolute paths are of known files: number (of the path), file_id, root_id, path.

        Missing files are among them unless ``only_live``.
        """
        self._connection.register("batch", placed(self.roots(), absolute))
        known = self._rows(
            f"""SELECT number, file_id, root_id, path FROM batch
                JOIN (SELECT * FROM files WHERE NOT (missing AND {only_live}))
                    USING (root_id, path)
                ORDER BY number"""
        )
        self._connection.unregister("batch")
        return known

    def _rows(self, query: str, values: Any = None) -> list[Any]:
        return self._connection.execute(query, values).fetchall()


def inside(alias: str, scopes: Sequence[Scope]) -> str:
    """SQL that is true of the rows of ``alias`` (root_id, path) inside any of the scopes."""
    tests = []
    files: dict[int, list[str]] = {}
    for scope in scopes:
        test = f"{alias}.root_id = {int(scope.root_id)}"
        quoted = "'" + scope.prefix.replace("'", "''") + "'"
        if scope.is_file:
            files.setdefault(scope.root_id, []).append(quoted)
            continue
        if scope.prefix:
            test += f" AND ({alias}.path = {quoted} OR starts_with({alias}.path, {quoted} || '/'))"
        tests.append(f"({test})")
    for root_id, quotes in files.items():  # one test for thousands of files named one by one
        tests.append(f"({alias}.root_id = {int(root_id)} AND {alias}.path IN ({','.join(quotes)}))")
    return f"({' OR '.join(tests) or 'false'})"
