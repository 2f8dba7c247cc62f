"""What the plans of a workspace and of a store have in common."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any, overload

from embedkit._internal.paths import absolute
from embedkit.cleaning.plan import write_plan
from embedkit.results import PlanRow, Result
from embedkit.results.result import FLOAT, INT, PATH, TEXT, Table, table_of
from embedkit.results.wording import counted

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


class PlannedRows(Result, Sequence[PlanRow]):
    """The rows of a plan, as a sequence.

    Attributes
    ----------
    rows : tuple of PlanRow
        One row for each file.
    """

    def __init__(self, rows: Iterable[PlanRow]) -> None:
        self.rows = tuple(rows)

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

    def save(self, path: str | PathLike[str]) -> None:
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
        write_plan(Path(absolute(path)), self.rows)
