"""Find the projection of a backbone with ``dims=``, or fit it.

It is fitted on the embeddings of its network that are stored, if there are enough of them, else on
a sample of photos that are embedded for it. It is stored before any embedding that it makes.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa

from embedkit.backbones.projection import (
    MAX_PHOTOS,
    MIN_PHOTOS,
    MIN_PHOTOS_PER_DIM,
    FindProjection,
    Projections,
    fit_projection,
    projection_of,
)
from embedkit.backbones.reduced import check_dims, network_of, reduce
from embedkit.backbones.registry import network_name
from embedkit.catalog import Batch, Catalog, PendingFiles
from embedkit.errors import BadInput
from embedkit.ingest.network import IngestNetwork, resolve
from embedkit.ingest.pipeline import (
    ALL_RESULTS,
    FINGERPRINT,
    UP_TO_DATE,
    Files,
    IngestPipeline,
    RootFiles,
)
from embedkit.results import (
    ADD_ALL,
    AddOptions,
    EmbeddingSpec,
    Progress,
    ProgressCallback,
    ProjectionInfo,
    ResolvedName,
)

SEED = 0
_ROWS = 8192
"""Embeddings that are reduced in one transaction."""
STAGE = "embedding a sample for the projection"


class Sample(Protocol):
    """The photos that a projection can be fitted on."""

    def __len__(self) -> int:
        """Return the number of files."""

    def stored(self, spec: EmbeddingSpec) -> np.ndarray:
        """Return at most MAX_PHOTOS stored embeddings of a spec, drawn at random: (n, dim)."""

    def embed(self, network: ResolvedName, rows: np.ndarray) -> Iterator[tuple[bytes, np.ndarray]]:
        """Yield the SHA-256 and the embedding of the usable images among some files."""


def ensure_projection(
    name: str,
    known: Sequence[ResolvedName],
    projections: Projections,
    sample: Sample,
    progress: ProgressCallback,
) -> ProjectionInfo | None:
    """Fit and store the projection that a backbone name needs, unless there is one.

    ``known`` are the backbones of the workspace or store. Returns the description of a new
    projection; None if there was one, or if the name has no ``dims=``.

    Raises :class:`BadInput` when there are too few photos, :class:`BadArtefact` when the projection
    of stored embeddings is missing or damaged, and as :func:`embedkit.load_backbone` does.
    """
    network_of_name = network_name(name)
    networks = [network_of(item) for item in known]
    if network_of_name == name:
        return None
    network = resolve(network_of_name, networks, progress)
    dims = check_dims(name, network.spec)
    if dims is None:
        return None
    for item in known:
        if item.spec.network == network.spec and item.spec.dim == dims:
            projection_of(item, projections.find)
    if projections.find(network.spec, dims) is not None:
        return None
    vectors = _sampled(name, network, max(MIN_PHOTOS, MIN_PHOTOS_PER_DIM * dims), sample)
    progress(Progress(f"fitting the projection of {name} on {len(vectors)} photos"))
    return projections.add(fit_projection(network.spec, vectors, dims)).info


def _sampled(name: str, network: ResolvedName, needed: int, sample: Sample) -> np.ndarray:
    """Return embeddings of at least ``needed`` distinct photos in random order, (n, dim)."""
    stored = sample.stored(network.spec)
    if len(stored) >= needed:
        return stored
    found: dict[bytes, np.ndarray] = {}
    if len(sample) >= needed:
        order = np.random.default_rng(SEED).permutation(len(sample))
        for start in range(0, len(order), MAX_PHOTOS):
            found |= dict(sample.embed(network, order[start : start + MAX_PHOTOS]))
            if len(found) >= needed:
                return np.stack(list(found.values())[:MAX_PHOTOS])
    few = f"{len(found)} usable ones among {len(sample)}" if found else str(len(sample))
    raise BadInput(
        f"{name} needs {needed} distinct photos to fit its projection on ({MIN_PHOTOS_PER_DIM} for "
        f"each dimension, at least {MIN_PHOTOS}), and there are {few}; add more photos, take a "
        f"smaller dims=, or use {network.name}"
    )


def reduce_stored(
    catalog: Catalog,
    backbone: ResolvedName,
    find: FindProjection,
    progress: ProgressCallback,
    *,
    added: bool = True,
) -> None:
    """Reduce the stored embeddings of a network: these images need no forward pass.

    The backbone is recorded with ``added``: see :meth:`BackboneWriter.register`. Nothing is done
    for one that is not reduced, or if no embedding is missing.
    """
    spec, network = backbone.spec, backbone.spec.network
    if spec == network:
        return
    with catalog.read() as reader:
        whole, short = (reader.embeddings.ids(item.digest) for item in (network, spec))
    ids = np.setdiff1d(whole, short)
    projection = projection_of(backbone, find) if len(ids) else None
    for start in range(0, len(ids), _ROWS):
        progress(Progress(f"reducing embeddings to {backbone.name}", start, len(ids)))
        with catalog.write() as writer:
            writer.backbones.register(backbone, added=added)
            part = ids[start : start + _ROWS]
            _, vectors, norms, sha256 = writer.reader.embeddings.features(network.digest, part)
            vectors, norms = reduce(spec, projection, vectors, norms)
            usable = norms > 0
            digests = [row.tobytes() for row in sha256[usable]]
            writer.embeddings.store_vectors(
                spec.digest, digests, vectors[usable], norms[usable].tolist()
            )


def embedded_sample(
    files: Files,
    table: pa.Table,
    network: ResolvedName,
    options: AddOptions,
    progress: ProgressCallback,
) -> Iterator[tuple[bytes, np.ndarray]]:
    """Yield the SHA-256 and the embedding of each distinct usable image, in the order of the files.

    ``table`` has the columns of :class:`PendingFiles`. Nothing is stored.
    """
    seen: set[bytes] = set()
    batches: list[Batch] = []

    def claim(digests: Sequence[bytes]) -> list[int | None]:
        masks: list[int | None] = [
            ALL_RESULTS if sha256 in seen else FINGERPRINT | UP_TO_DATE for sha256 in digests
        ]
        seen.update(digests)
        return masks

    embedder = IngestNetwork(network.name, network, progress)
    pipeline = IngestPipeline(files, claim, [embedder], batches.append, options)
    pipeline.run(PendingFiles(table), progress, STAGE)
    for batch in batches:
        for image in batch.images:
            if embedding := image.embeddings.get(network.spec.digest):
                yield image.sha256, embedding[0]


class CatalogSample:
    """The photos of a workspace, or found files that are about to be added to it.

    Parameters
    ----------
    catalog : Catalog
        The catalog of the workspace.
    progress : callable
        Called with a :class:`Progress`.
    found : pyarrow.Table, optional
        Files as :class:`embedkit.ingest.scanning.Scanned` has them. Default: the images of the
        catalog.
    options : AddOptions, optional
        Options of the add.
    """

    def __init__(
        self,
        catalog: Catalog,
        progress: ProgressCallback,
        found: pa.Table | None = None,
        options: AddOptions = ADD_ALL,
    ) -> None:
        self._catalog = catalog
        self._progress = progress
        self._options = options
        self._roots = {0: ""}
        if found is not None:
            columns = found.drop_columns(["source"])
            self._table = columns.add_column(0, "root_id", pa.array([0] * len(found), pa.int64()))
            return
        with catalog.read() as reader:
            self._roots = reader.folders.roots()
            self._table = reader.files.without_embedding("").table

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def stored(self, spec: EmbeddingSpec) -> np.ndarray:
        """Return stored embeddings: see :class:`Sample`."""
        if not self._catalog.exists:
            return np.empty((0, spec.dim), np.float32)
        with self._catalog.read() as reader:
            ids = np.intersect1d(reader.embeddings.ids(spec.digest), reader.files.image_ids())
            drawn = np.random.default_rng(SEED).permutation(ids)[:MAX_PHOTOS]
            if not len(drawn):
                return np.empty((0, spec.dim), np.float32)
            found, vectors, _, _ = reader.embeddings.features(spec.digest, np.sort(drawn))
        return vectors[np.searchsorted(found, drawn)]

    def embed(self, network: ResolvedName, rows: np.ndarray) -> Iterator[tuple[bytes, np.ndarray]]:
        """Embed some files: see :class:`Sample`."""
        table = self._table.take(pa.array(rows))
        files = RootFiles(self._roots)
        yield from embedded_sample(files, table, network, self._options, self._progress)
