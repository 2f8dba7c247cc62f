"""Short leases on the catalog file, which DuckDB opens for only one writing process at a time.

A lease opens the catalog for one batch of work and closes it again. While another process has the
file open, a lease is retried with increasing pauses; after a second a callback is notified.
"""

import errno
import os
import re
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from embedkit._internal.artifacts import (
    atomic_write,
    storage_error,
    storage_errors,
    temporary_beside,
)
from embedkit._internal.locks import exclusive_lock
from embedkit._internal.paths import as_argument, shown
from embedkit._internal.sealed import DamagedFile
from embedkit._internal.text import one_line
from embedkit.catalog import schema
from embedkit.catalog.connections import Connections
from embedkit.catalog.database import NAME, Database, attached
from embedkit.catalog.listing import FILE_NAME as LISTING
from embedkit.catalog.listing import Listing, State, is_earlier_version, write_listing
from embedkit.catalog.outdated import UpgradedCopy
from embedkit.catalog.reader import Reader
from embedkit.catalog.records import BackboneSnapshot, LiveFile
from embedkit.catalog.session import Session
from embedkit.errors import BadCatalog, BadInput, CatalogBusy, DamagedCache, EmptyWorkspace

if TYPE_CHECKING:
    from embedkit.catalog.writer import Writer

FILE_NAME = "catalog.duckdb"
PATIENCE = 60.0
"""Seconds to wait for a lease."""
LISTING_LIMIT = 5_000_000
"""Maximum number of files in a listing: writing it takes about 500 bytes of memory per file."""

_HEADERS = 3 * 4096
"""Bytes of the headers of a DuckDB file, which precede its data."""
_MAGIC, _MAGIC_PLACE = b"DUCK", slice(8, 12)
"""The bytes that identify a DuckDB file, and their place in it."""
_REFUSALS = tuple(
    os.strerror(number)
    for number in (errno.EACCES, errno.EDQUOT, errno.EIO, errno.ENOSPC, errno.EPERM, errno.EROFS)
)
"""Messages of the system about a disk or a folder, not about a file's content."""
_COARSE = 10_000_000
"""The time resolutions of FAT, exFAT, ext3 and HFS+, in nanoseconds, are multiples of this."""
_TICK = 2_000_000_000
"""Two changes within this many nanoseconds may have the same time on these file systems."""


class Catalog:
    """The DuckDB file of a workspace; :meth:`read` and :meth:`write` lease it.

    Leases do not nest. ``on_wait`` is called once, with one line of text, when a lease has to wait
    for longer than a second. A lease is tried for ``patience`` seconds.
    """

    def __init__(
        self,
        folder: Path,
        on_wait: Callable[[str], None] | None = None,
        patience: float | None = None,
    ) -> None:
        if not str(folder).isprintable():
            raise BadInput(
                f"{shown(str(folder))} cannot be a workspace: its path has unprintable characters"
            )
        self.path = folder / FILE_NAME
        self.on_wait = on_wait
        self._patience = PATIENCE if patience is None else patience
        self._snapshot: tuple[State, BackboneSnapshot] | None = None
        self._listing: tuple[State, Listing | None] | None = None
        self._unlisted: State | None = None  # a state whose listing was not written
        self._copy: tuple[State, UpgradedCopy] | None = None
        self._connections = Connections.of(self.path)

    @property
    def is_writable(self) -> bool:
        """Whether this process may write to the catalog."""
        return os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK)

    @property
    def exists(self) -> bool:
        """Whether the catalog exists.

        A DuckDB file that ends within its headers, which a full disk may leave, does not count.
        """
        try:
            if self.path.stat().st_size >= _HEADERS or self._wal.exists():
                return True
            start = self.path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return any(start) and start[_MAGIC_PLACE] != _MAGIC

    @contextmanager
    def read(self) -> Iterator[Reader]:
        """Lease the catalog for reading.

        Raises :class:`EmptyWorkspace` when there is no catalog, :class:`CatalogBusy` when the lease
        takes longer than the patience, and :class:`BadCatalog` when it cannot be read. A catalog
        that an earlier version wrote is read from an upgraded copy: only a write upgrades it.
        """
        if not self.exists:
            raise EmptyWorkspace(
                f"the workspace {self.path.parent} is empty; add photos with "
                f"'embedkit add PATH --workspace {as_argument(str(self.path.parent))}'"
            )
        with self._connection(read_only=True) as connection:
            outdated = schema.version(connection) < len(schema.STEPS)
            if outdated:
                copy = self._upgraded_copy()
            else:
                with closing(Session(connection)) as session:
                    yield Reader(session)
        if outdated:
            with (
                _duckdb_errors(copy.path),
                copy.connection() as connection,
                closing(Session(connection)) as session,
            ):
                yield Reader(session)

    @contextmanager
    def keep_open(self, seconds: float) -> Iterator[None]:
        """Keep the file open between reads, for so many seconds after the last one.

        Opening it takes longer than a small read. It is closed early if this process or another
        one, which leases it with :meth:`write`, waits to write.
        """
        with self._connections.keep_open(seconds):
            yield

    def require(self) -> None:
        """Raise as :meth:`read` does, before a change that must not create a catalog."""
        with self.read():
            return

    @contextmanager
    def write(self) -> Iterator["Writer"]:
        """Lease the catalog for one transaction, committed at the end, rolled back on an error.

        Creates the catalog and migrates its schema as needed. Raises :class:`CatalogBusy` and
        :class:`BadCatalog` as :meth:`read` does, and :class:`StorageError` when the disk is full or
        read-only.
        """
        from embedkit.catalog.writer import Writer  # imports pyarrow, which readers do not need

        self._create()
        with self._connection(read_only=False) as connection:
            done = schema.version(connection)
            connection.execute("BEGIN").fetchall()
            try:
                schema.upgrade(connection, done)
                with closing(Session(connection)) as session:
                    yield Writer(session)
                connection.execute("COMMIT").fetchall()
            except BaseException:
                _roll_back(connection)
                raise

    def compact(self) -> tuple[int, int]:
        """Remove unreferenced rows and rewrite the catalog without gaps.

        Returns the file's bytes before and after. The old file stays open, and so locked, until
        the new one has replaced it.
        """
        with self.write() as writer:
            writer.remove_unreferenced()
        before = self.path.stat().st_size
        with (
            self._connection(read_only=False) as connection,
            storage_errors(f"cannot write {self.path}"),
            atomic_write(self.path) as temporary,
            attached(connection, temporary, "compacted"),
        ):
            for statement in (
                "CHECKPOINT",  # or the log of the old file would be applied to the new one
                f"COPY FROM DATABASE {NAME} TO compacted",
                "CHECKPOINT compacted",
            ):
                connection.execute(statement).fetchall()
        return before, self.path.stat().st_size

    # -- without a lease ------------------------------------------------------------------------

    def backbone_snapshot(self) -> BackboneSnapshot:
        """Return the known backbones; reopen the catalog only if it has changed."""
        state = self._state()
        if self._snapshot is None or self._snapshot[0] != state:
            with self.read() as reader:
                self._snapshot = self._state(), reader.backbones.snapshot()
        return self._snapshot[1]

    def live_files(self, image_ids: Sequence[int]) -> dict[int, list[LiveFile]]:
        """Return :meth:`FileReader.of_images`, from the listing if it is up to date.

        On its second call that needs the catalog, a process writes the listing first.
        """
        if not image_ids:
            return {}
        state = self._state()
        if self._listing is None or self._listing[0] != state:
            self._listing = state, self._read_listing(state)
        elif self._listing[1] is None:
            self.write_listing()
        listing = self._listing[1]
        if listing is not None:
            try:
                return listing.live_files(image_ids)
            except DamagedFile as error:
                self._discard_listing(error)
                self._listing = state, None
        with self.read() as reader:
            return reader.files.of_images(image_ids)

    def write_listing(self) -> None:
        """Write the listing of the live files, unless there are too many or the disk is full."""
        if self._unlisted == self._state():
            return
        with self.read() as reader:
            state = self._state()
            is_small = reader.files.counts()["files"] <= LISTING_LIMIT
            files = reader.files.listing_table() if is_small else None
        if files is None:
            self._unlisted = state
            return
        try:
            write_listing(self._listing_file, state, files)
        except OSError:
            self._unlisted = state
        self._listing = state, self._read_listing(state)

    def _upgraded_copy(self) -> UpgradedCopy:
        state = self._state()
        if self._copy is None or self._copy[0] != state:
            if self.on_wait is not None:
                self.on_wait(
                    "reading a copy of the catalog, which an earlier version of embedkit wrote; "
                    "'embedkit compact' upgrades it"
                )
            self._copy = state, UpgradedCopy(self.path)
        return self._copy[1]

    def _read_listing(self, state: State) -> Listing | None:
        """Return the listing of the given state of the catalog; None if there is none."""
        try:
            listing = Listing(self._listing_file)
        except OSError:
            return None
        except DamagedFile as error:
            if not is_earlier_version(self._listing_file):
                self._discard_listing(error)
            return None
        return listing if listing.state == state else None

    def _discard_listing(self, error: Exception) -> None:
        warnings.warn(
            f"{shown(str(error))}; it is rewritten from the catalog", DamagedCache, stacklevel=2
        )
        with suppress(OSError):
            self._listing_file.unlink()

    def _create(self) -> None:
        """Create the catalog atomically if it is missing, even if other processes create it now."""
        lock = self.path.with_name(f"{FILE_NAME}.lock")
        if self.exists and not lock.exists():
            return
        busy = CatalogBusy(
            f"another process has been creating {self.path} for {self._patience:.0f} s"
        )
        with storage_errors(f"cannot write {self.path}"), _duckdb_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with exclusive_lock(lock, busy, self._patience):
                if not self.exists:
                    with (
                        atomic_write(self.path) as temporary,
                        closing(Database(temporary)) as database,
                        database.connection() as connection,
                    ):
                        connection.execute("CHECKPOINT").fetchall()

    @property
    def _wal(self) -> Path:
        """DuckDB's log of changes that are not in the file yet."""
        return self.path.with_name(f"{FILE_NAME}.wal")

    @property
    def _listing_file(self) -> Path:
        return self.path.with_name(LISTING)

    def _state(self) -> State:
        """Return numbers that change whenever the catalog changes.

        On a file system with coarse times two changes may have the same time. Until that time has
        passed, every call returns a different state.
        """
        state: list[int] = []
        newest = 0
        for file in (self.path, self._wal):
            try:
                status = file.stat()
            except FileNotFoundError:
                continue
            state += [status.st_ino, status.st_size, status.st_mtime_ns]
            newest = max(newest, status.st_mtime_ns)
        if newest % _COARSE == 0 and time.time_ns() < newest + _TICK:
            state.append(time.monotonic_ns())
        return tuple(state)

    @contextmanager
    def _connection(self, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        lease = self._connections.read if read_only else self._connections.write
        with (
            lease(partial(self._opened, read_only), self._patience) as connection,
            _duckdb_errors(self.path),
        ):
            yield connection

    @contextmanager
    def _opened(self, read_only: bool) -> Iterator[Database]:
        """Open the catalog; DuckDB writes what does not fit into memory to a temporary folder."""
        with (
            temporary_beside(self.path) as temporary,
            closing(self._open(read_only, temporary)) as database,
        ):
            yield database

    def _open(self, read_only: bool, temporary: Path) -> Database:
        with ExitStack() as while_waiting:
            return self._open_when_free(read_only, temporary, while_waiting)

    def _open_when_free(
        self, read_only: bool, temporary: Path, while_waiting: ExitStack
    ) -> Database:
        started, pause, notified, is_announced = time.monotonic(), 0.005, False, read_only
        while True:
            try:
                return Database(self.path, read_only, temporary)
            except duckdb.IOException as error:
                message = str(error)
                if "Could not set lock" not in message:
                    if self.exists and not any(reason in message for reason in _REFUSALS):
                        raise _unreadable(self.path, error) from error
                    raise storage_error(str(self.path), error) from error
                waited = time.monotonic() - started
                holder = re.search(r"\(PID (\d+)\)", message)
                other = f"process {holder[1]}" if holder else "another process"
                if waited > self._patience:
                    raise CatalogBusy(
                        f"{other} kept {self.path} open for {self._patience:.0f} s; try again "
                        "when it has ended"
                    ) from error
                if waited > 1 and not notified and self.on_wait is not None:
                    self.on_wait(f"waiting for the catalog: {other} has it open")
                    notified = True
                if not is_announced:
                    with suppress(CatalogBusy, OSError):  # another writer announces itself
                        while_waiting.enter_context(
                            exclusive_lock(self._connections.wanted, CatalogBusy(""))
                        )
                        is_announced = True
                time.sleep(pause)
                pause = min(2 * pause, 0.2)
            except duckdb.Error as error:
                raise _unreadable(self.path, error) from error


@contextmanager
def _duckdb_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (duckdb.IOException, duckdb.FatalException, duckdb.TransactionException) as error:
        raise storage_error(str(path), error) from error
    except duckdb.Error as error:
        raise BadCatalog(f"{path}: {one_line(error)}") from error


def _unreadable(path: Path, error: Exception) -> BadCatalog:
    reason = one_line(error).rstrip(".!") if _is_duckdb(path) else "it is not a DuckDB file"
    return BadCatalog(
        f"{path} cannot be read: {reason}. Put a backup in its place, or delete it and add the "
        "photos again"
    )


def _is_duckdb(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(_MAGIC_PLACE.stop)[_MAGIC_PLACE] == _MAGIC
    except OSError:
        return True  # DuckDB has reported the reason


def _roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    try:
        connection.execute("ROLLBACK").fetchall()
    except duckdb.Error:
        return  # a failed commit has already ended the transaction, and its own error is raised
