"""The rows of a batch of the ingest pipeline for the datasets of a store."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pyarrow as pa

from embedkit.catalog import Batch, ImageRow, PendingFile
from embedkit.cluster.tables import FILES, IMAGES, embeddings_schema
from embedkit.images.version import DECODER
from embedkit.results import EmbeddingSpec

Attributes = Mapping[str, list[tuple[str, str]]]
"""Other columns of the listing, by path."""


def file_rows(batches: Sequence[Batch], attributes: Attributes) -> pa.Table:
    """Return a row for each file of some batches, usable or not."""
    rows: dict[str, dict[str, object]] = {}
    for batch in batches:
        for file, sha256 in batch.files:
            rows.setdefault(file.path, _row(file, attributes))["sha256"] = sha256
        for file, stage, reason in batch.failures:
            failure = {"stage": stage, "reason": reason, "decoder": DECODER}
            rows.setdefault(file.path, _row(file, attributes)).update(failure)
    return pa.Table.from_pylist(list(rows.values()), FILES)


def _row(file: PendingFile, attributes: Attributes) -> dict[str, object]:
    return {
        "path": file.path,
        "bytes": file.bytes,
        "mtime_ns": file.mtime_ns,
        "label": file.label,
        "attributes": attributes[file.path],
    }


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
    flat = np.concatenate([np.empty(0, np.float32), *vectors])
    return pa.Table.from_arrays(
        [
            pa.array([image.sha256 for image in chosen], pa.binary(32)),
            pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), spec.dim),
            pa.array([image.embeddings[spec.digest][1] for image in chosen], pa.float32()),
        ],
        schema=embeddings_schema(spec),
    )
