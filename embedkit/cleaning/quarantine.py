"""Quarantine: where the removed files of plans are stored until they are restored or deleted.

::

    quarantine/                 in the workspace
    ├── lock                    locked while an apply, undo or empty runs
    └── 3f9a0c71be42/           its id, a digest of the plan
        ├── plan.csv            the plan as it was applied
        ├── journal.jsonl       announced and finished steps, with their times
        └── files/000017        the file of row 17, without an extension, so that no scan finds it

The file system is the state: a file is in its place, or in quarantine under the number of its row,
or briefly in both. So running an apply or undo again finishes one that was killed. The journal
records the original path of a file before it is moved. It also records facts that the file system
cannot show: files in the system's trash, deleted files, and facts carried over to a kept file.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from embedkit._internal.artifacts import DISK_FULL, storage_error, sync_folder
from embedkit._internal.locks import exclusive_lock
from embedkit._internal.paths import as_argument, from_stored, shown
from embedkit.cleaning.journal import Journal
from embedkit.cleaning.plan import write_plan
from embedkit.errors import NotInWorkspace, QuarantineBusy
from embedkit.results import PlanRow, Quarantine

# Events of a row in the journal.
MOVE = "move"  # its file is about to be moved to quarantine; with --link, a link takes its place
TRASH = "trash"  # its file is about to be moved to the system's trash
TRASHED = "trashed"  # its file was moved to the trash, to ``where`` if that is known
REFUSED = "refused"  # the trash did not accept it
RESTORE = "restore"  # its file is about to be moved back
EMPTIED = "emptied"  # its file is about to be deleted from quarantine
# Events of the whole plan.
OF_STORE = "store"  # its files belong to the store at ``place``; null: to the workspace
APPLIED = "applied"
UNDONE = "undone"

_ENDED = {"", APPLIED, UNDONE, EMPTIED}
"""Events that end a journal when no work is unfinished; empty for an empty journal."""
Numbered = list[tuple[int, PlanRow]]
"""Rows with their numbers in the plan, counted from 1."""


@dataclass(frozen=True)
class RowHistory:
    """The entries of the journal about the file of one row."""

    origin: dict[str, Any]
    """The entry of its last move to quarantine or to the trash."""
    event: str
    """The last event of the row."""
    at: str
    """Time of that event: UTC, ISO 8601."""
    where: str | None = None
    """Path of the file in the trash, if that is known."""

    @property
    def path(self) -> str:
        """Absolute path of the file in the collection."""
        return from_stored(self.origin["path"])

    @property
    def sha256(self) -> str:
        """Hex digest of the file when it was removed."""
        return str(self.origin["sha256"])

    @property
    def is_trash(self) -> bool:
        """Whether the file was moved to the trash, or was about to be."""
        return self.event in (TRASH, TRASHED)


class QuarantineFolder:
    """The folder of one quarantine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / "files"
        self.plan = folder / "plan.csv"
        self.journal = Journal(folder / "journal.jsonl")

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def undo_command(self) -> str:
        """The command that puts its files back, for messages."""
        workspace = as_argument(str(self.folder.parent.parent))
        return f"'embedkit undo {self.id} --workspace {workspace}'"

    @property
    def store(self) -> str | None:
        """Place of the store to which the plan was last applied; None for the workspace."""
        places = [one["place"] for one in self.journal.entries() if one["event"] == OF_STORE]
        return places[-1] if places else None

    @property
    def is_interrupted(self) -> bool:
        """Whether an apply or undo has not finished."""
        return self.journal.last not in _ENDED

    def stored_path(self, number: int) -> str:
        """Return the path of the file of a row in quarantine."""
        return str(self.files / f"{number:06d}")

    def stored_files(self) -> dict[int, os.stat_result]:
        """Return the status of the files in quarantine, by the number of their row."""
        if not self.files.is_dir():
            return {}
        with os.scandir(self.files) as listing:
            found = {int(item.name): item for item in listing if item.name.isdecimal()}
        return {number: found[number].stat(follow_symlinks=False) for number in sorted(found)}

    def history(self) -> dict[int, RowHistory]:
        """Return the history of each row with a moved file, by row number."""
        found: dict[int, RowHistory] = {}
        for entry in self.journal.entries():
            row, event, at = entry.get("row"), entry["event"], entry["at"]
            if event in (MOVE, TRASH):
                found[entry["row"]] = RowHistory(entry, event, at)
            elif row in found:
                where = entry.get("where")
                where = None if where is None else from_stored(where)
                found[row] = replace(found[row], event=event, at=at, where=where)
        return found

    def removed_files(self) -> list[str]:
        """Return the paths of the files that the plan has removed, and that are not in place.

        A file that a person has moved or deleted is not one of them.
        """
        return [
            item.path
            for item in self.history().values()
            if item.event in (MOVE, TRASH, TRASHED, EMPTIED) and not os.path.lexists(item.path)
        ]

    def create(self, rows: Sequence[PlanRow]) -> None:
        """Create the folder and the plan in it, and flush both to disk."""
        self.files.mkdir(parents=True, exist_ok=True)
        if not self.plan.exists():
            write_plan(self.plan, rows)
            sync_folder(self.folder.parent)
            sync_folder(self.folder.parent.parent)


def quarantines(root: Path) -> list[Quarantine]:
    """Return the quarantines below ``root``, the most recent first."""
    found = [_describe(QuarantineFolder(plan.parent)) for plan in root.glob("*/plan.csv")]
    used = [item for item in found if item.at or item.files]
    return sorted(used, key=lambda item: item.at, reverse=True)


@dataclass(frozen=True)
class MovedFiles:
    """Files that plans have moved, by the journals of the quarantines and the file system."""

    missing: frozenset[str] = frozenset()
    """Paths of files that were moved and are not in their place."""
    restored: Mapping[str, str] = field(default_factory=dict)
    """Times when the files in place were last moved back: UTC, ISO 8601, by path."""


def moved_files(root: Path) -> MovedFiles:
    """Return the files that the plans of the quarantines below ``root`` have moved."""
    missing: set[str] = set()
    restored: dict[str, str] = {}
    for plan in root.glob("*/plan.csv"):
        for item in QuarantineFolder(plan.parent).history().values():
            if not os.path.lexists(item.path):
                missing.add(item.path)
            elif item.event == RESTORE:
                restored[item.path] = max(item.at, restored.get(item.path, ""))
    return MovedFiles(frozenset(missing), restored)


def find_quarantine(root: Path, quarantine: str) -> QuarantineFolder:
    """Return the quarantine with an id; raise :class:`NotInWorkspace` if there is none."""
    if quarantine not in {item.id for item in quarantines(root)}:
        raise NotInWorkspace(
            f"there is no quarantine called {shown(quarantine)}; 'embedkit quarantine list' lists "
            "them"
        )
    return QuarantineFolder(root / quarantine)


def _describe(store: QuarantineFolder) -> Quarantine:
    entries, stored, history = store.journal.entries(), store.stored_files(), store.history()
    trashed = sum(item.is_trash and not os.path.lexists(item.path) for item in history.values())
    deleted = sum(item.event == EMPTIED and row not in stored for row, item in history.items())
    states = {
        APPLIED: APPLIED,
        UNDONE: f"partly {UNDONE}" if stored or trashed or deleted else UNDONE,
        EMPTIED: f"partly {EMPTIED}" if stored else EMPTIED,
    }
    return Quarantine(
        id=store.id,
        at=max((entry["at"] for entry in entries if entry["event"] in (MOVE, TRASH)), default=""),
        files=len(stored),
        bytes=sum(status.st_size for status in stored.values()),
        trashed=trashed,
        deleted=deleted,
        state=states.get(store.journal.last, "interrupted"),
    )


def failure_reason(error: OSError) -> str:
    """Return why one file was skipped. Re-raises errors of a full disk, which affect all files."""
    if error.errno in DISK_FULL:
        raise error
    return error.strerror or str(error)


@contextmanager
def quarantine_lock(root: Path) -> Iterator[None]:
    """Lock a workspace against other apply, undo and empty commands; a crash releases the lock."""
    busy = QuarantineBusy(
        "another apply, undo or quarantine command is running in this workspace; try again when "
        "it has ended"
    )
    try:
        root.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(root / "lock", busy):
            yield
    except OSError as error:
        raise storage_error(shown(str(root)), error, "no file is lost") from error
