"""Decisions of a person about the groups of a plan, one group after the other."""

import hashlib
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import combinations, groupby
from pathlib import Path
from secrets import token_hex

from embedkit._internal.artifacts import storage_errors
from embedkit._internal.paths import to_stored
from embedkit.catalog import Catalog
from embedkit.cleaning.journal import Journal
from embedkit.cleaning.plan import (
    ACTIONS,
    KEEP,
    KEEP_ONE,
    REMOVE,
    REVIEW,
    can_replace_others,
    plan_id,
)
from embedkit.cleaning.quarantine import MovedFiles, moved_files
from embedkit.errors import BadInput, NotInWorkspace, StorageError
from embedkit.ingest.verdicts import Decision, decide
from embedkit.results import DAMAGED, Duplicates, PlanRow
from embedkit.results.verdicts import DIFFERENT, DUPLICATE

FILE_NAME = "decisions.jsonl"
"""Name of the journal with the decisions, in the folder of a workspace."""
OPEN, ACCEPTED, DIFFERENT_PHOTOS = STATES = ("open", "accepted", "different")
"""States of a group: undecided, actions accepted, photos that are not copies of each other."""

_MAX_DIFFERENT = 150
"""Maximum number of distinct photos of a group whose pairs are all stored as different."""
_DECIDED = "decided"


@dataclass(frozen=True)
class PlannedFile:
    """A file of a plan."""

    row: PlanRow
    width: int
    height: int
    """Size of the upright image, pixels; 0 if it is unknown."""
    bytes: int
    """Size of the file."""
    distance: float | None
    """Cosine distance to the representative of the group; None if it is unknown."""


@dataclass(frozen=True)
class GroupDecision:
    """The decision about a group."""

    state: str = OPEN
    actions: Mapping[int, str] = field(default_factory=dict)
    """Actions that differ from the plan, by position of the file in its group."""


@dataclass(frozen=True)
class PlannedGroup:
    """A group of a plan, with the decision about it."""

    files: Sequence[PlannedFile]
    """The files to keep, then the files for review, then the files to remove, by the plan."""
    decision: GroupDecision
    moved: frozenset[int] = frozenset()
    """Positions of the files that were moved and not restored."""

    @property
    def rows(self) -> list[PlanRow]:
        """The rows with the decided actions."""
        rows = [file.row for file in self.files]
        if self.decision.state == DIFFERENT_PHOTOS:
            return [replace(row, action=KEEP) for row in rows]
        for place, action in self.decision.actions.items():
            rows[place] = replace(rows[place], action=action)
        return rows

    @property
    def is_applied(self) -> bool:
        """Whether the decision was carried out: files were moved, and all others are kept."""
        return bool(self.moved) and all(
            place in self.moved or row.action == KEEP for place, row in enumerate(self.rows)
        )

    @property
    def is_conflict(self) -> bool:
        """Whether the files have different labels."""
        return len({file.row.label for file in self.files} - {None}) > 1

    @property
    def needs_review(self) -> bool:
        """Whether the plan leaves a file for review."""
        return any(file.row.action == REVIEW for file in self.files)


@dataclass
class Totals:
    """Numbers of groups by state, and of files that applying the decisions moves."""

    groups: int = 0
    open: int = 0
    sure: int = 0
    """Open groups that need no review."""
    accepted: int = 0
    different: int = 0
    applied: int = 0
    """Groups whose files were moved."""
    left: int = 0
    """Files for review in accepted groups."""
    files: int = 0
    """Files to move."""
    bytes: int = 0
    """Their total size."""
    revision: str = field(default_factory=lambda: token_hex(8))
    """Changes with every decision, and when files are moved or put back."""


class PlanDecisions:
    """The groups of a plan and the decisions about them.

    Groups with several labels come first, then other groups to review, then the others. A journal
    stores the decisions by the paths and the content of the files of a group. After the next
    search, a decision applies again if the plan proposes the same actions; otherwise the group is
    open. It is also open again after its files were moved and put back, by this process or another.
    Verdicts on pairs are stored in the catalog.

    Methods may be called from several threads.
    """

    def __init__(
        self, rows: Sequence[PlanRow], found: Duplicates, catalog: Catalog, quarantines: Path
    ) -> None:
        self.key = plan_id(rows)
        self._catalog = catalog
        self._quarantines = quarantines
        self._journal = Journal(catalog.path.parent / FILE_NAME)
        self._lock = threading.RLock()
        ordered = sorted(rows, key=lambda row: (row.group, _rank(row), row.path))
        groups = [list(members) for _, members in groupby(ordered, key=lambda row: row.group)]
        groups.sort(key=_urgency)  # stable
        sizes = {
            member.path: (member.width, member.height, member.bytes, member.distance)
            for group in found.groups
            for member in group.members
        }
        self._groups = [
            tuple(
                PlannedFile(row, *(sizes.get(row.path) or (0, 0, _size(row.path), None)))
                for row in members
            )
            for members in groups
        ]
        self._decisions = [GroupDecision()] * len(self._groups)
        self._decided_at = [""] * len(self._groups)  # UTC, ISO 8601
        self._files = MovedFiles()
        self._moved: list[frozenset[int]] = [frozenset()] * len(self._groups)
        self._past: list[tuple[dict[int, GroupDecision], list[Decision]]] = []
        self._totals = Totals(groups=len(self._groups))
        self._restore()
        for position in range(len(self._groups)):
            self._count(position, 1)
        self.refresh()

    def __len__(self) -> int:
        return len(self._groups)

    def group(self, position: int) -> PlannedGroup:
        """Return a group; raises :class:`NotInWorkspace` if there is none."""
        if not 0 <= position < len(self._groups):
            raise NotInWorkspace(f"there is no group {position + 1}")
        with self._lock:
            return self._group(position)

    def groups(self, first: int, count: int) -> list[PlannedGroup]:
        """Return consecutive groups."""
        with self._lock:
            last = min(first + count, len(self._groups))
            return [self._group(position) for position in range(first, last)]

    def digests(self) -> list[set[str]]:
        """Return the SHA-256, hex, of the photos of each group."""
        return [{file.row.sha256 for file in files} for files in self._groups]

    def totals(self) -> Totals:
        """Return the numbers of groups and files."""
        with self._lock:
            return replace(self._totals)

    @property
    def can_undo(self) -> bool:
        """Whether there is a decision to undo."""
        return bool(self._past)

    def first_open(self) -> int:
        """Return the position of the first group without a decision; 0 if there is none."""
        with self._lock:
            places = range(len(self._groups))
            return next((place for place in places if self._is_open(self._group(place))), 0)

    # -- decisions ---------------------------------------------------------------------------------

    def decide(self, position: int, decision: GroupDecision) -> None:
        """Store a decision about a group.

        When a group is accepted, the removed photos get the verdict ``duplicate`` with the photo
        that is kept for them; when its photos are different, all pairs get ``different``. Raises
        :class:`BadInput` if no intact file of the group would be kept, if its photos have the same
        bytes or are too many, or if its files were moved.
        """
        with self._lock:
            before = self.group(position)
            after = replace(before, decision=_without_proposed(before, decision))
            if before.is_applied or any(after.rows[one].action != REMOVE for one in before.moved):
                raise BadInput("files of this group were moved; put them back first")
            _check(after)
            cleared = _pairs(before).keys() - _pairs(after).keys()
            verdicts = [
                Decision(one, verdict, other=other)
                for (one, other), verdict in _pairs(after).items()
            ]
            verdicts += [Decision(one, DUPLICATE, True, other) for one, other in cleared]
            undo = self._store({position: after.decision}, verdicts)
            self._past.append(({position: before.decision}, undo))

    def accept_sure(self) -> int:
        """Accept the open groups that need no review, as the plan proposes; return their number.

        No verdicts are stored, because nobody has looked at the photos.
        """
        with self._lock:
            accepted = {
                position: replace(decision, state=ACCEPTED)
                for position, decision in enumerate(self._decisions)
                if self._is_sure(position)
            }
            if accepted:
                before = {position: self._decisions[position] for position in accepted}
                self._store(accepted)
                self._past.append((before, []))
            return len(accepted)

    def undo(self) -> int | None:
        """Undo the last decision; return the position of its first group, None if there is none.

        Raises :class:`BadInput` if the files of the group were moved.
        """
        with self._lock:
            if not self._past:
                return None
            before, verdicts = self._past[-1]
            if any(self._moved[position] for position in before):
                raise BadInput("files of this group were moved; put them back first")
            self._store(before, verdicts)
            self._past.pop()
            return min(before)

    # -- applying ----------------------------------------------------------------------------------

    def rows_to_apply(self) -> list[PlanRow]:
        """Return the rows of the accepted groups with files to move."""
        with self._lock:
            return [
                row
                for position in range(len(self._groups))
                if self._removed(position)
                for row in self._group(position).rows
            ]

    def refresh(self) -> None:
        """Read which files were moved and put back, by this process or another.

        An accepted group with a file that was put back is open again and keeps its actions.
        """
        with self._lock:
            found = moved_files(self._quarantines)
            if found == self._files:
                return
            self._files = found
            self._totals.revision = token_hex(8)
            for position, files in enumerate(self._groups):
                self._count(position, -1)
                paths = [file.row.path for file in files]
                self._moved[position] = frozenset(
                    place for place, path in enumerate(paths) if path in found.missing
                )
                decision, since = self._decisions[position], self._decided_at[position]
                is_back = any(found.restored.get(path, "") > since for path in paths)
                if is_back and decision.state == ACCEPTED:
                    self._decisions[position] = replace(decision, state=OPEN)
                    self._past.clear()
                self._count(position, 1)

    # -- state -------------------------------------------------------------------------------------

    def _group(self, position: int) -> PlannedGroup:
        return PlannedGroup(
            self._groups[position], self._decisions[position], self._moved[position]
        )

    @staticmethod
    def _is_open(group: PlannedGroup) -> bool:
        return group.decision.state == OPEN and not group.is_applied

    def _is_sure(self, position: int) -> bool:
        """Return whether a group is open and can be accepted without review."""
        decision = self._decisions[position]
        group = self._group(position)
        is_sure = not (group.needs_review or group.is_conflict or group.moved)
        return decision == GroupDecision() and is_sure

    def _removed(self, position: int) -> list[PlannedFile]:
        """Return the files of a group that applying the decisions moves."""
        group = self._group(position)
        if group.decision.state != ACCEPTED:
            return []
        return [
            file
            for place, (file, row) in enumerate(zip(group.files, group.rows, strict=True))
            if row.action == REMOVE and place not in group.moved
        ]

    def _store(
        self, decisions: Mapping[int, GroupDecision], verdicts: Sequence[Decision] = ()
    ) -> list[Decision]:
        """Store decisions and verdicts, all or none; return the undo of the verdicts."""
        undo = decide(self._catalog, verdicts) if verdicts else []
        try:
            self._write(decisions)
        except StorageError:
            if undo:
                decide(self._catalog, undo)
            raise
        for position, decision in decisions.items():
            self._count(position, -1)
            self._decisions[position] = decision
            self._decided_at[position] = datetime.now(UTC).isoformat()
            self._count(position, 1)
        self._totals.revision = token_hex(8)
        return undo

    def _write(self, decisions: Mapping[int, GroupDecision]) -> None:
        """Append decisions to the journal."""
        entries = [
            {
                "group": _digest(self._groups[position]),
                "proposal": _proposal_digest(self._groups[position]),
                "state": decision.state,
                "actions": {
                    _digest([self._groups[position][place]]): action
                    for place, action in decision.actions.items()
                },
            }
            for position, decision in decisions.items()
        ]
        with storage_errors(f"cannot write {FILE_NAME}"):
            self._journal.write(_DECIDED, entries, durable=False)

    def _restore(self) -> None:
        """Read the decisions in the journal about the same files with the same proposals."""
        stored = {str(one.get("group")): one for one in self._journal.entries()}
        if not stored:
            return
        for position, files in enumerate(self._groups):
            entry = stored.get(_digest(files))
            if entry is None or entry.get("state") not in STATES:
                continue
            if entry.get("proposal") != _proposal_digest(files):
                continue
            given = entry.get("actions")
            actions = {
                place: str(given[digest])
                for place, file in enumerate(files)
                if isinstance(given, dict) and given.get(digest := _digest([file])) in ACTIONS
            }
            group = replace(
                self._group(position), decision=GroupDecision(str(entry["state"]), actions)
            )
            decision = _without_proposed(group, group.decision)
            if not _loses_all(replace(group, decision=decision)):
                self._decisions[position] = decision
                self._decided_at[position] = str(entry["at"])

    def _count(self, position: int, sign: int) -> None:
        """Add a group to the totals, or with -1 remove it."""
        totals, group = self._totals, self._group(position)
        state = group.decision.state
        totals.open += sign * self._is_open(group)
        totals.sure += sign * self._is_sure(position)
        totals.accepted += sign * (state == ACCEPTED)
        totals.different += sign * (state == DIFFERENT_PHOTOS)
        totals.applied += sign * group.is_applied
        if state == ACCEPTED:
            totals.left += sign * sum(row.action == REVIEW for row in group.rows)
        removed = self._removed(position)
        totals.files += sign * len(removed)
        totals.bytes += sign * sum(file.bytes for file in removed)


def _rank(row: PlanRow) -> int:
    """Return the sort key of a file in its group."""
    return (KEEP, REVIEW, REMOVE).index(row.action)


def _urgency(members: Sequence[PlanRow]) -> int:
    """Return the sort key of a group: several labels, other groups to review, the others."""
    if not any(row.action == REVIEW for row in members):
        return 2
    return 0 if len({row.label for row in members} - {None}) > 1 else 1


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _digest(files: Sequence[PlannedFile]) -> str:
    """Return a digest of the paths and the content of files, in any order: 16 hex digits."""
    return _text_digest(f"{to_stored(file.row.path)}\n{file.row.sha256}\n" for file in files)


def _proposal_digest(files: Sequence[PlannedFile]) -> str:
    """Return a digest of the paths of files and the actions that a plan proposes for them."""
    return _text_digest(f"{to_stored(file.row.path)}\n{file.row.action}\n" for file in files)


def _text_digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("".join(sorted(texts)).encode()).hexdigest()[:16]


def _without_proposed(group: PlannedGroup, decision: GroupDecision) -> GroupDecision:
    """Return a decision without the actions that equal the proposal.

    Raises :class:`BadInput` for a file that the group does not have, and for an unknown action.
    """
    for place, action in decision.actions.items():
        if not 0 <= place < len(group.files) or action not in ACTIONS:
            raise BadInput(f"the group has no file {place + 1}, or {action!r} is not an action")
    actions = {
        place: action
        for place, action in decision.actions.items()
        if group.files[place].row.action != action
    }
    return GroupDecision(decision.state, {} if decision.state == DIFFERENT_PHOTOS else actions)


def _loses_all(group: PlannedGroup) -> bool:
    """Return whether a group that must keep a file would lose every intact one."""
    rows = group.rows
    return (
        rows[0].rule == KEEP_ONE
        and any(row.action == REMOVE for row in rows)
        and not any(can_replace_others(row) for row in rows)
    )


def _check(group: PlannedGroup) -> None:
    if group.decision.state not in STATES:
        raise BadInput(f"unknown state {group.decision.state!r}; use {', '.join(STATES)}")
    if _loses_all(group):
        raise BadInput("no intact file of the group would be kept; keep another one first")
    if group.decision.state == DIFFERENT_PHOTOS:
        count = len({file.row.sha256 for file in group.files})
        if count == 1:
            raise BadInput("these files have the same bytes; they cannot be different photos")
        if count > _MAX_DIFFERENT:
            raise BadInput(
                f"the group has more than {_MAX_DIFFERENT} photos; keep or remove its files instead"
            )


def _pairs(group: PlannedGroup) -> dict[tuple[bytes, bytes], str]:
    """Return the verdicts on pairs, by SHA-256, that follow from the decision about a group."""
    rows = [row for row in group.rows if row.kind != DAMAGED]  # the catalog may not know these
    if group.decision.state == DIFFERENT_PHOTOS:
        digests = sorted({bytes.fromhex(row.sha256) for row in rows})
        return dict.fromkeys(combinations(digests, 2), DIFFERENT)
    if group.decision.state == OPEN:
        return {}
    kept = [row for row in rows if row.action == KEEP]
    by_path = {row.path: row for row in kept}
    pairs = {}
    for row in rows:
        target = by_path.get(row.copy_of or "") or (kept[0] if kept else None)
        if row.action == REMOVE and target is not None and target.sha256 != row.sha256:
            one, other = sorted((bytes.fromhex(row.sha256), bytes.fromhex(target.sha256)))
            pairs[one, other] = DUPLICATE
    return pairs
