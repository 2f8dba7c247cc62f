"""Checks of the files on disk for a plan: protected, missing and hard-linked files."""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from embedkit._internal.paths import shown
from embedkit.catalog import Catalog
from embedkit.cleaning.plan import REMOVE, REVIEW, SYMLINK_REASON
from embedkit.duplicates.kinds import EXACT
from embedkit.errors import BadInput
from embedkit.results import DuplicateGroup, Duplicates, GroupMember, PlanRow


def check_protected(catalog: Catalog, protected: Sequence[str]) -> None:
    """Raise :class:`BadInput` for a protected path that contains no photo."""
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


def drop_missing_files(found: Duplicates, without: Collection[str] = ()) -> Duplicates:
    """Return groups of duplicates without missing files, and without groups of a single file.

    Images ``without`` count as missing; they are given by their SHA-256 (hex).

    The members of a group were each compared with its representative. If all files of the
    representative are missing, the remaining members were not compared with each other, so only
    those with the same bytes stay together. The others form groups again after the next ``add`` has
    recorded the missing files.
    """
    groups = [part for group in found.groups for part in _existing_parts(group, without)]
    return replace(found, groups=tuple(groups))


def review_hard_links(rows: Sequence[PlanRow]) -> list[PlanRow]:
    """Return a plan's rows, with hard links of kept files marked for review.

    Removing a hard link frees no space.
    """
    kept_files: dict[tuple[int, int, int], str] = {}
    for row in rows:
        if row.action != REMOVE and (identity := _identity(row.path)) is not None:
            kept_files.setdefault((row.group, *identity), row.path)
    result = []
    for row in rows:
        identity = _identity(row.path) if row.action == REMOVE else None
        kept = None if identity is None else kept_files.get((row.group, *identity))
        if kept is not None:
            reason = f"a hard link to {shown(kept)}, which stays; removing it frees no space"
            row = replace(row, action=REVIEW, reason=reason)
        result.append(row)
    return result


def by_real_path(kept: Iterable[str]) -> dict[str, str]:
    """Return the paths of kept files by their real path; the first one, where several are equal."""
    found: dict[str, str] = {}
    for path in kept:
        found.setdefault(os.path.realpath(path), path)
    return found


def alias_reason(path: str, kept: Mapping[str, str]) -> str:
    """Return why a path is only another name of a file; empty if it is a file of its own.

    ``kept`` contains the kept files by real path.
    """
    if os.path.islink(path):
        return SYMLINK_REASON
    kept_file = kept.get(os.path.realpath(path))
    if kept_file is not None:
        return f"the same file as {shown(kept_file)}, which is kept, through a linked folder"
    return ""


def _existing_parts(group: DuplicateGroup, without: Collection[str]) -> list[DuplicateGroup]:
    """Return the groups that the existing files of a group form, without some images."""
    existing = [
        member
        for member in group.members
        if member.sha256 not in without and os.path.exists(member.path)
    ]
    return [group] if len(existing) == len(group.members) else reduced_groups(group, existing)


def reduced_groups(group: DuplicateGroup, existing: list[GroupMember]) -> list[DuplicateGroup]:
    """Return the groups that some members of a group form: see :func:`drop_missing_files`."""
    if any(member.sha256 == group.members[0].sha256 for member in existing):
        return _reduced_group(group, existing)
    by_digest: dict[str, list[GroupMember]] = {}
    for member in existing:
        by_digest.setdefault(member.sha256, []).append(replace(member, score=1.0))
    return [part for members in by_digest.values() for part in _reduced_group(group, members)]


def _reduced_group(group: DuplicateGroup, members: list[GroupMember]) -> list[DuplicateGroup]:
    """Return a group reduced to some members, or nothing for fewer than two."""
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
    """Return the device and inode of a file with several names; None for others and for no file."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if status.st_nlink > 1 else None
