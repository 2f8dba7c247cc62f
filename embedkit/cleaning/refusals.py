"""Removals that a verdict forbids.

A verdict counts whether it was given before or after the plan was made, and whatever a person has
changed in the plan: a plan does not say when a row was decided.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from embedkit._internal.paths import shown
from embedkit.catalog import StoredVerdict
from embedkit.cleaning.plan import CONFLICT, DROP_ALL, KEEP, REMOVE
from embedkit.cleaning.quarantine import Numbered
from embedkit.cleaning.removals import removals
from embedkit.results import PlanRow
from embedkit.results import verdicts as names

_KEPT = "it has the verdict keep"
_SETTLED = "a verdict on its label has settled the conflict; make a new plan"


class Refusals:
    """The verdicts that forbid to remove a photo.

    Parameters
    ----------
    verdicts : iterable of StoredVerdict
        The verdicts that count; others than those that forbid something are ignored.
    advice : str
        What a person can do to move a photo nevertheless.
    """

    def __init__(self, verdicts: Iterable[StoredVerdict] = (), advice: str = "") -> None:
        self._advice = advice
        self._kept: set[str] = set()
        self._both: set[str] = set()
        self._new_labels: dict[str, str | None] = {}
        self._different: dict[str, set[str]] = {}
        for first, second, verdict, label, _ in verdicts:
            if verdict == names.KEEP:
                self._kept.add(first.hex())
            elif verdict == names.BOTH:
                self._both.add(first.hex())
            elif verdict == names.RELABEL:
                self._new_labels[first.hex()] = label
            elif verdict == names.DIFFERENT and second is not None:
                for one, other in ((first, second), (second, first)):
                    self._different.setdefault(one.hex(), set()).add(other.hex())

    def of_group(self, group: Numbered, in_place: Collection[int]) -> dict[int, str]:
        """Return why files of a group must not be removed, by the number of their row.

        ``in_place`` are the numbers of the rows whose files can still be removed. Refused are:

        - a photo with the verdict ``keep``;
        - a photo that is ``different`` from the file that it was compared with, or from one that
          is kept for it (:func:`embedkit.cleaning.removals.removals`);
        - all copies under several labels, if verdicts have settled the conflict.
        """
        removed = [
            (number, row) for number, row in group if row.action == REMOVE and number in in_place
        ]
        found = {
            number: f"{_KEPT}; {self._advice}"
            for number, row in removed
            if row.sha256 in self._kept
        }
        rows = [row for _, row in group]
        if rows[0].rule == DROP_ALL:
            if rows[0].kind == CONFLICT and self._is_settled(rows):
                found = dict.fromkeys((number for number, _ in removed), _SETTLED) | found
            return found
        if not self._has_different(rows):
            return found
        by_path = {row.path: row for row in rows}
        while new := self._different_copies(without(group, found), in_place, by_path):
            found |= new  # these files stay, so that others may be copies of them
        return found

    def _different_copies(
        self, group: Numbered, in_place: Collection[int], by_path: Mapping[str, PlanRow]
    ) -> dict[int, str]:
        """Return why files are not copies of those that are kept for them, by row number."""
        found = {}
        for removal in removals(group):
            for number, row in removal.removed:
                compared = by_path.get(row.copy_of or "")
                originals = [*([] if compared is None else [compared]), *removal.kept_files]
                other = next((one for one in originals if self._differ(row, one)), None)
                if other is not None and number in in_place:
                    found[number] = (
                        f"a verdict says that it is different from {shown(other.path)}; "
                        f"{self._advice}"
                    )
        return found

    def _differ(self, row: PlanRow, other: PlanRow) -> bool:
        return other.sha256 in self._different.get(row.sha256, ())

    def _has_different(self, rows: Collection[PlanRow]) -> bool:
        digests = {row.sha256 for row in rows}
        return any(not digests.isdisjoint(self._different.get(one, ())) for one in digests)

    def _is_settled(self, rows: Collection[PlanRow]) -> bool:
        """Return whether copies under several labels are no conflict any more."""
        labels = {self._new_labels.get(row.sha256, row.label) for row in rows} - {None}
        return (
            len(labels) < 2
            or self._both.issuperset(row.sha256 for row in rows)
            or self._has_different(rows)
        )


def without(group: Numbered, refused: Collection[int]) -> Numbered:
    """Return the rows of a group, of which those with some numbers are kept."""
    return [
        (number, replace(row, action=KEEP) if number in refused else row) for number, row in group
    ]
