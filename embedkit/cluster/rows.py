"""The rows of a batch of the ingest pipeline for the datasets of a store."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa

from embedkit.catalog import Batch, ImageRow
from embedkit.cluster.merging import FileRow
from embedkit.cluster.tables import FILES, IMAGES, embeddings_schema, vector_array
from embedkit.images.version import DECODER
from embedkit.results import EmbeddingSpec


def file_rows(batches: Sequence[Batch], listed: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Return a row for each file of some batches, usable or not.

    ``listed`` are the rows of :data:`embedkit.cluster.listing.LISTED` of these files.
    """
    rows = {
        row["path"]: FileRow(
            path=row["path"],
            sha256=None,
            bytes=row["bytes"],
            mtime_ns=row["mtime_ns"],
            label=row["label"],
            folder_label=row["folder_label"],
            attributes=dict(row["attributes"]),
            stage=None,
            reason=None,
            decoder=None,
        )
        for row in listed
    }
    for batch in batches:
        for file, sha256 in batch.files:
            rows[file.path] = replace(rows[file.path], sha256=sha256)
        for file, stage, reason in batch.failures:
            rows[file.path] = replace(rows[file.path], stage=stage, reason=reason, decoder=DECODER)
    # What a backbone cannot embed, it can embed in no other file.
    not_embedded = {row.sha256: row for row in rows.values() if row.stage == "embed"}
    for path, row in rows.items():
        if row.stage is None and row.sha256 in not_embedded:
            other = not_embedded[row.sha256]
            rows[path] = replace(row, stage=other.stage, reason=other.reason, decoder=DECODER)
    return pa.Table.from_pylist([row.to_store() for row in rows.values()], FILES)


def image_rows(images: Sequence[ImageRow]) -> pa.Table:
    """Return a row for each image that was fingerprinted."""
    rows = []
    for image in images:
        if (found := image.fingerprint) is not None:
            values = {"md5": image.md5, "bytes": image.bytes, "share": image.share}
            rows.append({"sha256": image.sha256, **values, **asdict(found)})
    return pa.Table.from_pylist(rows, IMAGES)


def embedding_rows(images: Sequence[ImageRow], spec: EmbeddingSpec) -> pa.Table:
    """Return a row for each image that was embedded with a spec."""
    chosen = [image for image in images if spec.digest in image.embeddings]
    vectors = [image.embeddings[spec.digest][0] for image in chosen]
    return pa.Table.from_arrays(
        [
            pa.array([image.sha256 for image in chosen], pa.binary(32)),
            vector_array(np.array(vectors, np.float32).reshape(-1, spec.dim), spec),
            pa.array([image.embeddings[spec.digest][1] for image in chosen], pa.float32()),
        ],
        schema=embeddings_schema(spec),
    )


def as_bytes(rows: pa.Table) -> bytes:
    """Return rows in Arrow's format for streams; :func:`from_bytes` reads them."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows)
    content: bytes = sink.getvalue().to_pybytes()
    return content


def from_bytes(content: bytes) -> pa.Table:
    """Return the rows that :func:`as_bytes` wrote."""
    with pa.ipc.open_stream(content) as reader:
        return reader.read_all()
