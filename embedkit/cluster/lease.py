"""The right to write to a store, for one process at a time.

Object storage has no locks, but it can create a file only if it does not exist. So leases have
numbers, and who creates the file with the next number has the next lease. It counts once all other
leases are free: ended, of a process that has ended, or not renewed any more. A holder that finds a
higher number than its own has lost its lease. Nobody changes the file of another lease, and the
highest number stays when its lease has ended, so that no number is given twice.
"""

import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from embedkit.cluster.failures import store_errors
from embedkit.cluster.location import Location
from embedkit.errors import StorageError, StoreBusy

_NAME = re.compile(r"lease(?:-(\d+))?\.json")
"""Name of a lease and its number; that of the first version of embedkit had none."""
_ENDED = "ended"
"""Key of the content of a lease that was given back."""
PATIENCE = 120.0
"""Seconds to wait for the lease; longer than one that was left behind stays valid."""
_RENEW = 10.0
_VALID = 60.0
"""Seconds after which a lease that is not renewed is invalid."""
_PAUSE = 1.0
# time.monotonic stops while Linux or macOS sleeps.
_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))


class Lease:
    """The right to write to a store, which a thread renews."""

    def __init__(self, store: Location, number: int, token: str, task: str, acquired: float):
        self._store = store
        self._number = number
        self._file = _file(store, number)
        self._token = token
        self._task = task
        self._renewed = acquired
        self._is_lost = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise :class:`StoreBusy` when another process may have taken the lease over."""
        if self._is_lost or _now() - self._renewed > _VALID:
            raise StoreBusy(
                f"{self._store}: this process could not renew its right to write, and another one "
                "may have taken it over; run the same command again"
            )

    def end(self) -> None:
        """Give the lease back."""
        self._ended.set()
        self._thread.join()
        with suppress(StorageError):  # it expires
            if _is_latest(self._store, self._number):
                self._file.write(json.dumps({_ENDED: True}).encode())
            else:
                self._file.remove()

    def _keep(self) -> None:
        while not self._is_lost and not self._ended.wait(_RENEW):
            with suppress(StorageError):  # check() raises an error if this lasts
                self._renew()

    def _renew(self) -> None:
        started = _now()  # others may see the file before it is known to be written
        self._file.write(_entry(self._token, self._task))
        # Who creates the next lease after this line finds the new content of this one.
        if _is_latest(self._store, self._number):
            self._renewed = started
        else:
            self._is_lost = True
            self._file.remove()


@contextmanager
def writing(
    store: Location, task: str, on_wait: Callable[[str], None], patience: float = PATIENCE
) -> Iterator[Lease]:
    """Hold the lease of a store while the block runs.

    ``on_wait`` is called once, with a line of text, when another process holds it. Raises
    :class:`StoreBusy` when it still does after ``patience`` seconds.
    """
    lease = _Candidate(store, task).acquire(on_wait, time.monotonic() + patience)
    try:
        yield lease
    finally:
        lease.end()


def is_lease(name: str) -> bool:
    """Return whether a name in the folder of a store is that of a lease, or of a part of one."""
    return _NAME.fullmatch(name) is not None or name.startswith(".lease")


class _Candidate:
    """A process that wants to write to a store."""

    def __init__(self, store: Location, task: str) -> None:
        self._store = store
        self._task = task
        self._token = secrets.token_hex(8)
        self._own: int | None = None
        """Number of the lease of this process, which may not count yet."""
        self._renewed = 0.0
        self._watched: dict[int, tuple[dict[str, Any], float]] = {}
        """The content of other leases, and when it was first seen, by number."""

    def acquire(self, on_wait: Callable[[str], None], deadline: float) -> Lease:
        """Return the lease once all others are free, and remove their files."""
        is_waiting = False
        try:
            while True:
                numbers = self._numbers()
                own, holder = self._own, self._holder(numbers)
                if holder is None and own is not None:
                    break
                if holder is None:
                    self._create(max(numbers, default=0) + 1)
                    if self._own is None:  # another process has it
                        time.sleep(_PAUSE)
                    continue
                if time.monotonic() >= deadline:
                    raise StoreBusy(
                        f"{self._store} is being written to by {holder}; try again when it has "
                        "ended"
                    )
                if not is_waiting:
                    on_wait(f"waiting for {holder}")
                    is_waiting = True
                time.sleep(_PAUSE)
                if own is not None:
                    self._renewed = _now()
                    _file(self._store, own).write(_entry(self._token, self._task))
            for number in numbers:
                if number != own:
                    _file(self._store, number).remove()
        except BaseException:
            with suppress(StorageError):  # it expires
                self._withdraw()
            raise
        return Lease(self._store, own, self._token, self._task, self._renewed)

    def _numbers(self) -> list[int]:
        """Return the numbers of all leases. This process withdraws if its own is not the latest."""
        numbers = _numbers(self._store)
        if self._own is None or self._own == max(numbers, default=0):
            return numbers
        self._withdraw()
        return _numbers(self._store)

    def _holder(self, numbers: Sequence[int]) -> str | None:
        """Return who holds a lease other than that of this process; None if all are free."""
        for number in numbers:
            if number == self._own:
                continue
            content = _content(_file(self._store, number)) or {}
            # The clocks of two machines differ: only changes count, by this one's clock.
            seen, since = self._watched.get(number, (None, 0.0))
            if content != seen:
                since = _now()
                self._watched[number] = content, since
            if content.get(_ENDED) or _has_ended(content) or _now() - since > _VALID:
                continue
            if not content:
                return "another process"
            process, host = content.get("process"), content.get("host")
            return f"{content.get('task')} of process {process} on {host}"
        return None

    def _create(self, number: int) -> None:
        """Create the lease with a number, unless another process has it."""
        file = _file(self._store, number)
        self._renewed = _now()
        is_created = _created(file, _entry(self._token, self._task))
        # The answer to an earlier attempt of this process may have been lost.
        if is_created or (_content(file) or {}).get("token") == self._token:
            self._own = number

    def _withdraw(self) -> None:
        if self._own is not None:
            own, self._own = self._own, None
            _file(self._store, own).remove()


def _file(store: Location, number: int) -> Location:
    return store / (f"lease-{number}.json" if number else "lease.json")


def _numbers(store: Location) -> list[int]:
    """Return the numbers of the leases of a store, in order."""
    found = map(_NAME.fullmatch, store.names())
    return sorted(int(match[1] or 0) for match in found if match is not None)


def _is_latest(store: Location, number: int) -> bool:
    return max(_numbers(store), default=None) == number


def _now() -> float:
    """Return the seconds of a clock that also runs while the machine sleeps."""
    if _CLOCK is None:  # Windows, whose monotonic clock does
        return time.monotonic()
    return time.clock_gettime(_CLOCK)


def _created(file: Location, content: bytes) -> bool:
    """Create a file; return whether it did not exist."""
    with file.errors():
        try:
            if file.is_local:
                with store_errors(file):
                    _create(file.path, content)
            else:
                file.filesystem.pipe_file(file.path, content, mode="create")
        except FileExistsError:
            return False
    return True


def _create(path: str, content: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    try:
        with open(descriptor, "wb") as stream:
            stream.write(content)
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
