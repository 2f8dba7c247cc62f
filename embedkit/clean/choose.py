"""From groups of duplicates to a plan: which file of each stays, and why the others go."""

import os
from collections.abc import Mapping, Sequence

from embedkit.clean.plan import DROP_ALL, KEEP, KEEP_ONE, REMOVE, REVIEW
from embedkit.duplicates.evidence import SURE
from embedkit.errors import BadInput
from embedkit.paths import shown
from embedkit.records import DuplicateGroup, Duplicates, Member, PlanRow

POLICIES = (REVIEW, DROP_ALL)
"""What becomes of a group under several labels: a person decides, or every copy goes."""
CONFLICT = "conflict"


def plan_rows(
    found: Duplicates, conflicts: str = REVIEW, protected: Sequence[str] = ()
) -> list[PlanRow]:
    """The plan for groups of duplicates, their files in order.

    Of a group the files below ``protected`` folders (absolute) stay, else its representative, and
    all that a person decided to keep. The others go when they are surely copies of one that stays,
    and are for review when not; so is what proves to be a symbolic link, or one that stays by
    another path. A group whose files are under several labels is for review; if ``conflicts`` is
    ``drop-all`` its sure copies all go, when they are themselves under several (Doi 2018 dropped
    them so). Raises :class:`BadInput` for another policy.
    """
    if conflicts not in POLICIES:
        raise BadInput(f"conflicts can be {' or '.join(POLICIES)}, not {conflicts!r}")
    return [
        row
        for number, group in enumerate(found.groups, 1)
        for row in _group_rows(number, group, conflicts, tuple(protected))
    ]


def _group_rows(
    number: int, group: DuplicateGroup, conflicts: str, protected: tuple[str, ...]
) -> list[PlanRow]:
    sure = {member.label for member in group.members if member.score >= SURE} - {None}
    drops = len(sure) > 1 and conflicts == DROP_ALL
    safe = {member.path for member in group.members if _is_below(member.path, protected)}
    kept = safe | {member.path for member in group.members if member.keep}
    if not kept and not group.conflict:
        kept = {_best(group)}
    keepers = [member for member in group.members if member.path in kept]
    staying = {os.path.realpath(member.path): member for member in reversed(keepers)}
    labels = sorted({member.label for member in group.members if member.label is not None})
    rows = []
    for member in group.members:
        if member.path in kept:
            action, reason = KEEP, _why_kept(member, member.path in safe)
        elif group.conflict:
            under = " and ".join(shown(label) for label in labels)
            action = REMOVE if drops and member.score >= SURE else REVIEW
            reason = f"the same picture is labelled {under}"
        else:
            keeper = max(keepers, key=lambda one: _score(member, one))
            action = REMOVE if _score(member, keeper) >= SURE else REVIEW
            reason = _why_a_copy(member, keeper)
        if action == REMOVE and (name := _why_only_a_name(member, staying)) is not None:
            action, reason = REVIEW, name
        rows.append(
            PlanRow(
                group=number,
                action=action,
                path=member.path,
                sha256=member.sha256,
                kind=CONFLICT if group.conflict else group.kind,
                score=round(member.score, 4),
                label=member.label,
                reason=reason,
                rule=DROP_ALL if drops else KEEP_ONE,
            )
        )
    return rows


def _best(group: DuplicateGroup) -> str:
    """The representative; if that is a link, a file that holds the same bytes itself."""
    first = group.members[0]
    same = (member.path for member in group.members if member.sha256 == first.sha256)
    return next((path for path in same if not os.path.islink(path)), first.path)


def _why_only_a_name(member: Member, staying: Mapping[str, Member]) -> str | None:
    """Why a file is no copy but a name of one, if it is; ``staying`` are those that stay."""
    if os.path.islink(member.path):
        return "a symbolic link, which holds no photo; remove it by hand"
    stays = staying.get(os.path.realpath(member.path))
    if stays is not None:
        return f"the very file that is kept as {shown(stays.path)}"
    return None


def _is_below(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(os.path.join(folder, "")) for folder in folders)


def _score(one: Member, other: Member) -> float:
    """The score of two files of a group, which vouches for each as a copy of its representative."""
    return 1.0 if one.sha256 == other.sha256 else min(one.score, other.score)


def _why_kept(member: Member, is_safe: bool) -> str:
    if is_safe:
        return "in a protected folder"
    return "you decided to keep it" if member.keep else "the best of its group"


def _why_a_copy(member: Member, keeper: Member) -> str:
    """One sentence on what the keeper and a copy of it have in common, and what not."""
    name = shown(os.path.basename(keeper.path))
    if member.sha256 == keeper.sha256:
        return f"the same bytes as {name}"
    told = [f"looks like {name} (score {_score(member, keeper):.2f})"]
    if member.width * member.height < keeper.width * keeper.height:
        told.append(f"smaller: {member.width} x {member.height}")
    elif member.bytes < keeper.bytes:
        told.append("more strongly compressed")
    return ", ".join(told)
