"""Folders that moved as a whole: their files are stored under the new path, and nothing is read."""

from collections.abc import Sequence
from pathlib import PurePath

from embedkit import paths
from embedkit.catalog.facts import Facts
from embedkit.catalog.placing import below
from embedkit.catalog.reader import Scope
from embedkit.catalog.whereabouts import inside
from embedkit.errors import BadInput
from embedkit.wording import counted


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
        scopes = self.scopes_at(old)
        self._run(
            f"CREATE TEMP TABLE moved AS SELECT file_id FROM files f WHERE {inside('f', scopes)}"
        )
        for scope in scopes:
            self._move(scope, old, target)
        self._refuse_doubles(old, new)
        self._run(
            """UPDATE files SET missing = file_id IN (SELECT unnest($absent))
               WHERE file_id IN (FROM moved)""",
            {"absent": list(absent)},
        )
        self._run("DROP TABLE moved")
        sources = self._rename(old, new)
        self._run(
            """UPDATE kept_facts SET place = $new || substr(place, length($old) + 1)
               WHERE starts_with(place, $old || '/')""",
            {"old": paths.to_stored(old).rstrip("/"), "new": paths.to_stored(new).rstrip("/")},
        )
        return sources, self._follow()

    def _move(self, scope: Scope, old: str, target: Scope) -> None:
        """Store a part of a root as a part of another one, or of the same."""
        root = PurePath(self.roots()[scope.root_id])
        whole = root.is_relative_to(old)
        middle = below(PurePath(old), root) if whole else ""
        prefix = "/".join(filter(None, (target.prefix, middle)))
        for table in ("files", "failures"):
            self._run(
                f"""UPDATE {table} f SET root_id = $root_id,
                        path = CASE WHEN $prefix = '' THEN '' ELSE $prefix || '/' END
                               || substr(path, length($start) + 1)
                    WHERE {inside("f", [scope])}""",
                {
                    "root_id": target.root_id,
                    "prefix": prefix,
                    "start": f"{scope.prefix}/" if scope.prefix else "",
                },
            )
        if whole and scope.root_id != target.root_id:
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
