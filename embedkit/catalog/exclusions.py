"""What an add leaves out: its options, files that they exclude, and images that are too small."""

from collections.abc import Sequence
from typing import Any

from embedkit._internal import paths
from embedkit.catalog.places import Places
from embedkit.catalog.whereabouts import Scope, inside
from embedkit.results import AddOptions


class LeavingOut(Places):
    """An open catalog in which it can be noted what is left out."""

    def remember_options(self, options: AddOptions) -> None:
        """Note the options of an add, for those to come."""
        if options == self.add_options():
            return
        self._run("DELETE FROM add_options")
        exclude = [paths.to_stored(pattern) for pattern in options.exclude]
        self._run(
            "INSERT INTO add_options VALUES ($exclude::VARCHAR[], $min_size, $tolerate)",
            {
                "exclude": exclude,
                "min_size": options.min_size,
                "tolerate": options.tolerate_truncated,
            },
        )

    def _exclude(self, excluded: Sequence[Scope], named: Sequence[Scope]) -> None:
        """Leave out the known files that are excluded, but for those of ``named`` scopes."""
        self._run(
            f"""UPDATE files f SET broken = true
                WHERE NOT broken AND {inside("f", excluded)} AND NOT {inside("f", named)}"""
        )

    def _store_small(self, rows: Any) -> None:
        """Leave out files; an Arrow table (root_id, path, bytes, mtime_ns, width, height)."""
        if not rows.num_rows:
            return
        self._connection.register("small", rows)
        for table in ("failures", "small_files"):
            self._run(
                f"""DELETE FROM {table} t USING small s
                    WHERE t.root_id = s.root_id AND t.path = s.path"""
            )
        self._run("INSERT INTO small_files SELECT * FROM small ORDER BY root_id, path")
        self._run(
            """UPDATE files SET broken = true FROM small s WHERE files.root_id = s.root_id
               AND files.path = s.path AND NOT files.broken"""
        )
        self._connection.unregister("small")
