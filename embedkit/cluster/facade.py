"""The class :class:`Store`."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from embedkit._internal.paths import absolute
from embedkit.backbones.reduced import network_of
from embedkit.backbones.registry import DEFAULT, network_name
from embedkit.cluster.location import Location
from embedkit.cluster.store import StoreContent
from embedkit.errors import BadInput
from embedkit.images.decode import ImageInput
from embedkit.results import (
    AddReport,
    DuplicateGroup,
    Matches,
    ProgressCallback,
    RemovalReport,
    StoreDuplicates,
    StoreIndexReport,
    StoreInfo,
    StorePredictions,
    no_progress,
)
from embedkit.search.embedding_store import full_names
from embedkit.search.search import check_count

if TYPE_CHECKING:
    from embedkit.cluster.duplicates.plan import StorePlan
    from embedkit.cluster.search import StoreSearch

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
        self._search: StoreSearch | None = None

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
            A source does not exist, the place is not a store, or there are too few photos to fit
            the projection of ``dims=``.
        BadArtefact
            The projection of a backbone with ``dims=`` is missing or damaged.
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
        from embedkit.cluster.index_build import update_index
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
        if fingerprints_only:
            names = []
        networks = [
            resolve(network_name(name), list(map(network_of, known)), self._progress)
            for name in names
        ]
        with ray_session(on, workers) as cluster, self._content.writing("add"):
            report = add_to_store(
                self._content,
                places,
                names,
                networks,
                labels_from_folders=labels_from_folders,
                workers=cluster,
                progress=self._progress,
            )
            for name in names:
                update_index(self._content, self._content.backbone(name), self._progress)
        return report

    def remove(self, paths: StrPath | Sequence[StrPath], *, missing: bool = False) -> RemovalReport:
        """Forget files, and the images and embeddings that no file refers to any more.

        Photos are not touched. Labels from tables and other columns go to other files with the same
        bytes, or are kept until the photos are added again. An interrupted call can be repeated.

        Parameters
        ----------
        paths : path, URL or sequence of them
            Files, folders and archives to forget.
        missing : bool, default False
            Whether to forget only the files at or below these places that do not exist any more.
            This machine must reach the places.

        Returns
        -------
        RemovalReport
            Numbers of forgotten files, images and embeddings.

        Raises
        ------
        EmptyWorkspace
            There is no store.
        NotInWorkspace
            The store has no files at one of the paths; nothing is forgotten.
        BadInput
            No path is given, or one of ``missing`` files cannot be reached.
        StoreBusy, StorageError
            As for :meth:`add`.
        """
        from embedkit.cluster.remove import remove_files

        if isinstance(paths, (str, os.PathLike)):
            paths = [paths]
        places = [Location(os.fspath(path)).place for path in paths]
        if not places:
            raise BadInput("nothing to forget; name files or folders")
        self._content.require()
        with self._content.writing("remove"):
            return remove_files(self._content, places, missing, self._progress)

    def build_index(self, backbone: str | None = None, *, on: str = "ray") -> StoreIndexReport:
        """Bring the index of a backbone's embeddings up to date, for fast searches.

        :meth:`add` does this too. Without it, a search compares the new images one by one.

        Parameters
        ----------
        backbone : str, optional
            A backbone of the store. Default: the first one.
        on : str, default 'ray'
            As for :meth:`add`.

        Returns
        -------
        StoreIndexReport
            The index, and its recall.

        Raises
        ------
        EmptyWorkspace, NotInWorkspace
            The store has no embeddings, or none of this backbone.
        StoreBusy, StorageError, MissingExtra
            As for :meth:`add`.
        """
        from embedkit.cluster.index_build import build_index
        from embedkit.cluster.ray_session import ray_session

        resolved = self._content.backbone(_full_name(backbone))
        with ray_session(on):
            return build_index(self._content, resolved, self._progress)

    def search(
        self,
        image: ImageInput | None = None,
        k: int = 10,
        *,
        sha256: str | None = None,
        text: str | None = None,
        backbone: str | None = None,
        max_distance: float | None = None,
        label: str | None = None,
        folder: StrPath | None = None,
    ) -> Matches:
        """Return the images nearest to a photo, to an embedding or to words. Needs no Ray.

        Parameters
        ----------
        image : path, URL, bytes, Pillow image or array
            As for :meth:`Workspace.search`; a URL is that of a photo in the store.
        k : int, default 10
            The number of images.
        sha256 : str, optional
            Hex digest of a photo of the store, in place of an image.
        text : str, optional
            Words to search for in place of an image; needs a CLIP-like backbone.
        backbone : str, optional
            A backbone of the store. Default: the first one.
        max_distance : float, optional
            Maximum cosine distance of a match, in [0, 2].
        label : str, optional
            Only files with this label.
        folder : path or URL, optional
            Only files below this folder.

        Returns
        -------
        Matches
            A list of :class:`Match`, the nearest first.

        Raises
        ------
        EmptyWorkspace, NotInWorkspace
            As :meth:`Workspace.search`.
        BadInput
            The image cannot be read, or arguments contradict each other.
        StorageError
            The storage cannot be read.
        """
        from embedkit.cluster.search import StoreSearch, store_filter

        if sum(given is not None for given in (image, sha256, text)) != 1:
            raise BadInput("give either an image or a text to search for, or the sha256 of a photo")
        check_count(k)
        passing = store_filter(max_distance, label, None if folder is None else os.fspath(folder))
        if self._search is None:
            self._search = StoreSearch(self._content, self._progress)
        name = _full_name(backbone)
        if text is not None:
            queries = self._search.query_text(name, text)
        elif sha256 is not None:
            queries = self._search.query_stored(name, sha256)
        else:
            assert image is not None
            queries = self._search.query_images(name, [image])
        return self._search.matches(queries, k, passing)[0]

    def duplicates(
        self,
        kinds: Sequence[str] = (),
        *,
        max_hamming: int | None = None,
        max_distance: float | None = None,
        any_orientation: bool = False,
        backbone: str | None = None,
        on: str = "ray",
        workers: int | None = None,
    ) -> StoreDuplicates:
        """Find groups of files that show the same picture, and store them.

        Images, thresholds and scores are those of :meth:`Workspace.duplicates`. Both files of a
        likely copy are opened; pairs whose files cannot be opened are for review. Verdicts are
        applied.

        Parameters
        ----------
        kinds, max_hamming, max_distance, any_orientation : optional
            As for :meth:`Workspace.duplicates`; hashes have 64 bits.
        backbone : str, optional
            Backbone whose embeddings are used. Default: the store's first one, if it has any.
        on, workers : optional
            As for :meth:`add`.

        Returns
        -------
        StoreDuplicates
            The figures of the search. :meth:`duplicate_groups` returns the groups.

        Raises
        ------
        EmptyWorkspace
            The store has no images.
        BadInput
            An argument is wrong.
        StoreBusy, StorageError, MissingExtra
            As for :meth:`add`.
        """
        from embedkit.cluster.duplicates.find import find_duplicates
        from embedkit.cluster.duplicates.tasks import Tasks
        from embedkit.cluster.ray_session import ray_session
        from embedkit.duplicates.pair_search import duplicate_options

        options = duplicate_options(kinds, max_hamming, max_distance, 64, any_orientation)
        self._content.require()
        name = _full_name(backbone)
        has_embeddings = name is not None or self._content.backbones()
        spec = self._content.backbone(name).spec if has_embeddings else None
        with ray_session(on, workers) as cluster:
            tasks = Tasks(cluster, self._progress)
            return find_duplicates(self._content, spec, options, tasks)

    def duplicate_groups(self) -> Iterator[DuplicateGroup]:
        """Yield the groups of the last search for duplicates, the highest score first.

        Verdicts, labels and files are those that the store has now. Photos that were added after
        the search are in no group.

        Yields
        ------
        DuplicateGroup
            A group, as :meth:`Workspace.duplicates` has it.
        """
        from embedkit.cluster.duplicates.find import stored_groups

        return stored_groups(self._content)

    def clean(
        self,
        kinds: Sequence[str] = (),
        *,
        conflicts: str = "review",
        protect: Sequence[StrPath] = (),
        prefer: Sequence[str] = (),
        allow: Sequence[str] = (),
    ) -> "StorePlan":
        """Plan which duplicates, off-topic and poor photos to remove. Nothing is moved.

        The plan is for the groups of :meth:`duplicate_groups`, with the rules of
        :meth:`Workspace.clean`. It contains the files that this machine reaches by a path.

        Parameters
        ----------
        kinds : sequence of str, optional
            The kinds of the last search, and ``off-topic`` and ``poor``: all files of the photos
            with this verdict are removed, except protected ones. With only these two and ``exact``,
            no search is needed, unless ``exact`` meets a verdict that photos are duplicates.
            Default: the kinds of the last search.
        conflicts, protect, prefer : optional
            As for :meth:`Workspace.clean`.
        allow : sequence of str, optional
            As for :meth:`Workspace.clean`, without ``damaged``.

        Returns
        -------
        StorePlan
            The action for each file, and the reason.

        Raises
        ------
        EmptyWorkspace
            No duplicates were searched for.
        BadInput
            An argument is wrong, or nothing below a protected path is in the store.
        StorageError
            The storage cannot be read.
        """
        from embedkit.cleaning.planning import check_kinds, plan_options
        from embedkit.cluster.duplicates.plan import plan_store

        options = plan_options(conflicts, protect, prefer, allow)
        check_kinds(kinds)
        self._content.require()
        return plan_store(self._content, kinds, options, self._progress)

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
        with ray_session(on, workers) as cluster, self._content.writing("classify"):
            return classify_store(self._content, loaded, cluster, self._progress)


def _full_name(backbone: str | None) -> str | None:
    return None if backbone is None else full_names(backbone)[0]
