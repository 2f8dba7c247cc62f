"""The class :class:`Store`."""

import os
from collections.abc import Sequence
from pathlib import Path

from embedkit._internal.paths import absolute
from embedkit.backbones.registry import DEFAULT
from embedkit.cluster.location import Location
from embedkit.cluster.store import StoreContent
from embedkit.errors import BadInput
from embedkit.results import AddReport, ProgressCallback, StoreInfo, StorePredictions, no_progress
from embedkit.search.embedding_store import full_names

StrPath = str | os.PathLike[str]


class Store:
    """A photo collection on shared or object storage, which many machines process.

    It has the content of a workspace in Lance datasets. Nothing is read or created before it is
    needed. Photos are never changed.

    Parameters
    ----------
    place : str or path-like
        A folder, or a URL of any file system that fsspec and Lance know, such as
        ``s3://bucket/store``. It need not exist. Credentials come from the environment.
    progress : callable, optional
        Called with a :class:`Progress` repeatedly during long operations.

    Examples
    --------
    >>> store = Store("s3://bucket/store")               # doctest: +SKIP
    >>> store.add("s3://bucket/photos", on="ray")        # doctest: +SKIP
    """

    def __init__(self, place: StrPath, progress: ProgressCallback = no_progress) -> None:
        self._progress = progress
        self._content = StoreContent(os.fspath(place), progress)

    @property
    def location(self) -> str:
        """Absolute path or URL of the store."""
        return self._content.location.place

    def __repr__(self) -> str:
        return f"Store({self.location!r})"

    def info(self) -> StoreInfo:
        """Describe the store.

        Returns
        -------
        StoreInfo
            Counts, labels, backbones and failures.

        Raises
        ------
        EmptyWorkspace
            There is no store.
        """
        return self._content.info()

    def add(
        self,
        sources: StrPath | Sequence[StrPath],
        *,
        backbones: str | Sequence[str] = (),
        labels_from_folders: bool = False,
        fingerprints_only: bool = False,
        on: str = "ray",
        workers: int | None = None,
    ) -> AddReport:
        """Add photos, or bring the store up to date with them.

        Files that cannot be used are reported and do not stop the run. An interrupted call can be
        repeated: it continues after the last committed files.

        Parameters
        ----------
        sources : path, URL or sequence of them
            Photos, folders of photos and listings. Every worker must reach them.
        backbones : str or sequence of str, optional
            Backbones to embed with. Default: those of earlier calls, else the default backbone.
        labels_from_folders : bool, default False
            Whether to label each file with the first folder below its source.
        fingerprints_only : bool, default False
            Whether to run no network.
        on : str, default 'ray'
            ``ray`` runs on this machine, or on the cluster in the variable ``RAY_ADDRESS``;
            ``ray://HOST:PORT`` on a running cluster.
        workers : int, optional
            Number of workers. Default: one for each GPU, else one for each four cores.

        Returns
        -------
        AddReport
            Counts and failures.

        Raises
        ------
        BadInput
            A source does not exist, or the place is not a store.
        MissingExtra
            The extra ``cluster`` is not installed.
        StoreBusy
            Another process writes to the store.
        WeightsMissing, BadWeights, UnknownBackbone
            A backbone cannot be loaded.
        StorageError
            The storage or the cluster cannot be used.
        """
        from embedkit.cluster.add import add_to_store
        from embedkit.cluster.ray_session import ray_session
        from embedkit.ingest.network import resolve

        if fingerprints_only and backbones:
            raise BadInput(
                "fingerprints need no backbone; give either backbones or fingerprints_only"
            )
        if isinstance(sources, (str, os.PathLike)):
            sources = [sources]
        places = [Location(os.fspath(source)).place for source in sources]
        if not places:
            raise BadInput("nothing to add; name photos, folders of photos or listings")
        known, compared = self._content.backbones(), self._content.compared()
        earlier = [item.name for item in known if item.name not in compared]
        names = full_names(backbones) or earlier or [DEFAULT]
        chosen = (
            [] if fingerprints_only else [resolve(name, known, self._progress) for name in names]
        )
        with self._content.writing("add"), ray_session(on, workers) as shares:
            return add_to_store(
                self._content,
                places,
                chosen,
                labels_from_folders=labels_from_folders,
                shares=shares,
                progress=self._progress,
            )

    def classify(
        self, head: StrPath, *, on: str = "ray", workers: int | None = None
    ) -> StorePredictions:
        """Classify every image of the store with a head, from the stored embeddings.

        Parameters
        ----------
        head : path
            Folder of the head, such as ``indexes/default/heads/probe``.
        on, workers : optional
            As for :meth:`add`.

        Returns
        -------
        StorePredictions
            Counts, and the place of the predictions. Those of an earlier head of this name are
            replaced.

        Raises
        ------
        BadInput
            The store has no embeddings that the head can classify.
        BadArtefact, NotInWorkspace
            The head is damaged, or there is none.
        StoreBusy, StorageError, MissingExtra
            As for :meth:`add`.
        """
        from embedkit.classify.heads.store import load_head
        from embedkit.cluster.classify import classify_store
        from embedkit.cluster.ray_session import ray_session

        folder = Path(absolute(head))
        loaded = load_head(folder.parent, folder.name)
        with self._content.writing("classify"), ray_session(on, workers) as shares:
            return classify_store(self._content, loaded, shares, self._progress)
