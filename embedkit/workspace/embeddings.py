"""The namespace ``workspace.embeddings``."""

from pathlib import Path

from embedkit._internal.paths import absolute
from embedkit.workspace.state import StrPath, WorkspaceBase


class EmbeddingExchange(WorkspaceBase):
    """Write embeddings to files, and read them into another workspace."""

    def export(self, folder: StrPath, *, backbone: str | None = None) -> int:
        """Write the embeddings of one backbone to a folder.

        Three files are written. ``vectors.npy`` contains a float32 array of shape (N, dim). Each
        row of ``images.parquet`` describes the same row of the array: image_id, sha256, md5, bytes,
        norm, files, label and outdated (whether an earlier version decoded the image; the next
        :meth:`Workspace.add` checks it). ``spec.json`` contains the embedding spec. The projection
        of a backbone with ``dims=`` is written to ``projection.safetensors``.

        Parameters
        ----------
        folder : str or path-like
            Folder to write to.
        backbone : str, optional
            Backbone whose embeddings are written. Default: the workspace's first one.

        Returns
        -------
        int
            The number of embeddings, N.

        Raises
        ------
        EmptyWorkspace
            Nothing has been added.
        NotInWorkspace
            Nothing was embedded with that backbone.
        BadInput
            ``folder`` is a file.
        StorageError
            The disk is full, read-only or failing.
        """
        from embedkit.ingest.exchange import export

        resolved = self._embeddings.select(backbone)
        return export(self._catalog, resolved, Path(absolute(folder)), self._embeddings.projections)

    def import_(self, folder: StrPath) -> int:
        """Read embeddings that :meth:`export` wrote.

        Embeddings belong to images by SHA-256: photos that are added later need no forward pass.

        Parameters
        ----------
        folder : str or path-like
            Folder with ``vectors.npy``, ``images.parquet`` and ``spec.json``, and with
            ``projection.safetensors`` for a backbone with ``dims=``.

        Returns
        -------
        int
            The number of embeddings that were new.

        Raises
        ------
        BadArtefact
            The files are damaged or inconsistent.
        BadInput
            A file is missing, or this workspace uses the backbone's name for another network or
            has another projection for it.
        """
        from embedkit.ingest.exchange import import_

        self._state.sweep()
        return import_(self._catalog, Path(absolute(folder)), self._embeddings.projections)
