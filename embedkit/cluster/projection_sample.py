"""The photos of a store that a projection can be fitted on."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from embedkit._internal.cores import limit_cores
from embedkit.backbones.projection import MAX_PHOTOS
from embedkit.cluster.files import StoreFiles
from embedkit.cluster.ray_session import Shares, error_of_worker
from embedkit.cluster.store import StoreContent
from embedkit.cluster.vectors import Vectors
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
    shares : Shares
        The workers of the run.
    progress : callable
        Called with a :class:`Progress`.
    """

    def __init__(
        self,
        store: StoreContent,
        found: Sequence[pa.Table],
        shares: Shares,
        progress: ProgressCallback,
    ) -> None:
        self._store = store
        self._found = found
        self._shares = shares
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
        import ray

        self._progress(Progress(STAGE))
        chosen = pa.concat_tables(self._found).take(pa.array(rows))
        task = ray.remote(
            num_cpus=self._shares.cores, num_gpus=self._shares.gpus or None, max_calls=1
        )(_embedded)
        parts = np.array_split(np.arange(len(chosen)), min(self._shares.workers, len(chosen)))
        waiting = [
            task.remote(network, chosen.take(pa.array(part)), self._shares.cores) for part in parts
        ]
        try:
            for digests, vectors in ray.get(waiting):
                yield from zip(digests, vectors, strict=True)
        except ray.exceptions.RayError as error:
            raise error_of_worker(error) from error


def _embedded(network: ResolvedName, files: pa.Table, cores: int) -> tuple[list[bytes], Any]:
    """Embed files on a worker; return the SHA-256 of the images, and float32 (n, dim)."""
    limit_cores(cores)
    paths = files["path"].to_pylist()
    table = files.select(["path", "bytes", "mtime_ns", "label"])
    table = table.add_column(0, "root_id", pa.array([0] * len(files), pa.int64()))
    found = dict(embedded_sample(StoreFiles(paths), table, network, ADD_ALL, no_progress))
    vectors = np.array(list(found.values()), np.float32).reshape(-1, network.spec.dim)
    return list(found), vectors
