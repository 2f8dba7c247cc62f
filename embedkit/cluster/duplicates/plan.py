"""The plan for the duplicates of a store: which files to remove, as far as they can be reached."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from embedkit.cleaning.existing_files import drop_missing_files, review_hard_links
from embedkit.cleaning.planning import PlanOptions, plan_rows
from embedkit.cluster.duplicates.examiner import StoreExaminer
from embedkit.cluster.duplicates.find import stored_duplicates, stored_groups
from embedkit.cluster.store import StoreContent
from embedkit.duplicates.pair_search import EXACT
from embedkit.errors import EmptyWorkspace
from embedkit.results import DuplicateGroup, Duplicates, PlanRow, Progress, ProgressCallback

_GROUPS = 500
"""Number of groups that are planned at a time."""


def plan_duplicates(
    store: StoreContent, options: PlanOptions, progress: ProgressCallback
) -> Iterator[PlanRow]:
    """Yield the rows of a plan for the groups of the last search.

    The plan is that of one machine, for the files that this machine can reach by a path. Both files
    of every removal are opened. Files that are missing here, and those at a URL, are not in the
    plan: they stay for review. Raises :class:`EmptyWorkspace` if there was no search.
    """
    found = stored_duplicates(store)
    if found is None:
        raise EmptyWorkspace(
            f"no duplicates were searched for in {store.location}; run 'embedkit duplicates "
            f"--store {store.location}'"
        )
    groups = stored_groups(store)
    planned = done = 0
    while some := tuple(islice(groups, _GROUPS)):
        progress(Progress("planning", done, found.groups))
        done += len(some)
        rows = _rows_of(some, options)
        yield from (replace(row, group=row.group + planned) for row in rows)
        planned += max((row.group for row in rows), default=0)


def _rows_of(groups: tuple[DuplicateGroup, ...], options: PlanOptions) -> list[PlanRow]:
    """Return the rows of some groups, numbered from 1."""
    # The planner reads only the groups of a result.
    result = Duplicates(groups, 0, 0, (EXACT,), 0, 64, False, 0.0, 0.0, 0.0, 0.0, 1.0, 0)
    reachable = drop_missing_files(result)
    members = [member for group in reachable.groups for member in group.members]
    with StoreExaminer.of_members(members) as examiner:
        return review_hard_links(plan_rows(reachable, examiner, options))
