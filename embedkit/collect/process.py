"""Run the process that fetches, and pass on what it reports."""

import json
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import IO, Any

from embedkit import errors
from embedkit.collect.done import Done
from embedkit.errors import EmbedkitError, MissingExtra
from embedkit.results import Progress, ProgressCallback

_PARTS = ("scrapy", "protego", "parsel", "w3lib", "ahocorasick")
_LINES_KEPT = 20


def check_extra() -> None:
    """Raise :class:`MissingExtra` unless what collecting needs is installed."""
    from importlib.util import find_spec

    for name in _PARTS:
        if find_spec(name) is None:
            raise MissingExtra(f"collect needs {name}; run pip install 'embedkit[collect]'")


def fetch(
    recipe: Path, folder: Path, progress: ProgressCallback, warn: Callable[[str], None]
) -> Done:
    """Fetch what a recipe describes into a folder, in a process of its own.

    That process ends when this one does, or when this function is interrupted. Raises what it
    raises.
    """
    # -P: a file of the current folder, such as random.py, must not be taken for a module
    command = [sys.executable, "-P", "-m", "embedkit.collect.child", str(recipe), str(folder)]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # Ctrl+C reaches this process, which then closes stdin
        encoding="utf-8",
        errors="replace",
    ) as child:
        assert child.stdin and child.stdout and child.stderr
        complaints: deque[str] = deque(maxlen=_LINES_KEPT)
        reader = Thread(target=_collect, args=(child.stderr, complaints), daemon=True)
        reader.start()
        try:
            return _outcome(child.stdout, progress, warn) or _ended(child, reader, complaints)
        finally:
            child.stdin.close()
            child.wait()


def _outcome(
    lines: IO[str], progress: ProgressCallback, warn: Callable[[str], None]
) -> Done | None:
    """Return what the process says at its end; None if it ends without a word."""
    for line in lines:
        message: dict[str, Any] = json.loads(line)
        if "progress" in message:
            progress(Progress(**message["progress"]))
        elif "warning" in message:
            warn(message["warning"])
        elif "error" in message:
            kind = getattr(errors, message["error"]["type"], EmbedkitError)
            raise kind(message["error"]["message"])
        else:
            return Done(**message["done"])
    return None


def _collect(lines: IO[str], kept: deque[str]) -> None:
    kept.extend(lines)


def _ended(child: "subprocess.Popen[str]", reader: Thread, complaints: deque[str]) -> Done:
    """Raise the error for a process that ended without an outcome."""
    status = child.wait()
    reader.join(timeout=5)
    last = next((line.strip() for line in reversed(complaints) if line.strip()), "")
    cause = f"was killed by signal {-status}" if status < 0 else f"failed: {last or status}"
    raise EmbedkitError(
        f"the process that fetches {cause}; what was fetched is kept, and the same command "
        "continues"
    )
