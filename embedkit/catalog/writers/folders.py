"""Changes to roots, sources and label folders."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath

import pyarrow as pa

from embedkit._internal import paths
from embedkit.catalog.readers.folders import FolderReader, relative
from embedkit.catalog.records import PendingFile, Scope
from embedkit.catalog.session import Session
from embedkit.catalog.sql import PATH_TABLES


class FolderWriter:
    """Changes to roots, sources and label folders. Paths are absolute."""

    def __init__(self, session: Session, reader: FolderReader) -> None:
        self._session = session
        self._reader = reader

    def scopes(self, places: Sequence[tuple[str, bool]]) -> list[Scope]:
        """Return the scopes of paths, each with whether it is a file; make roots as needed."""
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
        """Return the scope of a folder, or of a URL; make its root as needed.

        A folder inside a known root belongs to that root; one above known roots absorbs them.
        """
        folder = PurePath(path)
        known = {root_id: PurePath(root) for root_id, root in self._reader.roots().items()}
        for root_id, root in known.items():
            if folder.is_relative_to(root):
                return Scope(root_id, relative(root, folder))
        root_id = self._session.take_ids("root", 1)
        self._session.run(
            "INSERT INTO roots VALUES (?, ?, NULL, NULL)", [root_id, paths.to_stored(path)]
        )
        for inner_id, inner in known.items():
            if inner.is_relative_to(folder):
                prefix = relative(folder, inner)
                moved = "SET root_id = ?, path = ? || '/' || path WHERE root_id = ?"
                for table in PATH_TABLES:
                    self._session.run(f"UPDATE {table} {moved}", [root_id, prefix, inner_id])
                self.absorb(root_id, prefix, inner_id)
        return Scope(root_id, "")

    def absorb(self, into_root: int, prefix: str, root_id: int) -> None:
        """Record that a root is now at ``prefix`` (empty for the top) of another root."""
        values = [into_root, prefix or None, root_id]
        self._session.run(
            """UPDATE roots SET into_root = ?, prefix = concat_ws('/', ?::VARCHAR, prefix)
               WHERE into_root = ?""",
            values,
        )
        self._session.run("UPDATE roots SET into_root = ?, prefix = ? WHERE root_id = ?", values)

    def redirect(self, scope: Scope, into_root: int, prefix: str) -> None:
        """Record that a folder inside a root is now at ``prefix`` of another root, or of this one.

        Roots at the folder or below it, which other roots have absorbed, go along. Of a URL, the
        folder itself is recorded: see :meth:`.FolderReader.relocated_urls`.
        """
        self._session.run(
            """UPDATE roots SET into_root = $into_root,
                      prefix = nullif(concat_ws('/', nullif($prefix, ''),
                          nullif(substr(prefix, length($old) + 2), '')), '')
               WHERE into_root = $root_id
                 AND (prefix = $old OR starts_with(prefix, $old || '/'))""",
            {
                "into_root": into_root,
                "prefix": prefix,
                "old": scope.prefix,
                "root_id": scope.root_id,
            },
        )
        root = self._reader.roots()[scope.root_id]
        if paths.is_url(root):
            url = f"{paths.to_stored(root).rstrip('/')}/{scope.prefix}"
            root_id = self._session.take_ids("root", 1)
            self._session.run(
                "INSERT INTO roots VALUES (?, ?, ?, ?)", [root_id, url, into_root, prefix or None]
            )

    def absorbed(self) -> "AbsorbedRoots":
        """Return the roots that other roots have absorbed."""
        rows = self._session.rows(
            """SELECT root_id, into_root, coalesce(prefix, '') FROM roots
               WHERE into_root IS NOT NULL"""
        )
        return AbsorbedRoots({root_id: (into, prefix) for root_id, into, prefix in rows})

    def add_sources(self, sources: dict[str, bool]) -> None:
        """Record added paths, and whether folder names below each are labels."""
        new = dict(sources.items() - self._reader.sources().items())
        self.remove_sources(list(new))
        self.remove_label_folders(list(new))
        stored = [paths.to_stored(path) for path in new]
        self._session.insert(
            "sources",
            pa.table(
                {"path": pa.array(stored, pa.string()), "l": pa.array(new.values(), pa.bool_())}
            ),
        )

    def add_label_folder(self, folder: str) -> None:
        """Record a folder, a source or not, whose subfolders name the labels of photos."""
        if folder in self._reader.sources():
            self.add_sources({folder: True})
        elif folder not in self._reader.label_folders():
            self._session.run("INSERT INTO label_folders VALUES (?)", [paths.to_stored(folder)])

    def remove_sources(self, places: Sequence[str]) -> None:
        """Remove sources."""
        self._remove("sources", places)

    def remove_label_folders(self, places: Sequence[str]) -> None:
        """Remove label folders."""
        self._remove("label_folders", places)

    def _remove(self, table: str, places: Sequence[str]) -> None:
        self._session.run(
            f"DELETE FROM {table} WHERE path IN (SELECT unnest($paths))",
            {"paths": [paths.to_stored(path) for path in places]},
        )


class AbsorbedRoots:
    """The roots that other roots have absorbed, for a run that began before that."""

    def __init__(self, targets: dict[int, tuple[int, str]]) -> None:
        self._targets = targets

    def update(self, file: PendingFile) -> PendingFile:
        """Return the file under its present root."""
        if file.root_id not in self._targets:
            return file
        root_id, prefix = self._targets[file.root_id]
        return replace(file, root_id=root_id, path="/".join(filter(None, (prefix, file.path))))
