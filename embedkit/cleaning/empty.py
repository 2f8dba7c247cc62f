"""Emptying quarantines: files are deleted permanently while the files kept for them exist."""

import errno
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import groupby
from pathlib import Path

from embedkit._internal.artifacts import sync_folder
from embedkit._internal.paths import shown
from embedkit.cleaning.facts import KnownFacts
from embedkit.cleaning.kept_files import KeptFile, KeptFiles
from embedkit.cleaning.plan import KEEP_ONE, read_plan
from embedkit.cleaning.quarantine import (
    EMPTIED,
    Numbered,
    QuarantineFolder,
    failure_reason,
    find_quarantine,
    quarantine_lock,
    quarantines,
)
from embedkit.cleaning.removals import removals
from embedkit.errors import BadInput
from embedkit.results import (
    EmptyReport,
    NotMoved,
    PlanRow,
    Progress,
    ProgressCallback,
    Quarantine,
    no_progress,
)


def empty(
    root: Path,
    quarantine: str | None = None,
    older_than: timedelta | None = None,
    progress: ProgressCallback = no_progress,
    *,
    facts_of: Callable[[str | None], KnownFacts | None] = lambda _: None,
    dry_run: bool = False,
) -> EmptyReport:
    """Delete the files of quarantines below ``root`` permanently.

    Empties the named quarantine, or all whose plan was applied longer than ``older_than`` ago. A
    file is deleted only while one of its kept files has the content recorded in the plan, in its
    place or at another path that the collection knows. ``facts_of`` returns what is known of the
    files, given the place of their store, or None for those of the workspace. Files of a
    ``drop-all`` group may be the last copies, so they are deleted only from a named quarantine.
    With ``dry_run`` nothing is deleted.

    If it is killed, running it again continues. Raises :class:`BadInput` when neither a quarantine
    nor an age is given, :class:`NotInWorkspace` for an unknown quarantine, and the errors of
    :func:`embedkit.cleaning.apply.apply`.
    """
    if quarantine is None and older_than is None:
        raise BadInput(
            "no quarantine was chosen; give its ID or --older-than DAYS "
            "('embedkit quarantine list' lists them)"
        )
    if quarantine is not None:
        find_quarantine(root, quarantine)
    if not root.exists():
        return EmptyReport((), (), (), 0, dry_run)
    with quarantine_lock(root):
        chosen = [item for item in quarantines(root) if _is_chosen(item, quarantine, older_than)]
        run = _EmptyRun(progress, facts_of, sum(item.files for item in chosen), dry_run)
        for item in chosen:
            run.empty(QuarantineFolder(root / item.id), is_named=quarantine is not None)
    return EmptyReport(
        quarantines=tuple(item.id for item in chosen),
        deleted=tuple(run.deleted),
        skipped=tuple(run.skipped),
        bytes=run.bytes,
        dry_run=dry_run,
    )


def _is_chosen(item: Quarantine, quarantine: str | None, older_than: timedelta | None) -> bool:
    if not item.files or quarantine not in (None, item.id):
        return False
    if older_than is None:
        return True
    # Without a journal the age is unknown.
    return bool(item.at) and datetime.now(UTC) - datetime.fromisoformat(item.at) >= older_than


class _EmptyRun:
    """One run over some quarantines."""

    def __init__(
        self,
        progress: ProgressCallback,
        facts_of: Callable[[str | None], KnownFacts | None],
        total: int,
        dry_run: bool,
    ) -> None:
        self._progress = progress
        self._facts_of = facts_of
        self._total = total
        self._dry_run = dry_run
        self.deleted: list[str] = []
        self.skipped: list[NotMoved] = []
        self.bytes = 0

    def empty(self, folder: QuarantineFolder, *, is_named: bool) -> None:
        """Delete the files of one quarantine that may be deleted."""
        rows = _plan_of(folder)
        files = self._deletable(folder, self._confirmed(folder, rows), rows, is_named)
        if files and not self._dry_run:
            folder.journal.write(EMPTIED, [{"row": number} for number, _, _ in files])
        for number, row, kept_file in files:
            try:
                self._delete(folder.stored_path(number), kept_file)
            except OSError as error:
                self.skipped.append(NotMoved(row.path, failure_reason(error)))
            else:
                self.deleted.append(row.path)
            done = len(self.deleted) + len(self.skipped)
            self._progress(Progress("emptying", done, self._total))
        if files and not self._dry_run:
            sync_folder(folder.files)

    def _confirmed(self, folder: QuarantineFolder, rows: Sequence[PlanRow]) -> Numbered:
        """Return the files in quarantine whose row agrees with the journal; skip the others."""
        history = folder.history()
        confirmed = []
        for number in folder.stored_files():
            row = rows[number - 1] if 0 < number <= len(rows) else None
            known = history.get(number)
            if known is None:
                reason = "the journal does not contain its original path"
                self.skipped.append(NotMoved(folder.stored_path(number), reason))
            elif row is None or (row.path, row.sha256) != (known.path, known.sha256):
                reason = f"{shown(str(folder.plan))} is not the plan that was applied"
                self.skipped.append(NotMoved(known.path, reason))
            else:
                confirmed.append((number, row))
        return confirmed

    def _deletable(
        self, folder: QuarantineFolder, confirmed: Numbered, rows: Sequence[PlanRow], is_named: bool
    ) -> list[tuple[int, PlanRow, KeptFile | None]]:
        """Return the files that may be deleted, each with its kept file; skip the others."""
        numbered = sorted(enumerate(rows, 1), key=lambda item: item[1].group)
        groups = groupby(numbered, key=lambda item: item[1].group)
        found = [one for _, group in groups for one in removals(list(group))]
        numbers = {number for number, _ in confirmed}
        deletable: list[tuple[int, PlanRow, KeptFile | None]] = []

        @cache
        def located() -> Mapping[str, Sequence[str]]:
            known = self._facts_of(folder.store)
            digests = {row.sha256 for one in found for row in one.kept_files}
            return {} if known is None else known.located(sorted(digests))

        for removal in found:
            files = [item for item in removal.removed if item[0] in numbers]
            if not files:
                continue
            try:
                if files[0][1].rule == KEEP_ONE:
                    kept_file = _kept_file(removal.kept_files, folder, located)
                elif is_named:
                    kept_file = None
                else:
                    reason = (
                        f"it may be the last copy; name the quarantine, {folder.id}, to delete it"
                    )
                    raise OSError(errno.EPERM, reason)
            except OSError as error:
                self.skipped += [NotMoved(row.path, failure_reason(error)) for _, row in files]
            else:
                deletable += [(number, row, kept_file) for number, row in files]
        return deletable

    def _delete(self, stored_path: str, kept_file: KeptFile | None) -> None:
        status = os.lstat(stored_path)
        if kept_file is not None:
            kept_file.check_distinct(status)
            kept_file.check_unchanged()
        if not self._dry_run:
            os.unlink(stored_path)
        if status.st_nlink == 1:
            self.bytes += status.st_size


def _kept_file(
    rows: Sequence[PlanRow],
    folder: QuarantineFolder,
    located: Callable[[], Mapping[str, Sequence[str]]],
) -> KeptFile:
    """Return an intact file of some rows that are kept, in its place or at another known path.

    ``located`` returns the paths of known files by SHA-256 (hex); it is called only if no file is
    in its place. Raises OSError when no file is intact.
    """

    def intact(files: Iterable[tuple[str, str]]) -> KeptFile:
        outside = [file for file in files if not _is_below(file[0], folder.folder.parent)]
        return KeptFiles(outside, ()).first_valid()

    try:
        return intact((row.path, row.sha256) for row in rows)
    except OSError:
        known = located()
        others = [(path, row.sha256) for row in rows for path in known.get(row.sha256, ())]
        if not others:
            raise
        return intact(others)


def _plan_of(folder: QuarantineFolder) -> list[PlanRow]:
    """Return the plan stored in a quarantine; empty when it cannot be read."""
    try:
        return read_plan(folder.plan, stored=True)
    except BadInput:
        return []


def _is_below(path: str, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
