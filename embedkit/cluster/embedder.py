"""The worker of an add: reads, decodes and embeds a block of files, and writes its rows."""

from collections.abc import Sequence
from dataclasses import asdict

import pyarrow as pa

from embedkit.catalog import Batch, PendingFiles
from embedkit.cluster.claims import Registry
from embedkit.cluster.files import StoreFiles
from embedkit.cluster.rows import as_bytes, embedding_rows, file_rows, image_rows
from embedkit.cluster.store import StoreContent
from embedkit.errors import BadInput
from embedkit.ingest.network import IngestNetwork, resolve_without_network
from embedkit.ingest.pipeline import ALL_RESULTS, IngestPipeline
from embedkit.results import ResolvedName, no_progress

BLOCK = "block"
"""Column of the blocks of a run with their number."""
WRITTEN = pa.schema(
    [
        (BLOCK, pa.int64()),
        ("files", pa.binary()),  # the rows: see :func:`embedkit.cluster.rows.as_bytes`
        # Metadata of the written files of the other datasets; of embeddings by digest of the spec.
        ("images", pa.list_(pa.string())),
        ("embeddings", pa.map_(pa.string(), pa.list_(pa.string()))),
        ("paths", pa.list_(pa.string())),
        ("digests", pa.list_(pa.binary(32))),  # of the images with new results
        ("embedded", pa.int64()),
        ("fingerprinted", pa.int64()),
        ("warnings", pa.list_(pa.string())),
    ]
)
"""Columns of the result of a worker: one row for each block."""
STARTS_TOGETHER = 2
"""Number of workers that process the files of a block together. If they all die, the next one
processes one file at a time, to find the one that ends its process."""
_DEADLY = "decode", "every process that read it has ended"


class Embedder:
    """Process blocks of files, with the pipeline of one machine.

    Parameters
    ----------
    place : str
        Path or URL of the store.
    backbones : sequence of ResolvedName
        The backbones to embed with.
    registry : Registry
        What the workers of the run agree on.
    """

    def __init__(self, place: str, backbones: Sequence[ResolvedName], registry: Registry) -> None:
        self._store = StoreContent(place)
        self._registry = registry
        find = self._store.projections.find
        self._networks = [
            IngestNetwork(
                item.name, resolve_without_network(item.name, [item], find), no_progress, find
            )
            for item in backbones
        ]
        for network, item in zip(self._networks, backbones, strict=True):
            if network.spec != item.spec:
                raise BadInput(
                    f"a worker has other weights of {item.name} than the driver; install the same "
                    "weights on every machine"
                )

    def __call__(self, block: pa.Table) -> pa.Table:
        """Process a block: a table of :data:`embedkit.cluster.listing.LISTED` with its number."""
        number = block[BLOCK][0].as_py()
        files = block.select(["path", "bytes", "mtime_ns", "label"])
        todo = PendingFiles(files.add_column(0, "root_id", pa.array([0] * len(files), pa.int64())))
        pipelines: list[IngestPipeline] = []
        batches: list[Batch] = []
        claimed: set[bytes] = set()

        def claim(digests: Sequence[bytes]) -> list[int | None]:
            masks = self._registry.claim(number, list(digests))
            # The registry does not know a copy in the block from the block's next worker.
            found = [
                ALL_RESULTS if sha256 in claimed else mask
                for sha256, mask in zip(digests, masks, strict=True)
            ]
            claimed.update(digests)
            return found

        def process(files: PendingFiles) -> None:
            pipelines.append(
                IngestPipeline(
                    StoreFiles(files.table["path"].to_pylist()),
                    claim,
                    self._networks,
                    batches.append,
                )
            )
            pipelines[-1].run(files, no_progress, "")

        if self._registry.start(number) <= STARTS_TOGETHER:
            process(todo)
        else:
            for file in todo:
                if self._registry.start_alone(number, file.path):
                    process(PendingFiles(pa.Table.from_pylist([asdict(file)], todo.table.schema)))
                else:
                    batches.append(Batch(failures=[(file, *_DEADLY)]))
            self._registry.finish_alone(number)
        images = [image for batch in batches for image in batch.images]
        written = {
            BLOCK: number,
            "files": as_bytes(file_rows(batches, block.to_pylist())),
            "images": self._store.images.write_fragments(image_rows(images)),
            "embeddings": [
                (
                    network.spec.digest,
                    self._store.embeddings(network.spec).write_fragments(
                        embedding_rows(images, network.spec)
                    ),
                )
                for network in self._networks
            ],
            "paths": files["path"].to_pylist(),
            "digests": [image.sha256 for image in images],
            "embedded": sum(pipeline.embedded for pipeline in pipelines),
            "fingerprinted": sum(pipeline.fingerprinted for pipeline in pipelines),
            "warnings": [
                *(text for pipeline in pipelines for text in pipeline.warnings()),
                *(text for network in self._networks for text in network.warnings()),
            ],
        }
        return pa.Table.from_pylist([written], WRITTEN)
