"""The photos of a store that a projection can be fitted on."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from embedkit.backbones.projection import MAX_PHOTOS
from embedkit.cluster.files import StoreFiles
from embedkit.cluster.store import StoreContent
from embedkit.cluster.vectors import Vectors
from embedkit.cluster.workers import Workers
from embedkit.ingest.projections import SEED, STAGE, embedded_sample
from embedkit.results import (
    ADD_ALL,
    EmbeddingSpec,
    Progress,
    ProgressCallback,
    ResolvedName,
    no_progress,
)


class StoreSample:
    """The stored embeddings of a store, and listed files: see :class:`Sample`.

    Parameters
    ----------
    store : StoreContent
        The store.
    found : sequence of pyarrow.Table
        Files as :data:`embedkit.cluster.listing.LISTED`.
    workers : Workers
        The workers of the run.
    progress : callable
        Called with a :class:`Progress`.
    """

    def __init__(
        self,
        store: StoreContent,
        found: Sequence[pa.Table],
        workers: Workers,
        progress: ProgressCallback,
    ) -> None:
        self._store = store
        self._found = found
        self._workers = workers
        self._progress = progress

    def __len__(self) -> int:
        return sum(map(len, self._found))

    def stored(self, spec: EmbeddingSpec) -> np.ndarray:
        """Return stored embeddings: see :class:`embedkit.ingest.projections.Sample`."""
        vectors = Vectors(self._store.embeddings(spec))
        random = np.random.default_rng(SEED)
        count = min(len(vectors), MAX_PHOTOS)
        offsets = np.sort(random.permutation(len(vectors))[:count])
        found = vectors.at(np.sort(vectors.at_offsets(offsets)))[1]
        return found[random.permutation(len(found))]

    def embed(self, network: ResolvedName, rows: np.ndarray) -> Iterator[tuple[bytes, np.ndarray]]:
        """Embed some files on the workers: see :class:`embedkit.ingest.projections.Sample`."""
        self._progress(Progress(STAGE))
        chosen = pa.concat_tables(self._found).take(pa.array(rows))
        parts = np.array_split(np.arange(len(chosen)), min(self._workers.count, len(chosen)))
        arguments = [(network, chosen.take(pa.array(part))) for part in parts]
        for digests, vectors in self._workers.run(_embedded, arguments, runs_network=True):
            yield from zip(digests, vectors, strict=True)


def _embedded(network: ResolvedName, files: pa.Table) -> tuple[list[bytes], Any]:
    """Embed files on a worker; return the SHA-256 of the images, and float32 (n, dim)."""
    paths = files["path"].to_pylist()
    table = files.select(["path", "bytes", "mtime_ns", "label"])
    table = table.add_column(0, "root_id", pa.array([0] * len(files), pa.int64()))
    found = dict(embedded_sample(StoreFiles(paths), table, network, ADD_ALL, no_progress))
    vectors = np.array(list(found.values()), np.float32).reshape(-1, network.spec.dim)
    return list(found), vectors
