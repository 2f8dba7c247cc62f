"""From groups of duplicates to a plan: which file of each group is kept, and why the others are
removed."""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from embedkit._internal.paths import absolute, is_within, shown
from embedkit.cleaning.existing_files import alias_reason, by_real_path
from embedkit.cleaning.plan import (
    CONFLICT,
    DROP_ALL,
    KEEP,
    KEEP_ONE,
    REMOVE,
    REVIEW,
)
from embedkit.cleaning.ranking import (
    Candidate,
    Preference,
    camera_reason,
    name_rank,
    preference,
    preference_rank,
)
from embedkit.cleaning.reasons import PROTECTED, drawbacks, review_reason
from embedkit.duplicates.kinds import KINDS
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
from embedkit.results.verdicts import MARKED_KINDS

POLICIES = (REVIEW, DROP_ALL)
"""Policies for a group under several labels: review it, or remove every copy."""

_UNDIRECTED_CHANGES = frozenset({"mirrored", "rotated", "stretched", "reframed", "recoloured"})
"""Changes for which a pair of files rarely shows which of the two was changed."""


class PairExaminer(Protocol):
    """Opens files to compare them; files are named by their SHA-256 (hex)."""

    def compare(self, one: str, other: str) -> Examination:
        """Return the examination of one file against another with different bytes."""

    def prefetch(self, one: str, others: Iterable[str]) -> None:
        """Examine one file against others in parallel, before the results are needed."""

    def metadata_by_digest(self, digests: Sequence[str]) -> Mapping[str, FileMetadata]:
        """Return the metadata in the headers of files; omit files that cannot be read."""


@dataclass(frozen=True)
class PlanOptions:
    """The options of a plan. Raises :class:`BadInput` for invalid values."""

    conflicts: str = REVIEW
    """Policy for groups under several labels: ``review`` or ``drop-all``."""
    protect: tuple[str, ...] = ()
    """Absolute paths of folders and files that are always kept."""
    prefer: tuple[str, ...] = ()
    """Absolute folders, or patterns of names, of files to keep rather than others, in order."""
    allow: frozenset[str] = frozenset()
    """Changes with which copies are removed without review."""

    def __post_init__(self) -> None:
        if self.conflicts not in POLICIES:
            raise BadInput(f"conflicts can be {' or '.join(POLICIES)}, not {self.conflicts!r}")
        if unknown := sorted(self.allow - set(ALLOWABLE)):
            raise BadInput(f"unknown change {unknown[0]!r}; choose from {', '.join(ALLOWABLE)}")

    def protects(self, path: str) -> bool:
        """Return whether a file, by absolute path, is always kept."""
        return any(is_within(path, place) for place in self.protect)


def plan_options(
    conflicts: str,
    protect: Sequence[str | os.PathLike[str]],
    prefer: Sequence[str],
    allow: Sequence[str],
) -> PlanOptions:
    """Return the options of a plan, with absolute paths. Raises :class:`BadInput`."""
    return PlanOptions(
        conflicts,
        tuple(absolute(path) for path in protect),
        tuple(item if set(item) & set("*?[") else absolute(item) for item in prefer),
        frozenset(allow),
    )


def check_kinds(kinds: Sequence[str]) -> None:
    """Raise :class:`BadInput` unless all are kinds of duplicates or of marked photos."""
    known = (*KINDS, *MARKED_KINDS)
    if unknown := [kind for kind in kinds if kind not in known]:
        hint = "; any kind finds copies under several labels" if CONFLICT in unknown else ""
        raise BadInput(f"unknown kind {unknown[0]!r}; choose from {', '.join(known)}{hint}")


def plan_rows(
    found: Duplicates,
    examiner: PairExaminer,
    options: PlanOptions | None = None,
    misfiled: Collection[str] = (),
) -> list[PlanRow]:
    """Return the plan for groups of duplicates, in their order.

    In each group, protected files and files with the verdict ``keep`` are kept; if there are none,
    the best file is kept (:func:`embedkit.cleaning.ranking.preference`). Another file is removed if
    it and the kept file were opened, they do not differ except by allowed changes, and it is not
    better in any respect; otherwise it is for review. Of several files with the same bytes or
    pixels that would be for review, only one is, and the others are removed. Symbolic links, and
    kept files under another path, are for review too. A group under several labels is for review;
    if ``conflicts`` is ``drop-all``, all its sure copies are removed if they are themselves under
    several labels (as in Doi 2018). Of files with the same bytes, those in ``misfiled``, the paths
    of files whose own label a verdict has replaced, are kept last.
    """
    planner = _Planner(examiner, options or PlanOptions(), misfiled)
    rows: list[PlanRow] = []
    number = 0
    for group in found.groups:
        if of_group := planner.rows(number + 1, group):
            number += 1
            rows += of_group
    return rows


@dataclass(frozen=True)
class _Decision:
    """The planned action for one file, and its reason."""

    action: str
    reason: str
    copy_of: str | None = None
    """Path of the file that it was compared with."""
    preferred: Preference | None = None
    """Which of the two is better; None if that is not relevant."""


class _Planner:
    def __init__(
        self, examiner: PairExaminer, options: PlanOptions, misfiled: Collection[str]
    ) -> None:
        self._examiner = examiner
        self._options = options
        self._misfiled = misfiled

    def rows(self, number: int, group: DuplicateGroup) -> list[PlanRow]:
        """Return the rows of one group; none if no file of it is a copy of the kept one."""
        decided = self._decide_conflict(group) if group.conflict else self._decide_copies(group)
        is_dropped = group.conflict and any(one.action == REMOVE for one in decided.values())
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
                    rule=DROP_ALL if is_dropped else KEEP_ONE,
                    copy_of=decision.copy_of,
                )
            )
        return rows

    # -- files under several labels ----------------------------------------------------------------

    def _decide_conflict(self, group: DuplicateGroup) -> dict[str, _Decision]:
        """Return the decisions for a group under several labels, by path."""
        sure = self._sure_copies(group) if self._options.conflicts == DROP_ALL else set()
        if len({one.label for one in group.members if one.path in sure} - {None}) < 2:
            sure = set()
        labels = sorted({member.label for member in group.members if member.label is not None})
        reason = f"the same picture is labelled {' and '.join(shown(label) for label in labels)}"
        kept = by_real_path(one.path for one in group.members if self._keep_reason(one))
        decided = {}
        for member in group.members:
            if keep_reason := self._keep_reason(member):
                decided[member.path] = _Decision(KEEP, keep_reason)
                continue
            is_removed = member.path in sure
            alias = alias_reason(member.path, kept) if is_removed else ""
            decided[member.path] = (
                _Decision(REMOVE, reason)
                if is_removed and not alias
                else _Decision(REVIEW, alias or reason)
            )
        return decided

    def _sure_copies(self, group: DuplicateGroup) -> set[str]:
        """Return the paths of sure copies that also agree with the largest of them.

        Two different photos may both be sure copies of one that is too small to show a difference.
        """
        members = [member for member in group.members if member.sure]
        largest = max(members, key=lambda one: one.width * one.height)
        self._prefetch(largest, members)
        return {
            one.path
            for one in members
            if one.decided
            or one.sha256 == largest.sha256
            or not review_reason(
                self._examiner.compare(largest.sha256, one.sha256), self._options.allow
            )
        }

    # -- copies ------------------------------------------------------------------------------------

    def _decide_copies(self, group: DuplicateGroup) -> dict[str, _Decision]:
        """Return the decisions for the files of a group, by path; omit unrelated files.

        Two larger photos may each contain the whole representative and something else.
        """
        metadata = self._examiner.metadata_by_digest(sorted({one.sha256 for one in group.members}))
        files = {member.path: _candidate(member, metadata) for member in group.members}
        kept_files = [member for member in group.members if self._keep_reason(member)]
        kept_files = kept_files or [self._best(group, files)]
        kept = by_real_path(one.path for one in kept_files)
        kept_paths = {member.path for member in kept_files}
        decided: dict[str, _Decision] = {}
        for_review: list[GroupMember] = []
        for member in group.members:
            if member.path in kept_paths:
                continue
            if alias := alias_reason(member.path, kept):
                decided[member.path] = _Decision(REVIEW, alias)
            elif not self._is_unrelated(member, kept_files):
                decided[member.path] = self._decide(member, kept_files, files)
                if decided[member.path].action == REVIEW:
                    for_review.append(member)
        preferred = [one.preferred for one in decided.values() if one.preferred]
        decided |= self._decide_repeated(for_review, files)
        for member in kept_files:
            reason = self._keep_reason(member) or _best_reason(files[member.path], preferred)
            decided[member.path] = _Decision(KEEP, reason)
        return decided

    def _is_unrelated(self, member: GroupMember, kept_files: Sequence[GroupMember]) -> bool:
        """Return whether a file contains the representative but differs from all kept files."""
        found = member.examination
        if found is None or Change("cropped", 1) not in found.changes:
            return False
        return all(
            kept_file.sha256 != member.sha256
            and self._examiner.compare(kept_file.sha256, member.sha256).outcome == DIFFERENT
            for kept_file in kept_files
        )

    def _decide(
        self, member: GroupMember, kept_files: Sequence[GroupMember], files: Mapping[str, Candidate]
    ) -> _Decision:
        """Return the decision for a file, against the kept file of which it most certainly is a
        copy."""
        same = next((one for one in kept_files if one.sha256 == member.sha256), None)
        if same is not None:
            name = shown(os.path.basename(same.path))
            return _Decision(REMOVE, f"the same bytes as {name}", same.path)
        decisions = [self._decide_against(member, kept_file, files) for kept_file in kept_files]
        return next((one for one in decisions if one.action == REMOVE), decisions[0])

    def _decide_against(
        self, member: GroupMember, kept_file: GroupMember, files: Mapping[str, Candidate]
    ) -> _Decision:
        """Return the decision for a file that is compared with one kept file."""
        name = shown(os.path.basename(kept_file.path))
        found = self._examiner.compare(kept_file.sha256, member.sha256)
        if member.decided or (kept_file.decided and member.score == 1.0):
            return _Decision(REMOVE, f"you marked it as a duplicate of {name}", kept_file.path)
        pair = files[kept_file.path], files[member.path]
        preferred = preference(*pair, found, self._options.prefer)
        relevant_changes = found
        if Change("stripped", 2) in found.changes:
            # Nothing is lost if the kept file is the better one even without its video or layers.
            others = tuple(one for one in found.changes if one != Change("stripped", 2))
            bare = replace(found, changes=others)
            judged = preference(*pair, bare, self._options.prefer)
            if judged.prefers_first and not judged.disputed:
                relevant_changes = bare
        reason_to_review = review_reason(relevant_changes, self._options.allow)
        if not reason_to_review and not preferred.prefers_first:
            reason_to_review = f"a copy of {{}}, which is kept, although this one {preferred.why}"
        elif not reason_to_review and preferred.disputed:
            reason_to_review = (
                f"a copy of {{}}, which {preferred.why}, but this one {preferred.disputed}"
            )
        if reason_to_review:
            relevant = preferred if found.outcome == COPY else None
            return _Decision(REVIEW, reason_to_review.format(name), kept_file.path, relevant)
        worse = drawbacks(*pair, found)
        reason = f"a copy of {name}; this one {worse}" if worse else f"a copy of {name}"
        if kept_file.label is None and member.label is not None:
            reason += f"; its label {shown(member.label)} is carried over"
        return _Decision(REMOVE, reason, kept_file.path, preferred)

    def _decide_repeated(
        self, for_review: Sequence[GroupMember], files: Mapping[str, Candidate]
    ) -> dict[str, _Decision]:
        """Return the decisions for files for review with the same bytes or pixels as another one.

        The best of such files stays for review, and the others are removed; their labels are
        carried over to it.
        """
        decided = {}
        for same in self._group_pixel_identical(for_review):
            best = self._best_pixel_identical(same, files)
            best = min((one for one in same if one.sha256 == best.sha256), key=self._rank)
            name = shown(os.path.basename(best.path))
            for member in same:
                if os.path.realpath(member.path) == os.path.realpath(best.path):
                    continue
                if member.sha256 == best.sha256:
                    reason = f"the same bytes as {name}, which is for review"
                else:
                    found = self._examiner.compare(best.sha256, member.sha256)
                    worse = drawbacks(files[best.path], files[member.path], found)
                    reason = f"a copy of {name}, which is for review; this one {worse}"
                decided[member.path] = _Decision(REMOVE, reason, best.path)
        return decided

    # -- pixel-identical files ---------------------------------------------------------------------

    def _group_pixel_identical(self, members: Sequence[GroupMember]) -> list[list[GroupMember]]:
        """Group files that have the same pixels and do not differ otherwise."""
        same: dict[str, list[GroupMember]] = {}
        for member in members:
            same.setdefault(member.same_pixels_as or member.sha256, []).append(member)
        groups = []
        for rest in same.values():
            while rest:
                first = rest[0]
                self._prefetch(first, rest)
                identical = {one.path: self._are_pixel_identical(first, one) for one in rest}
                groups.append([one for one in rest if identical[one.path]])
                rest = [one for one in rest if not identical[one.path]]
        return groups

    def _are_pixel_identical(self, one: GroupMember, other: GroupMember) -> bool:
        """Return whether two files have the same pixels and do not differ otherwise."""
        if one.sha256 == other.sha256:
            return True
        found = self._examiner.compare(one.sha256, other.sha256)
        return found.same_pixels and not review_reason(found, self._options.allow)

    def _best_pixel_identical(
        self, members: Sequence[GroupMember], files: Mapping[str, Candidate]
    ) -> GroupMember:
        """Return the best of pixel-identical files: the one to which no other is preferred."""
        best = members[0]
        while better := self._preferred_to(best, members, files):
            best = better[0]
        return best

    def _rank(self, member: GroupMember) -> tuple[bool, int, bool, tuple[bool, bool, str]]:
        """Return the sort key of files with the same bytes, the one to keep first."""
        return (
            os.path.islink(member.path),
            preference_rank(member.path, self._options.prefer),
            member.path in self._misfiled,
            name_rank(member.path),
        )

    # -- the best file -----------------------------------------------------------------------------

    def _best(self, group: DuplicateGroup, files: Mapping[str, Candidate]) -> GroupMember:
        """Return the best file among the representative and its copies."""
        best = group.members[0]
        self._prefetch(best, group.members)
        eligible = self._majority_variant(group, files)
        if best not in eligible:
            best = eligible[0]
            self._prefetch(best, group.members)
        tried = {best.sha256: best}
        while better := self._preferred_to(best, eligible, files, tried):
            best = better[0]
            tried[best.sha256] = best
            self._prefetch(best, group.members)
        # Preferences may be circular: then keep the file to which the fewest others are preferred.
        best = min(reversed(tried.values()), key=lambda one: self._losses(one, eligible, files))
        identical = [one for one in eligible if self._are_pixel_identical(best, one)]
        best = self._best_pixel_identical([best, *identical], files)
        same = [member for member in group.members if member.sha256 == best.sha256]
        return min(same, key=self._rank)

    def _majority_variant(
        self, group: DuplicateGroup, files: Mapping[str, Candidate]
    ) -> list[GroupMember]:
        """Return the files with the highest user preference, in the variant of their majority.

        If one of two files is mirrored, neither shows which. Among many files, the variant of the
        most files from a camera is kept, or else that of the most files.
        """
        first = group.members[0]
        may_be_kept = [one for one in group.members if one == first or _may_be_kept(one)]
        rank = min(preference_rank(one.path, self._options.prefer) for one in may_be_kept)
        variants: dict[frozenset[str], list[GroupMember]] = {}
        for member in may_be_kept:
            if preference_rank(member.path, self._options.prefer) == rank:
                variants.setdefault(self._variant(first, member), []).append(member)
        votes = {
            variant: (sum(files[one.path].is_from_camera for one in members), len(members))
            for variant, members in variants.items()
        }
        most = max(votes.values())
        return [
            one
            for variant, members in variants.items()
            if votes[variant] == most
            for one in members
        ]

    def _variant(self, first: GroupMember, member: GroupMember) -> frozenset[str]:
        """Return the undirected changes between a file and the first one of its group."""
        if member.sha256 == first.sha256:
            return frozenset()
        found = self._examiner.compare(first.sha256, member.sha256)
        return frozenset(item.name for item in found.changes) & _UNDIRECTED_CHANGES

    def _preferred_to(
        self,
        best: GroupMember,
        members: Sequence[GroupMember],
        files: Mapping[str, Candidate],
        without: Collection[str] = (),
    ) -> list[GroupMember]:
        """Return the members preferred to a file, except those with digests in ``without``."""
        preferred = []
        for member in members:
            if member.sha256 not in without:
                chosen = self._preference(best, member, files)
                if chosen is not None and not chosen.prefers_first:
                    preferred.append(member)
        return preferred

    def _losses(
        self, one: GroupMember, members: Sequence[GroupMember], files: Mapping[str, Candidate]
    ) -> tuple[int, int]:
        """Return how many members are preferred to a file: without dispute, and in total."""
        preferred = [self._preference(one, member, files) for member in members]
        better = [item for item in preferred if item is not None and not item.prefers_first]
        return sum(not item.disputed for item in better), len(better)

    def _preference(
        self, one: GroupMember, other: GroupMember, files: Mapping[str, Candidate]
    ) -> Preference | None:
        """Return which of two files is better; None if their bytes are equal or they differ."""
        if other.sha256 == one.sha256:
            return None
        found = self._examiner.compare(one.sha256, other.sha256)
        if found.outcome == DIFFERENT:
            return None
        return preference(files[one.path], files[other.path], found, self._options.prefer)

    def _prefetch(self, one: GroupMember, members: Sequence[GroupMember]) -> None:
        """Compare a file with all members in parallel, rather than one at a time on one core."""
        self._examiner.prefetch(one.sha256, {member.sha256 for member in members} - {one.sha256})

    def _keep_reason(self, member: GroupMember) -> str:
        """Return why a file is always kept; empty if it is not."""
        if self._options.protects(member.path):
            return PROTECTED
        return "you marked it to be kept" if member.keep else ""


def _may_be_kept(member: GroupMember) -> bool:
    """Return whether a file is not known to show something other than the representative."""
    return member.sure or (
        member.examination is not None and member.examination.outcome != DIFFERENT
    )


def _candidate(member: GroupMember, metadata: Mapping[str, FileMetadata]) -> Candidate:
    return Candidate(
        member.path, member.width, member.height, member.bytes, metadata.get(member.sha256)
    )


def _best_reason(kept_file: Candidate, preferred: Sequence[Preference]) -> str:
    """Return why a file is the best of its group, given its comparisons with the others."""
    if kept_file.is_from_camera:
        return camera_reason(kept_file)
    reasons = list(dict.fromkeys(one.why for one in preferred if one.prefers_first))
    return "the best of its group" + (f": it {' and '.join(reasons[:2])}" if reasons else "")
