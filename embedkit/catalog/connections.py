"""The connections of this process to a DuckDB file: several that read, or one that writes.

DuckDB opens a file in a process either for reading or for writing, and lets no other process open
it while one writes. Threads that read at the same time share an open file. A file that is opened
anew for every small read costs more than the read; a server keeps it open between them, but closes
it as soon as a thread or another process wants to write.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import duckdb

from embedkit._internal.locks import is_locked
from embedkit.catalog.database import Database
from embedkit.errors import CatalogBusy

_INTERVAL = 0.05
"""Seconds between two checks for another process that wants to write."""
_COURTESY = 2.0
"""Maximum seconds for which reads wait for another process that wants to write."""

Opened = Callable[[], AbstractContextManager[Database]]


@dataclass
class _Shared:
    """A file that is open for reading."""

    database: Database
    stack: ExitStack
    """Closes the database."""
    version: object
    readers: int = 0
    used: float = 0.0
    """Monotonic time of the end of the last read."""


class Connections:
    """The connections of this process to one file; :meth:`of` returns those of a path.

    Threads that want to write go first: reads that come later wait for them. Reads and writes do
    not nest.
    """

    _known: ClassVar[dict[Path, "Connections"]] = {}
    _guard: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, path: Path) -> None:
        self.path = path
        self._changed = threading.Condition()
        self._shared: _Shared | None = None
        self._is_taken = False  # a thread writes, or opens the file
        self._writers = 0  # threads that wait to write
        self._seconds = 0.0  # for which an unused file stays open
        self._keepers = 0

    @classmethod
    def of(cls, path: Path) -> "Connections":
        """Return the connections to a path, which are those of all paths to the same file."""
        path = path.resolve()
        with cls._guard:
            return cls._known.setdefault(path, cls(path))

    @property
    def wanted(self) -> Path:
        """The file that a process locks while it waits to write."""
        return self.path.with_name(f"{self.path.name}.wanted")

    @contextmanager
    def read(self, opened: Opened, patience: float) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield a connection for reading.

        Parameters
        ----------
        opened : callable
            Returns a context manager that opens the file for reading.
        patience : float
            Maximum seconds to wait for other threads.

        Raises
        ------
        CatalogBusy
            Another thread needs longer.
        """
        shared = self._join(patience) or self._open(opened)
        try:
            with shared.database.connection() as connection:
                yield connection
        finally:
            with self._changed:
                shared.readers -= 1
                shared.used = time.monotonic()
                self._close_unused()

    @contextmanager
    def write(self, opened: Opened, patience: float) -> Iterator[duckdb.DuckDBPyConnection]:
        """Yield the only connection: see :meth:`read`."""
        with self._changed:
            self._writers += 1
            try:
                self._wait_for(lambda: not self._is_taken and not self._readers, patience)
                self._close()
                self._is_taken = True
            finally:
                self._writers -= 1
                self._changed.notify_all()
        try:
            with opened() as database, database.connection() as connection:
                yield connection
        finally:
            self._release()

    @contextmanager
    def keep_open(self, seconds: float) -> Iterator[None]:
        """Keep the file open between reads, for so many seconds after the last one."""
        with self._changed:
            self._keepers += 1
            self._seconds = seconds
        is_over = threading.Event()
        thread = threading.Thread(target=self._watch, args=(is_over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            with self._changed:
                is_over.set()
                self._keepers -= 1
                if not self._keepers:
                    self._seconds = 0.0
                self._close_unused()
                self._changed.notify_all()
            thread.join()

    def _watch(self, is_over: threading.Event) -> None:
        """Close the unused file in time."""
        with self._changed:
            while not is_over.is_set():
                self._close_unused()
                self._changed.wait(_INTERVAL if self._shared is not None else None)

    @property
    def _readers(self) -> int:
        return self._shared.readers if self._shared is not None else 0

    def _join(self, patience: float) -> _Shared | None:
        """Become a reader of the open file; None if this thread has to open it."""
        with self._changed:
            self._wait_for(self._admits_reader, patience)
            if self._shared is None:
                self._is_taken = True
                return None
            self._shared.readers += 1
            return self._shared

    def _admits_reader(self) -> bool:
        if self._is_taken or self._writers:
            return False
        if self._shared is None or not self._must_close(self._shared):
            return True
        self._close_unused()
        return self._shared is None

    def _open(self, opened: Opened) -> _Shared:
        """Open the file for reading, with this thread as the first reader."""
        try:
            until = time.monotonic() + _COURTESY
            while self._keepers and time.monotonic() < until and is_locked(self.wanted):
                time.sleep(_INTERVAL / 10)
            with ExitStack() as stack:
                database = stack.enter_context(opened())
                shared = _Shared(database, stack.pop_all(), self._version(), readers=1)
                self._shared = shared
        finally:
            self._release()
        return shared

    def _version(self) -> object:
        """Return values that differ for a file that replaces the open one."""
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size

    def _must_close(self, shared: _Shared) -> bool:
        return is_locked(self.wanted) or shared.version != self._version()

    def _close_unused(self) -> None:
        """Close the file if nobody reads it and it was unused long enough, or must be closed."""
        shared = self._shared
        if shared is None or shared.readers:
            return
        if time.monotonic() - shared.used >= self._seconds or self._must_close(shared):
            self._close()

    def _close(self) -> None:
        shared, self._shared = self._shared, None
        if shared is not None:
            self._changed.notify_all()
            shared.stack.close()  # even if this fails, nobody reads it any more

    def _release(self) -> None:
        with self._changed:
            self._is_taken = False
            self._changed.notify_all()

    def _wait_for(self, condition: Callable[[], bool], patience: float) -> None:
        deadline = time.monotonic() + patience
        while not condition():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise CatalogBusy(f"{self.path} is in use by another thread of this process")
            self._changed.wait(min(remaining, _INTERVAL))
