"""The files of a group that a plan removes, by what has to stay for them."""

from collections.abc import Sequence
from dataclasses import dataclass

from embedkit.clean.plan import KEEP, KEEP_ONE, ONLY_A_LINK, REMOVE, REVIEW, stays_for_others
from embedkit.clean.quarantine import Numbered
from embedkit.records import PlanRow


@dataclass(frozen=True)
class Removal:
    """Files of one group that go while the same files stay."""

    going: Numbered
    staying: Sequence[PlanRow]
    """One of these has to stay, if the rule of the group is ``keep-one``."""
    related: Numbered
    """The rows of the group that show the same as these, they themselves among them."""


def removals(group: Numbered) -> list[Removal]:
    """What goes out of one group, by what has to stay for it.

    A file goes for those that the group keeps. But when another file with the same bytes is kept or
    for review, it goes for that one alone, since a file for review may be no copy of what is kept.
    """
    same: dict[str, list[PlanRow]] = {}
    for _, row in group:
        stays = row.action in (KEEP, REVIEW) and row.rule == KEEP_ONE
        if stays and row.reason != ONLY_A_LINK:
            same.setdefault(row.sha256, []).append(row)
    kept = [row for _, row in group if stays_for_others(row)]
    found = [Removal([item for item in _going(group) if item[1].sha256 not in same], kept, group)]
    for digest, rows in same.items():
        related = [item for item in group if item[1].sha256 == digest]
        found.append(Removal(_going(related), rows, related))
    return [one for one in found if one.going]


def _going(rows: Numbered) -> Numbered:
    return [item for item in rows if item[1].action == REMOVE]
