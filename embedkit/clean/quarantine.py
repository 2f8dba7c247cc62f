"""Quarantine: where a plan's removed files go, and come back from.

::

    quarantine/                 in the workspace
    ├── lock                    held by the one apply or undo that is at work
    └── 3f9a0c71be42/           its id, a digest of what the plan says
        ├── plan.csv            the plan as it was applied
        ├── journal.jsonl       what was about to be done, and when
        └── files/000017        row 17's file, without an ending: no scan takes it for a photo

What the state is, the file system says: a file is in its place, or under the number of its row, or
for a moment in both. So an apply or undo that was killed is finished by making it again. The
journal says where a file came from, and comes before its move.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import Any

from embedkit.artifacts import sha256_of, sweep, sync_folder
from embedkit.clean.journal import Journal
from embedkit.clean.moving import PART, discard_part, move, same_file
from embedkit.clean.plan import KEEP, KEEP_ONE, REMOVE, plan_id, write_plan
from embedkit.errors import NotInWorkspace, QuarantineBusy, StorageError
from embedkit.locks import alone
from embedkit.paths import from_stored, shown, to_stored
from embedkit.records import (
    ApplyReport,
    Left,
    PlanRow,
    Progress,
    ProgressCallback,
    Quarantine,
    UndoReport,
    silent,
)

_FULL = {errno.ENOSPC, errno.EDQUOT}

_Numbered = list[tuple[int, PlanRow]]  # rows and their numbers in the plan, the first is 1

Tell = Callable[[Sequence[str]], None]
"""Called with absolute paths at which files came or went."""


def _nobody(_: Sequence[str]) -> None:
    """Where nobody keeps account of files."""


def apply(
    root: Path,
    rows: Sequence[PlanRow],
    progress: ProgressCallback = silent,
    tell: Tell = _nobody,
) -> ApplyReport:
    """Move the files that a plan removes to its quarantine below ``root``.

    A file goes only if it holds what the plan says, and out of a ``keep-one`` group only while one
    of the files to keep is there, holds what the plan says, and is another one; whatever else is
    left, with the reason. Applying the same plan again goes on from where it was.

    However it ends, ``tell`` is called with the paths that are empty now, by this run or another.
    Raises :class:`QuarantineBusy` while another apply or undo is at work and
    :class:`StorageError` when the disk is full or read-only; what was moved stays moved.
    """
    with _at_work(root):
        try:
            return _Apply(_Store(root / plan_id(rows)), rows, progress).run()
        finally:
            going = (row.path for row in rows if row.action == REMOVE)
            tell([path for path in going if not os.path.lexists(path)])


def undo(
    root: Path,
    quarantine: str | None = None,
    progress: ProgressCallback = silent,
    tell: Tell = _nobody,
) -> UndoReport:
    """Put every file of a quarantine below ``root`` back; None is the last that holds any.

    Nothing is overwritten: a file whose place holds other content by now stays in quarantine, with
    the reason. However it ends, ``tell`` is called with the paths of the files that were put back,
    by this run or another. Raises as :func:`apply` does, and :class:`NotInWorkspace` for an unknown
    name.
    """
    known = quarantines(root)
    if not known:
        raise NotInWorkspace("there is nothing to undo: no plan was applied in this workspace")
    last = next((item for item in known if item.files), known[0])
    chosen = last.id if quarantine is None else quarantine
    if chosen not in {item.id for item in known}:
        raise NotInWorkspace(
            f"there is no quarantine called {shown(chosen)}; 'embedkit undo --list' lists them"
        )
    with _at_work(root):
        store = _Store(root / chosen)
        origins = store.origins()
        try:
            return _undo(store, origins, progress)
        finally:
            back = (row for row in origins if not os.path.lexists(store.slot(row)))
            tell([from_stored(origins[row]["path"]) for row in back])


def quarantines(root: Path) -> list[Quarantine]:
    """The quarantines below ``root``, the one applied last first."""
    found = [_describe(_Store(plan.parent)) for plan in root.glob("*/plan.csv")]
    used = [item for item in found if item.at or item.files]
    return sorted(used, key=lambda item: item.at, reverse=True)


class _Store:
    """The folder of one quarantine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = folder / "files"
        self.journal = Journal(folder / "journal.jsonl")

    def slot(self, number: int) -> str:
        """Where the file of a row lies in quarantine."""
        return str(self.files / f"{number:06d}")

    def held(self) -> dict[int, os.stat_result]:
        """The files in quarantine, by the number of their row."""
        if not self.files.is_dir():
            return {}
        with os.scandir(self.files) as listing:
            found = {int(item.name): item for item in listing if item.name.isdecimal()}
        return {number: found[number].stat(follow_symlinks=False) for number in sorted(found)}

    def origins(self) -> dict[int, dict[str, Any]]:
        """What the journal says of the last move of each row, by its number."""
        entries = self.journal.entries()
        return {entry["row"]: entry for entry in entries if entry["event"] == "move"}

    def open(self, rows: Sequence[PlanRow]) -> None:
        """Make the folder, with the plan in it, on disk."""
        self.files.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "plan.csv").exists():
            sweep(self.folder)
            write_plan(self.folder / "plan.csv", rows)
            sync_folder(self.folder.parent)
            sync_folder(self.folder.parent.parent)


class _Apply:
    """One run of a plan."""

    def __init__(self, store: _Store, rows: Sequence[PlanRow], progress: ProgressCallback) -> None:
        self._store = store
        self._rows = rows
        self._progress = progress
        # A link to one of these is no copy of it.
        self._going = {_entry(row.path) for row in rows if row.action == REMOVE}
        self._moved: list[str] = []
        self._already: list[str] = []
        self._gone: list[str] = []
        self._left: list[Left] = []
        self._bytes = 0

    def run(self) -> ApplyReport:
        # A person may have sorted the rows by anything; a row's number stays that of the plan.
        numbered = sorted(enumerate(self._rows, 1), key=lambda item: item[1].group)
        total = sum(row.action == REMOVE for row in self._rows)
        for _, members in groupby(numbered, key=lambda item: item[1].group):
            self._apply_group(list(members))
            done = len(self._moved) + len(self._already) + len(self._gone) + len(self._left)
            self._progress(Progress("moving to quarantine", done, total))
        if self._store.journal.last in ("move", "restore"):  # of this run, or of one that crashed
            self._store.journal.write("applied")
        return ApplyReport(
            quarantine=self._store.folder.name,
            moved=tuple(self._moved),
            already=tuple(self._already),
            gone=tuple(self._gone),
            left=tuple(self._left),
            bytes=self._bytes,
        )

    def _apply_group(self, members: _Numbered) -> None:
        here = self._present([item for item in members if item[1].action == REMOVE])
        if not here:
            return
        keeper = None
        if here[0][1].rule == KEEP_ONE:
            try:
                keeper = self._keeper([row for _, row in members if row.action == KEEP])
            except OSError as error:
                self._left += [Left(row.path, _reason(error)) for _, row in here]
                return
        ready = self._ready(here, keeper)
        self._announce(ready)
        for number, row, seen in ready:
            try:
                if keeper is not None:
                    keeper.stay()
                move(row.path, self._store.slot(number), seen)
            except OSError as error:
                self._left.append(Left(row.path, _reason(error)))
            else:
                self._moved.append(row.path)
                self._bytes += seen.st_size

    def _present(self, going: _Numbered) -> _Numbered:
        """The files that are to go and are at their place; the others are noted."""
        here = []
        for number, row in going:
            if os.path.lexists(row.path):
                here.append((number, row))
            elif os.path.lexists(self._store.slot(number)):
                self._already.append(row.path)
                with suppress(OSError):  # of an undo that was killed
                    discard_part(row.path)
            else:
                self._gone.append(row.path)
        return here

    def _ready(
        self, here: _Numbered, keeper: "_Keeper | None"
    ) -> list[tuple[int, PlanRow, os.stat_result]]:
        """The files that may go, each with a look at it; the others are noted."""
        ready = []
        for number, row in here:
            try:
                seen = _examined(row)
                if keeper is not None:
                    keeper.outlive(seen)
            except OSError as error:
                self._left.append(Left(row.path, _reason(error)))
            else:
                ready.append((number, row, seen))
        return ready

    def _keeper(self, rows: Sequence[PlanRow]) -> "_Keeper":
        """The first of the files to keep that holds what it should; OSError when none does."""
        trouble = "the plan keeps none"
        for row in rows:
            try:
                if os.path.realpath(row.path) in self._going:
                    raise OSError(errno.ELOOP, "only a link to a file that goes")
                return _Keeper(row.path, _holding(row))
            except OSError as error:
                trouble = f"{shown(row.path)}: {error.strerror}"
        raise OSError(errno.ENOENT, f"no other file of its group is sure to stay ({trouble})")

    def _announce(self, ready: Sequence[tuple[int, PlanRow, os.stat_result]]) -> None:
        if not ready:
            return
        self._store.open(self._rows)
        self._store.journal.write(
            "move",
            [
                {
                    "row": number,
                    "path": to_stored(row.path),
                    "sha256": row.sha256,
                    "mtime_ns": seen.st_mtime_ns,
                    "mode": stat.S_IMODE(seen.st_mode),
                }
                for number, row, seen in ready
            ],
        )


class _Keeper:
    """A file that stays, and so allows others of its group to go."""

    def __init__(self, path: str, seen: os.stat_result) -> None:
        self._path = path
        self._seen = seen

    def outlive(self, going: os.stat_result) -> None:
        """Raise OSError if it goes with a file that goes, being the same by another name."""
        if os.path.samestat(self._seen, going) and going.st_nlink < 2:
            raise OSError(errno.ELOOP, "it is the file that is to be kept, by another name")

    def stay(self) -> None:
        """Raise OSError unless it is there still, as it was seen."""
        if not os.path.exists(self._path) or not same_file(os.stat(self._path), self._seen):
            raise OSError(errno.EBUSY, f"{shown(self._path)}, which stays, changed meanwhile")


def _entry(path: str) -> str:
    """The one name of a path whose folders may be links; a link itself is not followed."""
    folder, name = os.path.split(path)
    return os.path.join(os.path.realpath(folder), name)


def _examined(row: PlanRow) -> os.stat_result:
    """A look at a file that is to go; raises OSError when it cannot or must not."""
    if stat.S_ISLNK(os.lstat(row.path).st_mode):
        raise OSError(errno.ELOOP, "a symbolic link, which holds no photo; remove it by hand")
    if not os.access(os.path.dirname(row.path), os.W_OK):
        raise OSError(errno.EACCES, "its folder cannot be written")
    return _holding(row)


def _holding(row: PlanRow) -> os.stat_result:
    """A look at a file that holds what the plan says; raises OSError when it does not."""
    seen = os.stat(row.path)
    if not stat.S_ISREG(seen.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    if sha256_of(Path(row.path)) != row.sha256:
        raise OSError(errno.EBUSY, "it changed since the plan was made")
    return seen


def _undo(
    store: _Store, origins: dict[int, dict[str, Any]], progress: ProgressCallback
) -> UndoReport:
    restored: list[str] = []
    left: list[Left] = []
    size = 0
    held = store.held()
    if held:
        store.journal.write("restore", [{"row": number} for number in held])
    for number, seen in held.items():
        progress(Progress("putting back", len(restored) + len(left), len(held)))
        slot, origin = store.slot(number), origins.get(number)
        path = slot if origin is None else from_stored(origin["path"])
        try:
            if origin is None:
                raise OSError(errno.ENOENT, "the journal does not say where it was; plan.csv may")
            _put_back(slot, path, seen, origin)
        except OSError as error:
            left.append(Left(path, _reason(error)))
        else:
            restored.append(path)
            size += seen.st_size
    for part in store.files.glob(PART):
        part.unlink()
    if store.journal.last != "undone":
        store.journal.write("undone")
    return UndoReport(store.folder.name, tuple(restored), tuple(left), size)


def _put_back(slot: str, path: str, seen: os.stat_result, origin: dict[str, Any]) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    move(slot, path, seen)
    status = os.lstat(path)
    if not os.path.samestat(status, seen):  # a copy; quarantine may lie where times are coarse
        with suppress(PermissionError):
            os.chmod(path, origin["mode"])
            os.utime(path, ns=(status.st_atime_ns, origin["mtime_ns"]))


def _describe(store: _Store) -> Quarantine:
    entries = store.journal.entries()
    held = store.held()
    states = {"applied": "applied", "undone": "partly undone" if held else "undone"}
    return Quarantine(
        id=store.folder.name,
        at=max((entry["at"] for entry in entries if entry["event"] == "move"), default=""),
        files=len(held),
        bytes=sum(status.st_size for status in held.values()),
        state=states.get(store.journal.last, "interrupted"),
    )


def _reason(error: OSError) -> str:
    """Why one file was left; a full disk is not about one file, so it is raised again."""
    if error.errno in _FULL:
        raise error
    return error.strerror or str(error)


@contextmanager
def _at_work(root: Path) -> Iterator[None]:
    """Be the only apply or undo in a workspace; a crash ends that, as any other end."""
    busy = QuarantineBusy(
        "another apply or undo is at work in this workspace; try again when it has ended"
    )
    try:
        root.mkdir(parents=True, exist_ok=True)
        with alone(root / "lock", busy):
            yield
    except OSError as error:
        raise StorageError(
            f"{shown(str(root))}: {error.strerror or error}; no file is lost, and the same command "
            "goes on once that is mended"
        ) from error
