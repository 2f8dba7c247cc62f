"""Search a store: queries, the nearest images, and their files.

The ids of images are the row ids of their embeddings, which differ between specs.
"""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from embedkit._internal import paths
from embedkit._internal.paths import is_url, shown
from embedkit.backbones import LOADING, open_backbone
from embedkit.catalog import LiveFile, Revision
from embedkit.cluster.index_search import StoreIndex
from embedkit.cluster.store import StoreContent, digest_words
from embedkit.cluster.tables import USABLE, bytes_literal, text_literal
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

_DIGESTS_AT_ONCE = 5_000


def search_store(
    store: StoreContent, backbone: ResolvedName, queries: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the SHA-256 and the distances of the nearest images to some embeddings.

    Parameters
    ----------
    store : StoreContent
        The store.
    backbone : ResolvedName
        Its backbone.
    queries : numpy.ndarray
        Embeddings, float32 (Q, dim).
    k : int
        Number of images.

    Returns
    -------
    digests : numpy.ndarray
        object (Q, n), bytes; n is k, or the number of images if that is less.
    distances : numpy.ndarray
        float64 (Q, n), ascending.
    """
    index = StoreIndex(store, backbone.spec)
    ids, distances = index.search(queries, k)
    known = index.vectors.digests(np.unique(ids))
    digests = np.empty(ids.shape, object)
    digests.ravel()[:] = [known[row_id] for row_id in ids.ravel().tolist()]
    return digests, distances


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
        path = os.fspath(image)
        if not is_url(path):
            return digest_of(path)
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
                "'embedkit add'"
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

    def image_ids(self, label: str | None, folder: str | None) -> np.ndarray:
        """Return the row ids of the images with a file that passes a filter."""
        found = self._store.files.read(["sha256"], _condition(label, folder))
        words = np.unique(digest_words(found["sha256"]), axis=0)
        row_ids = self._vectors.of_digest_words(words)
        if not len(row_ids):
            raise NotInWorkspace(empty_filter("the store", label, folder, self._labels(label)))
        return row_ids

    def _labels(self, label: str | None) -> list[str]:
        """Return the labels that an error names."""
        if label is None:
            return []
        table = self._store.files.read(["label"], f"{USABLE} AND label IS NOT NULL")
        return sorted(table["label"].unique().to_pylist())

    def of_images(
        self, image_ids: Sequence[int], label: str | None, folder: str | None
    ) -> dict[int, list[LiveFile]]:
        """Return the files of images that pass a filter, by row id, sorted by path."""
        digests = self._vectors.digests(np.array(sorted(image_ids), np.int64))
        row_id_of = {digest: row_id for row_id, digest in digests.items()}
        every = list(row_id_of)
        found: dict[int, list[LiveFile]] = {}
        for start in range(0, len(every), _DIGESTS_AT_ONCE):
            some = ",".join(map(bytes_literal, every[start : start + _DIGESTS_AT_ONCE]))
            where = f"sha256 IN ({some}) AND {_condition(label, folder)}"
            table = self._store.files.read(["path", "sha256", "label"], where)
            for row in table.to_pylist():
                file = LiveFile(_native(row["path"]), row["label"], row["sha256"].hex())
                found.setdefault(row_id_of[row["sha256"]], []).append(file)
        for files in found.values():
            files.sort(key=lambda file: file.path)
        return found


def _native(path: str) -> str:
    """Return a stored path as the system names it; a URL is returned as it is."""
    return path if is_url(path) else paths.native_path(path)


def _condition(label: str | None, folder: str | None) -> str:
    """Return the SQL condition of the usable files that pass a filter."""
    condition = USABLE
    if label is not None:
        condition += f" AND label = {text_literal(label)}"
    if folder is not None:
        place = folder if is_url(folder) else paths.to_stored(folder)
        below = text_literal(place.rstrip("/") + "/")
        condition += f" AND (path = {text_literal(place)} OR starts_with(path, {below}))"
    return condition
