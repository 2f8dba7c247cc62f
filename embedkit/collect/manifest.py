"""manifest.sqlite: every address that a collection has seen, and what became of it.

A change is committed, and flushed to disk, before the next step depends on it: a row says
``requested`` before its request is sent, and ``stored`` after its image is on disk. So a killed run
loses nothing, and repeats at most the requests that were under way.
"""

import time
from contextlib import AbstractContextManager
from pathlib import Path

from embedkit.collect.addresses import Addresses
from embedkit.collect.database import Database
from embedkit.collect.entries import Entries
from embedkit.collect.host_records import HostRecords


class Manifest:
    """The manifest of a collection, open for reading and writing.

    Each method is one transaction, unless it is called within :meth:`transaction`.

    Attributes
    ----------
    addresses : Addresses
        What is to be requested, and what became of the rest.
    entries : Entries
        Images as they appear in posts.
    hosts : HostRecords
        The pace and the robots.txt of hosts.

    Raises
    ------
    BadArtefact
        The file is damaged, or was written by a newer embedkit.
    StorageError
        The file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._database = Database(folder)
        self.addresses = Addresses(self._database)
        self.entries = Entries(self._database)
        self.hosts = HostRecords(self._database)

    def __enter__(self) -> "Manifest":
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def transaction(self) -> AbstractContextManager[None]:
        """Return a block whose changes are committed at once, or not at all."""
        return self._database.transaction()

    def note(self, key: str) -> str | None:
        """Return a note that was kept; None without one."""
        rows = self._database.rows("SELECT value FROM info WHERE key = ?", key)
        return rows[0][0] if rows else None

    def set_note(self, key: str, value: str) -> None:
        """Keep a note."""
        self._database.run("INSERT OR REPLACE INTO info VALUES (?, ?)", key, value)

    def copy_to(self, folder: Path) -> None:
        """Write a copy of the manifest to another folder."""
        self._database.copy_to(folder)

    def begin_run(self) -> tuple[int, bool]:
        """Return the number of the run to do, and whether it continues one that was interrupted.

        Addresses whose requests were under way are to be requested again.
        """
        with self._database.transaction():
            self._database.run("UPDATE requests SET state = 'seen' WHERE state = 'requested'")
            last = self._database.rows(
                "SELECT id FROM runs WHERE finished_at IS NULL ORDER BY id DESC"
            )
            if last:
                return last[0][0], True
            self._database.run("INSERT INTO runs (started_at) VALUES (?)", time.time())
            return self._database.rows("SELECT max(id) FROM runs")[0][0], False

    def finish_run(self, run: int) -> None:
        """Record that a run has done all that there was to do."""
        self._database.run("UPDATE runs SET finished_at = ? WHERE id = ?", time.time(), run)

    def started_at(self, run: int) -> float:
        """Return the time at which a run began, seconds since the epoch."""
        return float(self._database.rows("SELECT started_at FROM runs WHERE id = ?", run)[0][0])

    def has_runs(self) -> bool:
        """Return whether the collection was fetched from the web."""
        return bool(self._database.rows("SELECT 1 FROM runs LIMIT 1"))
