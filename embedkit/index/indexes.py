"""The indexes of one workspace: a folder for each embedding spec, opened when it is asked for."""

import shutil
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from embedkit.catalog import Catalog
from embedkit.catalog.reader import Position
from embedkit.index.manifest import read_manifest, write_manifest
from embedkit.records import EmbeddingSpec, ProgressCallback

if TYPE_CHECKING:
    from embedkit.index.index import Index


class Indexes:
    """The indexes below ``folder``, which follow ``catalog``.

    ``kind`` gives what the recipe asks for: ``auto``, ``exact`` or a FAISS factory string.
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
        """Where the index of a spec is, or would be.

        One that an earlier version of the pipeline made is taken over: the catalog's embeddings
        are the same, but for those that it has replaced since.
        """
        folder, before = self._folder / spec.digest, self._folder / spec.first.digest
        if before.is_dir() and not folder.exists():
            with suppress(OSError):  # read-only, or another process was faster: it is a cache
                if (manifest := read_manifest(before)) is not None:
                    write_manifest(before, replace(manifest, spec=spec.digest))
                before.rename(folder)
        return folder

    def at(self, spec: EmbeddingSpec, position: Position) -> "Index":
        """The index of a spec, caught up in memory with a position of the catalog's embeddings."""
        if spec.digest not in self._open:
            self._load(spec)
        if self._open[spec.digest].position != position:
            self._catch_up(spec, position, save=False)
        return self._open[spec.digest]

    def none(self) -> "Index":
        """An index of no embeddings, of a collection that has none."""
        from embedkit.index.index import Index

        return Index(self._folder, "", 0)

    def save_at(self, spec: EmbeddingSpec, position: Position) -> None:
        """Bring what is on disk up to a position, unless it is there and of the kind asked for.

        It goes on from what other processes may have saved meanwhile.
        """
        saved = read_manifest(self.folder_of(spec))
        if saved is None or (saved.position, saved.kind) != (position, self._kind()):
            self._load(spec)
            self._catch_up(spec, position, save=True)

    def forget(self, spec: EmbeddingSpec) -> None:
        """Remove the index of a spec."""
        self._open.pop(spec.digest, None)
        shutil.rmtree(self.folder_of(spec), ignore_errors=True)

    def forget_all_but(self, digests: Collection[str]) -> None:
        """Remove the indexes of other specs than those with these digests."""
        for folder in self._folder.glob("*"):
            if folder.name not in digests:
                shutil.rmtree(folder, ignore_errors=True)

    def _load(self, spec: EmbeddingSpec) -> None:
        from embedkit.index.index import load_index

        self._open[spec.digest] = load_index(self.folder_of(spec), spec.digest, spec.dim)

    def _catch_up(self, spec: EmbeddingSpec, position: Position, save: bool) -> None:
        try:
            self._open[spec.digest].catch_up(
                self._catalog, position, self._kind(), save=save, progress=self._progress
            )
        except BaseException:  # half done; what is on disk is whole
            del self._open[spec.digest]
            raise
