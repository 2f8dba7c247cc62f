"""The rows of a plan for damaged files that have an intact copy.

A damaged file joins the group of its intact copy. No other file is removed in favour of it.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from embedkit._internal.paths import shown
from embedkit.catalog import Catalog, LiveFile
from embedkit.cleaning.plan import INTACT, KEEP, KEEP_ONE, REMOVE, REVIEW, SYMLINK_REASON
from embedkit.cleaning.planning import PlanOptions
from embedkit.cleaning.ranking import preference_rank
from embedkit.cleaning.reasons import PROTECTED, damage_reason
from embedkit.duplicates.damaged import DamagedImage, find_damaged_images, intact_candidates
from embedkit.duplicates.examiner import Examiner
from embedkit.results import COPY, DAMAGED, Examination, PlanRow, ProgressCallback

_BLURRED = "blurred"


def add_damaged_rows(
    rows: Sequence[PlanRow],
    catalog: Catalog,
    examiner: Examiner,
    options: PlanOptions,
    progress: ProgressCallback,
) -> list[PlanRow]:
    """Return a plan's rows and those of damaged files, each at the end of its intact copy's group.

    The decoded part of a damaged file must not differ from its intact copy. A damaged file is for
    review. If damaged copies are allowed and the intact copy is kept, it is removed, unless it is
    blurred and blurred copies are not allowed. A damaged file that could also be a copy of a
    different picture gets no row.
    """
    planned = {row.sha256 for row in rows}
    damaged = [one for one in find_damaged_images(catalog, progress) if one.sha256 not in planned]
    if not damaged:
        return list(rows)
    with catalog.read() as reader:
        found = zip(damaged, intact_candidates(reader, damaged, progress), strict=True)
        candidates = [_Candidates(one, ids) for one, ids in found if ids]
        files = reader.files.of_images(sorted({one for item in candidates for one in item.ids}))
        kept = reader.images.ids([bytes.fromhex(row.sha256) for row in rows if row.action == KEEP])
    if not candidates:
        return list(rows)
    plan = _Plan(
        rows, files, {sha256.hex(): image_id for sha256, image_id in kept.items()}, options
    )
    for item in candidates:
        item.ids = plan.kept_first(item.ids)
    _examine(candidates, examiner)
    _drop_ambiguous(candidates, examiner)
    for item in candidates:
        plan.add(item)
    return [row for number in sorted(plan.groups) for row in plan.groups[number]]


@dataclass
class _Candidates:
    """A damaged image and the ids of intact images that it may be a copy of, the likeliest
    first."""

    damaged: DamagedImage
    ids: list[int]
    examined: dict[int, Examination] = field(default_factory=dict)
    """By id, examinations of the damaged image against the intact images that it is a copy of."""

    @property
    def best_matches(self) -> list[int]:
        """The images with the same pixels in the decoded part; all in ``examined`` if there are
        none."""
        equal = [one for one, found in self.examined.items() if found.same_pixels]
        return equal or list(self.examined)


def _examine(candidates: Sequence[_Candidates], examiner: Examiner) -> None:
    """Examine damaged images against their candidates, and record those that do not differ."""
    numbers = examiner.add_damaged({one.damaged.sha256: one.damaged.paths for one in candidates})
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
    """Return whether nothing differs, except that a damaged file may be less detailed."""
    return found.outcome == COPY and all(
        (change.name, change.image) == (_BLURRED, 1) for change in found.changes
    )


def _drop_ambiguous(candidates: Sequence[_Candidates], examiner: Examiner) -> None:
    """Keep the copies of each damaged image that show one picture; none if that is not certain.

    An image with the same pixels shows that picture, even if others look the same.
    """
    pairs = {item.damaged.sha256: _pairs(item.best_matches, item.examined) for item in candidates}
    found = examiner.examinations(pair for some in pairs.values() for pair in some.values())
    for item in candidates:
        first, *others = item.best_matches or [0]
        pairs_with_first = pairs[item.damaged.sha256]
        same = {
            first,
            *(one for one in pairs_with_first if found[pairs_with_first[one]].outcome == COPY),
        }
        if not same.issuperset(others):
            same = set()
        item.examined = {one: item.examined[one] for one in item.examined if one in same}


def _pairs(best_matches: Sequence[int], ids: Iterable[int]) -> dict[int, tuple[int, int]]:
    """Return the pairs, the smaller id first, of the first of the best matches with each other
    image."""
    return {
        one: (min(best_matches[0], one), max(best_matches[0], one))
        for one in ids
        if one != best_matches[0]
    }


class _Plan:
    """The rows of a plan by group, to which damaged files are added.

    ``files`` are the files of images by id; ``kept`` are the ids of kept images by SHA-256.
    """

    def __init__(
        self,
        rows: Sequence[PlanRow],
        files: dict[int, list[LiveFile]],
        kept: dict[str, int],
        options: PlanOptions,
    ) -> None:
        self.groups: dict[int, list[PlanRow]] = {}
        for row in rows:
            self.groups.setdefault(row.group, []).append(row)
        self._files = files
        self._options = options
        self._kept = kept
        self._digests = {image_id: some[0].sha256 for image_id, some in files.items()}
        self._digests |= {image_id: digest for digest, image_id in kept.items()}
        self._group_of = {row.sha256: row.group for row in rows}

    def kept_first(self, ids: Sequence[int]) -> list[int]:
        """Return images with the kept ones first, including the images kept for one of them."""
        kept_ids: list[int] = []
        other_ids: list[int] = []
        for image_id in ids:
            digest = self._digests.get(image_id)
            if digest is None:
                continue  # it has no file any more
            group = self._group_of.get(digest)
            if group is None or digest in self._kept:
                kept_ids.append(image_id)
                continue
            other_ids.append(image_id)
            digests = [row.sha256 for row in self.groups[group] if row.action == KEEP]
            kept_ids += [self._kept[digest] for digest in digests if digest in self._kept]
        return list(dict.fromkeys([*kept_ids, *other_ids]))

    def add(self, item: _Candidates) -> None:
        """Add the rows of a damaged image to the group of its intact copy, if it has one."""
        intact = self._intact_row(next(iter(item.examined), None))
        if intact is None:
            return
        found = next(iter(item.examined.values()))
        group = self.groups[intact.group]
        is_removed = (
            intact.action == KEEP
            and DAMAGED in self._options.allow
            and all(change.name in self._options.allow for change in found.changes)
        )
        template = damage_reason(item.damaged.orientation, item.damaged.share, found)
        reason = template.format(shown(os.path.basename(intact.path)))
        for path in item.damaged.paths:
            if self._options.protects(path):
                action, why = KEEP, PROTECTED
            elif os.path.islink(path):
                action, why = REVIEW, SYMLINK_REASON
            else:
                action, why = REMOVE if is_removed else REVIEW, reason
            digest, rule = item.damaged.sha256, intact.rule
            group.append(
                PlanRow(
                    intact.group, action, path, digest, DAMAGED, None, None, why, rule, intact.path
                )
            )

    def _intact_row(self, image_id: int | None) -> PlanRow | None:
        """Return the row of an intact image, in a new group if it has none."""
        if image_id is None:
            return None
        digest = self._digests[image_id]
        if digest not in self._group_of:
            file = self._file_to_keep(self._files[image_id])
            if file is None:
                return None
            number = max(self.groups, default=0) + 1
            why = PROTECTED if self._options.protects(file.path) else "the only intact copy"
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

    def _file_to_keep(self, files: Sequence[LiveFile]) -> LiveFile | None:
        """Return the file of an intact image to keep; None if all are missing."""
        existing = [file for file in files if os.path.exists(file.path)]
        return min(
            existing,
            key=lambda file: (
                not self._options.protects(file.path),
                os.path.islink(file.path),
                preference_rank(file.path, self._options.prefer),
                file.path,
            ),
            default=None,
        )
