"""The right to write to a store, for one process at a time.

Object storage has no locks. The lease is a file that is created only if it does not exist. Its
holder renews it; one that is not renewed any more, or whose process has ended, is taken over.
"""

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from embedkit.cluster.failures import store_errors
from embedkit.cluster.location import Location
from embedkit.errors import StorageError, StoreBusy

FILE_NAME = "lease.json"
PATIENCE = 120.0
"""Seconds to wait for the lease; longer than one that was left behind stays valid."""
_RENEW = 10.0
_VALID = 60.0
"""Seconds after which a lease that is not renewed is invalid."""
_SETTLE = 0.5
"""Seconds after which a new holder makes sure that no other process has taken over as well."""
_PAUSE = 1.0
# time.monotonic stops while Linux or macOS sleeps.
_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))


class Lease:
    """The right to write to a store, which a thread renews."""

    def __init__(self, file: Location, token: str, task: str, acquired: float) -> None:
        self._file = file
        self._token = token
        self._task = task
        self._renewed = acquired
        self._is_lost = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise :class:`StoreBusy` when another process may have taken the lease over."""
        if self._is_lost or _now() - self._renewed > _VALID:
            raise StoreBusy(
                f"{self._file}: this process could not renew its right to write, and another one "
                "may have taken it over; run the same command again"
            )

    def end(self) -> None:
        """Give the lease back."""
        self._ended.set()
        self._thread.join()
        with suppress(StorageError):  # it expires
            if _is_of(_content(self._file), self._token):
                self._file.remove()

    def _renew(self) -> None:
        while not self._ended.wait(_RENEW):
            try:
                if not _is_of(_content(self._file), self._token):
                    self._is_lost = True
                    return
                started = _now()  # others may see the file before it is known to be written
                self._file.write(_entry(self._token, self._task))
                self._renewed = started
            except StorageError:
                continue  # check() raises an error if this lasts


@contextmanager
def writing(
    store: Location, task: str, on_wait: Callable[[str], None], patience: float = PATIENCE
) -> Iterator[Lease]:
    """Hold the lease of a store while the block runs.

    ``on_wait`` is called once, with a line of text, when another process holds it. Raises
    :class:`StoreBusy` when it still does after ``patience`` seconds.
    """
    file = store / FILE_NAME
    token = secrets.token_hex(8)
    deadline = time.monotonic() + patience
    seen: dict[str, Any] | None = None
    since = _now()
    waiting = False
    while True:
        started = _now()
        if _taken(file, token, task):
            break
        content = _content(file)
        if content is None:
            continue
        if content != seen:
            seen, since = content, _now()
        # The clocks of two machines differ: only changes count, by this one's clock.
        if _has_ended(content) or _now() - since > _VALID:
            if _content(file) == content:
                file.remove()
            continue
        holder = "another process"
        if content:
            holder = f"{content.get('task')} of process {content.get('process')} on "
            holder += str(content.get("host"))
        if time.monotonic() >= deadline:
            raise StoreBusy(f"{store} is being written to by {holder}; try again when it has ended")
        if not waiting:
            on_wait(f"waiting for {holder}")
            waiting = True
        time.sleep(_PAUSE)
    lease = Lease(file, token, task, started)
    try:
        yield lease
    finally:
        lease.end()


def _now() -> float:
    """Return the seconds of a clock that also runs while the machine sleeps."""
    if _CLOCK is None:  # Windows, whose monotonic clock does
        return time.monotonic()
    return time.clock_gettime(_CLOCK)


def _taken(file: Location, token: str, task: str) -> bool:
    """Try to create the lease; return whether this process holds it."""
    with file.errors():
        try:
            if file.is_local:
                with store_errors(file):
                    _create(file.path, _entry(token, task))
            else:
                file.filesystem.pipe_file(file.path, _entry(token, task), mode="create")
        except FileExistsError:
            # The answer to an earlier attempt of this process may have been lost.
            return _is_of(_content(file), token)
    time.sleep(_SETTLE)
    return _is_of(_content(file), token)


def _create(path: str, entry: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    try:
        with open(descriptor, "wb") as stream:
            stream.write(entry)
    except OSError:
        os.unlink(path)
        raise


def _entry(token: str, task: str) -> bytes:
    holder = {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "machine": _machine(),
        "task": task,
    }
    return json.dumps({"token": token, "renewed": time.time(), **holder}).encode()


def _machine() -> str:
    """Return what processes have in common that can see each other by number."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return socket.gethostname()


def _content(file: Location) -> dict[str, Any] | None:
    """Return the content of the lease; None without one, empty if it is not a lease (yet)."""
    content = file.read()
    if content is None:
        return None
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _is_of(content: dict[str, Any] | None, token: str) -> bool:
    return content is not None and content.get("token") == token


def _has_ended(content: dict[str, Any]) -> bool:
    """Return whether the holder was a process of this machine that has ended."""
    process = content.get("process")
    if content.get("machine") != _machine() or not isinstance(process, int):
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
