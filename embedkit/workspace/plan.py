"""Plans: which duplicates to keep, to remove and to review."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from embedkit.cleaning.planned import PlannedRows
from embedkit.errors import BadInput, EmptyWorkspace
from embedkit.results import ApplyReport, PlanRow
from embedkit.workspace.state import State

if TYPE_CHECKING:
    from embedkit.cleaning.facts import KnownFacts


class Plan(PlannedRows):
    """A plan: an action for each file of the groups of duplicates.

    :meth:`Workspace.clean` and :meth:`Workspace.load_plan` return plans. A plan is a sequence of
    its rows. Nothing is moved before :meth:`apply`. The quarantine is in the folder of the
    workspace, for a plan of a store too.

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

    def __init__(
        self,
        rows: Iterable[PlanRow],
        state: State,
        source: str = "the plan",
        store: str | None = None,
    ) -> None:
        super().__init__(rows)
        self.workspace = str(state.folder)
        self._state = state
        self._source = source
        self._store = store

    def apply(self, *, trash: bool = False, link: str | None = None) -> ApplyReport:
        """Move the files that the plan removes to quarantine.

        A file is moved only if it has the content that the plan recorded, and only while a file
        that is kept for it exists. A photo that a verdict keeps, or calls different from the file
        kept for it, is not moved, even if the verdict is older than the plan or its row was edited.
        Files that are not moved are reported with the reason.
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
            Nothing has been added to the workspace, or there is no such store.
        BadInput
            The plan names files that are not in this workspace or store, it has moved files of
            another one that are still in quarantine, or the options are wrong.
        QuarantineBusy, StoreBusy
            Another process is changing the quarantine, or writes to the store.
        StorageError
            The disk is full, read-only or failing. If files had been moved, they stay moved, and
            the error is :class:`PlanInterrupted`, with the report.
        """
        from embedkit.cleaning.apply import apply
        from embedkit.cleaning.links import check_kind
        from embedkit.cleaning.plan_check import check_rows, known_in_catalog

        if trash and link is not None:
            raise BadInput("a link replaces a file in quarantine; give either link or trash")
        check_kind(link)
        state = self._state
        state.sweep()
        if self._store is not None:
            return self._apply_to_store(self._store, trash, link)
        try:
            state.catalog.require()
        except EmptyWorkspace as error:
            raise EmptyWorkspace(f"{error}; a plan of a store needs --store") from error
        known = known_in_catalog(self.rows, state.catalog)
        check_rows(self._source, self.rows, known, state.quarantine_folder)
        return apply(
            state.quarantine_folder,
            self.rows,
            state.progress,
            known=known_facts(state, None),
            refusals=known.refusals,
            to_trash=trash,
            link=link,
        )

    def _apply_to_store(self, place: str, trash: bool, link: str | None) -> ApplyReport:
        """Apply the plan to a store. Its lease excludes other plans, which may remove what is kept.

        The plan is checked with the lease, against the store as it is then.
        """
        from embedkit.cleaning.apply import apply
        from embedkit.cleaning.plan_check import check_rows
        from embedkit.cluster.duplicates.plan import known_in_store
        from embedkit.cluster.plan_facts import StoreFacts
        from embedkit.cluster.store import StoreContent

        root, progress = self._state.quarantine_folder, self._state.progress
        store = StoreContent(place, progress)
        store.require()
        with store.writing("apply"):
            known = known_in_store(self.rows, store)
            check_rows(self._source, self.rows, known, root)
            return apply(
                root,
                self.rows,
                progress,
                known=StoreFacts(store),
                refusals=known.refusals,
                store=store.location.place,
                to_trash=trash,
                link=link,
            )


def known_facts(state: State, store: str | None) -> "KnownFacts":
    """Return the facts in a store, by its place, or in the catalog of the workspace for None."""
    from embedkit.cleaning.facts import CatalogFacts

    if store is None:
        return CatalogFacts(state.catalog)
    from embedkit.cluster.plan_facts import StoreFacts
    from embedkit.cluster.store import StoreContent

    return StoreFacts(StoreContent(store, state.progress))
