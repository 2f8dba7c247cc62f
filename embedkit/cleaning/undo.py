"""Undoing a plan: moving its files back from quarantine, and reporting the other files."""

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from embedkit._internal.paths import shown
from embedkit.cleaning import trash
from embedkit.cleaning.carry_over import TAKEN_BACK, refresh_presence, take_back
from embedkit.cleaning.facts import KnownFacts
from embedkit.cleaning.file_moves import PARTIAL_PATTERN, move, restore_over
from embedkit.cleaning.kept_files import verified_stat
from embedkit.cleaning.links import Link
from embedkit.cleaning.quarantine import (
    EMPTIED,
    MOVE,
    RESTORE,
    TRASH,
    TRASHED,
    UNDONE,
    QuarantineFolder,
    RowHistory,
    failure_reason,
    find_quarantine,
    quarantine_lock,
    quarantines,
)
from embedkit.errors import EmbedkitError, NotInWorkspace, PlanInterrupted
from embedkit.results import NotMoved, Progress, ProgressCallback, UndoReport, no_progress
from embedkit.results.wording import counted


def undo(
    root: Path,
    quarantine: str | None = None,
    progress: ProgressCallback = no_progress,
    *,
    facts_of: Callable[[str | None], KnownFacts | None] = lambda _: None,
) -> UndoReport:
    """Move every file of a quarantine below ``root`` back to its place.

    Without ``quarantine``, it is the last one with files in it or in the trash. Nothing is
    overwritten except links that the plan made: if other content has taken the place of a file, the
    file stays in quarantine. Files in the system's trash are not moved back, and deleted files
    cannot be. The report lists all of these with the reason, unless they are in their place again.

    ``facts_of`` returns what is known of the files, given the place of their store, or None for
    those of the workspace. In any case, it is updated with the files that are in place again. Files
    that were forgotten since they were moved have to be added again; their facts are kept. At the
    end, facts that were carried over from them are taken back. Raises the errors of
    :func:`embedkit.cleaning.apply.apply`, and :class:`NotInWorkspace` for an unknown quarantine.
    After files were put back, the error is :class:`PlanInterrupted`, with the report.
    """
    known = quarantines(root)
    if not known:
        raise NotInWorkspace("there is nothing to undo: no plan was applied in this workspace")
    last = next((item for item in known if item.files or item.trashed), known[0])
    folder = find_quarantine(root, last.id if quarantine is None else quarantine)
    known_facts = facts_of(folder.store)
    run: _UndoRun | None = None
    try:
        with quarantine_lock(root):
            run = _UndoRun(folder, progress)
            try:
                run.restore()
            finally:
                refresh_presence(known_facts, run.in_place())
            run.report_others()
            taken_back = take_back(known_facts, folder.journal, run.missing)
            forgotten = _forgotten(known_facts, list(run.restored.values()))
            run.finish()
    except EmbedkitError as error:
        if run is None or not run.restored:
            raise
        raise PlanInterrupted(
            f"{error}. {counted(len(run.restored), 'file')} had been put back; "
            f"{folder.undo_command} continues with the other files, and with labels, other columns "
            "and verdicts that were carried over",
            run.report(),
        ) from error
    return replace(run.report(), reverted=taken_back, forgotten=forgotten)


def _forgotten(known: KnownFacts | None, restored: Sequence[str]) -> tuple[str, ...]:
    """Return the restored files that the collection does not know any more."""
    if known is None or not known.exists:
        return ()
    paths = known.known(restored)
    return tuple(path for path in restored if path not in paths)


class _UndoRun:
    """One run of an undo."""

    def __init__(self, folder: QuarantineFolder, progress: ProgressCallback) -> None:
        self._folder = folder
        self._progress = progress
        self._history = folder.history()
        self._in_place: dict[int, bool] = {}
        self.restored: dict[int, str] = {}
        """Paths of the files that were moved back, by row."""
        self.already_back: list[str] = []
        self.skipped: list[NotMoved] = []
        self.missing: set[int] = set()
        """Rows whose files are not in their place."""
        self.bytes = 0

    def restore(self) -> None:
        """Move the files in quarantine back."""
        stored = self._folder.stored_files()
        if stored:
            self._folder.journal.write(RESTORE, [{"row": number} for number in stored])
        for done, (number, status) in enumerate(stored.items()):
            self._progress(Progress("moving back", done, len(stored)))
            stored_path, history = self._folder.stored_path(number), self._history.get(number)
            path = stored_path if history is None else history.path
            try:
                if history is None:
                    reason = "the journal does not contain its original path; plan.csv may"
                    raise OSError(errno.ENOENT, reason)
                _restore_file(stored_path, status, history)
            except OSError as error:
                self.skipped.append(NotMoved(path, failure_reason(error)))
                self.missing.add(number)
            else:
                self.restored[number] = path
                self.bytes += status.st_size
        for partial in self._folder.files.glob(PARTIAL_PATTERN):
            partial.unlink()

    def in_place(self) -> list[str]:
        """Return the files that are in their place again, moved by an undo or by the user."""
        return [
            history.path
            for number, history in self._history.items()
            if os.path.lexists(history.path)
            and not os.path.lexists(self._folder.stored_path(number))
            and (history.event in (MOVE, RESTORE) or self._is_in_place(number))
        ]

    def report_others(self) -> None:
        """Report the trashed and deleted files, and those of them that are in their place again."""
        for number, history in self._history.items():
            if number in self.missing or number in self.restored:
                continue
            if history.event not in (TRASH, TRASHED, EMPTIED):
                continue
            if not self._is_in_place(number):
                self.skipped.append(NotMoved(history.path, _location(history)))
                self.missing.add(number)
            elif history.event != TRASH:  # with TRASH, it was never moved
                self.already_back.append(history.path)

    def finish(self) -> None:
        """Record the end of the undo, unless it had nothing to do."""
        last = self._folder.journal.last
        if last != UNDONE and (last in (RESTORE, TAKEN_BACK) or not self.missing):
            self._folder.journal.write(UNDONE)

    def report(self) -> UndoReport:
        """Return the result, without facts that were taken back and files that were forgotten."""
        return UndoReport(
            quarantine=self._folder.id,
            restored=tuple(self.restored.values()),
            already_back=tuple(self.already_back),
            skipped=tuple(self.skipped),
            bytes=self.bytes,
            reverted=(),
            forgotten=(),
        )

    def _is_in_place(self, number: int) -> bool:
        """Return whether the file of a row, with its content, is in its place."""
        if number not in self._in_place:
            history = self._history[number]
            try:
                is_link = os.path.islink(history.path)
                self._in_place[number] = not is_link and bool(
                    verified_stat(history.path, history.sha256)
                )
            except OSError:
                self._in_place[number] = False
        return self._in_place[number]


def _restore_file(stored_path: str, status: os.stat_result, history: RowHistory) -> None:
    """Move one file back, with its mode and times."""
    path, link = history.path, Link.from_entry(history.origin)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if link is not None and link.exists_at(path):
        restore_over(stored_path, path, link.exists_at)
    else:
        move(stored_path, path, status)
    restored = os.lstat(path)
    # A copy may have lost precision of its times in quarantine. Files with other hard links are not
    # changed, as those are not part of the plan.
    if not os.path.samestat(restored, status) and restored.st_nlink < 2:
        with suppress(PermissionError):
            os.chmod(path, history.origin["mode"])
            os.utime(path, ns=(restored.st_atime_ns, history.origin["mtime_ns"]))


def _location(history: RowHistory) -> str:
    """Return the location of a file that is neither in quarantine nor in its place."""
    if history.event == EMPTIED:
        day = datetime.fromisoformat(history.at).astimezone()
        return f"deleted on {day:%Y-%m-%d} by 'quarantine empty'"
    where = history.where
    if where is None or not os.path.lexists(where):
        where = trash.find(history.path, history.sha256)
    if where is not None:
        text = f"in the trash, as {shown(where)}; restore it from there"
    elif trash.IS_FREEDESKTOP:
        text = "it was moved to the trash, and is no longer there"
    else:
        text = "in the trash of this system; restore it from there"
    return text + ("; another file is in its place" if os.path.lexists(history.path) else "")
