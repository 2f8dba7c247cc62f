"""Applying a plan: its removed files go to quarantine or to the trash, or become links."""

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from embedkit._internal.paths import to_stored
from embedkit.catalog import Catalog
from embedkit.cleaning import trash
from embedkit.cleaning.carry_over import Departure, carry, note_places
from embedkit.cleaning.file_moves import discard_part, move, replace_by_link
from embedkit.cleaning.kept_files import Keeper, Keepers, entry_of, holding
from embedkit.cleaning.links import Link
from embedkit.cleaning.plan import KEEP_ONE, ONLY_A_LINK, REMOVE, plan_id
from embedkit.cleaning.quarantine import (
    APPLIED,
    EMPTIED,
    MOVE,
    REFUSED,
    TRASH,
    TRASHED,
    Numbered,
    Store,
    locked,
    reason_of,
)
from embedkit.cleaning.removals import Removal, removals
from embedkit.results import (
    ApplyReport,
    NotMoved,
    PlanRow,
    Progress,
    ProgressCallback,
    TrashedFile,
    no_progress,
)


def apply(
    root: Path,
    rows: Sequence[PlanRow],
    progress: ProgressCallback = no_progress,
    *,
    catalog: Catalog | None = None,
    to_trash: bool = False,
    link: str | None = None,
) -> ApplyReport:
    """Move the files that a plan removes to its quarantine below ``root``, or to the trash.

    A file goes only if it has the content that the plan says, and out of a ``keep-one`` group only
    while a file for which it goes (:func:`embedkit.cleaning.removals.removals`) is there, has the
    content that the plan says, and is another file; all others are left, with the reason. With
    ``link``, ``hard`` or ``sym``, a removed file with the same bytes as a file to keep goes to
    quarantine, and a link to that one takes its place. Applying the same plan again continues
    where it was.

    However it ends, ``catalog`` learns which paths are empty now, by this run or another; at the
    end it carries labels, other columns and verdicts of what went to what stays. Raises
    :class:`QuarantineBusy` while another such command runs and :class:`StorageError` when the disk
    is full or read-only; what was moved stays moved.
    """
    with locked(root):
        run = _Run(Store(root / plan_id(rows)), rows, progress, catalog, to_trash, link)
        try:
            return run.run()
        finally:
            going = (row.path for row in rows if row.action == REMOVE)
            note_places(catalog, [path for path in going if not os.path.lexists(path)])


class _Run:
    """One run of a plan."""

    def __init__(
        self,
        store: Store,
        rows: Sequence[PlanRow],
        progress: ProgressCallback,
        catalog: Catalog | None,
        to_trash: bool,
        link: str | None,
    ) -> None:
        self._store = store
        self._rows = rows
        self._progress = progress
        self._catalog = catalog
        self._to_trash = to_trash
        self._link = link
        # A link to one of these is no copy of it.
        self._going = {entry_of(row.path) for row in rows if row.action == REMOVE}
        self._past = store.past()
        self._resumes = store.is_interrupted
        self._departures: list[Departure] = []
        self._went: set[int] = set()  # rows whose file is gone from its place by this plan
        self._moved: list[str] = []
        self._trashed: list[TrashedFile] = []
        self._linked: list[str] = []
        self._already: list[str] = []
        self._gone: list[str] = []
        self._left: list[NotMoved] = []
        self._bytes = 0

    def run(self) -> ApplyReport:
        # A person may have sorted the rows by anything; a row's number stays that of the plan.
        numbered = sorted(enumerate(self._rows, 1), key=lambda item: item[1].group)
        total = sum(row.action == REMOVE for row in self._rows)
        where = "trash" if self._to_trash else "quarantine"
        done = 0
        for _, members in groupby(numbered, key=lambda item: item[1].group):
            group = list(members)
            self._apply_group(group)
            done += sum(row.action == REMOVE for _, row in group)
            self._progress(Progress(f"moving to {where}", done, total))
        carried, not_carried = carry(self._catalog, self._store.journal, self._departures)
        if self._store.is_interrupted:  # this run, or an earlier one that was killed
            self._store.journal.write(APPLIED)
        return ApplyReport(
            quarantine=self._store.id,
            moved=tuple(self._moved),
            trashed=tuple(self._trashed),
            linked=tuple(self._linked),
            already_moved=tuple(self._already),
            missing=tuple(self._gone),
            skipped=tuple(self._left),
            bytes=self._bytes,
            carried_over=carried,
            not_carried_over=not_carried,
        )

    def _apply_group(self, members: Numbered) -> None:
        for removal in removals(members):
            here = self._present(removal.going)
            files = [(row.path, row.sha256) for row in removal.staying]
            keepers = Keepers(files, self._going)
            if here:
                self._take(here, keepers)
            self._depart(removal, keepers, resumed=not here)

    def _take(self, here: Numbered, keepers: Keepers) -> None:
        """Take the files of a group away, as far as they may go."""
        keeper = None
        if here[0][1].rule == KEEP_ONE:
            try:
                keeper = keepers.first()
            except OSError as error:
                self._left += [NotMoved(row.path, reason_of(error)) for _, row in here]
                return
        goings = self._ready(here, keepers, keeper)
        self._announce(goings)
        for going in goings:
            try:
                if going.keeper is not None:
                    going.keeper.stay()
                self._move(going)
            except OSError as error:
                self._left.append(NotMoved(going.row.path, reason_of(error)))
            else:
                self._bytes += going.seen.st_size

    def _present(self, going: Numbered) -> Numbered:
        """The files that are to go and are at their place; the others are noted."""
        here = []
        for number, row in going:
            is_link = self._is_link(number, row.path)
            if not is_link and os.path.lexists(row.path):
                here.append((number, row))
            elif is_link or os.path.lexists(self._store.slot(number)):
                self._already.append(row.path)
                if not is_link:
                    self._went.add(number)
                with suppress(OSError):  # of an undo that was killed
                    discard_part(row.path)
            elif self._had_gone(number, row):
                self._already.append(row.path)
                self._went.add(number)
            else:
                self._gone.append(row.path)
        return here

    def _is_link(self, number: int, path: str) -> bool:
        """Whether a link that this plan made is in the place of a file."""
        past = self._past.get(number)
        if past is None:
            return False
        if past.event not in (MOVE, EMPTIED) and not os.path.lexists(self._store.slot(number)):
            return False  # an undo has put the file back
        link = Link.of(past.origin)
        return link is not None and link.is_at(path)

    def _had_gone(self, number: int, row: PlanRow) -> bool:
        """Whether a file that is neither at its place nor in quarantine went with this plan."""
        past = self._past.get(number)
        if past is not None and past.event in (TRASHED, EMPTIED):
            return True
        if not self._to_trash and (past is None or past.event != TRASH):
            return False
        where = trash.find(row.path, row.sha256)
        if where is not None and past is not None and past.event == TRASH:  # killed after it went
            self._note_trashed(number, where)
        return where is not None

    def _ready(self, here: Numbered, keepers: Keepers, keeper: Keeper | None) -> list["_Going"]:
        """The files that may go, each with what was seen of it; the others are noted."""
        ready = []
        for number, row in here:
            try:
                seen = _examined(row)
                same = None if self._link is None else keepers.exact(row.sha256)
                stays = same or keeper
                if stays is not None:
                    stays.outlive(seen)
                link = None
                if self._link is not None and same is not None:
                    link = Link.to(self._link, same, row.path, seen)
            except OSError as error:
                self._left.append(NotMoved(row.path, reason_of(error)))
            else:
                ready.append(_Going(number, row, seen, stays, link))
        return ready

    def _announce(self, goings: Sequence["_Going"]) -> None:
        if not goings:
            return
        self._store.open(self._rows)
        entries = [
            {
                "row": going.number,
                "path": to_stored(going.row.path),
                "sha256": going.row.sha256,
                "mtime_ns": going.seen.st_mtime_ns,
                "mode": stat.S_IMODE(going.seen.st_mode),
                **({} if going.link is None else going.link.entry()),
            }
            for going in goings
        ]
        self._store.journal.write(TRASH if self._to_trash else MOVE, entries)

    def _move(self, going: "_Going") -> None:
        path, slot = going.row.path, self._store.slot(going.number)
        if going.link is not None and going.keeper is not None:
            link, keeper = going.link, going.keeper
            replace_by_link(path, slot, going.seen, lambda name: link.make(name, keeper))
            self._linked.append(path)
            return
        if self._to_trash:
            self._trashed.append(TrashedFile(path, self._send(going)))
        else:
            move(path, slot, going.seen)
            self._moved.append(path)
        self._went.add(going.number)

    def _send(self, going: "_Going") -> str | None:
        """Send a file to the trash; where it is there, if that is known."""
        try:
            where = trash.send(going.row.path, going.row.sha256, going.seen)
        except OSError:
            self._store.journal.write(REFUSED, [{"row": going.number}], durable=False)
            raise
        self._note_trashed(going.number, where)
        return where

    def _note_trashed(self, number: int, where: str | None) -> None:
        # Not flushed: what a crash of the system loses of this, a look into the trash finds again.
        stored = None if where is None else to_stored(where)
        self._store.journal.write(TRASHED, [{"row": number, "where": stored}], durable=False)

    def _depart(self, removal: Removal, keepers: Keepers, *, resumed: bool) -> None:
        """Note which files have left, and the one that takes over what is said of them.

        Of files that an earlier run has finished with, nothing is noted, nor of those that may show
        something else than what stays.
        """
        if self._catalog is None or (resumed and not self._resumes):
            return
        went = [item for item in removal.going if item[0] in self._went]
        if not went or not removal.is_certain:
            return
        with suppress(OSError):  # no file of the group is sure to stay, so nothing is carried
            stays = keepers.exact(went[0][1].sha256) or keepers.first()
            stay = [row for row in removal.related if os.path.lexists(row.path)]
            self._departures.append(Departure(stays.path, stays.sha256, went, stay))


@dataclass(frozen=True)
class _Going:
    """A file that may go."""

    number: int
    row: PlanRow
    seen: os.stat_result
    keeper: Keeper | None
    """The file that has to be there when it goes; None when it may go without."""
    link: Link | None
    """What takes its place."""


def _examined(row: PlanRow) -> os.stat_result:
    """The status of a file that is to go; raises OSError when it cannot or must not."""
    if stat.S_ISLNK(os.lstat(row.path).st_mode):
        raise OSError(errno.ELOOP, ONLY_A_LINK)
    if not os.access(os.path.dirname(row.path), os.W_OK):
        raise OSError(errno.EACCES, "its folder cannot be written")
    return holding(row.path, row.sha256)
