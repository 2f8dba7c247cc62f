"""Short leases on the catalog file: DuckDB lets one writing process in at a time.

Whoever opens the catalog does one batch of work and closes it again. A lease that cannot be had at
once is asked for again, with growing pauses, and after a second the callback hears what for.
"""

import errno
import os
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from embedkit._internal.artifacts import replaced, storage_error, storage_errors, temporary_beside
from embedkit._internal.locks import alone
from embedkit._internal.paths import shown
from embedkit._internal.sealed import Damaged
from embedkit.catalog import schema
from embedkit.catalog.listing import FILE_NAME as LISTING
from embedkit.catalog.listing import Listing, State, is_of_before, write_listing
from embedkit.catalog.reader import Reader
from embedkit.catalog.records import BackboneSnapshot, LiveFile
from embedkit.catalog.session import Session
from embedkit.errors import BadCatalog, BadInput, CatalogBusy, DamagedCache, EmptyWorkspace

if TYPE_CHECKING:
    from embedkit.catalog.writer import Writer

FILE_NAME = "catalog.duckdb"
PATIENCE = 60.0
"""Seconds that a lease is waited for."""
LISTED = 5_000_000
"""Files up to which there is a listing: making it takes some 500 bytes of memory for each."""

# Nearly all of a catalog is vectors, which no compression shrinks: trying takes half the time of
# storing them.
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "1GB",
    "force_compression": "uncompressed",
    # For another file in the catalog's place DuckDB would download an extension that reads it.
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
_HEADERS = 3 * 4096
"""Bytes of the headers of a DuckDB file, which come before its data."""
_MAGIC = slice(8, 12)
"""Where a DuckDB file says what it is."""
_REFUSALS = tuple(
    os.strerror(number)
    for number in (errno.EACCES, errno.EDQUOT, errno.EIO, errno.ENOSPC, errno.EPERM, errno.EROFS)
)
"""What the system says of a disk or a folder, and not of a file's content."""
_COARSE = 10_000_000
"""Whole multiples of these nanoseconds are times as FAT, exFAT, ext3 and HFS+ keep them."""
_TICK = 2_000_000_000
"""Nanoseconds for which the time of two changes may be the same there."""
# One connection a file within this process: DuckDB refuses to mix read-only and writing ones.
_locks: dict[str, threading.Lock] = {}
_locks_guard = threading.Lock()


class Catalog:
    """The DuckDB file of a workspace; :meth:`read` and :meth:`write` lease it.

    Leases do not nest. ``on_wait`` is called with one line of text, once, when a lease takes longer
    than a second to get.
    """

    def __init__(self, folder: Path, on_wait: Callable[[str], None] | None = None) -> None:
        if not str(folder).isprintable():
            raise BadInput(
                f"{shown(str(folder))} cannot be a workspace: its path has unprintable characters"
            )
        self.path = folder / FILE_NAME
        self.on_wait = on_wait
        self._seen: tuple[State, BackboneSnapshot] | None = None
        self._listing: tuple[State, Listing | None] | None = None
        self._unlistable: State | None = None
        with _locks_guard:
            self._lock = _locks.setdefault(str(self.path.absolute()), threading.Lock())

    @property
    def exists(self) -> bool:
        """Whether anything was ever written.

        A DuckDB file that ends within its headers, as a full disk leaves it, holds nothing.
        """
        try:
            if self.path.stat().st_size >= _HEADERS or self._wal.exists():
                return True
            start = self.path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return any(start) and start[_MAGIC] != b"DUCK"

    @contextmanager
    def read(self) -> Iterator[Reader]:
        """A read-only lease.

        Raises :class:`EmptyWorkspace` when there is no catalog, :class:`CatalogBusy` when it
        cannot be had in time and :class:`BadCatalog` when it cannot be read.
        """
        if not self.exists:
            raise EmptyWorkspace(
                f"the workspace {self.path.parent} is empty; put photos in with "
                f"'embedkit add PATH --workspace {self.path.parent}'"
            )
        with self._connection(read_only=True) as connection:
            outdated = schema.version(connection) < len(schema.STEPS)
            if not outdated:
                yield Reader(Session(connection))
        if outdated:
            with self.write() as writer:
                yield writer.reader

    def require(self) -> None:
        """Raise as :meth:`read` does, where a change must not make a catalog."""
        with self.read():
            return

    @contextmanager
    def write(self) -> Iterator["Writer"]:
        """A writing lease: one transaction, committed at the end, rolled back on an error.

        Makes the catalog, and brings its schema up to date, as needed. Raises as :meth:`read`
        does, and :class:`StorageError` when the disk is full or read-only.
        """
        from embedkit.catalog.writer import Writer  # imports pyarrow, which readers do without

        self._make()
        with self._connection(read_only=False) as connection:
            done = schema.version(connection)
            connection.execute("BEGIN").fetchall()
            try:
                schema.upgrade(connection, done)
                yield Writer(Session(connection))
                connection.execute("COMMIT").fetchall()
            except BaseException:
                _roll_back(connection)
                raise

    def compact(self) -> tuple[int, int]:
        """Forget what nothing refers to any more and write the catalog anew, without its gaps.

        Returns the file's bytes before and after. The old file stays open, and so locked, until
        the new one has taken its place.
        """
        with self.write() as writer:
            writer.remove_unreferenced()
        before = self.path.stat().st_size
        with (
            self._connection(read_only=False) as connection,
            storage_errors(f"cannot write {self.path}"),
            replaced(self.path) as temporary,
        ):
            target = str(temporary).replace("'", "''")
            for statement in (
                "CHECKPOINT",  # else the log of the old file would be taken for the new one's
                f"ATTACH '{target}' AS compacted",
                'COPY FROM DATABASE "catalog" TO compacted',
                "CHECKPOINT compacted",
                "DETACH compacted",
            ):
                connection.execute(statement).fetchall()
        return before, self.path.stat().st_size

    # -- without opening it --------------------------------------------------------------------

    def backbones(self) -> BackboneSnapshot:
        """The backbones and their positions; the file is opened only if it has changed since."""
        state = self._state()
        if self._seen is None or self._seen[0] != state:
            with self.read() as reader:
                self._seen = self._state(), reader.backbones.snapshot()
        return self._seen[1]

    def live_files(self, image_ids: Sequence[int]) -> dict[int, list[LiveFile]]:
        """What :meth:`Reader.live_files` says, from the listing while that is of this catalog.

        A process that has to open the catalog for it a second time makes the listing first.
        """
        if not image_ids:
            return {}
        state = self._state()
        if self._listing is None or self._listing[0] != state:
            self._listing = state, self._read_listing(state)
        elif self._listing[1] is None:
            self.list_files()
        listing = self._listing[1]
        if listing is not None:
            try:
                return listing.live_files(image_ids)
            except Damaged as error:
                self._give_up_listing(error)
                self._listing = state, None
        with self.read() as reader:
            return reader.files.of_images(image_ids)

    def list_files(self) -> None:
        """Make the listing of the catalog as it is now, or none where there is no room for it."""
        if self._unlistable == self._state():
            return
        with self.read() as reader:
            state = self._state()
            files = (
                reader.files.listing_table() if reader.files.counts()["files"] <= LISTED else None
            )
        if files is None:
            self._unlistable = state
            return
        try:
            write_listing(self._listing_file, state, files)
        except OSError:
            self._unlistable = state
        self._listing = state, self._read_listing(state)

    def _read_listing(self, state: State) -> Listing | None:
        """The listing of the catalog in some ``state``; None when there is none, or another's."""
        try:
            listing = Listing(self._listing_file)
        except OSError:
            return None
        except Damaged as error:
            if not is_of_before(self._listing_file):
                self._give_up_listing(error)
            return None
        return listing if listing.state == state else None

    def _give_up_listing(self, error: Exception) -> None:
        warnings.warn(
            f"{shown(str(error))}; it is made anew from the catalog", DamagedCache, stacklevel=2
        )
        with suppress(OSError):
            self._listing_file.unlink()

    def _make(self) -> None:
        """Make the catalog where there is none, whole or not at all, whoever else does so too."""
        lock = self.path.with_name(f"{FILE_NAME}.lock")
        if self.exists and not lock.exists():
            return
        busy = CatalogBusy(f"another process has been making {self.path} for {PATIENCE:.0f} s")
        with storage_errors(f"cannot write {self.path}"), _duckdb_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with alone(lock, busy, PATIENCE):
                if not self.exists:
                    with (
                        replaced(self.path) as temporary,
                        duckdb.connect(str(temporary), config=_CONFIG) as connection,
                    ):
                        connection.execute("CHECKPOINT").fetchall()

    @property
    def _wal(self) -> Path:
        """DuckDB's log of what is not in the file yet."""
        return self.path.with_name(f"{FILE_NAME}.wal")

    @property
    def _listing_file(self) -> Path:
        return self.path.with_name(LISTING)

    def _state(self) -> State:
        """What tells the files of one moment from those of another; while leased, of this one.

        Where times are coarse, two changes may bear the same one. Until it has passed, every state
        is another.
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
        if not self._lock.acquire(timeout=PATIENCE):
            raise CatalogBusy(f"{self.path} is in use by another thread of this process")
        try:
            with temporary_beside(self.path) as spilled:
                connection = self._open(read_only, spilled)
                try:
                    with _duckdb_errors(self.path):
                        yield connection
                finally:
                    connection.close()
        finally:
            self._lock.release()

    def _open(self, read_only: bool, spilled: Path) -> duckdb.DuckDBPyConnection:
        """Open the catalog; what does not fit into memory goes to the folder ``spilled``."""
        started, pause, told = time.monotonic(), 0.005, False
        config = {**_CONFIG, "temp_directory": str(spilled)}
        while True:
            try:
                return duckdb.connect(str(self.path), read_only=read_only, config=config)
            except duckdb.IOException as error:
                message = str(error)
                if "Could not set lock" not in message:
                    if self.exists and not any(reason in message for reason in _REFUSALS):
                        raise _bad(self.path, error) from error
                    raise storage_error(str(self.path), error) from error
                waited = time.monotonic() - started
                holder = re.search(r"\(PID (\d+)\)", message)
                who = f"process {holder[1]}" if holder else "another process"
                if waited > PATIENCE:
                    raise CatalogBusy(
                        f"{who} kept {self.path} open for {PATIENCE:.0f} s; try again when it ends"
                    ) from error
                if waited > 1 and not told and self.on_wait is not None:
                    self.on_wait(f"waiting for the catalog: {who} has it open")
                    told = True
                time.sleep(pause)
                pause = min(2 * pause, 0.2)
            except duckdb.Error as error:
                raise _bad(self.path, error) from error


@contextmanager
def _duckdb_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (duckdb.IOException, duckdb.FatalException, duckdb.TransactionException) as error:
        raise storage_error(str(path), error) from error
    except duckdb.Error as error:
        raise BadCatalog(f"{path}: {_first(str(error))}") from error


def _bad(path: Path, error: Exception) -> BadCatalog:
    reason = _first(str(error)).rstrip(".!") if _is_duckdb(path) else "it is no DuckDB file"
    return BadCatalog(
        f"{path} cannot be read: {reason}. Put a backup in its place, or delete it and add the "
        "photos again"
    )


def _is_duckdb(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(12)[8:] == b"DUCK"
    except OSError:
        return True  # DuckDB's own words have to do


def _roll_back(connection: duckdb.DuckDBPyConnection) -> None:
    try:
        connection.execute("ROLLBACK").fetchall()
    except duckdb.Error:
        return  # the failed commit has ended the transaction already; its own error is the news


def _first(message: str) -> str:
    return message.strip().splitlines()[0]
