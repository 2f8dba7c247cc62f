"""Commands in processes that are forked with everything imported, and strace attached to them.

The parent imports what the commands need and runs none of them, so that it has no threads.
"""

import os
import pickle
import re
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

CALLS = (
    "write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,link,linkat,unlink,unlinkat,"
    "ftruncate,fallocate,mkdir,openat"
)
MESSAGES = "messages"
"""Name of the file below the scratch folder for the output of a command."""
_CALL = re.compile(r"^(\d+) +(\w+)\(")


@dataclass(frozen=True)
class Point:
    """The ``when``-th call of a kind in its thread."""

    call: str
    when: int


@dataclass(frozen=True)
class Ended:
    """The end of a command: its status, -9 if it was killed, and its stderr."""

    status: int
    messages: str
    is_mute: bool = False
    """Whether the fault hit its output too: strace counts the calls of each thread."""


class Running:
    """A command in a forked process that waits for :meth:`go`."""

    def __init__(self, line: list[str], folder: Path, log: Path) -> None:
        self._log = log
        waiting, self._go = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(self._go)
            _command(line, folder, log, waiting)
        os.close(waiting)

    def go(self) -> Ended:
        """Let the command run to its end."""
        os.write(self._go, b".")
        os.close(self._go)
        status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return Ended(status, self._log.read_text("utf-8", "replace"))


def in_child(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result of a function called in a forked process; raise RuntimeError if it
    raises."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        status = 1
        try:
            with os.fdopen(writing, "wb") as stream:
                try:
                    stream.write(pickle.dumps((function(*arguments), None)))
                except BaseException:
                    stream.write(pickle.dumps((None, traceback.format_exc())))
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        content = stream.read()
    os.waitpid(pid, 0)
    value, trouble = pickle.loads(content)  # noqa: S301  (of this script)
    if trouble is not None:
        raise RuntimeError(trouble)
    return value


def traced(running: Running, scratch: Path, place: Path) -> list[Point]:
    """Run a command to its end. Returns its calls that change files below ``place``, in order."""
    log = scratch / "trace"
    _attached(running, log, ["-e", f"trace={CALLS}"])
    ended = running.go()
    _wait_for(log)
    if ended.status:
        raise RuntimeError(f"the command fails without a fault: {ended.messages}")
    counts: Counter[tuple[str, str]] = Counter()
    points: dict[Point, None] = {}
    for line in log.read_text("utf-8", "replace").splitlines():
        parts = _CALL.match(line)
        if parts is None:
            continue
        thread, call = parts.groups()
        counts[thread, call] += 1
        if _changes(place, line):
            points[Point(call, counts[thread, call])] = None
    return list(points)


def struck(
    running: Running, scratch: Path, place: Path, point: Point, fault: str
) -> tuple[Ended, bool]:
    """Run a command with a fault. Returns how it ended, and whether the fault hit a file of
    ``place``."""
    log = scratch / "trace"
    what = "signal=KILL" if fault == "KILL" else f"error={fault}"
    only = ["-e", f"trace={point.call}", "-e", f"inject={point.call}:{what}:when={point.when}"]
    _attached(running, log, only)
    ended = running.go()
    _wait_for(log)
    if fault == "KILL":
        return ended, ended.status == -9
    lines = log.read_text("utf-8", "replace").splitlines()
    met = [line for line in lines if "(INJECTED)" in line]
    is_mute = any(_meets(scratch / MESSAGES, line) for line in met)
    return replace(ended, is_mute=is_mute), any(_changes(place, line) for line in met)


def _meets(place: Path, call: str) -> bool:
    """Return whether a call, as strace prints it, concerns files at or below a path."""
    return str(place) in re.sub(r"AT_FDCWD<[^>]*>", "", call)


def _changes(place: Path, call: str) -> bool:
    """Return whether a call concerns files below a path other than by reading them."""
    reads = " openat(" in call and not re.search("O_CREAT|O_WRONLY|O_RDWR", call)
    return _meets(place, call) and not reads


def preload(names: list[str]) -> None:
    """Import the modules that a command imported in another process."""
    for name in names:
        if name not in sys.modules:
            try:
                __import__(name)
            except Exception:  # a part that only its own package can import
                continue


_strace: subprocess.Popen[str] | None = None


def _attached(running: Running, log: Path, options: list[str]) -> None:
    global _strace
    log.unlink(missing_ok=True)
    _strace = subprocess.Popen(
        ["strace", "-f", "-y", "-s", "0", "-o", str(log), "-p", str(running.pid), *options],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert _strace.stderr is not None
    for line in _strace.stderr:
        if "attached" in line:
            return
    raise RuntimeError("strace cannot attach to a process here")


def _wait_for(log: Path) -> None:
    assert _strace is not None
    _strace.communicate()
    assert log.exists()


def _command(line: list[str], folder: Path, log: Path, waiting: int) -> NoReturn:
    status = 1
    try:
        os.read(waiting, 1)
        os.chdir(folder)
        messages = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        nothing = os.open(os.devnull, os.O_RDWR)
        for number, file in enumerate((nothing, nothing, messages)):
            os.dup2(file, number)
        os.close(waiting)
        from embedkit.cli import main

        sys.argv = ["embedkit", *line]
        try:
            main()
        except SystemExit as exit_:
            status = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
        except BaseException:
            sys.stderr.write(traceback.format_exc())
        sys.stderr.flush()
    finally:
        os._exit(status)
