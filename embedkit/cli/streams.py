"""Standard streams that may be closed, full, or unable to show every character.

What a command prints is its result: when stdout does not take it, the command fails with one line
on stderr. Messages on stderr that nobody can read stop nothing.
"""

import io
import os
import sys
from typing import IO, Any


class OutputLost(Exception):
    """Stdout did not take what was printed. No command handles it: :func:`main` does."""


class _Output(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise OutputLost(f"cannot write to stdout: {error.strerror}") from error


class _Messages(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def prepare() -> None:
    """Replace ``sys.stdout`` and ``sys.stderr`` by streams that fail as this module says.

    A character that the stream's encoding does not have is written as its escape, ``\\u5199``.
    """
    _occupy()
    sys.stdout = _stream(_Output(1, "w", closefd=False), sys.stdout)
    sys.stderr = _stream(_Messages(2, "w", closefd=False), sys.stderr)


def discard_output() -> None:
    """Send what stdout still has to print nowhere, so that the interpreter can end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    sys.stdout.flush()


def _occupy() -> None:
    """Take the numbers of closed standard streams, else the next file to be opened gets them.

    A library that prints would write into that file. They are opened to read only, so that
    printing fails.
    """
    while (number := os.open(os.devnull, os.O_RDONLY)) <= 2:
        os.set_inheritable(number, True)
    os.close(number)


def _stream(raw: io.FileIO, before: IO[str] | None) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(before, "encoding", None) or "utf-8",
        errors="backslashreplace",
        line_buffering=raw.fileno() == 2 or raw.isatty(),
    )
