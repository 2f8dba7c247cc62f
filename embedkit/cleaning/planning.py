"""From groups of duplicates to a plan: which file of each stays, and why the others go."""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from embedkit._internal.paths import shown
from embedkit.cleaning.plan import CONFLICT, DROP_ALL, KEEP, KEEP_ONE, ONLY_A_LINK, REMOVE, REVIEW
from embedkit.cleaning.ranking import (
    Candidate,
    Preference,
    original_name,
    preference,
    rank_by_name,
    rank_by_wish,
)
from embedkit.cleaning.reasons import PROTECTED, what_it_lacks, why_for_review
from embedkit.errors import BadInput
from embedkit.results import (
    ALLOWABLE,
    COPY,
    DIFFERENT,
    Change,
    DuplicateGroup,
    Duplicates,
    Examination,
    FileMetadata,
    GroupMember,
    PlanRow,
)

POLICIES = (REVIEW, DROP_ALL)
"""What becomes of a group under several labels: a person decides, or every copy goes."""

_UNTOLD = frozenset({"mirrored", "rotated", "stretched", "reframed", "recoloured"})
"""Changes of which two files seldom tell to which of them they were done."""


class Judge(Protocol):
    """What opens files to compare them, by SHA-256 (hex)."""

    def between(self, one: str, other: str) -> Examination:
        """The examination of the first against the second; they have different bytes."""

    def compare(self, one: str, others: Iterable[str]) -> None:
        """Examine one file against others, which have other bytes, before each is asked for."""

    def headers(self, digests: Sequence[str]) -> Mapping[str, FileMetadata]:
        """What the headers of files say; those that cannot be read are left out."""


@dataclass(frozen=True)
class Wishes:
    """What a person wants of a plan. Raises :class:`BadInput` for what there is not."""

    conflicts: str = REVIEW
    protected: tuple[str, ...] = ()
    """Absolute folders and files that stay whatever they are copies of."""
    prefer: tuple[str, ...] = ()
    """Absolute folders, or patterns of names, whose files rather stay; the first comes first."""
    allowed: frozenset[str] = frozenset()
    """What may have been done to a copy that goes without review."""

    def __post_init__(self) -> None:
        if self.conflicts not in POLICIES:
            raise BadInput(f"conflicts can be {' or '.join(POLICIES)}, not {self.conflicts!r}")
        if unknown := sorted(self.allowed - set(ALLOWABLE)):
            raise BadInput(
                f"copies cannot be allowed to be {unknown[0]!r}; they can be {', '.join(ALLOWABLE)}"
            )

    def protects(self, path: str) -> bool:
        """Whether a file, by absolute path, stays whatever it is a copy of."""
        return any(
            path == place or path.startswith(os.path.join(place, "")) for place in self.protected
        )


def plan_rows(found: Duplicates, judge: Judge, wishes: Wishes | None = None) -> list[PlanRow]:
    """The plan for groups of duplicates, their files in order.

    Of a group the protected files stay, and all that a person decided to keep; else the best file
    (:func:`embedkit.cleaning.ranking.preference`). The others go when nothing differs between them
    and the one that stays when both are opened, but for what is ``allowed``, and when nothing
    speaks for them; else they are for review. When several files with the same bytes or pixels
    would all be for review, only one of them is, and the others go. Symbolic links, and files that
    stay under another path, are for review too. A group whose files are under several labels is for
    review; if ``conflicts`` is ``drop-all`` its sure copies all go, when they are themselves under
    several (Doi 2018 dropped them so).
    """
    planner = _Planner(judge, wishes or Wishes())
    rows: list[PlanRow] = []
    number = 0
    for group in found.groups:
        if of_group := planner.rows(number + 1, group):
            number += 1
            rows += of_group
    return rows


@dataclass(frozen=True)
class _Decision:
    """What becomes of one file."""

    action: str
    reason: str
    copy_of: str | None = None
    """The path of the file that it was compared with."""
    preferred: Preference | None = None
    """Which of the two is better, and why; None if that does not count."""


class _Planner:
    def __init__(self, judge: Judge, wishes: Wishes) -> None:
        self._judge = judge
        self._wishes = wishes

    def rows(self, number: int, group: DuplicateGroup) -> list[PlanRow]:
        """The rows of one group; none if nothing in it is like the file that would stay."""
        decided = self._conflict(group) if group.conflict else self._copies(group)
        drops = group.conflict and any(one.action == REMOVE for one in decided.values())
        if len(decided) < 2:
            return []
        rows = []
        for member in group.members:
            if member.path not in decided:
                continue
            decision = decided[member.path]
            rows.append(
                PlanRow(
                    group=number,
                    action=decision.action,
                    path=member.path,
                    sha256=member.sha256,
                    kind=CONFLICT if group.conflict else group.kind,
                    score=round(member.score, 4),
                    label=member.label,
                    reason=decision.reason,
                    rule=DROP_ALL if drops else KEEP_ONE,
                    copy_of=decision.copy_of,
                )
            )
        return rows

    # -- files under several labels ----------------------------------------------------------------

    def _conflict(self, group: DuplicateGroup) -> dict[str, _Decision]:
        sure = self._sure(group) if self._wishes.conflicts == DROP_ALL else set()
        if len({one.label for one in group.members if one.path in sure} - {None}) < 2:
            sure = set()
        labels = sorted({member.label for member in group.members if member.label is not None})
        reason = f"the same picture is labelled {' and '.join(shown(label) for label in labels)}"
        staying = self._staying([member for member in group.members if self._why_safe(member)])
        decided = {}
        for member in group.members:
            if safe := self._why_safe(member):
                decided[member.path] = _Decision(KEEP, safe)
                continue
            goes = member.path in sure
            name = _why_only_a_name(member, staying) if goes else ""
            decided[member.path] = (
                _Decision(REVIEW, name or reason) if name or not goes else _Decision(REMOVE, reason)
            )
        return decided

    def _sure(self, group: DuplicateGroup) -> set[str]:
        """The paths of sure copies that show the same as the largest of them, too.

        Two photos that differ may both be sure copies of one that is too small to show it.
        """
        members = [member for member in group.members if member.sure]
        largest = max(members, key=lambda one: one.width * one.height)
        self._judge.compare(largest.sha256, {one.sha256 for one in members} - {largest.sha256})
        return {
            one.path
            for one in members
            if one.decided
            or one.sha256 == largest.sha256
            or not why_for_review(
                self._judge.between(largest.sha256, one.sha256), self._wishes.allowed
            )
        }

    # -- copies ------------------------------------------------------------------------------------

    def _copies(self, group: DuplicateGroup) -> dict[str, _Decision]:
        """What becomes of the files by path, but for those that are none of this group after all.

        Two larger photos may each show all of the representative, and something else besides.
        """
        headers = self._judge.headers(sorted({member.sha256 for member in group.members}))
        files = {member.path: _candidate(member, headers) for member in group.members}
        keepers = [member for member in group.members if self._why_safe(member)]
        keepers = keepers or [self._best(group, files)]
        staying = self._staying(keepers)
        kept = {member.path for member in keepers}
        decided: dict[str, _Decision] = {}
        doubtful: list[GroupMember] = []
        for member in group.members:
            if member.path in kept:
                continue
            if name := _why_only_a_name(member, staying):
                decided[member.path] = _Decision(REVIEW, name)
            elif not self._is_apart(member, keepers):
                decided[member.path] = self._against(member, keepers, files)
                if decided[member.path].action == REVIEW:
                    doubtful.append(member)
        better = [one.preferred for one in decided.values() if one.preferred]
        decided |= self._repeated(doubtful, files)
        for member in keepers:
            why = self._why_safe(member) or _why_best(files[member.path], better)
            decided[member.path] = _Decision(KEEP, why)
        return decided

    def _is_apart(self, member: GroupMember, keepers: Sequence[GroupMember]) -> bool:
        """Whether a file shows more than the representative, and is unlike all that stay."""
        found = member.examination
        if found is None or Change("cropped", 1) not in found.changes:
            return False
        return all(
            keeper.sha256 != member.sha256
            and self._judge.between(keeper.sha256, member.sha256).outcome == DIFFERENT
            for keeper in keepers
        )

    def _against(
        self, member: GroupMember, keepers: Sequence[GroupMember], files: Mapping[str, Candidate]
    ) -> _Decision:
        """What becomes of a file beside those that stay: the one it is surest a copy of counts."""
        same = next((one for one in keepers if one.sha256 == member.sha256), None)
        if same is not None:
            name = shown(os.path.basename(same.path))
            return _Decision(REMOVE, f"the same bytes as {name}", same.path)
        judged = [self._beside(member, keeper, files) for keeper in keepers]
        return next((one for one in judged if one.action == REMOVE), judged[0])

    def _repeated(
        self, doubtful: Sequence[GroupMember], files: Mapping[str, Candidate]
    ) -> dict[str, _Decision]:
        """What becomes of files for review that repeat another one, with its bytes or its pixels.

        The best of them stays for review on behalf of all; labels of the others go over to it.
        """
        decided = {}
        for same in self._by_pixels(doubtful):
            best = self._best_of_twins(same, files)
            best = min((one for one in same if one.sha256 == best.sha256), key=self._rank)
            name = shown(os.path.basename(best.path))
            for member in same:
                if os.path.realpath(member.path) == os.path.realpath(best.path):
                    continue
                if member.sha256 == best.sha256:
                    reason = f"the same bytes as {name}, which is for review"
                else:
                    found = self._judge.between(best.sha256, member.sha256)
                    lacks = what_it_lacks(files[best.path], files[member.path], found)
                    reason = f"a copy of {name}, which is for review; this one {lacks}"
                decided[member.path] = _Decision(REMOVE, reason, best.path)
        return decided

    def _by_pixels(self, members: Sequence[GroupMember]) -> list[list[GroupMember]]:
        """Files in groups that have the same pixels, and nothing else that tells them apart."""
        same: dict[str, list[GroupMember]] = {}
        for member in members:
            same.setdefault(member.same_pixels_as or member.sha256, []).append(member)
        groups = []
        for some in same.values():
            while some:
                first = some[0]
                self._judge.compare(first.sha256, {one.sha256 for one in some} - {first.sha256})
                alike = {one.path: self._has_its_pixels(first, one) for one in some}
                groups.append([one for one in some if alike[one.path]])
                some = [one for one in some if not alike[one.path]]
        return groups

    def _has_its_pixels(self, one: GroupMember, other: GroupMember) -> bool:
        """Whether two files have the same pixels, and nothing else that tells them apart."""
        if one.sha256 == other.sha256:
            return True
        found = self._judge.between(one.sha256, other.sha256)
        return found.same_pixels and not why_for_review(found, self._wishes.allowed)

    def _best_of_twins(
        self, twins: Sequence[GroupMember], files: Mapping[str, Candidate]
    ) -> GroupMember:
        """The best of files that have the same pixels: that to which none is preferred."""
        best = twins[0]
        while better := self._preferred_to(best, twins, files):
            best = better[0]
        return best

    def _rank(self, member: GroupMember) -> tuple[bool, int, tuple[bool, bool, str]]:
        """The key that orders files of the same bytes, the one that stays first."""
        return (
            os.path.islink(member.path),
            rank_by_wish(member.path, self._wishes.prefer),
            rank_by_name(member.path),
        )

    def _beside(
        self, member: GroupMember, keeper: GroupMember, files: Mapping[str, Candidate]
    ) -> _Decision:
        name = shown(os.path.basename(keeper.path))
        found = self._judge.between(keeper.sha256, member.sha256)
        if member.decided or (keeper.decided and member.score == 1.0):
            return _Decision(REMOVE, f"you decided that it is a copy of {name}", keeper.path)
        preferred = preference(files[keeper.path], files[member.path], found, self._wishes.prefer)
        doubt = why_for_review(found, self._wishes.allowed)
        if not doubt and not preferred.first:
            doubt = f"a copy of {{}}, which stays; in favour of this one: {preferred.why}"
        elif not doubt and preferred.disputed:
            doubt = f"a copy of {{}}, {preferred.why}; but {preferred.disputed}".replace(
                "the other one", "this one"
            )
        if doubt:
            counts = preferred if found.outcome == COPY else None
            return _Decision(REVIEW, doubt.format(name), keeper.path, counts)
        lacks = what_it_lacks(files[keeper.path], files[member.path], found)
        reason = f"a copy of {name}; this one {lacks}" if lacks else f"a copy of {name}"
        if keeper.label is None and member.label is not None:
            reason += f"; its label {shown(member.label)} goes to the one that stays"
        return _Decision(REMOVE, reason, keeper.path, preferred)

    def _best(self, group: DuplicateGroup, files: Mapping[str, Candidate]) -> GroupMember:
        """The best file among the representative and what shows the same."""
        champion = group.members[0]
        self._compare(champion, group)
        alike = self._as_most(group, files)
        if champion not in alike:
            champion = alike[0]
            self._compare(champion, group)
        champions = {champion.sha256: champion}
        while rivals := self._preferred_to(champion, alike, files, champions):
            champion = rivals[0]
            champions[champion.sha256] = champion
            self._compare(champion, group)
        # Preferences may form a circle: then the one stays to which the fewest are preferred.
        champion = min(
            reversed(champions.values()), key=lambda one: self._losses(one, alike, files)
        )
        twins = [one for one in alike if self._has_its_pixels(champion, one)]
        champion = self._best_of_twins([champion, *twins], files)
        same = [member for member in group.members if member.sha256 == champion.sha256]
        return min(same, key=self._rank)

    def _losses(
        self, champion: GroupMember, members: Sequence[GroupMember], files: Mapping[str, Candidate]
    ) -> tuple[int, int]:
        """How many members are preferred to one: undisputed, and in total."""
        preferred = [self._preference(champion, member, files) for member in members]
        better = [one for one in preferred if one is not None and not one.first]
        return sum(not one.disputed for one in better), len(better)

    def _preferred_to(
        self,
        champion: GroupMember,
        members: Sequence[GroupMember],
        files: Mapping[str, Candidate],
        without: Collection[str] = (),
    ) -> list[GroupMember]:
        """The members that are preferred to one, but for those whose digests are in ``without``."""
        preferred = []
        for member in members:
            if member.sha256 not in without:
                chosen = self._preference(champion, member, files)
                if chosen is not None and not chosen.first:
                    preferred.append(member)
        return preferred

    def _preference(
        self, champion: GroupMember, member: GroupMember, files: Mapping[str, Candidate]
    ) -> Preference | None:
        """Which of two files is better; None if they show different things or are the same."""
        if member.sha256 == champion.sha256:
            return None
        found = self._judge.between(champion.sha256, member.sha256)
        if found.outcome == DIFFERENT:
            return None
        return preference(files[champion.path], files[member.path], found, self._wishes.prefer)

    def _as_most(self, group: DuplicateGroup, files: Mapping[str, Candidate]) -> list[GroupMember]:
        """The files, of those that are preferred, that are the way most of them are.

        Of two files one of which is mirrored, say, neither tells which it is; of many, the most
        from a camera do, else the most.
        """
        first = group.members[0]
        may_stay = [one for one in group.members if one == first or self._may_stay(one)]
        wish = min(rank_by_wish(one.path, self._wishes.prefer) for one in may_stay)
        ways: dict[frozenset[str], list[GroupMember]] = {}
        for member in may_stay:
            if rank_by_wish(member.path, self._wishes.prefer) == wish:
                ways.setdefault(self._way(first, member), []).append(member)
        votes = {
            way: (sum(files[one.path].is_from_camera for one in some), len(some))
            for way, some in ways.items()
        }
        most = max(votes.values())
        return [one for way, some in ways.items() if votes[way] == most for one in some]

    def _way(self, first: GroupMember, member: GroupMember) -> frozenset[str]:
        """What was done to a file beside the first one, or to that, where two do not tell."""
        if member.sha256 == first.sha256:
            return frozenset()
        found = self._judge.between(first.sha256, member.sha256)
        return frozenset(item.name for item in found.changes) & _UNTOLD

    def _compare(self, champion: GroupMember, group: DuplicateGroup) -> None:
        """Compare the best file so far with all others of its group: if it stays, all of it counts.

        One after the other they would take as many times longer as there are processors.
        """
        digests = {member.sha256 for member in group.members}
        self._judge.compare(champion.sha256, digests - {champion.sha256})

    @staticmethod
    def _may_stay(member: GroupMember) -> bool:
        """Whether a file may be the best one: if it was not found to show something else."""
        return member.sure or (
            member.examination is not None and member.examination.outcome != DIFFERENT
        )

    def _why_safe(self, member: GroupMember) -> str:
        """Why a file stays whatever it is a copy of; empty if nothing says so."""
        if self._wishes.protects(member.path):
            return PROTECTED
        return "you decided to keep it" if member.keep else ""

    @staticmethod
    def _staying(keepers: Sequence[GroupMember]) -> dict[str, GroupMember]:
        return {os.path.realpath(member.path): member for member in reversed(keepers)}


def _candidate(member: GroupMember, headers: Mapping[str, FileMetadata]) -> Candidate:
    facts = headers.get(member.sha256)
    return Candidate(member.path, member.width, member.height, member.bytes, facts)


def _why_best(keeper: Candidate, better: Sequence[Preference]) -> str:
    """Why the best file of a group is that, as it was found beside the others."""
    if keeper.is_from_camera:
        return original_name(keeper)
    whys = list(dict.fromkeys(one.why for one in better if one.first))
    return "the best of its group" + (f": {', '.join(whys[:2])}" if whys else "")


def _why_only_a_name(member: GroupMember, staying: Mapping[str, GroupMember]) -> str:
    """Why a file is no copy but a name of one, if it is; ``staying`` are those that stay."""
    if os.path.islink(member.path):
        return ONLY_A_LINK
    stays = staying.get(os.path.realpath(member.path))
    if stays is not None:
        return f"the very file that is kept as {shown(stays.path)}"
    return ""
