"""The plan for a store: which files to remove, as far as this machine reaches them by a path."""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import pyarrow as pa

from embedkit._internal.paths import is_url, shown, to_stored
from embedkit.catalog import LiveFile
from embedkit.cleaning.existing_files import drop_missing_files, review_hard_links
from embedkit.cleaning.marked import existing_images, marked_rows, without_settled
from embedkit.cleaning.plan_check import KnownPhotos
from embedkit.cleaning.planned import PlannedRows
from embedkit.cleaning.planning import PlanOptions, plan_rows
from embedkit.cluster.duplicates.examiner import StoreExaminer
from embedkit.cluster.duplicates.present import exact_groups, present_groups
from embedkit.cluster.duplicates.result import StoredResult, stored_result
from embedkit.cluster.files import file_name
from embedkit.cluster.labels import files_of_images
from embedkit.cluster.lookup import find_keys
from embedkit.cluster.shards import at_or_below
from embedkit.cluster.store import StoreContent
from embedkit.cluster.tables import USABLE
from embedkit.cluster.verdicts import CurrentVerdicts, duplicates_of
from embedkit.duplicates.kinds import EXACT
from embedkit.errors import BadInput, EmptyWorkspace
from embedkit.results import (
    DAMAGED,
    DuplicateGroup,
    Duplicates,
    PlanRow,
    Progress,
    ProgressCallback,
)
from embedkit.results.verdicts import MARKED_KINDS

_GROUPS = 500
"""Number of groups that are planned at a time."""


class StorePlan(PlannedRows):
    """A plan for the files of a store: an action for each file that this machine reaches.

    :meth:`Store.clean` returns it. A plan is a sequence of its rows. To apply it, save it, and load
    it with :meth:`Workspace.load_plan`: the quarantine is in a workspace.

    Attributes
    ----------
    rows : tuple of PlanRow
        One row for each file.
    store : str
        Path or URL of the store.
    unreachable : int
        Files of groups that this machine does not reach by a path. They are not in the plan.

    Examples
    --------
    >>> plan = store.clean()                                              # doctest: +SKIP
    >>> plan.save("plan.csv")                                             # doctest: +SKIP
    >>> Workspace().load_plan("plan.csv", store=store.location).apply()   # doctest: +SKIP
    """

    def __init__(self, rows: Sequence[PlanRow], store: str, unreachable: int) -> None:
        super().__init__(rows)
        self.store = store
        self.unreachable = unreachable


def plan_store(
    store: StoreContent, kinds: Sequence[str], options: PlanOptions, progress: ProgressCallback
) -> StorePlan:
    """Return the plan for the groups of the last search, and for photos that a verdict removes.

    The plan is that of one machine, with the verdicts, labels and files that the store has now.
    Files that are missing here, and those at a URL, are not in the plan. Groups of exact duplicates
    alone are those of the present files, without a search, unless a verdict calls other images
    duplicates. Raises :class:`EmptyWorkspace` if there was no search, and :class:`BadInput` for
    ``kinds`` of duplicates that it did not search for, and for what the options of a store cannot
    have.
    """
    if DAMAGED in options.allow:
        raise BadInput("damaged files of a store are in no plan; leave out 'damaged'")
    verdicts = store.current_verdicts()
    searched = {kind for kind in kinds if kind not in MARKED_KINDS}
    groups: Iterator[DuplicateGroup] = iter(())
    total = 0
    if searched == {EXACT} and not duplicates_of(verdicts.on_groups):
        groups = exact_groups(store, verdicts)
    elif searched or not kinds:
        result = _searched(store, searched)
        groups, total = present_groups(store, result, verdicts), result.report.groups
    check_protected(store, options.protect)
    return _Plan(store, groups, total, verdicts, options, progress).of_kinds(kinds)


def _searched(store: StoreContent, kinds: Collection[str]) -> StoredResult:
    """Return the result of the last search, which must be for these kinds, if any are given."""
    result = stored_result(store)
    if result is None:
        raise EmptyWorkspace(
            f"no duplicates were searched for in {store.location}; run 'embedkit duplicates "
            f"--store {store.argument}'"
        )
    if kinds and {*kinds} != {*result.report.kinds}:
        raise BadInput(
            f"the last search was for {', '.join(result.report.kinds)}, and another one may find "
            f"other groups; run 'embedkit duplicates --store {store.argument} --kind "
            f"{','.join(sorted(kinds))}' first, or leave out --kind"
        )
    return result


class _Plan:
    def __init__(
        self,
        store: StoreContent,
        groups: Iterator[DuplicateGroup],
        total: int,
        verdicts: CurrentVerdicts,
        options: PlanOptions,
        progress: ProgressCallback,
    ) -> None:
        self._store = store
        self._groups = groups
        self._total = total
        self._verdicts = verdicts
        self._options = options
        self._progress = progress
        self._unreachable = 0

    def of_kinds(self, kinds: Sequence[str]) -> StorePlan:
        """Return the plan for some kinds of duplicates and verdicts."""
        of_image = {
            digest: kind
            for kind in MARKED_KINDS
            if kind in kinds
            for digest in self._verdicts.on_one_image(kind)
        }
        files = self._files(of_image)
        every = [file for some in files.values() for file in some]
        self._unreachable += sum(not os.path.lexists(file.path) for file in every)
        marked = existing_images((of_image[digest], some) for digest, some in files.items())
        rows = list(self._duplicate_rows({digest.hex() for digest in files}))
        rows += marked_rows(marked, self._options, max((row.group for row in rows), default=0) + 1)
        return StorePlan(review_hard_links(rows), self._store.location.place, self._unreachable)

    def _duplicate_rows(self, marked: Collection[str]) -> Iterator[PlanRow]:
        """Yield the rows of duplicates, without images with these SHA-256 (hex)."""
        misfiled: set[str] | None = None
        planned = done = 0
        while some := tuple(islice(self._groups, _GROUPS)):
            if misfiled is None:
                misfiled = self._misfiled()
            self._progress(Progress("planning", done, self._total))
            done += len(some)
            members = [one for group in some for one in group.members if one.sha256 not in marked]
            self._unreachable += sum(not os.path.exists(member.path) for member in members)
            rows = self._rows_of(some, marked, misfiled)
            yield from (replace(row, group=row.group + planned) for row in rows)
            planned += max((row.group for row in rows), default=0)

    def _rows_of(
        self, groups: tuple[DuplicateGroup, ...], marked: Collection[str], misfiled: Collection[str]
    ) -> list[PlanRow]:
        """Return the rows of some groups, numbered from 1."""
        # The planner reads only the groups of a result.
        found = Duplicates(groups, 0, 0, (EXACT,), 0, 64, False, 0.0, 0.0, 0.0, 0.0, 1.0, 0)
        found = without_settled(drop_missing_files(found, marked), self._verdicts.both)
        members = [member for group in found.groups for member in group.members]
        with StoreExaminer.of_members(members) as examiner:
            return plan_rows(found, examiner, self._options, misfiled)

    def _misfiled(self) -> set[str]:
        """Return the paths of the files whose own label a verdict has replaced."""
        new_labels = self._verdicts.new_labels
        own = files_of_images(self._store.files, new_labels, {})
        return {
            file_name(file.path)
            for digest, files in own.items()
            for file in files
            if file.label is not None and file.label != new_labels[digest]
        }

    def _files(self, digests: Collection[bytes]) -> dict[bytes, list[LiveFile]]:
        """Return the files of images, with their paths as the system names them."""
        found = files_of_images(self._store.files, digests, self._verdicts.new_labels)
        return {
            digest: [replace(file, path=file_name(file.path)) for file in files]
            for digest, files in found.items()
        }


def check_protected(store: StoreContent, protected: Sequence[str]) -> None:
    """Raise :class:`BadInput` for a protected path that contains no photo of a store."""
    for path in protected:
        if not os.path.lexists(path):
            raise BadInput(f"{shown(path)} does not exist, so it protects nothing")
        where = f"{USABLE} AND {at_or_below(path)}"
        files = store.files.batches(["path"], where)
        names = (name for batch in files for name in batch.column(0).to_pylist())
        if not any(os.path.exists(file_name(name)) for name in names):
            raise BadInput(
                f"{store.location} has no photos at or below {shown(path)}, so it protects "
                "nothing; name a folder as the store does"
            )


def known_in_store(rows: Sequence[PlanRow], store: StoreContent) -> KnownPhotos:
    """Return what a store has of the photos in a plan. Raises :class:`EmptyWorkspace`."""
    store.require()
    paths = list(dict.fromkeys(row.path for row in rows))
    stored = pa.array([path if is_url(path) else to_stored(path) for path in paths], pa.string())
    known = find_keys(store.files, "path", stored) >= 0
    digests = list(dict.fromkeys(bytes.fromhex(row.sha256) for row in rows))
    images = find_keys(store.images, "sha256", pa.array(digests, pa.binary(32))) >= 0
    return KnownPhotos(
        f"the store {store.location}",
        f"Apply a plan that 'embedkit clean --store {store.argument}' has made",
        {path for path, is_known in zip(paths, known.tolist(), strict=True) if is_known},
        {
            digest.hex()
            for digest, is_known in zip(digests, images.tolist(), strict=True)
            if is_known
        },
        store.current_verdicts().rows,
        "to move it, change the verdict in a workspace, push it, and apply the plan again",
    )
