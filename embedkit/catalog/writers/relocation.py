"""Relocation of folders that moved as a whole: paths are rewritten, and no file is read."""

from collections.abc import Sequence
from pathlib import PurePath

from embedkit._internal import paths
from embedkit.catalog.readers.folders import FolderReader, relative
from embedkit.catalog.records import Scope
from embedkit.catalog.session import Session
from embedkit.catalog.sql import PATH_TABLES, inside
from embedkit.catalog.writers.facts import FactWriter
from embedkit.catalog.writers.folders import FolderWriter
from embedkit.errors import BadInput


class Relocation:
    """Rewrites the paths of folders that moved."""

    def __init__(
        self, session: Session, reader: FolderReader, folders: FolderWriter, facts: FactWriter
    ) -> None:
        self._session = session
        self._reader = reader
        self._folders = folders
        self._facts = facts

    def relocate(self, old: str, new: str, missing: Sequence[int]) -> tuple[list[str], list[str]]:
        """Move the stored paths at or below the absolute folder ``old`` to ``new``.

        ``missing`` are the ids of files that are not at their new path: they become missing, and
        all others present. Returns the new paths of the sources that moved, and warnings. Raises
        :class:`BadInput` when the catalog has other files at one of the new paths.
        """
        target = self._folders.scope(new)
        scopes = self._reader.scopes_at(old)
        self._move([(scope, self._prefix(scope, old, target)) for scope in scopes], target)
        self._check_duplicates(old, new)
        self._session.run(
            """UPDATE files SET missing = file_id IN (SELECT unnest($missing)) FROM moves m
               WHERE files.root_id = m.new_root AND files.path = m.new_path""",
            {"missing": list(missing)},
        )
        self._session.run("DROP TABLE moves")
        sources = self._rename(old, new)
        self._session.run(
            """UPDATE kept_facts SET place = $new || substr(place, length($old) + 1)
               WHERE starts_with(place, $old || '/')""",
            {"old": paths.to_stored(old).rstrip("/"), "new": paths.to_stored(new).rstrip("/")},
        )
        return sources, self._facts.follow()

    def _prefix(self, scope: Scope, old: str, target: Scope) -> str:
        """Return the prefix in the target's root of the rows of a scope at or below ``old``."""
        root = PurePath(self._reader.roots()[scope.root_id])
        middle = relative(PurePath(old), root) if root.is_relative_to(old) else ""
        return "/".join(filter(None, (target.prefix, middle)))

    def _move(self, scopes: Sequence[tuple[Scope, str]], target: Scope) -> None:
        """Move the rows of each scope below its prefix in the target's root, all at once.

        The temporary table ``moves`` records them: root_id, path, new_root, new_path.
        """
        self._session.run(
            """CREATE TEMP TABLE moves (root_id BIGINT, path VARCHAR, new_root BIGINT,
                   new_path VARCHAR)"""
        )
        rows = " UNION ".join(f"SELECT root_id, path FROM {table}" for table in PATH_TABLES)
        for scope, prefix in scopes:
            self._session.run(
                f"""INSERT INTO moves
                    SELECT root_id, path, $target, $prefix || substr(path, $start + 1)
                    FROM ({rows}) f
                    WHERE {inside("f", [scope])}""",
                {
                    "target": target.root_id,
                    "prefix": f"{prefix}/" if prefix else "",
                    "start": len(scope.prefix) + bool(scope.prefix),
                },
            )
        for table in PATH_TABLES:
            self._session.run(
                f"""UPDATE {table} SET root_id = m.new_root, path = m.new_path FROM moves m
                    WHERE {table}.root_id = m.root_id AND {table}.path = m.path"""
            )
        for scope, prefix in scopes:
            if scope.prefix:
                self._folders.redirect(scope, target.root_id, prefix)
            elif scope.root_id != target.root_id:
                self._folders.absorb(target.root_id, prefix, scope.root_id)

    def _check_duplicates(self, old: str, new: str) -> None:
        """Raise :class:`BadInput` when two files have the same path now."""
        duplicates = self._session.rows(
            "SELECT root_id, path FROM files GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL"
        )
        if duplicates:
            root_id, path = duplicates[0]
            first = paths.shown(paths.absolute_path(self._reader.roots()[root_id], path))
            raise BadInput(
                f"the workspace already has {len(duplicates)} of the files in {paths.shown(new)} "
                f"(the first is {first}); nothing was changed. "
                f"'embedkit remove {paths.as_argument(old)}' forgets the old paths and keeps the "
                "labels"
            )

    def _rename(self, old: str, new: str) -> list[str]:
        """Rewrite the paths of sources and label folders; return the new paths of the sources."""
        labels_from_folders = self._reader.sources()
        sources = {
            item: _renamed(item, old, new)
            for item in labels_from_folders
            if PurePath(item).is_relative_to(old)
        }
        label_folders = [
            item for item in self._reader.label_folders() if PurePath(item).is_relative_to(old)
        ]
        self._folders.remove_sources(list(sources))
        self._folders.remove_label_folders(label_folders)
        self._folders.add_sources(
            {place: labels_from_folders[item] for item, place in sources.items()}
        )
        for item in label_folders:
            self._folders.add_label_folder(_renamed(item, old, new))
        return list(sources.values())


def _renamed(path: str, old: str, new: str) -> str:
    return str(PurePath(new) / PurePath(path).relative_to(old))
