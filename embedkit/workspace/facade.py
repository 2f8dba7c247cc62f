"""The class :class:`Workspace`."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from embedkit._internal.paths import DEFAULT_WORKSPACE, absolute, shown
from embedkit.backbones.registry import DEFAULT
from embedkit.catalog import Catalog
from embedkit.errors import BadInput
from embedkit.recipe import FILE_NAME, Recipe, read_recipe
from embedkit.results import (
    AddReport,
    Progress,
    ProgressCallback,
    RelocationReport,
    RemovalReport,
    WorkspaceInfo,
    no_progress,
)
from embedkit.search.embedding_store import EmbeddingStore, full_names
from embedkit.workspace.classification import ClassificationMethods
from embedkit.workspace.cleaning import CleaningMethods
from embedkit.workspace.embeddings import EmbeddingExchange
from embedkit.workspace.heads import Heads
from embedkit.workspace.labels import Labels
from embedkit.workspace.quarantine import Quarantines
from embedkit.workspace.review import ReviewMethods
from embedkit.workspace.search import SearchMethods
from embedkit.workspace.state import State, StrPath
from embedkit.workspace.store import StoreMethods
from embedkit.workspace.verdicts import Verdicts


class Workspace(SearchMethods, CleaningMethods, ReviewMethods, ClassificationMethods, StoreMethods):
    """A folder with the catalog, the indexes and an optional recipe of one photo collection.

    Nothing is read or created before it is needed. Photos are never changed: only
    :meth:`Plan.apply` and :meth:`undo` move them, and only ``quarantine.empty`` deletes any.

    Parameters
    ----------
    folder : str or path-like, default 'indexes/default'
        The folder of the workspace. It need not exist.
    progress : callable, optional
        Called with a :class:`Progress` repeatedly during long operations.

    Attributes
    ----------
    folder : Path
        Absolute path of the workspace.
    labels : Labels
        Labels of the files in the workspace, from a CSV or from folder names.
    verdicts : Verdicts
        Decisions of a person about photos, their labels and their duplicates.
    quarantine : Quarantines
        List applied plans, and delete the files that they moved.
    heads : Heads
        Train, combine, evaluate and load classifiers.
    embeddings : EmbeddingExchange
        Export and import embeddings.

    Examples
    --------
    >>> workspace = Workspace("indexes/default")
    >>> workspace.add("photos")                          # doctest: +SKIP
    >>> for match in workspace.search("photos/1.jpg"):   # doctest: +SKIP
    ...     print(match.distance, match.path)
    """

    def __init__(
        self, folder: StrPath = DEFAULT_WORKSPACE, progress: ProgressCallback = no_progress
    ) -> None:
        self.folder = Path(absolute(folder))
        catalog = Catalog(self.folder, on_wait=lambda text: progress(Progress(text)))
        super().__init__(State(self.folder, catalog, EmbeddingStore(catalog, progress), progress))
        self.labels = Labels(self._state)
        self.verdicts = Verdicts(self._state)
        self.quarantine = Quarantines(self._state)
        self.heads = Heads(self._state)
        self.embeddings = EmbeddingExchange(self._state)

    def __repr__(self) -> str:
        return f"Workspace({str(self.folder)!r})"

    @property
    def recipe(self) -> Recipe:
        """The content of the workspace's recipe.toml; an empty recipe if there is none."""
        return read_recipe(self.folder)

    def add(
        self,
        sources: StrPath | Sequence[StrPath] = (),
        *,
        backbones: str | Sequence[str] = (),
        labels_from_folders: bool | None = None,
        fingerprints_only: bool = False,
        exclude: str | Sequence[str] | None = None,
        min_size: int | None = None,
        tolerate_truncated: bool | None = None,
    ) -> AddReport:
        """Add photos, or bring the workspace up to date with them.

        Files that cannot be used are reported and do not stop the run. An interrupted call can be
        repeated: it continues after the last committed batch.

        Parameters
        ----------
        sources : path or sequence of paths, optional
            Photos and folders. Default: the recipe's and everything that was added before. The
            photos of a folder of ``embedkit collect``, or of the path of its manifest, get the
            labels and the attributes that the manifest gives.
        backbones : str or sequence of str, optional
            Backbones to embed with. Default: the recipe's, else those of earlier calls, else the
            default backbone.
        labels_from_folders : bool, optional
            Whether to label each file with the first folder below its source; of nested sources the
            innermost decides. Default: the setting of the recipe.
        fingerprints_only : bool, default False
            Whether to run no network. This is enough for :meth:`duplicates` and :meth:`clean`; a
            later call without it embeds the images.
        exclude : str or sequence of str, optional
            Patterns of files and folders to exclude, as ``embedkit add --exclude`` takes them.
        min_size : int, optional
            Minimum short side in pixels; smaller images are skipped.
        tolerate_truncated : bool, optional
            Whether to decode truncated JPEG and PNG files as far as possible. :meth:`search` finds
            them; duplicates, splits and training skip them.

        Returns
        -------
        AddReport
            Counts, failures, rates and skipped files.

        Raises
        ------
        BadInput
            A source does not exist, a pattern matches nothing, backbones are given together with
            ``fingerprints_only``, or there are too few photos to fit the projection of ``dims=``.
        BadArtefact
            The projection of a backbone with ``dims=`` is missing or damaged, or the manifest of a
            collection is damaged or too new.
        WeightsMissing, BadWeights, UnknownBackbone
            A backbone cannot be loaded.
        StorageError
            The disk is full, read-only or failing.

        Notes
        -----
        ``exclude``, ``min_size`` and ``tolerate_truncated`` apply to the whole workspace and to
        later calls until they are given again. Images that they exclude are no longer found, but
        their embeddings are kept: including the images again needs no forward pass.
        """
        from embedkit.ingest.add import add
        from embedkit.ingest.scanning import options_of, sources_of
        from embedkit.workspace.collections import Collections, collection_folder

        if fingerprints_only and backbones:
            raise BadInput(
                "fingerprints need no backbone; give either backbones or fingerprints_only"
            )
        recipe = self.recipe
        recipe = replace(recipe, sources=tuple(map(collection_folder, recipe.sources)))
        snapshot = self._embeddings.backbone_snapshot()
        if isinstance(sources, (str, os.PathLike)):
            sources = [sources]
        paths = [collection_folder(absolute(source)) for source in sources]
        chosen: Sequence[str] = ()
        if not fingerprints_only:
            chosen = (
                full_names(backbones)
                or self._embeddings.recipe_backbones()
                or snapshot.added
                or [DEFAULT]
            )
        if isinstance(exclude, str):
            exclude = [exclude]
        self._state.sweep()
        found = sources_of(self._catalog, recipe, paths, labels_from_folders)
        collections = Collections(self._catalog, found)
        report = add(
            self._catalog,
            found,
            list(dict.fromkeys(chosen)),
            resolved=snapshot.backbones,
            projections=self._embeddings.projections,
            options=options_of(self._catalog, exclude, min_size, tolerate_truncated),
            new_patterns=exclude or (),
            skip=str(self.folder),
            progress=self._progress,
        )
        report = replace(report, collections=collections.store_facts())
        self._embeddings.save_caches()
        return report

    def relocate(self, old: StrPath, new: StrPath) -> RelocationReport:
        """Record that a folder was moved as a whole. No photo is read.

        Parameters
        ----------
        old : path
            Old path of the folder.
        new : path
            New path of the folder. At least half of its files must be below it with the same size;
            the others count as missing.

        Returns
        -------
        RelocationReport
            Numbers of files that were found, have changed or are missing.

        Raises
        ------
        NotInWorkspace
            No files are known below ``old``.
        BadInput
            Fewer than half of the files are below ``new``.
        """
        from embedkit.ingest.relocation import relocate

        report = relocate(self._catalog, absolute(old), absolute(new))
        if any(Path(source).is_relative_to(absolute(old)) for source in self.recipe.sources):
            recipe = self.folder / FILE_NAME
            warning = f"{recipe} still lists {shown(absolute(old))}; change it there"
            report = replace(report, warnings=(*report.warnings, warning))
        return report

    def remove(
        self,
        path: StrPath | None = None,
        *,
        missing: bool = False,
        backbone: str | None = None,
    ) -> RemovalReport:
        """Forget a file or folder, all missing files, or the embeddings of a backbone.

        Photos are not touched. Labels from tables are kept until the photos are added again.

        Parameters
        ----------
        path : path, optional
            File or folder to forget.
        missing : bool, default False
            Whether to forget all missing files.
        backbone : str, optional
            Backbone whose embeddings to forget.

        Returns
        -------
        RemovalReport
            Numbers of forgotten files, images and embeddings.

        Raises
        ------
        NotInWorkspace
            The workspace has no such path or backbone.
        BadInput
            Not exactly one of the three is given.
        """
        if sum((path is not None, missing, backbone is not None)) != 1:
            raise BadInput("give exactly one of a path, missing=True or a backbone")
        self._state.sweep()
        if backbone is not None:
            return self._embeddings.remove(backbone)
        self._catalog.require()
        with self._catalog.write() as writer:
            return writer.files.remove(None if path is None else absolute(path))

    def compact(self) -> tuple[int, int]:
        """Rewrite the catalog without the gaps that removals left.

        Images without a file and embeddings of superseded weights are forgotten. Imported
        embeddings of photos that are not added yet are kept.

        Returns
        -------
        before, after : int
            Size of the catalog in bytes.
        """
        from embedkit.browse.projection import remove_all_except as remove_projections
        from embedkit.classify.heads.outliers.cache import remove_all_except as remove_outliers

        self._catalog.require()
        self._state.sweep()
        sizes = self._catalog.compact()
        self._embeddings.remove_unused_indexes()
        digests = {item.spec.digest for item in self._embeddings.backbone_snapshot().backbones}
        remove_outliers(self._state.outliers_folder, digests)
        remove_projections(self.folder, digests)
        return sizes

    def info(self) -> WorkspaceInfo:
        """Return the photos, labels, specs, failures, split, heads and disk use of the workspace.

        Files are counted as they are on disk now.

        Returns
        -------
        WorkspaceInfo
            Counts, specs, failures, options and disk use.

        Raises
        ------
        EmptyWorkspace
            Nothing has been added.
        """
        from embedkit.catalog.inventory import inventory

        with self._catalog.read() as reader:
            specs = self._embeddings.spec_infos(reader)
            sources, failures = reader.folders.sources(), reader.failures.all()
            options, truncated = reader.runs.last_options(), reader.failures.truncated_files()
        counts = inventory(self._catalog)
        files = (file for file in self.folder.rglob("*") if file.is_file())
        return WorkspaceInfo(
            workspace=str(self.folder),
            sources=tuple(sources),
            files=counts.files,
            images=counts.images,
            missing=counts.missing,
            labels=counts.labels,
            specs=specs,
            disk_bytes=sum(file.stat().st_size for file in files),
            failures=tuple(failures),
            options=options,
            truncated=tuple(truncated),
            split=self._stored_split(),
            heads=self.heads.info(),
            relabelled=counts.relabelled,
        )
