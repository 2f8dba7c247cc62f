"""The namespace ``workspace.quarantine``."""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from embedkit.catalog import Catalog
from embedkit.results import EmptyReport, Quarantine
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
        recorded. Files of ``drop-all`` groups may be the last copies: they are deleted only
        if their quarantine is named.

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
            The disk is full, read-only or failing.
        """
        from embedkit.cleaning.empty import empty

        self._state.sweep()
        return empty(
            self._state.quarantine_folder,
            name,
            older_than,
            self._progress,
            locate=partial(_known_paths, self._catalog),
            dry_run=dry_run,
        )


def _known_paths(catalog: Catalog, sha256s: Sequence[str]) -> dict[str, list[str]]:
    """Return the known paths of images by the images' SHA-256 in hex."""
    if not catalog.exists:
        return {}
    with catalog.read() as reader:
        ids = reader.images.ids([bytes.fromhex(sha256) for sha256 in sha256s])
        files = reader.files.of_images(list(ids.values()))
    return {
        sha256.hex(): [file.path for file in files.get(image_id, ())]
        for sha256, image_id in ids.items()
    }
