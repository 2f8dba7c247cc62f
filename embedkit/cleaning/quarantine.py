"""Quarantine: where a plan's removed files go, and come back from.

::

    quarantine/                 in the workspace
    ├── lock                    locked while an apply, undo or empty runs
    └── 3f9a0c71be42/           its id, a digest of what the plan says
        ├── plan.csv            the plan as it was applied
        ├── journal.jsonl       what was about to be done, and when
        └── files/000017        row 17's file, without an ending: no scan takes it for a photo

The file system is the state: a file is in its place, or under the number of its row, or for a
moment in both. So an apply or undo that was killed is finished by running it again. The journal
says where a file came from, and is written before the move. It also records what the file system
cannot show: files in the system's trash, files deleted for good, and facts carried to a keeper.
"""

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from embedkit._internal.artifacts import storage_error, sync_folder
from embedkit._internal.locks import exclusive_lock
from embedkit._internal.paths import from_stored, shown
from embedkit.cleaning.journal import Journal
from embedkit.cleaning.plan import write_plan
from embedkit.errors import NotInWorkspace, QuarantineBusy
from embedkit.results import PlanRow, Quarantine

# Events of a row, in the journal: what is about to happen to its file, or has happened.
MOVE = "move"  # it goes to quarantine; with --link, a link takes its place
TRASH = "trash"  # it goes to the system's trash
TRASHED = "trashed"  # it is there, ``where`` if that is known
REFUSED = "refused"  # the trash did not take it
RESTORE = "restore"  # it goes back to its place
EMPTIED = "emptied"  # it is deleted from quarantine
# Events of the whole plan.
APPLIED = "applied"
UNDONE = "undone"

_ENDED = {"", APPLIED, UNDONE, EMPTIED}
"""Last events of a journal after which nothing is unfinished."""
_FULL = {errno.ENOSPC, errno.EDQUOT}

Numbered = list[tuple[int, PlanRow]]
"""Rows and their numbers in the plan; the first is 1."""


@dataclass(frozen=True)
class Past:
    """What the journal says of the file of one row."""

    origin: dict[str, Any]
    """The entry of its last move to quarantine or to the trash."""
    event: str
    """The last event of the row."""
    at: str
    """When: UTC, ISO 8601."""
    where: str | None = None
    """Where in the trash the file is, if that is known."""

    @property
    def path(self) -> str:
        """The place of the file in the collection, absolute."""
        return from_stored(self.origin["path"])

    @property
    def sha256(self) -> str:
        """Hex digest of what the file had when it went."""
        return str(self.origin["sha256"])

    @property
    def is_trash(self) -> bool:
        """Whether the file was sent to the trash, or was about to be."""
        return self.event in (TRASH, TRASHED)


class Store:
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
    def is_interrupted(self) -> bool:
        """Whether an apply or undo has not come to its end."""
        return self.journal.last not in _ENDED

    def slot(self, number: int) -> str:
        """Where the file of a row is in quarantine."""
        return str(self.files / f"{number:06d}")

    def held(self) -> dict[int, os.stat_result]:
        """The files in quarantine, by the number of their row."""
        if not self.files.is_dir():
            return {}
        with os.scandir(self.files) as listing:
            found = {int(item.name): item for item in listing if item.name.isdecimal()}
        return {number: found[number].stat(follow_symlinks=False) for number in sorted(found)}

    def past(self) -> dict[int, Past]:
        """What the journal says of each row that went anywhere, by its number."""
        found: dict[int, Past] = {}
        for entry in self.journal.entries():
            row, event, at = entry.get("row"), entry["event"], entry["at"]
            if event in (MOVE, TRASH):
                found[entry["row"]] = Past(entry, event, at)
            elif row in found:
                where = entry.get("where")
                where = None if where is None else from_stored(where)
                found[row] = replace(found[row], event=event, at=at, where=where)
        return found

    def open(self, rows: Sequence[PlanRow]) -> None:
        """Make the folder, with the plan in it, on disk."""
        self.files.mkdir(parents=True, exist_ok=True)
        if not self.plan.exists():
            write_plan(self.plan, rows)
            sync_folder(self.folder.parent)
            sync_folder(self.folder.parent.parent)


def quarantines(root: Path) -> list[Quarantine]:
    """The quarantines below ``root``, the one applied last first."""
    found = [_describe(Store(plan.parent)) for plan in root.glob("*/plan.csv")]
    used = [item for item in found if item.at or item.files]
    return sorted(used, key=lambda item: item.at, reverse=True)


def find_store(root: Path, quarantine: str) -> Store:
    """The folder of the quarantine with an id; raises :class:`NotInWorkspace` without one."""
    if quarantine not in {item.id for item in quarantines(root)}:
        raise NotInWorkspace(
            f"there is no quarantine called {shown(quarantine)}; 'embedkit quarantine list' lists "
            "them"
        )
    return Store(root / quarantine)


def _describe(store: Store) -> Quarantine:
    entries, held, past = store.journal.entries(), store.held(), store.past()
    trashed = sum(item.is_trash and not os.path.lexists(item.path) for item in past.values())
    deleted = sum(item.event == EMPTIED and row not in held for row, item in past.items())
    states = {
        APPLIED: APPLIED,
        UNDONE: f"partly {UNDONE}" if held or trashed or deleted else UNDONE,
        EMPTIED: f"partly {EMPTIED}" if held else EMPTIED,
    }
    return Quarantine(
        id=store.id,
        at=max((entry["at"] for entry in entries if entry["event"] in (MOVE, TRASH)), default=""),
        files=len(held),
        bytes=sum(status.st_size for status in held.values()),
        trashed=trashed,
        deleted=deleted,
        state=states.get(store.journal.last, "interrupted"),
    )


def reason_of(error: OSError) -> str:
    """Why one file was left; a full disk is not about one file, so it is raised again."""
    if error.errno in _FULL:
        raise error
    return error.strerror or str(error)


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Keep any other apply, undo or empty out of a workspace; a crash ends that too."""
    busy = QuarantineBusy(
        "another apply, undo or quarantine command runs in this workspace; try again when it has "
        "ended"
    )
    try:
        root.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(root / "lock", busy):
            yield
    except OSError as error:
        raise storage_error(shown(str(root)), error, "no file is lost") from error
