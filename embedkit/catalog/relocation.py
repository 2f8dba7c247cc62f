"""Folders that moved as a whole: their files are stored under the new path, and nothing is read."""

from collections.abc import Sequence
from pathlib import PurePath

from embedkit._internal import paths
from embedkit._internal.text import counted
from embedkit.catalog.facts import Facts
from embedkit.catalog.places import PATH_TABLES
from embedkit.catalog.placing import below
from embedkit.catalog.reader import Scope
from embedkit.catalog.whereabouts import inside
from embedkit.errors import BadInput


class Relocation(Facts):
    """An open catalog whose folders can be relocated."""

    def relocate(self, old: str, new: str, absent: Sequence[int]) -> tuple[list[str], list[str]]:
        """Store everything at or below ``old`` as at or below ``new``, absolute folders.

        ``absent`` are the ids of files that are not there: they are missing then, the others are
        not. Returns the new paths of the sources that moved, and what a person should look at.
        Raises :class:`BadInput`, with nothing changed, when the workspace has other files at one of
        the new places.
        """
        target = self.scope(new)
        self._move(
            [(scope, self._prefix(scope, old, target)) for scope in self.scopes_at(old)], target
        )
        self._refuse_doubles(old, new)
        self._run(
            """UPDATE files SET missing = file_id IN (SELECT unnest($absent)) FROM moves m
               WHERE files.root_id = m.new_root AND files.path = m.new_path""",
            {"absent": list(absent)},
        )
        self._run("DROP TABLE moves")
        sources = self._rename(old, new)
        self._run(
            """UPDATE kept_facts SET place = $new || substr(place, length($old) + 1)
               WHERE starts_with(place, $old || '/')""",
            {"old": paths.to_stored(old).rstrip("/"), "new": paths.to_stored(new).rstrip("/")},
        )
        return sources, self._follow()

    def _prefix(self, scope: Scope, old: str, target: Scope) -> str:
        """Where in the target's root the rows of a scope at or below ``old`` belong."""
        root = PurePath(self.roots()[scope.root_id])
        middle = below(PurePath(old), root) if root.is_relative_to(old) else ""
        return "/".join(filter(None, (target.prefix, middle)))

    def _move(self, scopes: Sequence[tuple[Scope, str]], target: Scope) -> None:
        """Store the rows of scopes below a prefix each in the target's root, all at once.

        The table ``moves`` says what moved: root_id, path, new_root, new_path.
        """
        self._run(
            """CREATE TEMP TABLE moves (root_id BIGINT, path VARCHAR, new_root BIGINT,
                   new_path VARCHAR)"""
        )
        rows = " UNION ".join(f"SELECT root_id, path FROM {table}" for table in PATH_TABLES)
        for scope, prefix in scopes:
            self._run(
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
            self._run(
                f"""UPDATE {table} SET root_id = m.new_root, path = m.new_path FROM moves m
                    WHERE {table}.root_id = m.root_id AND {table}.path = m.path"""
            )
        for scope, prefix in scopes:
            if not scope.prefix and scope.root_id != target.root_id:
                self._absorb(target.root_id, prefix, scope.root_id)

    def _refuse_doubles(self, old: str, new: str) -> None:
        doubles = self._rows(
            "SELECT root_id, path FROM files GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL"
        )
        if doubles:
            root_id, path = doubles[0]
            first = paths.shown(paths.join(self.roots()[root_id], path))
            raise BadInput(
                f"the workspace has {counted(len(doubles), 'file')} of {paths.shown(new)} already, "
                f"the first is {first}; nothing was changed. 'embedkit remove {paths.shown(old)}' "
                "forgets the old paths, and labels stay with the photos"
            )

    def _rename(self, old: str, new: str) -> list[str]:
        """Rewrite the paths of sources and label folders; the new paths of the sources."""
        labelled = [item for item in self.label_folders() if PurePath(item).is_relative_to(old)]
        sources = {
            item: _renamed(item, old, new)
            for item in self.sources()
            if PurePath(item).is_relative_to(old)
        }
        flags = self.sources()
        self._forget("sources", list(sources))
        self._forget("label_folders", labelled)
        self.remember_sources({place: flags[item] for item, place in sources.items()})
        for item in labelled:
            self.remember_label_folder(_renamed(item, old, new))
        return list(sources.values())


def _renamed(path: str, old: str, new: str) -> str:
    return str(PurePath(new) / PurePath(path).relative_to(old))
