"""Export and import of embeddings as a folder of files that other tools can read."""

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from embedkit._internal.artifacts import (
    atomic_write,
    read_json,
    regular_file_size,
    sha256_of,
    storage_error,
    write_file,
    write_json,
)
from embedkit._internal.paths import shown
from embedkit._internal.text import one_line
from embedkit.backbones.projection import Projection, Projections, projection_of
from embedkit.backbones.registry import absolute_name
from embedkit.catalog import Catalog
from embedkit.errors import BadArtefact, BadInput
from embedkit.results import EmbeddingSpec, ResolvedName

VECTORS, IMAGES = FILES = ("vectors.npy", "images.parquet")
PROJECTION = "projection.safetensors"
"""Only of a backbone with ``dims=``."""
SPEC = "spec.json"
"""Written last; contains the digests of the other two."""

_ROWS = 8192
_DIGITS = {"sha256": 64, "md5": 32}
"""Hexadecimal digits of the digests in the table of images."""
_OUTDATED = "outdated"
"""Column that marks images decoded by an earlier version; missing in older exports."""


def export(catalog: Catalog, resolved: ResolvedName, folder: Path, projections: Projections) -> int:
    """Write the embeddings of one backbone to a folder; return their number.

    The projection of a backbone with ``dims=`` is written too. Raises :class:`BadInput` when
    ``folder`` is a file, and :class:`StorageError` when it cannot be written.
    """
    projection = projection_of(resolved, projections.find)
    try:
        return _write(catalog, resolved, folder, projection)
    except (FileExistsError, NotADirectoryError) as error:
        raise BadInput(f"{shown(str(folder))}: this is a file; name a folder") from error
    except OSError as error:
        raise storage_error(f"cannot write to {shown(str(folder))}", error) from error


def _write(
    catalog: Catalog, resolved: ResolvedName, folder: Path, projection: Projection | None
) -> int:
    import pyarrow.parquet as parquet

    with catalog.read() as reader:
        rows = reader.embeddings.export_table(resolved.spec.digest)
        shape = (rows.num_rows, resolved.spec.dim)
        with atomic_write(folder / VECTORS) as temporary, open(temporary, "wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for _, vectors in reader.embeddings.chunks(resolved.spec.digest):
                file.write(np.ascontiguousarray(vectors, "<f4").tobytes())
    with atomic_write(folder / IMAGES) as temporary:
        parquet.write_table(rows, temporary)
    if projection is not None:
        write_file(folder / PROJECTION, projection.to_bytes())
    content = {
        "backbone": resolved.name,
        "spec": json.loads(resolved.spec.canonical_json),
        "sha256": {name: sha256_of(folder / name) for name in FILES},
    }
    write_json(folder / SPEC, content)
    return int(rows.num_rows)


def import_(catalog: Catalog, folder: Path, projections: Projections) -> int:
    """Import embeddings that :func:`export` wrote; return the number of new ones.

    Raises :class:`BadArtefact` when the files are inconsistent, and :class:`BadInput` when the
    workspace has another backbone of that name, or another projection for it.
    """
    from embedkit.catalog import ImageRow

    try:
        name, spec, rows, vectors = _read(folder)
    except BadArtefact as error:
        raise BadArtefact(f"{error}; export the embeddings again") from error
    projection = _read_projection(folder, spec) if spec.projection else None
    stored = 0
    with catalog.write() as writer:
        known = writer.reader.backbones.all()
        if name not in {item.name for item in known}:
            writer.backbones.register(ResolvedName(name, spec, "", 0, 0))
        elif spec.digest not in {item.spec.digest for item in known}:
            raise BadInput(
                f"{shown(str(folder))}: its {name} is not this workspace's {name} "
                "(other weights or preprocessing); import it into a workspace of its own"
            )
        if projection is not None:
            projections.copy(projection, [item.spec for item in known])
        for start in range(0, rows.num_rows, _ROWS):
            part = rows.slice(start, _ROWS).to_pydict()
            shas = [bytes.fromhex(value) for value in part["sha256"]]
            md5s = [bytes.fromhex(value) for value in part["md5"]]
            images = [ImageRow(*row) for row in zip(shas, md5s, part["bytes"], strict=True)]
            writer.images.store(images)
            old = [sha for sha, outdated in zip(shas, part["outdated"], strict=True) if outdated]
            writer.images.mark_outdated(spec.digest, old)
            block = np.asarray(vectors[start : start + _ROWS])
            stored += writer.embeddings.store_vectors(spec.digest, shas, block, part["norm"])
    return stored


def _read(folder: Path) -> tuple[str, EmbeddingSpec, Any, np.ndarray]:
    """Return the name, spec, Arrow table and vectors of an export, checked for consistency."""
    import pyarrow as pa
    import pyarrow.compute as compute
    import pyarrow.parquet as parquet

    place = shown(str(folder))
    columns = pa.schema(
        [
            ("sha256", pa.string()),
            ("md5", pa.string()),
            ("bytes", pa.int64()),
            ("norm", pa.float32()),
        ]
    )
    try:
        content = read_json(folder / SPEC)
        spec = EmbeddingSpec.from_json(json.dumps(content["spec"]))
        name = _name(content["backbone"])
        for file in FILES:
            regular_file_size(folder / file)
            if sha256_of(folder / file) != content["sha256"][file]:
                raise BadArtefact(f"{place}: {file} is not the one that {SPEC} describes")
        if _OUTDATED in parquet.read_schema(folder / IMAGES).names:
            columns = columns.append(pa.field(_OUTDATED, pa.bool_()))
        table = parquet.read_table(folder / IMAGES, columns=columns.names).cast(columns)
        if _OUTDATED not in columns.names:
            old = content["spec"]["pipeline"] != spec.pipeline
            table = table.append_column(_OUTDATED, pa.array([old] * table.num_rows, pa.bool_()))
        vectors = np.load(folder / VECTORS, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        path, reason = shown(str(error.filename or folder)), error.strerror or one_line(error)
        raise BadInput(f"{path}: {reason}; name a folder that 'embedkit export' wrote") from error
    except BadArtefact:
        raise
    except Exception as error:  # parsers raise anything for hostile bytes
        reason = one_line(error)
        raise BadArtefact(f"{place} is not an export of embeddings: {reason}") from error
    shape = (table.num_rows, spec.dim)
    if vectors.dtype != np.float32 or vectors.shape != shape:
        raise BadArtefact(
            f"{place}: {VECTORS} is {vectors.dtype} {vectors.shape}, not float32 {shape}"
        )
    if any(column.null_count for column in table.columns):
        raise BadArtefact(f"{place}: {IMAGES} has empty cells")
    if (least := compute.min(table["bytes"]).as_py()) is not None and least < 0:
        raise BadArtefact(f"{place}: {IMAGES} has an image of {least} bytes")
    norms = table["norm"].to_numpy()
    if not np.all(np.isfinite(norms) & (norms > 0)):
        raise BadArtefact(f"{place}: {IMAGES} has a norm that is not a positive number")
    for column, digits in _DIGITS.items():
        fits = compute.match_substring_regex(table[column], f"^[0-9a-f]{{{digits}}}$")
        if compute.all(fits).as_py() is False:
            raise BadArtefact(f"{place}: {IMAGES} has an invalid {column}")
    if compute.count_distinct(table["sha256"]).as_py() != table.num_rows:
        raise BadArtefact(f"{place}: {IMAGES} has an image twice")
    for start in range(0, len(vectors), _ROWS):
        norms = np.linalg.norm(vectors[start : start + _ROWS], axis=1)
        if not np.all(np.abs(norms - 1) < 1e-3):
            raise BadArtefact(f"{place}: {VECTORS} has rows that are not of norm 1")
    return name, spec, table, vectors


def _read_projection(folder: Path, spec: EmbeddingSpec) -> Projection:
    """Return the projection in an export. Raises :class:`BadArtefact` unless it is of the spec."""
    file = folder / PROJECTION
    try:
        projection = Projection.from_bytes(file.read_bytes(), shown(str(file)))
    except OSError as error:
        raise BadArtefact(
            f"{shown(str(file))}: {error.strerror}; export the embeddings again"
        ) from error
    if (projection.network, projection.digest) != (spec.network, spec.projection):
        raise BadArtefact(f"{shown(str(file))} is another projection than {SPEC} names")
    return projection


def _name(text: object) -> str:
    """Return the name of the backbone in an export; raises ValueError for an invalid name."""
    if (
        not isinstance(text, str)
        or not text.isprintable()
        or os.pardir in re.split(r"[/\\=]", text)
    ):
        raise ValueError(f"invalid name of its backbone: {shown(str(text))!r}")
    return absolute_name(text, os.sep)
