"""Emptying quarantines: files deleted for ever, as long as what replaces them is there."""

import errno
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path

from embedkit._internal.artifacts import sync_folder
from embedkit._internal.paths import shown
from embedkit.cleaning.kept_files import Keeper, Keepers
from embedkit.cleaning.plan import KEEP_ONE, read_plan
from embedkit.cleaning.quarantine import (
    EMPTIED,
    Numbered,
    Store,
    find_store,
    locked,
    quarantines,
    reason_of,
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

Whereabouts = Callable[[Sequence[str]], dict[str, list[str]]]
"""The known files, absolute paths, of images by their SHA-256 in hex."""


def nowhere(_: Sequence[str]) -> dict[str, list[str]]:
    """The whereabouts of images where none are known."""
    return {}


def empty(
    root: Path,
    quarantine: str | None = None,
    older_than: timedelta | None = None,
    progress: ProgressCallback = no_progress,
    *,
    whereabouts: Whereabouts = nowhere,
    dry_run: bool = False,
) -> EmptyReport:
    """Delete the files of quarantines below ``root`` for ever.

    Those of the named quarantine, or of all, whose plan was applied longer than ``older_than`` ago.
    A file is deleted only while a file for which it went has the content that the plan says, at
    its place or in another known file. Files of a ``drop-all`` group may be the last copies, so
    they go only from a quarantine that is named. With ``dry_run`` nothing is deleted.

    An emptying that was killed is finished by running it again. Raises :class:`BadInput` when
    neither a quarantine nor an age is given, :class:`NotInWorkspace` for an unknown quarantine, and
    as :func:`embedkit.cleaning.apply.apply` does.
    """
    if quarantine is None and older_than is None:
        raise BadInput(
            "say which quarantine to empty, by its ID or with --older-than DAYS; "
            "'embedkit quarantine list' lists them"
        )
    if quarantine is not None:
        find_store(root, quarantine)
    if not root.exists():
        return EmptyReport((), (), (), 0, dry_run)
    with locked(root):
        chosen = [item for item in quarantines(root) if _is_chosen(item, quarantine, older_than)]
        run = _Emptying(progress, whereabouts, sum(item.files for item in chosen), dry_run)
        for item in chosen:
            run.empty(Store(root / item.id), is_named=quarantine is not None)
    return EmptyReport(
        quarantines=tuple(item.id for item in chosen),
        deleted=tuple(run.deleted),
        skipped=tuple(run.left),
        bytes=run.bytes,
        dry_run=dry_run,
    )


def _is_chosen(item: Quarantine, quarantine: str | None, older_than: timedelta | None) -> bool:
    if not item.files or quarantine not in (None, item.id):
        return False
    if older_than is None:
        return True
    # Without a journal the age is not known, and so is not what was asked for.
    return bool(item.at) and datetime.now(UTC) - datetime.fromisoformat(item.at) >= older_than


class _Emptying:
    """One run over some quarantines."""

    def __init__(
        self, progress: ProgressCallback, whereabouts: Whereabouts, total: int, dry_run: bool
    ) -> None:
        self._progress = progress
        self._whereabouts = whereabouts
        self._total = total
        self._dry_run = dry_run
        self.deleted: list[str] = []
        self.left: list[NotMoved] = []
        self.bytes = 0

    def empty(self, store: Store, *, is_named: bool) -> None:
        """Delete the files of one quarantine, as far as they may go."""
        rows = _plan_of(store)
        going = self._replaceable(store, self._planned(store, rows), rows, is_named)
        if going and not self._dry_run:
            store.journal.write(EMPTIED, [{"row": number} for number, _, _ in going])
        for number, row, keeper in going:
            try:
                self._delete(store.slot(number), keeper)
            except OSError as error:
                self.left.append(NotMoved(row.path, reason_of(error)))
            else:
                self.deleted.append(row.path)
            done = len(self.deleted) + len(self.left)
            self._progress(Progress("emptying", done, self._total))
        if going and not self._dry_run:
            sync_folder(store.files)

    def _planned(self, store: Store, rows: Sequence[PlanRow]) -> Numbered:
        """The files in quarantine whose row the journal confirms; the others are left."""
        past = store.past()
        planned = []
        for number in store.held():
            row = rows[number - 1] if 0 < number <= len(rows) else None
            if number not in past:
                why = "the journal does not say where it was"
                self.left.append(NotMoved(store.slot(number), why))
            elif row is None or (row.path, row.sha256) != (past[number].path, past[number].sha256):
                why = f"{shown(str(store.plan))} is not the plan that was applied"
                self.left.append(NotMoved(past[number].path, why))
            else:
                planned.append((number, row))
        return planned

    def _replaceable(
        self, store: Store, planned: Numbered, rows: Sequence[PlanRow], is_named: bool
    ) -> list[tuple[int, PlanRow, Keeper | None]]:
        """The files that may go, each with the file that has to stay; the others are left."""
        numbered = sorted(enumerate(rows, 1), key=lambda item: item[1].group)
        groups = groupby(numbered, key=lambda item: item[1].group)
        found = [one for _, group in groups for one in removals(list(group))]
        known = self._whereabouts(list({row.sha256 for one in found for row in one.staying}))
        confirmed = {number for number, _ in planned}
        going: list[tuple[int, PlanRow, Keeper | None]] = []
        for removal in found:
            some = [item for item in removal.going if item[0] in confirmed]
            if not some:
                continue
            files = [
                (path, row.sha256)
                for row in removal.staying
                for path in (row.path, *known.get(row.sha256, ()))
                if not _is_below(path, store.folder.parent)
            ]
            try:
                keeper = _keeper(Keepers(files, ()), some[0][1], store.id, is_named)
            except OSError as error:
                self.left += [NotMoved(row.path, reason_of(error)) for _, row in some]
            else:
                going += [(number, row, keeper) for number, row in some]
        return going

    def _delete(self, slot: str, keeper: Keeper | None) -> None:
        status = os.lstat(slot)
        if keeper is not None:
            keeper.outlive(status)
            keeper.stay()
        if not self._dry_run:
            os.unlink(slot)
        if status.st_nlink == 1:
            self.bytes += status.st_size


def _keeper(keepers: Keepers, row: PlanRow, quarantine: str, is_named: bool) -> Keeper | None:
    """The file that has to stay when those of a row's group are deleted, if one has to.

    Raises OSError when they must not be deleted.
    """
    if row.rule == KEEP_ONE:
        return keepers.first()
    if not is_named:
        why = f"its group may be gone as a whole; name the quarantine, {quarantine}, to delete it"
        raise OSError(errno.EPERM, why)
    return None


def _plan_of(store: Store) -> list[PlanRow]:
    """The plan that a quarantine keeps; empty when it cannot be read."""
    try:
        return read_plan(store.plan, stored=True)
    except BadInput:
        return []


def _is_below(path: str, folder: Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
