"""The files of a group that a plan removes, by the files that have to be kept for them."""

from collections.abc import Sequence
from dataclasses import dataclass

from embedkit.cleaning.plan import (
    KEEP,
    KEEP_ONE,
    REMOVE,
    REVIEW,
    SYMLINK_REASON,
    can_replace_others,
)
from embedkit.cleaning.quarantine import Numbered
from embedkit.results import DAMAGED, PlanRow


@dataclass(frozen=True)
class Removal:
    """Files of one group that may be removed only if one of certain files is kept."""

    removed: Numbered
    kept_files: Sequence[PlanRow]
    """One of these has to be kept, if the rule of the group is ``keep-one``."""
    related: Sequence[PlanRow]
    """Rows of the group that are believed to show the same picture."""
    is_certain: bool
    """Whether the kept files are known to show the same picture: labels are carried over only
    then."""


def removals(group: Numbered) -> list[Removal]:
    """Return the files that are removed from one group, by the files to keep for them.

    If another file with the same bytes is kept or for review, that file has to be kept, because a
    file for review may not be a copy of the kept file. Otherwise it is the file in the column
    ``copy_of``. If an edited plan removes that file too, another copy of it has to be kept; if
    there is none, the file that it is a copy of, and so on; and finally any kept file of the group.
    """
    rows = [row for _, row in group]
    copies = _Copies(rows)
    removed: dict[tuple[bool, tuple[PlanRow, ...]], Numbered] = {}
    for number, row in group:
        if row.action == REMOVE:
            is_certain, kept_files = copies.kept_files_for(row)
            removed.setdefault((is_certain, tuple(kept_files)), []).append((number, row))
    found = []
    for (is_certain, kept_files), numbered in removed.items():
        is_kept = any(row.action == KEEP for row in kept_files)
        # A kept file that is itself for review may not be a copy of the rest.
        related = (
            rows if is_kept or not kept_files else [*kept_files, *(row for _, row in numbered)]
        )
        found.append(Removal(numbered, kept_files, related, is_certain))
    return found


class _Copies:
    """The rows of a group, by the files that they are copies of."""

    def __init__(self, rows: Sequence[PlanRow]) -> None:
        self._kept = [row for row in rows if can_replace_others(row)]
        self._by_path = {row.path: row for row in rows}
        self._by_digest: dict[str, list[PlanRow]] = {}
        self._by_source: dict[str, list[PlanRow]] = {}
        for row in rows:
            stays = row.action in (KEEP, REVIEW)
            if stays and row.rule == KEEP_ONE and row.reason != SYMLINK_REASON:
                self._by_digest.setdefault(row.sha256, []).append(row)
                self._by_source.setdefault(row.copy_of or "", []).append(row)

    def kept_files_for(self, row: PlanRow) -> tuple[bool, Sequence[PlanRow]]:
        """Return the rows of which one has to be kept when the file of a row is removed.

        The flag says whether they are known to show the same picture. Those of a row without
        ``copy_of`` are.
        """
        if row.sha256 in self._by_digest:
            return True, self._by_digest[row.sha256]
        target = self._by_path.get(row.copy_of or "")
        is_certain = target is None
        while target is not None:
            intact = [one for one in self._by_digest.get(target.sha256, ()) if one.kind != DAMAGED]
            if intact:
                return True, intact
            copies = [one for one in self._by_source.get(target.path, ()) if one.kind != DAMAGED]
            # Files for review that were compared with the first kept file may not be its copies.
            if target.copy_of is None:
                copies = [one for one in copies if one.action == KEEP]
            if copies:
                return target.copy_of is not None, copies
            target = self._by_path.get(target.copy_of or "")
        return is_certain, self._kept
