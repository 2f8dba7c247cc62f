"""The files of a group that a plan removes, by what has to stay for them."""

from collections.abc import Sequence
from dataclasses import dataclass

from embedkit.cleaning.plan import (
    KEEP,
    KEEP_ONE,
    SYMLINK_REASON,
    REMOVE,
    REVIEW,
    can_replace_others,
)
from embedkit.cleaning.quarantine import Numbered
from embedkit.results import DAMAGED, PlanRow


@dataclass(frozen=True)
class Removal:
    """Files of one group that go while the same files stay."""

    going: Numbered
    staying: Sequence[PlanRow]
    """One of these has to stay, if the rule of the group is ``keep-one``."""
    related: Sequence[PlanRow]
    """The rows of the group that show the same, as far as it is known."""
    is_certain: bool
    """Whether these are known to show what those that stay show: labels go over only then."""


def removals(group: Numbered) -> list[Removal]:
    """What goes out of one group, by what has to stay for it.

    While another file with the same bytes is kept or for review, a file goes for that one alone,
    since a file for review may be no copy of what is kept. Else it goes for the file that it is a
    copy of. When a person has decided that this one goes too, it goes for another copy of it that
    stays; if there is none, for what that one is a copy of, and so on; and in the end for
    anything that the group keeps.
    """
    rows = [row for _, row in group]
    family = _Family(rows)
    going: dict[tuple[bool, tuple[PlanRow, ...]], Numbered] = {}
    for number, row in group:
        if row.action == REMOVE:
            is_certain, staying = family.staying_for(row)
            going.setdefault((is_certain, tuple(staying)), []).append((number, row))
    found = []
    for (is_certain, staying), some in going.items():
        is_kept = any(row.action == KEEP for row in staying)
        # What is for review may be no copy of the rest.
        related = rows if is_kept or not staying else [*staying, *(row for _, row in some)]
        found.append(Removal(some, staying, related, is_certain))
    return found


class _Family:
    """The rows of a group, by what they are copies of."""

    def __init__(self, rows: Sequence[PlanRow]) -> None:
        self._kept = [row for row in rows if can_replace_others(row)]
        self._at = {row.path: row for row in rows}
        self._same: dict[str, list[PlanRow]] = {}
        self._copies: dict[str, list[PlanRow]] = {}
        for row in rows:
            if (
                row.action in (KEEP, REVIEW)
                and row.rule == KEEP_ONE
                and row.reason != SYMLINK_REASON
            ):
                self._same.setdefault(row.sha256, []).append(row)
                self._copies.setdefault(row.copy_of or "", []).append(row)

    def staying_for(self, row: PlanRow) -> tuple[bool, Sequence[PlanRow]]:
        """The rows one of which has to stay when the file of a row goes.

        And whether they are known to show the same. In a plan without ``copy_of``, they are.
        """
        if row.sha256 in self._same:
            return True, self._same[row.sha256]
        target = self._at.get(row.copy_of or "")
        is_certain = target is None
        while target is not None:
            intact = [one for one in self._same.get(target.sha256, ()) if one.kind != DAMAGED]
            if intact:
                return True, intact
            copies = [one for one in self._copies.get(target.path, ()) if one.kind != DAMAGED]
            # What is for review beside a file that was to stay may be no copy of it.
            if target.copy_of is None:
                copies = [one for one in copies if one.action == KEEP]
            if copies:
                return target.copy_of is not None, copies
            target = self._at.get(target.copy_of or "")
        return is_certain, self._kept
