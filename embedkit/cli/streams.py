"""Standard streams that may be closed, full, or unable to show every character.

The output of a command is its result: if it cannot be written to stdout, the command fails with one
line on stderr. Failures to write messages to stderr are ignored.
"""

import io
import os
import sys
from typing import IO, Any


class OutputLost(Exception):
    """Output could not be written to stdout. :func:`embedkit.cli.app.main` handles this."""


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
    """Replace ``sys.stdout`` and ``sys.stderr`` by streams that fail as described above.

    A character that the stream's encoding does not have is written as an escape, ``\\u5199``.
    """
    _reserve_descriptors()
    sys.stdout = _stream(_Output(1, "w", closefd=False), sys.stdout)
    sys.stderr = _stream(_Messages(2, "w", closefd=False), sys.stderr)


def discard_output() -> None:
    """Discard the buffer of stdout, so that the interpreter can exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
    sys.stdout.flush()


def _reserve_descriptors() -> None:
    """Reserve the descriptors of closed standard streams.

    Otherwise the next opened file would get them, and a library that prints would write into it.
    They are opened read-only, so that printing fails.
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
