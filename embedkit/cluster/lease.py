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
from contextlib import contextmanager
from typing import Any

from embedkit.cluster.location import Location
from embedkit.errors import StoreBusy

FILE_NAME = "lease.json"
PATIENCE = 120.0
"""Seconds to wait for the lease; longer than one that was left behind stays valid."""
_RENEW = 10.0
_VALID = 60.0
"""Seconds after which a lease that is not renewed is invalid."""
_SETTLE = 0.5
"""Seconds after which a new holder makes sure that no other process has taken over as well."""
_PAUSE = 1.0


@contextmanager
def writing(
    store: Location, task: str, on_wait: Callable[[str], None], patience: float = PATIENCE
) -> Iterator[None]:
    """Hold the lease of a store while the block runs.

    ``on_wait`` is called once, with a line of text, when another process holds it. Raises
    :class:`StoreBusy` when it still does after ``patience`` seconds.
    """
    file = store / FILE_NAME
    token = secrets.token_hex(8)
    deadline = time.monotonic() + patience
    seen: dict[str, Any] = {}
    since = time.monotonic()
    waiting = False
    while not _taken(file, token, task):
        content = _content(file)
        if content != seen:
            seen, since = content, time.monotonic()
        # The clocks of two machines differ: only changes count, by this one's clock.
        if seen and (_has_ended(seen) or time.monotonic() - since > _VALID):
            if _content(file) == seen:
                file.remove()
            continue
        holder = f"{seen.get('task', 'a command')} of process {seen.get('process')} on "
        holder += str(seen.get("host"))
        if time.monotonic() >= deadline:
            raise StoreBusy(f"{store} is being written to by {holder}; try again when it has ended")
        if not waiting:
            on_wait(f"waiting for {holder}")
            waiting = True
        time.sleep(_PAUSE)
    ended = threading.Event()
    renewal = threading.Thread(target=_renew, args=(file, token, task, ended), daemon=True)
    renewal.start()
    try:
        yield
    finally:
        ended.set()
        renewal.join()
        file.remove()


def _taken(file: Location, token: str, task: str) -> bool:
    """Try to create the lease; return whether this process holds it."""
    with file.errors():
        try:
            if file.is_local:
                os.makedirs(os.path.dirname(file.path), exist_ok=True)
                descriptor = os.open(file.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
                with open(descriptor, "wb") as stream:
                    stream.write(_entry(token, task))
            else:
                file.filesystem.pipe_file(file.path, _entry(token, task), mode="create")
        except FileExistsError:
            return False
    time.sleep(_SETTLE)
    return _content(file).get("token") == token


def _renew(file: Location, token: str, task: str, ended: threading.Event) -> None:
    while not ended.wait(_RENEW):
        file.write(_entry(token, task))


def _entry(token: str, task: str) -> bytes:
    holder = {"process": os.getpid(), "host": socket.gethostname(), "task": task}
    return json.dumps({"token": token, "renewed": time.time(), **holder}).encode()


def _content(file: Location) -> dict[str, Any]:
    """Return the content of the lease; empty if there is none, or if it is being written."""
    try:
        found = json.loads(file.read() or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _has_ended(content: dict[str, Any]) -> bool:
    """Return whether the holder was a process of this machine that has ended."""
    process = content.get("process")
    if content.get("host") != socket.gethostname() or not isinstance(process, int):
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
