"""The SQLite file of a manifest: its tables, transactions and errors."""

import errno
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from embedkit._internal.artifacts import storage_error
from embedkit._internal.paths import shown
from embedkit.errors import BadArtefact
from embedkit.results.collection import MANIFEST_NAME

VERSION = 1

_WAIT = 30.0
"""Seconds to wait for another process that writes to the manifest."""

_SCHEMA = """
CREATE TABLE info (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE runs (id INTEGER PRIMARY KEY, started_at REAL NOT NULL, finished_at REAL);
CREATE TABLE requests (
    id INTEGER PRIMARY KEY,
    url TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    host TEXT NOT NULL,
    state TEXT NOT NULL,
    found_on INTEGER,
    redirects INTEGER NOT NULL DEFAULT 0,
    redirected_to INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0,
    status INTEGER,
    reason TEXT,
    seen_at REAL NOT NULL,
    requested_at REAL,
    answered_at REAL,
    etag TEXT,
    last_modified TEXT,
    selectors TEXT,
    may_pass INTEGER NOT NULL DEFAULT 0,
    sha256 TEXT,
    path TEXT
);
CREATE INDEX waiting ON requests (host, kind, id) WHERE state = 'seen';
CREATE INDEX redirects ON requests (redirected_to) WHERE redirected_to IS NOT NULL;
CREATE INDEX paths ON requests (path) WHERE path IS NOT NULL;
CREATE TABLE images (
    path TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    stored_at REAL NOT NULL
);
CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    request_id INTEGER NOT NULL,
    page TEXT NOT NULL DEFAULT '',
    caption TEXT NOT NULL DEFAULT '',
    tags TEXT NOT NULL DEFAULT '',
    post TEXT NOT NULL DEFAULT '',
    author TEXT NOT NULL DEFAULT '',
    date TEXT NOT NULL DEFAULT '',
    licence TEXT NOT NULL DEFAULT '',
    label TEXT,
    outcome TEXT NOT NULL DEFAULT '',
    candidates TEXT NOT NULL DEFAULT ''
);
CREATE INDEX by_post ON entries (request_id, post, page);
CREATE INDEX by_caption ON entries (request_id, caption);
CREATE INDEX by_page ON entries (page);
CREATE TABLE hosts (
    host TEXT PRIMARY KEY,
    delay REAL NOT NULL DEFAULT 0,
    last_request REAL NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0
);
CREATE TABLE robots (
    origin TEXT PRIMARY KEY,
    content TEXT NOT NULL,
    answered_at REAL NOT NULL
);
"""


class Database:
    """A manifest's file, open for reading and writing.

    A transaction that is committed is on disk, also after a power failure. Raises
    :class:`BadArtefact` for a file that is damaged or newer than this embedkit, and
    :class:`StorageError` when it cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / MANIFEST_NAME
        with self.errors():
            folder.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, timeout=_WAIT, isolation_level=None)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")
            with self.transaction():
                if not self.rows("SELECT 1 FROM sqlite_master WHERE name = 'info'"):
                    for statement in filter(str.strip, _SCHEMA.split(";")):
                        self._connection.execute(statement)
                    self.run("INSERT INTO info VALUES ('version', ?)", str(VERSION))
            check_version(self.path, self.rows("SELECT value FROM info WHERE key = 'version'"))

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def copy_to(self, folder: Path) -> None:
        """Write a copy of the manifest to another folder."""
        with self.errors():
            target = sqlite3.connect(folder / MANIFEST_NAME)
            try:
                self._connection.backup(target)
            finally:
                target.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all changes of the block at once, or none after an exception."""
        with self.errors():
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.rollback()
                raise
            self._connection.execute("COMMIT")

    def run(self, statement: str, *values: Any) -> sqlite3.Cursor:
        """Execute a statement, in a transaction of its own unless one is open."""
        with self.errors():
            return self._connection.execute(statement, values)

    def run_many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        """Execute a statement with each row of values."""
        with self.errors():
            self._connection.executemany(statement, rows)

    def rows(self, query: str, *values: Any) -> list[Any]:
        """Return all rows of a query."""
        with self.errors():
            return self._connection.execute(query, values).fetchall()

    def stream(self, query: str) -> Iterator[Any]:
        """Yield the rows of a query."""
        with self.errors():
            yield from self._connection.execute(query)

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Convert the errors of SQLite and of the disk."""
        name = shown(str(self.path))
        try:
            yield
        except sqlite3.OperationalError as error:
            cause: Exception = error
            if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
                cause = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            raise storage_error(f"cannot write {name}", cause) from error
        except sqlite3.DatabaseError as error:
            raise BadArtefact(
                f"{name} is damaged ({error}); restore it from a backup, or move it away to "
                "collect again"
            ) from error
        except OSError as error:
            raise storage_error(f"cannot write {name}", error) from error


def check_version(path: Path, rows: Sequence[tuple[str]]) -> None:
    """Raise :class:`BadArtefact` unless a manifest has a version that can be read."""
    version = rows[0][0] if rows else "none"
    if version != str(VERSION):
        raise BadArtefact(
            f"{shown(str(path))} has version {shown(version)}, which this embedkit does not read; "
            "update embedkit"
        )
