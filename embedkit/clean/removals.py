"""The files of a group that a plan removes, by what has to stay for them."""

from collections.abc import Mapping, Sequence
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
    related: Sequence[PlanRow]
    """The rows of the group that show the same, as far as it is known."""


def removals(group: Numbered) -> list[Removal]:
    """What goes out of one group, by what has to stay for it.

    While another file with the same bytes is kept or for review, a file goes for that one alone,
    since a file for review may be no copy of what is kept. Else it goes for the file that it is a
    copy of, if that is kept or for review. When a person has changed the plan so that neither
    stays, it goes for those that the group keeps.
    """
    same: dict[str, list[PlanRow]] = {}
    for _, row in group:
        stays = row.action in (KEEP, REVIEW) and row.rule == KEEP_ONE
        if stays and row.reason != ONLY_A_LINK:
            same.setdefault(row.sha256, []).append(row)
    digests = {row.path: row.sha256 for _, row in group}
    going: dict[str, Numbered] = {}
    for number, row in group:
        if row.action == REMOVE:
            going.setdefault(_goes_for(row, digests, same), []).append((number, row))
    kept = [row for _, row in group if stays_for_others(row)]
    found = []
    for digest, some in going.items():
        staying = same.get(digest, kept)
        if any(row.action == KEEP for row in staying) or not digest:
            related = [row for _, row in group]
        else:  # what is for review may be no copy of the rest
            related = [*staying, *(row for _, row in some)]
        found.append(Removal(some, staying, related))
    return found


def _goes_for(
    row: PlanRow, digests: Mapping[str, str], same: Mapping[str, Sequence[PlanRow]]
) -> str:
    """The digest of what has to stay for a file that goes; empty for anything the group keeps."""
    found = (row.sha256, digests.get(row.copy_of or "", ""))
    return next((digest for digest in found if digest in same), "")
