"""Plans: which duplicates to keep, to remove and to review."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, overload

from embedkit._internal.paths import absolute
from embedkit._internal.text import counted
from embedkit.errors import BadInput
from embedkit.results import ApplyReport, PlanRow, Result
from embedkit.results.result import FLOAT, INT, PATH, TEXT, Table, table_of
from embedkit.workspace.state import State, StrPath

_COLUMNS = {
    "group": INT,
    "action": TEXT,
    "path": PATH,
    "sha256": TEXT,
    "kind": TEXT,
    "score": FLOAT,
    "label": TEXT,
    "reason": TEXT,
    "rule": TEXT,
    "copy_of": PATH,
}


class Plan(Result, Sequence[PlanRow]):
    """A plan: an action for each file of the groups of duplicates.

    :meth:`Workspace.clean` and :meth:`Workspace.load_plan` return plans. A plan is a sequence of
    its rows. Nothing is moved before :meth:`apply`.

    Attributes
    ----------
    rows : tuple of PlanRow
        One row for each file.
    workspace : str
        Absolute path of the workspace's folder.

    Examples
    --------
    >>> plan = workspace.clean()      # doctest: +SKIP
    >>> plan                          # doctest: +SKIP
    <Plan: 31 files to remove, 2 to review, 30 to keep, in 30 groups>
    >>> plan.save("plan.csv")         # doctest: +SKIP
    >>> plan.apply()                  # doctest: +SKIP
    """

    def __init__(self, rows: Iterable[PlanRow], state: State, source: str = "the plan") -> None:
        self.rows = tuple(rows)
        self.workspace = str(state.folder)
        self._state = state
        self._source = source

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> PlanRow: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[PlanRow, ...]: ...
    def __getitem__(self, index: int | slice) -> PlanRow | tuple[PlanRow, ...]:
        return self.rows[index]

    def _tables(self) -> dict[str, Table]:
        return {"rows": table_of(self.rows, _COLUMNS)}

    def _summary(self) -> str:
        actions = Counter(row.action for row in self.rows)
        groups = len({row.group for row in self.rows})
        return (
            f"{counted(actions['remove'], 'file')} to remove, {actions['review']} to review, "
            f"{actions['keep']} to keep, in {counted(groups, 'group')}"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the rows as a JSON document: ``rows`` of ``embedkit clean --json``.

        Returns
        -------
        dict
            The key ``rows``, with an object for each file.
        """
        return {"rows": [asdict(row) for row in self.rows]}

    def save(self, path: StrPath) -> None:
        """Write the plan as CSV, in place of a file of that name.

        A person can edit the column ``action``; :meth:`Workspace.load_plan` reads the result.

        Parameters
        ----------
        path : str or path-like
            The CSV. It is written completely or not at all.

        Raises
        ------
        StorageError
            The file cannot be written.
        """
        from embedkit.cleaning.plan import write_plan

        write_plan(Path(absolute(path)), self.rows)

    def apply(self, *, trash: bool = False, link: str | None = None) -> ApplyReport:
        """Move the files that the plan removes to quarantine.

        A file is moved only if it has the content that the plan recorded, and only while a file
        that is kept for it exists. Files that are not moved are reported with the reason.
        :meth:`Workspace.undo` puts the moved files back. Applying the same plan again continues
        an interrupted run. Labels, columns of label tables and verdicts of a moved file are
        copied to the file that is kept for it, unless it has its own.

        Parameters
        ----------
        trash : bool, default False
            Whether to move files to the system's trash instead. ``undo`` cannot put them back from
            there.
        link : {'hard', 'sym'}, optional
            Kind of the links to the kept file that replace removed files with the same bytes.
            Default: no links.

        Returns
        -------
        ApplyReport
            The result for each file.

        Raises
        ------
        EmptyWorkspace
            Nothing has been added to the workspace.
        BadInput
            The plan names files that are not in this workspace, or the options are wrong.
        QuarantineBusy
            Another process is changing the quarantine.
        StorageError
            The disk is full, read-only or failing. Files that were moved stay moved.
        """
        from embedkit.cleaning.apply import apply
        from embedkit.cleaning.links import check_kind
        from embedkit.cleaning.plan_check import check_rows

        if trash and link is not None:
            raise BadInput("a link replaces a file in quarantine; give either link or trash")
        check_kind(link)
        state = self._state
        state.sweep()
        state.catalog.require()
        check_rows(self._source, self.rows, state.catalog, state.quarantine_folder)
        return apply(
            state.quarantine_folder,
            self.rows,
            state.progress,
            catalog=state.catalog,
            to_trash=trash,
            link=link,
        )
