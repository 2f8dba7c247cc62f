"""Undoing a plan: what is in its quarantine goes back, and the rest is accounted for."""

import errno
import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from embedkit._internal.paths import shown
from embedkit.catalog import Catalog
from embedkit.cleaning import trash
from embedkit.cleaning.carry_over import TAKEN_BACK, note_places, take_back
from embedkit.cleaning.file_moves import PART, move, restore_over
from embedkit.cleaning.kept_files import holding
from embedkit.cleaning.links import Link
from embedkit.cleaning.quarantine import (
    EMPTIED,
    MOVE,
    RESTORE,
    TRASH,
    TRASHED,
    UNDONE,
    Past,
    Store,
    find_store,
    locked,
    quarantines,
    reason_of,
)
from embedkit.errors import NotInWorkspace
from embedkit.results import NotMoved, Progress, ProgressCallback, UndoReport, no_progress


def undo(
    root: Path,
    quarantine: str | None = None,
    progress: ProgressCallback = no_progress,
    *,
    catalog: Catalog | None = None,
) -> UndoReport:
    """Put every file of a quarantine below ``root`` back.

    None is the last one with files there or in the trash. Nothing is overwritten but links that the
    plan made: a file whose place has other content by now stays in quarantine, with the reason.
    Files in the system's trash are not put back, and files deleted from quarantine cannot be; both
    are in the report, with the reason, unless they are at their place again.

    However it ends, ``catalog`` learns which files are at their place again, by this run or
    another; at the end it takes back what was carried over from them. Raises as
    :func:`embedkit.cleaning.apply.apply` does, and :class:`NotInWorkspace` for an unknown name.
    """
    known = quarantines(root)
    if not known:
        raise NotInWorkspace("there is nothing to undo: no plan was applied in this workspace")
    last = next((item for item in known if item.files or item.trashed), known[0])
    store = find_store(root, last.id if quarantine is None else quarantine)
    with locked(root):
        run = _Undo(store, progress)
        try:
            run.put_back()
        finally:
            note_places(catalog, run.back())
        run.account()
        taken_back = take_back(catalog, store.journal, run.away)
        run.finish()
    return UndoReport(
        quarantine=store.id,
        restored=tuple(run.restored.values()),
        already_back=tuple(run.there),
        skipped=tuple(run.left),
        bytes=run.bytes,
        reverted=taken_back,
    )


class _Undo:
    """One run of an undo."""

    def __init__(self, store: Store, progress: ProgressCallback) -> None:
        self._store = store
        self._progress = progress
        self._past = store.past()
        self._is_back: dict[int, bool] = {}
        self.restored: dict[int, str] = {}
        """By row, like :attr:`away`."""
        self.there: list[str] = []
        self.left: list[NotMoved] = []
        self.away: set[int] = set()
        """Rows whose files are not at their place."""
        self.bytes = 0

    def put_back(self) -> None:
        """Put back what is in quarantine."""
        held = self._store.held()
        if held:
            self._store.journal.write(RESTORE, [{"row": number} for number in held])
        for done, (number, seen) in enumerate(held.items()):
            self._progress(Progress("putting back", done, len(held)))
            slot, past = self._store.slot(number), self._past.get(number)
            path = slot if past is None else past.path
            try:
                if past is None:
                    why = "the journal does not say where it was; plan.csv may"
                    raise OSError(errno.ENOENT, why)
                _put_back(slot, seen, past)
            except OSError as error:
                self.left.append(NotMoved(path, reason_of(error)))
                self.away.add(number)
            else:
                self.restored[number] = path
                self.bytes += seen.st_size
        for part in self._store.files.glob(PART):
            part.unlink()

    def back(self) -> list[str]:
        """The files that are at their place again, put there by an undo or by somebody."""
        return [
            past.path
            for number, past in self._past.items()
            if not os.path.lexists(self._store.slot(number))
            and (past.event in (MOVE, RESTORE) or self._found_back(number))
        ]

    def account(self) -> None:
        """Account for what is not in quarantine: trashed or deleted, and perhaps there again."""
        for number, past in self._past.items():
            if number in self.away or number in self.restored:
                continue
            if past.event not in (TRASH, TRASHED, EMPTIED):
                continue
            if not self._found_back(number):
                self.left.append(NotMoved(past.path, _whereabouts(past)))
                self.away.add(number)
            elif past.event != TRASH:  # else it never went
                self.there.append(past.path)

    def finish(self) -> None:
        """Note that the undo came to its end, unless there was nothing that it could do."""
        last = self._store.journal.last
        if last != UNDONE and (last in (RESTORE, TAKEN_BACK) or not self.away):
            self._store.journal.write(UNDONE)

    def _found_back(self, number: int) -> bool:
        """Whether the file of a row, with its content, is at its place."""
        if number not in self._is_back:
            past = self._past[number]
            try:
                is_link = os.path.islink(past.path)
                self._is_back[number] = not is_link and bool(holding(past.path, past.sha256))
            except OSError:
                self._is_back[number] = False
        return self._is_back[number]


def _put_back(slot: str, seen: os.stat_result, past: Past) -> None:
    path, link = past.path, Link.of(past.origin)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if link is not None and link.is_at(path):
        restore_over(slot, path, link.is_at)
    else:
        move(slot, path, seen)
    status = os.lstat(path)
    # A copy; the quarantine may be where times are coarse. Other names of it are not ours to touch.
    if not os.path.samestat(status, seen) and status.st_nlink < 2:
        with suppress(PermissionError):
            os.chmod(path, past.origin["mode"])
            os.utime(path, ns=(status.st_atime_ns, past.origin["mtime_ns"]))


def _whereabouts(past: Past) -> str:
    """What became of a file that is neither in quarantine nor at its place."""
    if past.event == EMPTIED:
        day = datetime.fromisoformat(past.at).astimezone()
        return f"deleted on {day:%Y-%m-%d} by 'quarantine empty'"
    where = past.where
    if where is None or not os.path.lexists(where):
        where = trash.find(past.path, past.sha256)
    if where is not None:
        text = f"in the trash, as {shown(where)}; restore it from there"
    elif trash.IS_FREEDESKTOP:
        text = "it went to the trash, and is not there any more"
    else:
        text = "in the trash of this system; restore it from there"
    return text + ("; another file is in its place" if os.path.lexists(past.path) else "")
