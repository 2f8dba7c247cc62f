"""The journal of a quarantine: JSON lines that are appended and flushed before an action."""

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from embedkit._internal.artifacts import sync_folder
from embedkit._internal.paths import shown
from embedkit.errors import BadArtefact


class Journal:
    """A file of entries, each an object with an ``event`` and its time ``at``.

    A line that a crash cut short is ignored: the action that it announces did not happen.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def entries(self) -> list[dict[str, Any]]:
        """Return the entries, oldest first; none if there is no journal.

        Raises :class:`BadArtefact` when it cannot be read.
        """
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise BadArtefact(f"{shown(str(self.path))}: {error.strerror}") from error
        return [entry for line in lines if (entry := _entry(line)) is not None]

    @property
    def last(self) -> str:
        """The last event; empty if there is none."""
        entries = self.entries()
        return str(entries[-1]["event"]) if entries else ""

    def write(
        self, event: str, entries: Sequence[dict[str, Any]] = ({},), durable: bool = True
    ) -> None:
        """Append entries of one event, and flush them to disk if ``durable``. Raises OSError."""
        at = datetime.now(UTC).isoformat()
        lines = "".join(f"{json.dumps({'event': event, 'at': at, **item})}\n" for item in entries)
        is_new = not self.path.exists()
        with open(self.path, "ab") as file:
            if _is_truncated(self.path):
                file.write(b"\n")
            file.write(lines.encode("ascii"))
            file.flush()
            if durable:
                os.fsync(file.fileno())
        if is_new:
            sync_folder(self.path.parent)


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and {"event", "at"} <= entry.keys() else None


def _is_truncated(path: Path) -> bool:
    with open(path, "rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
