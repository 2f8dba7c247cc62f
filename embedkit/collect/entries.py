"""The entries of a manifest: images as they appear in posts, with their facts and labels."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from embedkit.collect.database import Database
from embedkit.collect.recipe import FACTS

ENTRY_COLUMNS = ("path", "sha256", "url", "page", *FACTS, "label", "outcome", "candidates")
"""What is known about an image as it appears in one post."""


class Entries:
    """The table of entries. An image has one for each post and page that it appears on."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        entries: Iterable[tuple[str, str, Mapping[str, str]]],
        written: set[int] | None = None,
    ) -> int:
        """Record images with their page and facts; return the number of new entries.

        The facts of a known entry are replaced, and its label is to be decided again. An image that
        occurs twice with different facts has two entries: ``written`` has the entries that were
        written before in the same reading, and gets more. Addresses that were never seen are left
        out.
        """
        written = set() if written is None else written
        new = 0
        with self._database.transaction():
            for url, page, facts in entries:
                rows = self._database.rows("SELECT id FROM requests WHERE url = ?", url)
                if not rows:
                    continue
                request, values = rows[0][0], [facts.get(name, "") for name in FACTS]
                known = self._find(request, page, facts, written)
                if known is None:
                    cursor = self._database.run(
                        f"""INSERT INTO entries (request_id, page, {", ".join(FACTS)})
                            VALUES (?, ?, {", ".join("?" * len(FACTS))})""",
                        request,
                        page,
                        *values,
                    )
                    written.add(int(cursor.lastrowid or 0))
                    new += 1
                    continue
                written.add(known[0])
                if known[1:] != (page, *values):
                    self._database.run(
                        f"""UPDATE entries SET outcome = '', page = ?,
                            {", ".join(f"{name} = ?" for name in FACTS)} WHERE id = ?""",
                        page,
                        *values,
                        known[0],
                    )
        return new

    def _find(
        self, request: int, page: str, facts: Mapping[str, str], written: set[int]
    ) -> tuple[Any, ...] | None:
        """Return the known entry of an image: its number, page and facts; None if it is new.

        It is that of the same post. If posts have no identity, it is one with the same caption and
        tags, which may have moved to another page, or one on the same page whose facts have
        changed.
        """
        columns = f"SELECT id, page, {', '.join(FACTS)} FROM entries WHERE request_id = ?"
        if post := facts.get("post"):
            rows = self._database.rows(f"{columns} AND post = ? ORDER BY id LIMIT 1", request, post)
            return rows[0] if rows else None
        rows = self._database.rows(
            f"{columns} AND post = '' AND caption = ? AND tags = ? ORDER BY page <> ?, id LIMIT 1",
            request,
            facts.get("caption", ""),
            facts.get("tags", ""),
            page,
        )
        if not rows:
            found = self._database.rows(
                f"{columns} AND post = '' AND page = ? ORDER BY id", request, page
            )
            rows = [row for row in found if row[0] not in written]
        return rows[0] if rows else None

    def forget(self, page: str) -> None:
        """Forget the entries of a page."""
        self._database.run("DELETE FROM entries WHERE page = ?", page)

    def enter(
        self, path: str, data: bytes, width: int, height: int, facts: Mapping[str, str]
    ) -> None:
        """Record an image that another program has downloaded, by its path below the folder."""
        digest, now = sha256(data).hexdigest(), time.time()
        url = f"file:{path}"
        with self._database.transaction():
            self._database.run(
                "INSERT OR REPLACE INTO images VALUES (?, ?, ?, ?, ?, ?)",
                path,
                digest,
                len(data),
                width,
                height,
                now,
            )
            self._database.run(
                """INSERT INTO requests (url, kind, host, state, seen_at, sha256, path)
                   VALUES (?, 'image', '', 'stored', ?, ?, ?)
                   ON CONFLICT (url) DO UPDATE SET sha256 = excluded.sha256""",
                url,
                now,
                digest,
                path,
            )
            self._database.run(
                "DELETE FROM entries WHERE request_id = (SELECT id FROM requests WHERE url = ?)",
                url,
            )
            self.add([(url, facts.get("page") or facts.get("url", ""), facts)])

    def keep_only(self, paths: Iterable[str]) -> None:
        """Forget the images with other paths."""
        with self._database.transaction():
            self._database.run("CREATE TEMP TABLE kept (path TEXT PRIMARY KEY)")
            self._database.run_many("INSERT INTO kept VALUES (?)", ((p,) for p in paths))
            self._database.run(
                """DELETE FROM entries WHERE request_id IN
                   (SELECT id FROM requests WHERE path NOT IN (SELECT path FROM kept))"""
            )
            self._database.run("DELETE FROM requests WHERE path NOT IN (SELECT path FROM kept)")
            self._database.run("DELETE FROM images WHERE path NOT IN (SELECT path FROM kept)")
            self._database.run("DROP TABLE kept")

    def after(self, after: int, count: int, *, undecided: bool) -> list[tuple[Any, ...]]:
        """Return entries with numbers above ``after``, in order, all or those without an outcome.

        Each is its number, caption, tags, page, address, label, outcome and candidates.
        """
        condition = "AND e.outcome = ''" if undecided else ""
        return self._database.rows(
            f"""SELECT e.id, caption, tags, page, url, label, outcome, candidates
                FROM entries e JOIN requests r ON r.id = request_id
                WHERE e.id > ? {condition} ORDER BY e.id LIMIT ?""",
            after,
            count,
        )

    def set_labels(self, rows: Sequence[tuple[str | None, str, str, int]]) -> None:
        """Store the label, outcome and candidates of entries, by number."""
        with self._database.transaction():
            self._database.run_many(
                "UPDATE entries SET label = ?, outcome = ?, candidates = ? WHERE id = ?", rows
            )

    def outcomes(self) -> dict[str, int]:
        """Return the number of entries with a stored image, by outcome."""
        return dict(
            self._database.rows(
                """SELECT outcome, count(*) FROM entries JOIN requests r ON r.id = request_id
                   WHERE path IS NOT NULL GROUP BY 1"""
            )
        )

    def label_counts(self) -> dict[str, int]:
        """Return the number of entries with a stored image, by label."""
        return dict(
            self._database.rows(
                """SELECT label, count(*) FROM entries JOIN requests r ON r.id = request_id
                   WHERE path IS NOT NULL AND label IS NOT NULL GROUP BY 1 ORDER BY 1"""
            )
        )

    def labelled_images(self) -> Iterator[tuple[str, str]]:
        """Yield the paths and labels of the stored images with one label, in order of path."""
        yield from self._database.rows(
            """SELECT path, min(label) FROM entries JOIN requests r ON r.id = request_id
               WHERE path IS NOT NULL AND label IS NOT NULL
               GROUP BY path HAVING count(DISTINCT label) = 1 ORDER BY path"""
        )

    def described(self) -> Iterator[tuple[Any, ...]]:
        """Yield all entries with a stored image: the columns of :data:`ENTRY_COLUMNS`."""
        names = ", ".join(ENTRY_COLUMNS)
        yield from self._database.stream(
            f"""SELECT {names} FROM entries e JOIN requests r ON r.id = request_id
                WHERE path IS NOT NULL ORDER BY path, e.id"""
        )
