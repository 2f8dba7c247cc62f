"""Applying a plan: removed files are moved to quarantine or to the trash, or replaced by links."""

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from embedkit._internal.paths import shown, to_stored
from embedkit._internal.text import it_or_them
from embedkit.cleaning import trash
from embedkit.cleaning.carry_over import RemovedFiles, carry_over, refresh_presence
from embedkit.cleaning.facts import KnownFacts
from embedkit.cleaning.file_moves import move, remove_partial_copy, replace_by_link
from embedkit.cleaning.kept_files import KeptFile, KeptFiles, real_location, verified_stat
from embedkit.cleaning.links import Link
from embedkit.cleaning.plan import KEEP_ONE, REMOVE, SYMLINK_REASON, plan_id
from embedkit.cleaning.quarantine import (
    APPLIED,
    EMPTIED,
    MOVE,
    OF_STORE,
    REFUSED,
    TRASH,
    TRASHED,
    Numbered,
    QuarantineFolder,
    failure_reason,
    quarantine_lock,
)
from embedkit.cleaning.refusals import Refusals, without
from embedkit.cleaning.removals import Removal, removals
from embedkit.errors import BadInput, EmbedkitError, PlanInterrupted
from embedkit.results import (
    ApplyReport,
    CarriedOver,
    NotCarriedOver,
    NotMoved,
    PlanRow,
    Progress,
    ProgressCallback,
    TrashedFile,
    no_progress,
)
from embedkit.results.wording import counted


def apply(
    root: Path,
    rows: Sequence[PlanRow],
    progress: ProgressCallback = no_progress,
    *,
    known: KnownFacts | None = None,
    refusals: Refusals | None = None,
    store: str | None = None,
    to_trash: bool = False,
    link: str | None = None,
) -> ApplyReport:
    """Move the files that a plan removes to its quarantine below ``root``, or to the trash.

    A file is moved only if it has the content recorded in the plan. A file of a ``keep-one`` group
    is moved only while one of its kept files (:func:`embedkit.cleaning.removals.removals`) exists,
    has the recorded content, and is a different file. Photos that ``refusals`` keep are not moved.
    All these files are skipped, and the report gives the reasons. With ``link``, ``hard`` or
    ``sym``, a removed file with the same bytes as a kept file is moved to quarantine and replaced
    by a link to that one. Applying the same plan again continues where it stopped.

    At the end, also after an error, labels, other columns and verdicts of removed files are carried
    over to the kept files, and ``known`` is updated with the files that were removed. The
    journal records ``store``, the place of the store that the files belong to, for an undo; the
    caller holds its lease. Raises :class:`BadInput` when the quarantine has files that the plan
    moved for another store or the workspace, :class:`QuarantineBusy` while another such command
    runs, and :class:`StorageError` when the disk is full or read-only. Files that were moved before
    stay moved: then the error is :class:`PlanInterrupted`, with the report.
    """
    folder = QuarantineFolder(root / plan_id(rows))
    run: _ApplyRun | None = None
    try:
        with quarantine_lock(root):
            _check_collection(folder, store)
            run = _ApplyRun(
                folder,
                rows,
                progress,
                known,
                refusals or Refusals(),
                store,
                to_trash,
                link,
            )
            try:
                run.run()
            finally:
                refresh_presence(known, folder.removed_files())
    except EmbedkitError as error:
        report = None if run is None else run.report()
        if report is None or not (report.moved or report.linked or report.trashed):
            raise
        raise PlanInterrupted(
            f"{error}. {_moved_text(report, folder.undo_command)}", report
        ) from error
    return run.report()


class _ApplyRun:
    """One run of a plan."""

    def __init__(
        self,
        folder: QuarantineFolder,
        rows: Sequence[PlanRow],
        progress: ProgressCallback,
        known: KnownFacts | None,
        refusals: Refusals,
        store: str | None,
        to_trash: bool,
        link: str | None,
    ) -> None:
        self._folder = folder
        self._rows = rows
        self._progress = progress
        self._known = known
        self._store = store
        self._is_recorded = folder.store == store
        self._to_trash = to_trash
        self._link = link
        self._refusals = refusals
        self._removed_paths: set[str] = set()  # a link to one of these is not a kept file
        self._history = folder.history()
        self._continues = folder.is_interrupted
        self._removed_files: list[RemovedFiles] = []
        self._removed_rows: set[int] = set()  # rows whose file was moved away by this plan
        self._moved: list[str] = []
        self._trashed: list[TrashedFile] = []
        self._linked: list[str] = []
        self._already_moved: list[str] = []
        self._missing: list[str] = []
        self._skipped: list[NotMoved] = []
        self._bytes = 0
        self._carried: tuple[CarriedOver, ...] = ()
        self._not_carried: tuple[NotCarriedOver, ...] = ()

    def run(self) -> None:
        # The rows may be in any order; the number of a row is its position in the plan.
        numbered = sorted(enumerate(self._rows, 1), key=lambda item: item[1].group)
        groups = [
            self._without_refused(list(members))
            for _, members in groupby(numbered, key=lambda item: item[1].group)
        ]
        removed = [row for group in groups for _, row in group if row.action == REMOVE]
        self._removed_paths = {real_location(row.path) for row in removed}
        where = "trash" if self._to_trash else "quarantine"
        done = 0
        try:
            for group in groups:
                self._apply_group(group)
                done += sum(row.action == REMOVE for _, row in group)
                self._progress(Progress(f"moving to {where}", done, len(removed)))
        except BaseException:
            with suppress(EmbedkitError):  # the first error is raised
                self._carry_over()  # the plan may never be applied again
            raise
        self._carry_over()
        if self._folder.is_interrupted:  # this run, or an earlier one that was killed
            self._folder.journal.write(APPLIED)

    def report(self) -> ApplyReport:
        """Return the result up to now."""
        return ApplyReport(
            quarantine=self._folder.id,
            moved=tuple(self._moved),
            trashed=tuple(self._trashed),
            linked=tuple(self._linked),
            already_moved=tuple(self._already_moved),
            missing=tuple(self._missing),
            skipped=tuple(self._skipped),
            bytes=self._bytes,
            carried_over=self._carried,
            not_carried_over=self._not_carried,
        )

    def _carry_over(self) -> None:
        self._carried, self._not_carried = carry_over(
            self._known, self._folder.journal, self._removed_files
        )

    def _without_refused(self, members: Numbered) -> Numbered:
        """Return the rows of a group with those kept that verdicts forbid to remove; skip these."""
        in_place = {
            number
            for number, row in members
            if row.action == REMOVE
            and os.path.lexists(row.path)
            and not self._is_link(number, row.path)
        }
        refused = self._refusals.of_group(members, in_place)
        self._skipped += [
            NotMoved(row.path, refused[number]) for number, row in members if number in refused
        ]
        return without(members, refused)

    def _apply_group(self, members: Numbered) -> None:
        for removal in removals(members):
            present = self._present(removal.removed)
            files = [(row.path, row.sha256) for row in removal.kept_files]
            kept_files = KeptFiles(files, self._removed_paths)
            if present:
                self._move_all(present, kept_files)
            self._record_removed(removal, kept_files, was_done=not present)

    def _present(self, removed: Numbered) -> Numbered:
        """Return the files to remove that are in their place; record the others."""
        present = []
        for number, row in removed:
            is_link = self._is_link(number, row.path)
            if not is_link and os.path.lexists(row.path):
                present.append((number, row))
            elif is_link or os.path.lexists(self._folder.stored_path(number)):
                self._already_moved.append(row.path)
                if not is_link:
                    self._removed_rows.add(number)
                with suppress(OSError):  # a killed undo may have left one
                    remove_partial_copy(row.path)
            elif self._was_removed(number, row):
                self._already_moved.append(row.path)
                self._removed_rows.add(number)
            else:
                self._missing.append(row.path)
        return present

    def _is_link(self, number: int, path: str) -> bool:
        """Return whether a link that this plan made is in the place of a file."""
        history = self._history.get(number)
        if history is None:
            return False
        is_stored = os.path.lexists(self._folder.stored_path(number))
        if history.event not in (MOVE, EMPTIED) and not is_stored:
            return False  # an undo has moved the file back
        link = Link.from_entry(history.origin)
        return link is not None and link.exists_at(path)

    def _was_removed(self, number: int, row: PlanRow) -> bool:
        """Return whether this plan removed a file that is neither in place nor in quarantine."""
        history = self._history.get(number)
        if history is not None and history.event in (TRASHED, EMPTIED):
            return True
        was_announced = history is not None and history.event == TRASH
        if not self._to_trash and not was_announced:
            return False
        where = trash.find(row.path, row.sha256)
        if where is not None and was_announced:  # killed after the file was moved
            self._record_trashed(number, where)
        return where is not None

    def _move_all(self, present: Numbered, kept_files: KeptFiles) -> None:
        """Move the files of a group that may be moved."""
        kept_file = None
        if present[0][1].rule == KEEP_ONE:
            try:
                kept_file = kept_files.first_valid()
            except OSError as error:
                self._skipped += [NotMoved(row.path, failure_reason(error)) for _, row in present]
                return
        files = self._check(present, kept_files, kept_file)
        self._announce(files)
        for file in files:
            if self._known is not None:
                self._known.check()
            try:
                if file.kept_file is not None:
                    file.kept_file.check_unchanged()
                self._move(file)
            except OSError as error:
                self._skipped.append(NotMoved(file.row.path, failure_reason(error)))
            else:
                self._bytes += file.status.st_size

    def _check(
        self, present: Numbered, kept_files: KeptFiles, kept_file: KeptFile | None
    ) -> list["_CheckedFile"]:
        """Return the files that may be moved; record why the others are skipped."""
        checked = []
        for number, row in present:
            try:
                status = _removable_status(row)
                same = None if self._link is None else kept_files.with_digest(row.sha256)
                kept = same or kept_file
                if kept is not None:
                    kept.check_distinct(status)
                link = None
                if self._link is not None and same is not None:
                    link = Link.to(self._link, same, row.path, status)
            except OSError as error:
                self._skipped.append(NotMoved(row.path, failure_reason(error)))
            else:
                checked.append(_CheckedFile(number, row, status, kept, link))
        return checked

    def _announce(self, files: Sequence["_CheckedFile"]) -> None:
        """Write to the journal which files are about to be moved."""
        if not files:
            return
        self._folder.create(self._rows)
        if not self._is_recorded:
            self._folder.journal.write(OF_STORE, [{"place": self._store}])
            self._is_recorded = True
        entries = [
            {
                "row": file.number,
                "path": to_stored(file.row.path),
                "sha256": file.row.sha256,
                "mtime_ns": file.status.st_mtime_ns,
                "mode": stat.S_IMODE(file.status.st_mode),
                **({} if file.link is None else file.link.to_entry()),
            }
            for file in files
        ]
        self._folder.journal.write(TRASH if self._to_trash else MOVE, entries)

    def _move(self, file: "_CheckedFile") -> None:
        path, stored_path = file.row.path, self._folder.stored_path(file.number)
        if file.link is not None and file.kept_file is not None:
            link, kept_file = file.link, file.kept_file
            replace_by_link(path, stored_path, file.status, lambda name: link.make(name, kept_file))
            self._linked.append(path)
            return
        if self._to_trash:
            self._trashed.append(TrashedFile(path, self._send_to_trash(file)))
        else:
            move(path, stored_path, file.status)
            self._moved.append(path)
        self._removed_rows.add(file.number)

    def _send_to_trash(self, file: "_CheckedFile") -> str | None:
        """Move a file to the trash; return its path there, if that is known."""
        try:
            where = trash.send(file.row.path, file.row.sha256, file.status)
        except OSError:
            self._folder.journal.write(REFUSED, [{"row": file.number}], durable=False)
            raise
        self._record_trashed(file.number, where)
        return where

    def _record_trashed(self, number: int, where: str | None) -> None:
        # Not flushed: if a crash loses the entry, a search of the trash finds the file again.
        stored = None if where is None else to_stored(where)
        self._folder.journal.write(TRASHED, [{"row": number, "where": stored}], durable=False)

    def _record_removed(self, removal: Removal, kept_files: KeptFiles, *, was_done: bool) -> None:
        """Record the removed files and the kept file that takes over their facts.

        ``was_done`` says that an earlier run removed them all. Nothing is recorded if that run
        finished, or if the kept file may show something else.
        """
        if self._known is None or (was_done and not self._continues):
            return
        removed = [item for item in removal.removed if item[0] in self._removed_rows]
        if not removed or not removal.is_certain:
            return
        with suppress(OSError):  # without an intact kept file, nothing is carried over
            kept_file = kept_files.with_digest(removed[0][1].sha256) or kept_files.first_valid()
            remaining = [row for row in removal.related if os.path.lexists(row.path)]
            files = RemovedFiles(kept_file.path, kept_file.sha256, removed, remaining)
            self._removed_files.append(files)


def _check_collection(folder: QuarantineFolder, store: str | None) -> None:
    """Raise :class:`BadInput` when files in quarantine belong to another store or the workspace.

    An undo gives their facts back to one collection.
    """
    if folder.store != store and folder.stored_files():
        was = "the workspace" if folder.store is None else f"the store {shown(folder.store)}"
        raise BadInput(
            f"this plan has moved files of {was} to quarantine {folder.id}; nothing was moved. "
            f"To apply it to another collection, put them back with {folder.undo_command}. If "
            "another collection has the same files, 'embedkit remove --missing' forgets them there"
        )


def _moved_text(report: ApplyReport, undo: str) -> str:
    """Return what was moved before an error, and what the command to undo it does."""
    if report.trashed:
        moved = counted(len(report.trashed), "file")
        return f"{moved} had been moved to the trash; {undo} lists where"
    count = len(report.moved) + len(report.linked)
    moved = counted(count, "file")
    return (
        f"{moved} had been moved to quarantine {report.quarantine}; {undo} puts "
        f"{it_or_them(count)} back"
    )


@dataclass(frozen=True)
class _CheckedFile:
    """A file that may be moved."""

    number: int
    """Number of its row in the plan."""
    row: PlanRow
    status: os.stat_result
    """Its status when its content was verified."""
    kept_file: KeptFile | None
    """The kept file that must still exist when this file is moved; None if there is no such
    condition."""
    link: Link | None
    """The link that replaces it."""


def _removable_status(row: PlanRow) -> os.stat_result:
    """Return the status of a file to remove; raise OSError if it cannot or must not be removed."""
    if stat.S_ISLNK(os.lstat(row.path).st_mode):
        raise OSError(errno.ELOOP, SYMLINK_REASON)
    if not os.access(os.path.dirname(row.path), os.W_OK):
        raise OSError(errno.EACCES, "its folder is not writable")
    return verified_stat(row.path, row.sha256)
