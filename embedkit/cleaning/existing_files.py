"""What the disk says now of the files that the catalog has as duplicates."""

import os
from collections.abc import Sequence
from dataclasses import replace

from embedkit._internal.paths import shown
from embedkit.catalog import Catalog
from embedkit.cleaning.plan import REMOVE, REVIEW
from embedkit.duplicates.pair_search import EXACT
from embedkit.errors import BadInput
from embedkit.results import DuplicateGroup, Duplicates, GroupMember, PlanRow


def check_protected(catalog: Catalog, protected: Sequence[str]) -> None:
    """Raise :class:`BadInput` for an absolute path that protects nothing: no photo is there."""
    for path in protected:
        if not os.path.lexists(path):
            raise BadInput(f"{shown(path)} does not exist, so it protects nothing")
        with catalog.read() as reader:
            photos = any(os.path.exists(file) for file in reader.files.paths_below(path))
            damaged = [
                item
                for item in reader.failures.all(reader.folders.scopes_at(path))
                if item.stage == "decode"
            ]
        if not photos and not damaged:
            raise BadInput(
                f"the workspace has no photos at or below {shown(path)}, so it protects nothing; "
                "name a folder as the workspace does ('embedkit info' lists what was added)"
            )


def present(found: Duplicates) -> Duplicates:
    """Groups of duplicates without the files that are gone; those with less than two vanish.

    The members of a group were each compared with its representative. Where the bytes of that are
    gone, those that are left were not compared with each other: only what has the same bytes stays
    together. The others form groups again when the next ``add`` has noted what is missing.
    """
    groups = [part for group in found.groups for part in _present(group)]
    return replace(found, groups=tuple(groups))


def spare_hard_links(rows: Sequence[PlanRow]) -> list[PlanRow]:
    """A plan's rows, with a person to decide on each hard link of a file that stays.

    Removing such a name frees no space.
    """
    staying: dict[tuple[int, int, int], str] = {}
    for row in rows:
        if row.action != REMOVE and (identity := _identity(row.path)) is not None:
            staying.setdefault((row.group, *identity), row.path)
    spared = []
    for row in rows:
        identity = _identity(row.path) if row.action == REMOVE else None
        stays = None if identity is None else staying.get((row.group, *identity))
        if stays is not None:
            reason = f"the very file that stays as {shown(stays)}, by a hard link"
            row = replace(row, action=REVIEW, reason=reason)
        spared.append(row)
    return spared


def _present(group: DuplicateGroup) -> list[DuplicateGroup]:
    there = [member for member in group.members if os.path.exists(member.path)]
    if len(there) == len(group.members):
        return [group]
    if any(member.sha256 == group.members[0].sha256 for member in there):
        return _of(group, there)
    same: dict[str, list[GroupMember]] = {}
    for member in there:
        same.setdefault(member.sha256, []).append(replace(member, score=1.0))
    return [part for members in same.values() for part in _of(group, members)]


def _of(group: DuplicateGroup, members: list[GroupMember]) -> list[DuplicateGroup]:
    """What is left of a group, if it is one."""
    if len(members) < 2:
        return []
    is_exact = len({member.sha256 for member in members}) == 1
    labels = {member.label for member in members if member.label is not None}
    return [
        replace(
            group,
            kind=EXACT if is_exact else group.kind,
            score=min(member.score for member in members),
            representative=members[0].path,
            members=tuple(members),
            conflict=len(labels) > 1,
        )
    ]


def _identity(path: str) -> tuple[int, int] | None:
    """Device and number of the file at a path, no link itself; None without one."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status.st_nlink > 1 else None
