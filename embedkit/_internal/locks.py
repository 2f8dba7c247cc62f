"""Locks between processes. A lock is released when its process ends."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from embedkit.errors import EmbedkitError

_PAUSE = 0.02
"""Seconds between two attempts."""


@contextmanager
def exclusive_lock(file: Path, busy: EmbedkitError, patience: float = 0.0) -> Iterator[None]:
    """Hold an exclusive lock on ``file``, which exists only while it is locked.

    Raises ``busy`` when another process or thread still holds the lock after ``patience`` seconds,
    and OSError when the file cannot be created.
    """
    deadline = time.monotonic() + patience
    while True:
        with open(file, "wb") as lock:
            try:
                _lock(lock.fileno(), busy)
            except type(busy):
                if time.monotonic() >= deadline:
                    raise
                time.sleep(_PAUSE)
                continue
            # The previous holder may have removed it before it was locked here.
            if not _is_current(lock, file):
                continue
            try:
                yield
            finally:
                with suppress(OSError):  # Windows does not remove open files
                    file.unlink()
            return


def is_locked(file: Path) -> bool:
    """Return whether a process or thread has an :func:`exclusive_lock` on ``file``."""
    try:
        with open(file, "rb+") as lock:
            _lock(lock.fileno(), _Locked())
    except _Locked:
        return True
    except OSError:
        return False
    return False


class _Locked(EmbedkitError):
    pass


def _is_current(lock: IO[bytes], file: Path) -> bool:
    """Return whether ``file`` is still the locked file."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), os.stat(file))
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, busy: EmbedkitError) -> None:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise busy from error

else:
    import fcntl

    def _lock(descriptor: int, busy: EmbedkitError) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise busy from error
