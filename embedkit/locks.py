"""Locks between processes: held by one at a time, and gone with the process that held them."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from embedkit.errors import EmbedkitError


@contextmanager
def alone(file: Path, busy: EmbedkitError) -> Iterator[None]:
    """Be the only holder of the lock on ``file``, which is there only as long as somebody is.

    A crash ends that, as any other end. Raises ``busy`` when somebody else holds it, and OSError
    when the file cannot be made.
    """
    while True:
        with open(file, "wb") as lock:
            _lock(lock.fileno(), busy)
            if not _is_at(lock, file):  # its last holder removed it before we had it
                continue
            try:
                yield
            finally:
                with suppress(OSError):  # Windows removes nothing that is open
                    file.unlink()
            return


def _is_at(lock: IO[bytes], file: Path) -> bool:
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
