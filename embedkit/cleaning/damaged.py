"""The rows of a plan for damaged files whose picture an intact file has too.

A damaged file joins the group of its intact copy. It is never the one that stays for others.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from embedkit._internal.paths import shown
from embedkit.catalog import Catalog, LiveFile
from embedkit.cleaning.plan import INTACT, KEEP, KEEP_ONE, ONLY_A_LINK, REMOVE, REVIEW
from embedkit.cleaning.planning import Wishes
from embedkit.cleaning.ranking import rank_by_wish
from embedkit.cleaning.reasons import PROTECTED, what_is_missing
from embedkit.duplicates.damaged import Damaged, damaged_files, proposed
from embedkit.duplicates.examiner import Examiner
from embedkit.results import COPY, DAMAGED, Examination, PlanRow, ProgressCallback

_BLURRED = "blurred"


def with_damaged(
    rows: Sequence[PlanRow],
    catalog: Catalog,
    examiner: Examiner,
    wishes: Wishes,
    progress: ProgressCallback,
) -> list[PlanRow]:
    """A plan's rows, and those of damaged files that have an intact copy, last in its group.

    Nothing may differ between the two where both can be seen. A damaged file is for review; where
    damaged copies are ``allowed`` and the intact one stays, it goes, unless it is blurred and such
    copies are not allowed. One that could as well be a copy of another picture has no row.
    """
    damaged = damaged_files(catalog, progress)
    if not damaged:
        return list(rows)
    with catalog.read() as reader:
        found = zip(damaged, proposed(reader, damaged, progress), strict=True)
        candidates = [_Candidates(one, ids) for one, ids in found if ids]
        files = reader.files.of_images(sorted({one for item in candidates for one in item.ids}))
        kept = reader.images.ids([bytes.fromhex(row.sha256) for row in rows if row.action == KEEP])
    if not candidates:
        return list(rows)
    plan = _Plan(rows, files, {sha256.hex(): image_id for sha256, image_id in kept.items()}, wishes)
    for item in candidates:
        item.ids = plan.staying_first(item.ids)
    _examine(candidates, examiner)
    _settle(candidates, examiner)
    for item in candidates:
        plan.add(item)
    return [row for number in sorted(plan.groups) for row in plan.groups[number]]


@dataclass
class _Candidates:
    """A damaged file and the intact images that it may be a copy of, by id, the likeliest first."""

    damaged: Damaged
    ids: list[int]
    examined: dict[int, Examination] = field(default_factory=dict)
    """Of the damaged file against those that it is a copy of."""

    @property
    def surest(self) -> list[int]:
        """Those whose pixels are equal to what is there; if there are none, all copies."""
        equal = [one for one, found in self.examined.items() if found.same_pixels]
        return equal or list(self.examined)


def _examine(candidates: Sequence[_Candidates], examiner: Examiner) -> None:
    """Examine damaged files against their candidates, and note those from which nothing differs."""
    numbers = examiner.learn_damaged({one.damaged.sha256: one.damaged.paths for one in candidates})
    pairs = [(numbers[one.damaged.sha256], image_id) for one in candidates for image_id in one.ids]
    found = examiner.examinations(pairs)
    for item in candidates:
        number = numbers[item.damaged.sha256]
        item.examined = {
            image_id: found[number, image_id]
            for image_id in item.ids
            if _is_copy(found[number, image_id])
        }


def _is_copy(found: Examination) -> bool:
    """Whether nothing differs, but that a damaged file may lack detail."""
    return found.outcome == COPY and all(
        (change.name, change.image) == (_BLURRED, 1) for change in found.changes
    )


def _settle(candidates: Sequence[_Candidates], examiner: Examiner) -> None:
    """Leave of each damaged file's copies those that show one picture; none where that is open.

    One whose pixels are equal shows the picture, whatever else looks the same.
    """
    pairs = {item.damaged.sha256: _pairs(item.surest, item.examined) for item in candidates}
    found = examiner.examinations(pair for some in pairs.values() for pair in some.values())
    for item in candidates:
        first, *others = item.surest or [0]
        beside = pairs[item.damaged.sha256]
        same = {first, *(one for one in beside if found[beside[one]].outcome == COPY)}
        if not same.issuperset(others):
            same = set()
        item.examined = {one: how for one, how in item.examined.items() if one in same}


def _pairs(surest: Sequence[int], ids: Iterable[int]) -> dict[int, tuple[int, int]]:
    """The pairs, the smaller id first, of the first of the surest images with each other one."""
    return {one: (min(surest[0], one), max(surest[0], one)) for one in ids if one != surest[0]}


class _Plan:
    """The rows of a plan by group, to which damaged files are added.

    ``files`` are those of images by id, ``kept`` the ids of images that the plan keeps, by SHA-256.
    """

    def __init__(
        self,
        rows: Sequence[PlanRow],
        files: dict[int, list[LiveFile]],
        kept: dict[str, int],
        wishes: Wishes,
    ) -> None:
        self.groups: dict[int, list[PlanRow]] = {}
        for row in rows:
            self.groups.setdefault(row.group, []).append(row)
        self._files = files
        self._wishes = wishes
        self._kept = kept
        self._digests = {image_id: some[0].sha256 for image_id, some in files.items()}
        self._digests |= {image_id: digest for digest, image_id in kept.items()}
        self._group_of = {row.sha256: row.group for row in rows}

    def staying_first(self, ids: Sequence[int]) -> list[int]:
        """Images, those that stay before others; what stays for one of them is among them."""
        stay: list[int] = []
        go: list[int] = []
        for image_id in ids:
            digest = self._digests.get(image_id)
            if digest is None:
                continue  # no file holds it any more
            group = self._group_of.get(digest)
            if group is None or digest in self._kept:
                stay.append(image_id)
                continue
            go.append(image_id)
            digests = [row.sha256 for row in self.groups[group] if row.action == KEEP]
            stay += [self._kept[digest] for digest in digests if digest in self._kept]
        return list(dict.fromkeys([*stay, *go]))

    def add(self, item: _Candidates) -> None:
        """Add the rows of a damaged file to the group of its intact copy, if it has one."""
        intact = self._intact(next(iter(item.examined), None))
        if intact is None:
            return
        found = next(iter(item.examined.values()))
        group = self.groups[intact.group]
        goes = (
            intact.action == KEEP
            and DAMAGED in self._wishes.allowed
            and all(change.name in self._wishes.allowed for change in found.changes)
        )
        missing = what_is_missing(item.damaged.turn, item.damaged.share, found)
        reason = missing.format(shown(os.path.basename(intact.path)))
        for path in item.damaged.paths:
            if self._wishes.protects(path):
                action, why = KEEP, PROTECTED
            elif os.path.islink(path):
                action, why = REVIEW, ONLY_A_LINK
            else:
                action, why = REMOVE if goes else REVIEW, reason
            digest, rule = item.damaged.sha256, intact.rule
            group.append(
                PlanRow(
                    intact.group, action, path, digest, DAMAGED, None, None, why, rule, intact.path
                )
            )

    def _intact(self, image_id: int | None) -> PlanRow | None:
        """The row of an intact image; it gets a group of its own if it has none."""
        if image_id is None:
            return None
        digest = self._digests[image_id]
        if digest not in self._group_of:
            file = self._best(self._files[image_id])
            if file is None:
                return None
            number = max(self.groups, default=0) + 1
            why = PROTECTED if self._wishes.protects(file.path) else "the only one that is whole"
            row = PlanRow(number, KEEP, file.path, digest, INTACT, None, file.label, why, KEEP_ONE)
            self.groups[number] = [row]
            self._group_of[digest] = number
            return row
        group = self.groups[self._group_of[digest]]
        rows = [row for row in group if row.sha256 == digest]
        found = next((row for row in rows if row.action == KEEP), rows[0])
        while found.action == REMOVE and found.copy_of is not None:
            found = next(row for row in group if row.path == found.copy_of)
        return found

    def _best(self, files: Sequence[LiveFile]) -> LiveFile | None:
        """Which of the files of an intact image stays; None when all are gone."""
        there = [file for file in files if os.path.exists(file.path)]
        return min(
            there,
            key=lambda file: (
                not self._wishes.protects(file.path),
                os.path.islink(file.path),
                rank_by_wish(file.path, self._wishes.prefer),
                file.path,
            ),
            default=None,
        )
