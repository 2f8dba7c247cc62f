"""Roots, sources and label folders."""

import os
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from embedkit._internal import paths
from embedkit.catalog.records import Scope
from embedkit.catalog.session import Session


class FolderReader:
    """Queries about roots, sources and label folders. Paths in and out are absolute."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def roots(self) -> dict[int, str]:
        """Return the folder of each root, by root id, without absorbed roots."""
        return {
            row[0]: paths.from_stored(row[1])
            for row in self._session.rows(
                "SELECT root_id, path FROM roots WHERE into_root IS NULL ORDER BY root_id"
            )
        }

    def relocated_urls(self) -> dict[str, str]:
        """Return the roots at URLs that were relocated, and their present folders, in stored form.

        Files at URLs come from a store.
        """
        rows = self._session.rows(
            """SELECT r.path, concat_ws('/', rtrim(t.path, '/'), r.prefix) FROM roots r
               JOIN roots t ON t.root_id = r.into_root ORDER BY r.root_id"""
        )
        return {
            url: folder
            for url, folder in rows
            if paths.is_url(url) and not folder.startswith(url.split("/", 3)[0])
        }

    def sources(self) -> dict[str, bool]:
        """Return the added paths, sorted, and whether folder names below each are labels."""
        rows = self._session.rows("SELECT path, labels_from_folders FROM sources ORDER BY path")
        return {paths.from_stored(path): labelled for path, labelled in rows}

    def label_folders(self) -> list[str]:
        """Return the folders whose subfolders name the labels of photos, sorted."""
        rows = self._session.rows(
            """SELECT path FROM sources WHERE labels_from_folders
               UNION SELECT path FROM label_folders ORDER BY path"""
        )
        return [paths.from_stored(path) for (path,) in rows]

    def scopes_at(self, path: str) -> list[Scope]:
        """Return the scopes at or below a path."""
        wanted = PurePath(path)
        return [
            Scope(root_id, relative(root, wanted) if wanted.is_relative_to(root) else "")
            for root_id, root in ((key, PurePath(root)) for key, root in self.roots().items())
            if wanted.is_relative_to(root) or root.is_relative_to(wanted)
        ]

    def locate(self, absolute: Sequence[str]) -> Any:
        """Return an Arrow table of the roots that contain paths: number, root_id, path.

        ``number`` is the position in ``absolute``. Paths below no root are skipped.
        """
        import pyarrow as pa  # slow to import, and most queries do without it

        starts = [
            (root_id, os.path.normcase(os.path.join(root, "")))
            for root_id, root in self.roots().items()
        ]
        numbers, root_ids, stored = [], [], []
        for number, path in enumerate(absolute):
            comparable = os.path.normcase(path)
            for root_id, start in starts:
                if comparable.startswith(start):
                    numbers.append(number)
                    root_ids.append(root_id)
                    stored.append(paths.to_stored(path[len(start) :]))
        return pa.table(
            {
                "number": pa.array(numbers, pa.int64()),
                "root_id": pa.array(root_ids, pa.int64()),
                "path": pa.array(stored, pa.string()),
            }
        )


def relative(root: PurePath, path: PurePath) -> str:
    """Return the stored form of a path relative to a root; empty for the root itself."""
    below = path.relative_to(root).as_posix()
    return "" if below == "." else paths.to_stored(below)
