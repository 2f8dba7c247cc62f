"""The methods of a workspace that copy to and from a store."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from embedkit.search.embedding_store import full_names
from embedkit.workspace.state import StrPath, WorkspaceBase

if TYPE_CHECKING:
    from embedkit.cluster.store import StoreContent
    from embedkit.results import PullReport, PushReport


class StoreMethods(WorkspaceBase):
    """Copy photos, results and decisions between the workspace and a store."""

    def push(self, store: StrPath, *, backbones: str | Sequence[str] = ()) -> "PushReport":
        """Copy to a store what it lacks of the workspace.

        These are images with their fingerprints, embeddings, files with their labels, failures,
        verdicts, quality measures, the split and the heads; photos themselves are not copied. What
        the store already has is not replaced: see :class:`PushReport`. An interrupted call can be
        repeated.

        Parameters
        ----------
        store : str or path-like
            A folder, or a URL of any file system that fsspec and Lance know, such as
            ``s3://bucket/store``. It need not exist. Credentials come from the environment.
        backbones : str or sequence of str, optional
            Backbones whose embeddings are copied. Default: all.

        Returns
        -------
        PushReport
            What was copied, and the facts that both sides have differently.

        Raises
        ------
        EmptyWorkspace
            Nothing has been added to the workspace.
        BadInput
            The place is not a store, or it has other weights of a backbone.
        NotInWorkspace
            The workspace has no such backbone.
        MissingExtra
            The extra ``cluster`` is not installed.
        StoreBusy, HeadBusy
            Another process writes to the store, or trains a head.
        StorageError
            The storage cannot be used.
        """
        from embedkit.cluster.push import push

        known = self._catalog.backbone_snapshot().backbones
        names = full_names(backbones)
        chosen = [self._embeddings.select(name) for name in names] if names else known
        return push(
            self._catalog,
            self._state.heads_folder,
            self._embeddings.projections,
            self._store(store),
            chosen,
            self._progress,
        )

    def pull(self, store: StrPath, *, sample: int | None = None, seed: int = 0) -> "PullReport":
        """Copy to the workspace what it lacks of a store: all, or a random sample of its images.

        Photos themselves are not copied: their files keep the paths or URLs that the store has.
        Commands that only need embeddings and fingerprints work without the files. What the
        workspace already has is not replaced: see :class:`PullReport`. An interrupted call can be
        repeated.

        Parameters
        ----------
        store : str or path-like
            Path or URL of the store.
        sample : int, optional
            Number of images to copy, drawn at random. Default: all.
        seed : int, default 0
            Seed of the draw. The same images and the same seed give the same sample, and a larger
            sample contains a smaller one.

        Returns
        -------
        PullReport
            What was copied, and the facts that both sides have differently.

        Raises
        ------
        EmptyWorkspace
            The store has no photos.
        BadInput
            The place is not a store, or the workspace has other weights of a backbone.
        MissingExtra
            The extra ``cluster`` is not installed.
        HeadBusy
            Another process trains a head.
        StorageError
            The disk is full, or the storage cannot be used.
        """
        from embedkit.cluster.pull import pull

        content = self._store(store)
        self._state.sweep()
        report = pull(
            content,
            self._catalog,
            self._state.heads_folder,
            self._embeddings.projections,
            self._progress,
            sample=sample,
            seed=seed,
        )
        self._embeddings.save_caches()
        return report

    def _store(self, place: StrPath) -> "StoreContent":
        from embedkit.cluster.store import StoreContent

        return StoreContent(os.fspath(place), self._progress)
