"""The namespace ``workspace.quarantine``."""

from datetime import timedelta
from functools import partial

from embedkit.results import EmptyReport, Quarantine
from embedkit.workspace.plan import known_facts
from embedkit.workspace.state import WorkspaceBase


class Quarantines(WorkspaceBase):
    """List the plans that were applied, and delete the files that they moved to quarantine."""

    def list(self) -> tuple[Quarantine, ...]:
        """Return the plans that were applied, and where their files are.

        Returns
        -------
        tuple of Quarantine
            The quarantine of each plan, the most recent first.
        """
        from embedkit.cleaning.quarantine import quarantines

        return tuple(quarantines(self._state.quarantine_folder))

    def empty(
        self,
        name: str | None = None,
        *,
        older_than: timedelta | None = None,
        dry_run: bool = False,
    ) -> EmptyReport:
        """Delete files in quarantine permanently.

        A file is deleted only while a file that was kept for it still has the content that the plan
        recorded, in its place or where the workspace, or the store of the plan, knows it. Files of
        ``drop-all`` groups may be the last copies: they are deleted only if their quarantine is
        named.

        Parameters
        ----------
        name : str, optional
            Id of one quarantine. Default: all that are old enough.
        older_than : timedelta, optional
            Minimum age: only plans that were applied longer ago.
        dry_run : bool, default False
            Whether to report the files that would be deleted without deleting them.

        Returns
        -------
        EmptyReport
            The files that were deleted, and those that were skipped, with the reason.

        Raises
        ------
        BadInput
            Neither ``name`` nor ``older_than`` is given.
        NotInWorkspace
            No quarantine has that id.
        QuarantineBusy
            Another process is changing the quarantine.
        StorageError
            The disk is full, read-only or failing, or the store of a plan cannot be read, in which
            a kept file that is not in its place is looked for.
        """
        from embedkit.cleaning.empty import empty

        self._state.sweep()
        return empty(
            self._state.quarantine_folder,
            name,
            older_than,
            self._progress,
            facts_of=partial(known_facts, self._state),
            dry_run=dry_run,
        )
