"""The worker of an add: reads, decodes and embeds a block of files, and writes its rows."""

import time
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from embedkit._internal.cores import limit_cores
from embedkit.catalog import Batch, PendingFiles
from embedkit.cluster.files import StoreFiles
from embedkit.cluster.rows import embedding_rows, file_rows, image_rows
from embedkit.cluster.store import StoreContent
from embedkit.errors import BadInput
from embedkit.ingest.network import IngestNetwork, resolve_without_network
from embedkit.ingest.pipeline import IngestPipeline
from embedkit.results import ResolvedName, no_progress

BLOCK = "block"
"""Column of the blocks of a run with their number."""
WRITTEN = pa.schema(
    [
        (BLOCK, pa.int64()),
        ("files", pa.list_(pa.string())),  # metadata of the written files of each dataset
        ("images", pa.list_(pa.string())),
        ("embeddings", pa.map_(pa.string(), pa.list_(pa.string()))),  # by digest of the spec
        ("digests", pa.list_(pa.binary(32))),  # the images with new results
        ("paths", pa.list_(pa.string())),
        ("embedded", pa.int64()),
        ("fingerprinted", pa.int64()),
        ("warnings", pa.list_(pa.string())),
        ("seconds", pa.float64()),
    ]
)
"""Columns of what a worker returns: one row for each block."""


class Embedder:
    """Process blocks of files, with the pipeline of one machine.

    Parameters
    ----------
    place : str
        Path or URL of the store.
    backbones : sequence of ResolvedName
        The backbones to embed with.
    registry : ray.actor.ActorHandle
        A :class:`embedkit.cluster.claims.ClaimRegistry`.
    cores : int
        Number of cores to use.
    """

    def __init__(
        self, place: str, backbones: Sequence[ResolvedName], registry: Any, cores: int
    ) -> None:
        limit_cores(cores)
        self._store = StoreContent(place, on_wait=lambda _: None)
        self._registry = registry
        self._networks = [
            IngestNetwork(item.name, resolve_without_network(item.name, [item]), no_progress)
            for item in backbones
        ]
        for network, item in zip(self._networks, backbones, strict=True):
            if network.spec != item.spec:
                raise BadInput(
                    f"a worker has other weights of {item.name} than the driver; install the same "
                    "version and weights on every machine"
                )

    def __call__(self, block: pa.Table) -> pa.Table:
        """Process a block: a table of :data:`embedkit.cluster.listing.LISTED` with its number."""
        import ray

        started = time.monotonic()
        number = block[BLOCK][0].as_py()
        files = block.select(["path", "bytes", "mtime_ns", "label"])
        roots = pa.array([0] * len(files), pa.int64())
        todo = PendingFiles(files.add_column(0, "root_id", roots))
        paths = files["path"].to_pylist()
        attributes = dict(zip(paths, block["attributes"].to_pylist(), strict=True))
        batches: list[Batch] = []
        pipeline = IngestPipeline(
            StoreFiles(),
            lambda digests: ray.get(self._registry.claim.remote(number, list(digests))),
            self._networks,
            batches.append,
        )
        pipeline.run(todo, no_progress, "")
        images = [image for batch in batches for image in batch.images]
        rows = pa.concat_tables([file_rows(batch, attributes) for batch in batches])
        embeddings = {
            network.spec.digest: self._store.embeddings(network.spec).write_fragments(
                embedding_rows(images, network.spec)
            )
            for network in self._networks
        }
        written = {
            BLOCK: number,
            "files": self._store.files.write_fragments(rows),
            "images": self._store.images.write_fragments(image_rows(images)),
            "embeddings": list(embeddings.items()),
            "digests": [image.sha256 for image in images],
            "paths": paths,
            "embedded": pipeline.embedded,
            "fingerprinted": pipeline.fingerprinted,
            "warnings": [
                *pipeline.warnings(),
                *(text for network in self._networks for text in network.warnings()),
            ],
            "seconds": time.monotonic() - started,
        }
        return pa.Table.from_pylist([written], WRITTEN)
