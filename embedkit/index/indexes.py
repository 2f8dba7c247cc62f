"""The indexes of one workspace: one folder for each embedding spec, opened on demand."""

import shutil
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

from embedkit.catalog import Catalog, Revision
from embedkit.index.manifest import usable_manifest
from embedkit.results import EmbeddingSpec, ProgressCallback

if TYPE_CHECKING:
    from embedkit.index.index import Index


class Indexes:
    """The indexes below ``folder``, which follow ``catalog``.

    ``kind`` returns the kind of index in the recipe: ``auto``, ``exact`` or a FAISS factory string.
    """

    def __init__(
        self, folder: Path, catalog: Catalog, kind: Callable[[], str], progress: ProgressCallback
    ) -> None:
        self._folder = folder
        self._catalog = catalog
        self._kind = kind
        self._progress = progress
        self._open: dict[str, Index] = {}

    def folder_of(self, spec: EmbeddingSpec) -> Path:
        """Return the folder of the index of a spec, whether it exists or not."""
        return self._folder / spec.digest

    def at(self, spec: EmbeddingSpec, revision: Revision) -> "Index":
        """Return the index of a spec, brought up to a revision in memory."""
        if spec.digest not in self._open:
            self._load(spec)
        if self._open[spec.digest].revision != revision:
            self._catch_up(spec, revision, save=False)
        return self._open[spec.digest]

    def empty(self) -> "Index":
        """Return an index without embeddings."""
        from embedkit.index.index import Index

        return Index(self._folder, "", 0, self._refill)

    def save_at(self, spec: EmbeddingSpec, revision: Revision) -> None:
        """Bring the index on disk up to a revision and to the kind in the recipe.

        It continues from the index that another process may have saved in the meantime.
        """
        saved = usable_manifest(self.folder_of(spec))
        if saved is None or (saved.revision, saved.kind) != (revision, self._kind()):
            self._load(spec)
            self._catch_up(spec, revision, save=True)
        if spec.version_1 != spec:  # the index of an earlier version is obsolete
            shutil.rmtree(self._folder / spec.version_1.digest, ignore_errors=True)

    def remove(self, spec: EmbeddingSpec) -> None:
        """Remove the index of a spec."""
        self._open.pop(spec.digest, None)
        shutil.rmtree(self.folder_of(spec), ignore_errors=True)

    def remove_all_except(self, digests: Collection[str]) -> None:
        """Remove the indexes of all specs except those with these digests."""
        for folder in self._folder.glob("*"):
            if folder.name not in digests:
                shutil.rmtree(folder, ignore_errors=True)

    def _load(self, spec: EmbeddingSpec) -> None:
        from embedkit.index.index import load_index

        self._open[spec.digest] = load_index(
            self.folder_of(spec), spec.digest, spec.dim, self._refill
        )

    def _refill(self, index: "Index") -> None:
        """Fill a damaged index, which has been emptied, from the catalog."""
        with self._catalog.read() as reader:
            revision = reader.embeddings.revision(index.spec)
        index.catch_up(self._catalog, revision, self._kind(), progress=self._progress)

    def _catch_up(self, spec: EmbeddingSpec, revision: Revision, save: bool) -> None:
        try:
            self._open[spec.digest].catch_up(
                self._catalog, revision, self._kind(), save=save, progress=self._progress
            )
        except BaseException:  # the index in memory is half updated; its files are complete
            del self._open[spec.digest]
            raise
