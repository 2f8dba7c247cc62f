"""Search a store: queries, the nearest images, and their files.

The ids of images are the row ids of their embeddings, which differ between specs.
"""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from embedkit._internal.paths import absolute, is_url, shown
from embedkit.backbones import LOADING, open_backbone
from embedkit.catalog import LiveFile, Revision
from embedkit.cluster.files import file_name
from embedkit.cluster.index_search import StoreIndex
from embedkit.cluster.labels import files_of_images, has_label
from embedkit.cluster.shards import at_or_below
from embedkit.cluster.store import StoreContent, digest_words
from embedkit.cluster.tables import USABLE, text_literal
from embedkit.cluster.vectors import Vectors
from embedkit.errors import NotInWorkspace
from embedkit.images.decode import ImageInput
from embedkit.ingest.labels import as_label
from embedkit.ingest.network import resolve
from embedkit.results import Matches, ProgressCallback, ResolvedName, no_progress
from embedkit.search.queries import (
    Queries,
    digest_of,
    image_queries,
    parsed_digest,
    text_query,
)
from embedkit.search.search import SearchFilter, empty_filter, search

if TYPE_CHECKING:
    from embedkit.backbones.backbone import Backbone


def store_filter(
    max_distance: float | None = None, label: str | None = None, folder: str | None = None
) -> SearchFilter:
    """Return a filter as :meth:`SearchFilter.from_arguments` does; ``folder`` may be a URL."""
    if folder is None or not is_url(folder):
        return SearchFilter.from_arguments(max_distance, label, folder)
    return SearchFilter(
        max_distance, None if label is None else as_label(label), folder.rstrip("/")
    )


class StoreSearch:
    """Searches of a store, which keep its indexes and networks open.

    Backbones are given by full name. ``None`` is the store's first one.
    """

    def __init__(self, store: StoreContent, progress: ProgressCallback = no_progress) -> None:
        self._store = store
        self._progress = progress
        self._indexes: dict[str, StoreIndex] = {}
        self._networks: dict[str, Backbone] = {}

    def index(self, backbone: ResolvedName) -> StoreIndex:
        """Return the latest index of a backbone."""
        spec = backbone.spec
        if spec.digest not in self._indexes or not self._indexes[spec.digest].is_current():
            self._indexes[spec.digest] = StoreIndex(self._store, spec)
        return self._indexes[spec.digest]

    def _network(self, backbone: ResolvedName) -> "Backbone":
        spec = backbone.spec.digest
        if spec not in self._networks:
            self._progress(LOADING)
            find = self._store.projections.find
            resolved = resolve(backbone.name, [backbone], self._progress, find)
            self._networks[spec] = open_backbone(resolved, find)
        return self._networks[spec]

    # -- queries -----------------------------------------------------------------------------------

    def query_images(self, backbone: str | None, images: Sequence[ImageInput]) -> Queries:
        """Return images as queries, with their stored embeddings where the store has these bytes.

        See :func:`embedkit.search.queries.embed_images`.
        """
        resolved = self._store.backbone(backbone)
        vectors = self.index(resolved).vectors

        def stored(digests: Sequence[bytes]) -> tuple[dict[bytes, int], dict[int, np.ndarray]]:
            known = vectors.of_digests(digests)
            row_ids, found = vectors.at(np.array(sorted(known.values()), np.int64))
            return known, dict(zip(row_ids.tolist(), found, strict=True))

        return image_queries(resolved, Revision(), images, self._digest_at, stored, self._network)

    def _digest_at(self, image: str | os.PathLike[str]) -> bytes:
        """Return the SHA-256 of a file; of a photo of the store at a URL, as the store knows it."""
        path = absolute(image)
        if not is_url(path):
            return digest_of(image)
        found = self._store.files.read(["sha256"], f"{USABLE} AND path = {text_literal(path)}")
        if not len(found):
            raise NotInWorkspace(
                f"{shown(path)} is not in the store; only files on this machine can be opened"
            )
        digest: bytes = found["sha256"][0].as_py()
        return digest

    def query_stored(self, backbone: str | None, sha256: str) -> Queries:
        """Return an image of the store as a query, by its stored embedding.

        Raises :class:`NotInWorkspace` when there is no such embedding, and :class:`BadInput` when
        ``sha256`` is not a hex digest.
        """
        digest = parsed_digest(sha256)
        resolved = self._store.backbone(backbone)
        vectors = self.index(resolved).vectors
        row_ids = np.array([*vectors.of_digests([digest]).values()], np.int64)
        if not len(row_ids):
            raise NotInWorkspace(
                f"no photo with the SHA-256 {sha256} is embedded with {resolved.name}; run "
                f"'embedkit add PHOTOS --store {self._store.argument} --on ray'"
            )
        files = StoreFilesOfImages(self._store, vectors).of_images(row_ids.tolist(), None, None)
        path = files[int(row_ids[0])][0].path if files else sha256
        return Queries(resolved, Revision(), vectors.at(row_ids)[1], (int(row_ids[0]),), (path,))

    def query_text(self, backbone: str | None, text: str) -> Queries:
        """Return a text as a query; raises :class:`BadInput` if the backbone has no text."""
        return text_query(self._store.backbone(backbone), Revision(), text, self._network)

    # -- matches -----------------------------------------------------------------------------------

    def matches(self, queries: Queries, k: int, search_filter: SearchFilter) -> list[Matches]:
        """Return the matches of each query: see :func:`embedkit.search.search.search`."""
        index = self.index(queries.resolved)
        files = StoreFilesOfImages(self._store, index.vectors)
        return search(files, index, queries, k, search_filter)


class StoreFilesOfImages:
    """The files of a store by row id: see :class:`embedkit.search.search.SearchedFiles`."""

    def __init__(self, store: StoreContent, vectors: Vectors) -> None:
        self._store = store
        self._vectors = vectors
        self._new_labels = store.current_verdicts().new_labels

    def image_ids(self, label: str | None, folder: str | None) -> np.ndarray:
        """Return the row ids of the images with a file that passes a filter."""
        found = self._store.files.read(["sha256"], self._condition(label, folder))
        words = np.unique(digest_words(found["sha256"]), axis=0)
        row_ids = self._vectors.of_digest_words(words)
        if len(words) and not len(row_ids):
            raise NotInWorkspace(
                "the photos that pass the filter have no embedding of this backbone; run 'embedkit "
                f"add PHOTOS --store {self._store.argument} --on ray' with it, or name another one "
                "with --backbone"
            )
        if not len(row_ids):
            labels = [] if label is None else self._store.label_counts().labels
            raise NotInWorkspace(empty_filter("the store", label, folder, labels))
        return row_ids

    def of_images(
        self, image_ids: Sequence[int], label: str | None, folder: str | None
    ) -> dict[int, list[LiveFile]]:
        """Return the files of images that pass a filter, by row id, sorted by path."""
        digests = self._vectors.digests(np.array(sorted(image_ids), np.int64))
        row_id_of = {digest: row_id for row_id, digest in digests.items()}
        where = self._condition(label, folder)
        found = files_of_images(self._store.files, row_id_of, self._new_labels, where)
        return {
            row_id_of[digest]: sorted(
                (replace(file, path=file_name(file.path)) for file in files),
                key=lambda file: file.path,
            )
            for digest, files in found.items()
        }

    def _condition(self, label: str | None, folder: str | None) -> str:
        """Return the SQL condition of the usable files that pass a filter."""
        condition = USABLE
        if label is not None:
            condition += f" AND {has_label(label, self._new_labels)}"
        if folder is not None:
            condition += f" AND {at_or_below(folder)}"
        return condition
