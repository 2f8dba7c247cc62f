"""The addresses of a manifest: which are to be requested, and what became of the others."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from embedkit.collect.database import Database
from embedkit.collect.hosts import host_of
from embedkit.collect.images import KeptImage
from embedkit.collect.states import CHECKED_AGAIN, FAILED, IMAGE, LIST, POST, REDIRECTED, STORED

_DAY = 24 * 3600.0


@dataclass(frozen=True)
class Address:
    """An address that is to be requested."""

    id: int
    url: str
    kind: str
    host: str
    attempts: int
    redirects: int
    etag: str | None
    last_modified: str | None
    sha256: str | None


class Addresses:
    """The table of addresses. Times are seconds since the epoch."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def see(
        self, urls: Iterable[str], kind: str, found_on: int | None = None, redirects: int = 0
    ) -> list[int]:
        """Record addresses that were found; return the numbers of those that are new."""
        new = []
        with self._database.transaction():
            for url in urls:
                cursor = self._database.run(
                    """INSERT INTO requests (url, kind, host, state, found_on, redirects, seen_at)
                       VALUES (?, ?, ?, 'seen', ?, ?, ?) ON CONFLICT (url) DO NOTHING""",
                    url,
                    kind,
                    host_of(url),
                    found_on,
                    redirects,
                    time.time(),
                )
                if cursor.rowcount == 1:
                    new.append(int(cursor.lastrowid or 0))
        return new

    def see_again(self, urls: Sequence[str], before: float) -> None:
        """Request known pages again that were answered before a time."""
        with self._database.transaction():
            for url in urls:
                self._database.run(
                    """UPDATE requests SET state = 'seen', attempts = 0, not_before = 0
                       WHERE url = ? AND state IN ('fetched', 'redirected', 'failed')
                       AND coalesce(answered_at, 0) < ?""",
                    url,
                    before,
                )

    def read_pages_again(self, selectors: str) -> int:
        """Request pages again that were read with other selectors; return their number."""
        return self._database.run(
            """UPDATE requests SET state = 'seen', attempts = 0, not_before = 0, etag = NULL,
                      last_modified = NULL
               WHERE kind <> 'image' AND state = 'fetched' AND selectors <> ?""",
            selectors,
        ).rowcount

    def refresh(self, older_than: float) -> int:
        """Request pages and images again that were answered before a time; return their number."""
        return self._database.run(
            """UPDATE requests SET state = 'seen', attempts = 0, not_before = 0
               WHERE state IN ('fetched', 'stored', 'redirected') AND answered_at < ?""",
            older_than,
        ).rowcount

    def has_read(self, kind: str, selectors: str) -> bool:
        """Return whether a page of a kind has been read with these selectors."""
        return bool(
            self._database.rows(
                """SELECT 1 FROM requests
                   WHERE kind = ? AND state = 'fetched' AND selectors = ? LIMIT 1""",
                kind,
                selectors,
            )
        )

    def retry(self) -> None:
        """Request addresses again that failed for a reason that may pass.

        A host that answers that access is forbidden is not asked again on the same day.
        """
        self._database.run(
            """UPDATE requests SET state = 'seen', attempts = 0, not_before = 0
               WHERE state = 'failed' AND may_pass
               AND (coalesce(status, 0) NOT IN (401, 403) OR answered_at < ?)""",
            time.time() - _DAY,
        )

    def check_again(self) -> None:
        """Check addresses again that the recipe or a robots.txt forbade."""
        marks = ", ".join("?" * len(CHECKED_AGAIN))
        self._database.run(
            f"""UPDATE requests SET state = 'seen', attempts = 0, not_before = 0
               WHERE state = 'skipped' AND reason IN ({marks})""",
            *CHECKED_AGAIN,
        )

    def waiting_hosts(self) -> dict[str, float]:
        """Return the hosts with addresses to request, with the earliest time for one of them."""
        return dict(
            self._database.rows(
                "SELECT host, min(not_before) FROM requests WHERE state = 'seen' GROUP BY host"
            )
        )

    def waiting(self, host: str, now: float) -> Address | None:
        """Return the next address of a host to request; None if there is none at this time.

        Images come before pages, so that what is known is fetched before more is looked for.
        """
        for kind in (IMAGE, POST, LIST):
            rows = self._database.rows(
                """SELECT id, url, kind, host, attempts, redirects, etag, last_modified, sha256
                   FROM requests WHERE state = 'seen' AND host = ? AND kind = ?
                   AND not_before <= ? ORDER BY id LIMIT 1""",
                host,
                kind,
                now,
            )
            if rows:
                return Address(*rows[0])
        return None

    def next_time(self, host: str, now: float) -> float | None:
        """Return the earliest time for an address of a host; None if none is to be requested."""
        waiting = "FROM requests WHERE state = 'seen' AND host = ?"
        if self._database.rows(f"SELECT 1 {waiting} AND not_before <= ? LIMIT 1", host, now):
            return 0.0
        rows = self._database.rows(f"SELECT min(not_before) {waiting}", host)
        return None if rows[0][0] is None else float(rows[0][0])

    def pending(self) -> Iterator[tuple[str, str]]:
        """Yield the kinds and addresses that are to be requested, in order."""
        yield from self._database.stream(
            "SELECT kind, url FROM requests WHERE state IN ('seen', 'requested') ORDER BY id"
        )

    def request(self, address: Address) -> None:
        """Record that an address is about to be requested."""
        with self._database.transaction():
            now = time.time()
            self._database.run(
                """UPDATE requests SET state = 'requested', requested_at = ?,
                          attempts = attempts + 1 WHERE id = ?""",
                now,
                address.id,
            )

    def postpone(self, address: Address, until: float, status: int | None, reason: str) -> None:
        """Record that an address is to be requested again, after a time."""
        self._database.run(
            """UPDATE requests SET state = 'seen', not_before = ?, status = ?, reason = ?
               WHERE id = ?""",
            until,
            status,
            reason,
            address.id,
        )

    def finish(
        self,
        address: Address,
        state: str,
        *,
        status: int | None = None,
        reason: str | None = None,
        **columns: Any,
    ) -> None:
        """Record what became of an address: a state other than ``seen``, and other columns."""
        names = ", ".join(f"{name} = ?" for name in columns)
        self._database.run(
            f"""UPDATE requests SET state = ?, status = ?, reason = ?, answered_at = ?
                {"," if names else ""} {names} WHERE id = ?""",
            state,
            status,
            reason,
            time.time(),
            *columns.values(),
            address.id,
        )

    def store(self, address: Address, image: KeptImage, **columns: Any) -> bool:
        """Record that the image of an address is on disk; return whether it is a new one."""
        with self._database.transaction():
            cursor = self._database.run(
                "INSERT INTO images VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO NOTHING",
                image.path,
                image.digest,
                image.bytes,
                image.width,
                image.height,
                time.time(),
            )
            self.finish(address, STORED, sha256=image.digest, path=image.path, **columns)
            self._database.run(
                """WITH RECURSIVE sources (id) AS (
                       SELECT id FROM requests WHERE redirected_to = ?
                       UNION SELECT r.id FROM requests r JOIN sources s ON r.redirected_to = s.id
                   )
                   UPDATE requests SET state = 'stored', sha256 = ?, path = ?
                   WHERE id IN sources""",
                address.id,
                image.digest,
                image.path,
            )
            return cursor.rowcount == 1

    def redirect(self, address: Address, target: str, status: int) -> str | None:
        """Record that an address redirects to another one, which is to be requested if it is new.

        An image whose target is on disk counts as stored. Returns what is wrong with the redirect:
        a circle, or an image that redirects to a page; then the address has failed.
        """
        with self._database.transaction():
            self.see([target], address.kind, address.id, address.redirects + 1)
            number, kind, state, digest, path = self._database.rows(
                "SELECT id, kind, state, sha256, path FROM requests WHERE url = ?", target
            )[0]
            problem = None
            if address.id in self._chain(number):
                problem = "it redirects in a circle"
            elif IMAGE in (kind, address.kind) and kind != address.kind:
                problem = "it redirects to a page" if kind != IMAGE else "it redirects to an image"
            if problem is not None:
                self.finish(address, FAILED, status=status, reason=problem)
                return problem
            self.finish(
                address,
                STORED if state == STORED else REDIRECTED,
                status=status,
                redirected_to=number,
                **({} if path is None else {"sha256": digest, "path": path}),
            )
        return None

    def _chain(self, number: int) -> list[int]:
        """Return an address and those that it redirects to."""
        chain: list[int] = []
        following: int | None = number
        while following is not None and following not in chain:
            chain.append(following)
            rows = self._database.rows("SELECT redirected_to FROM requests WHERE id = ?", following)
            following = rows[0][0]
        return chain

    def selectors(self, address: Address) -> str | None:
        """Return the digest of the selectors that a page was read with; None if it was not."""
        rows = self._database.rows("SELECT selectors FROM requests WHERE id = ?", address.id)
        return rows[0][0] if rows else None

    def counts(self) -> dict[tuple[str, str], int]:
        """Return the number of addresses by kind and state."""
        return {
            (kind, state): count
            for kind, state, count in self._database.rows(
                "SELECT kind, state, count(*) FROM requests GROUP BY 1, 2"
            )
        }

    def count_images(self) -> int:
        """Return the number of images on disk."""
        return int(self._database.rows("SELECT count(*) FROM images")[0][0])

    def reasons(self, state: str) -> dict[str, int]:
        """Return the number of addresses by the reason for their state, the most frequent first."""
        return dict(
            self._database.rows(
                """SELECT coalesce(reason, ''), count(*) FROM requests
                   WHERE state = ? GROUP BY 1 ORDER BY 2 DESC, 1""",
                state,
            )
        )
