"""The exact index of one spec: every distance computed, on disk between searches.

An index is a cache of the catalog. Its manifest names the spec, the catalog generation it has
caught up with and the digest of the index file, which is checked before FAISS reads it. An index
that is behind catches up; one that does not match is built anew.
"""

from pathlib import Path
from typing import Any

import faiss
import numpy as np

from embedkit.artifacts import replaced, sha256_of, sweep
from embedkit.catalog import Catalog
from embedkit.catalog.reader import Position
from embedkit.errors import StorageError
from embedkit.index.manifest import Manifest, read_manifest, write_manifest
from embedkit.index.metric import distances

FACTORY = "Flat"


class ExactIndex:
    """Embeddings of one spec in memory, by image id."""

    def __init__(self, folder: Path, spec: str, dim: int) -> None:
        self.folder = folder
        self.spec = spec
        self.dim = dim
        self.position = Position()
        self._faiss = _empty(dim)

    def __len__(self) -> int:
        return int(self._faiss.ntotal)

    def search(
        self, query: np.ndarray, k: int, among: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The ids, int64 (n,), and distances, float64 (n,), of the nearest images; n <= k.

        ``among`` (int64 ids) narrows the search to some images. Distances are worked out from the
        stored vectors; equal ones are in order of id.
        """
        parameters = None
        if among is not None:
            among = np.ascontiguousarray(among, np.int64)
            selector = faiss.IDSelectorBatch(among)
            parameters = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
            k = min(k, len(among))
        k = min(k, len(self))
        if k == 0:
            return np.empty(0, np.int64), np.empty(0)
        asked = np.ascontiguousarray(query[None, :], np.float32)
        _, found = self._faiss.search(asked, k, params=parameters)
        ids = found[0][found[0] >= 0]
        exact = distances(query, self.vectors(ids))
        order = np.lexsort((ids, exact))
        return ids[order], exact[order]

    def vectors(self, ids: np.ndarray) -> np.ndarray:
        """The stored vectors of some images of the index: float32 (n, dim)."""
        return np.asarray(self._faiss.reconstruct_batch(np.ascontiguousarray(ids, np.int64)))

    def catch_up(self, catalog: Catalog, position: Position) -> int:
        """Take over what the catalog gained and lost since; how many images that were.

        Nothing is done when the index has reached ``position``, the catalog's own of late. An
        index whose past is not the catalog's is emptied and built anew.
        """
        if position == self.position:
            return 0
        with catalog.read() as reader:
            position = reader.position(self.spec)
            if not reader.passed(self.spec, self.position):
                self._faiss = _empty(self.dim)
                self.position = Position()
            gained = 0
            for ids, vectors in reader.embeddings(self.spec, self.position.generation):
                self._faiss.add_with_ids(np.ascontiguousarray(vectors), ids)
                gained += len(ids)
            held = faiss.vector_to_array(self._faiss.id_map)
            lost = np.setdiff1d(held, reader.embedded_ids(self.spec))
            if len(lost):
                self._faiss.remove_ids(lost)
            self.position = position
            return gained + len(lost)

    def save(self) -> None:
        """Write the index and its manifest; raises :class:`StorageError` when that fails."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            sweep(self.folder)
            file = self.folder / f"{self.position.generation}.faiss"
            with replaced(file) as temporary:
                faiss.write_index(self._faiss, str(temporary))
            write_manifest(
                self.folder,
                Manifest(
                    factory=FACTORY,
                    spec=self.spec,
                    dim=self.dim,
                    count=len(self),
                    generation=self.position.generation,
                    stamp=self.position.stamp,
                    recall_at_10=1.0,
                    file=file.name,
                    sha256=sha256_of(file),
                    faiss=faiss.__version__,
                ),
            )
            for old in self.folder.glob("*.faiss"):
                if old != file:
                    old.unlink(missing_ok=True)
        except (OSError, RuntimeError) as error:
            raise StorageError(f"cannot write the index in {self.folder}: {error}") from error


def _empty(dim: int) -> Any:
    return faiss.IndexIDMap2(faiss.IndexFlatIP(dim))


def load_index(folder: Path, spec: str, dim: int) -> ExactIndex:
    """The index of a spec as it was last saved; an empty one when none is there, or none sound."""
    index = ExactIndex(folder, spec, dim)
    while manifest := read_manifest(folder):
        file = folder / Path(manifest.file).name
        try:
            wanted = (manifest.spec, manifest.dim, manifest.factory, manifest.sha256)
            if wanted == (spec, dim, FACTORY, sha256_of(file)):
                index._faiss = faiss.read_index(str(file))
                index.position = manifest.position
            return index
        except FileNotFoundError:
            if read_manifest(folder) == manifest:
                return index  # gone for good; else another process has replaced both just now
        except RuntimeError:
            return index
    return index
