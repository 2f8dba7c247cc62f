"""Build the index of a store's embeddings: FAISS inverted lists, shard by shard, as Ray tasks.

::

    [train centroids] -> [read, encode and measure one shard] -> manifest
     one Ray task         a Ray task for each shard              driver

The shards share the centroids. Rows that were added since the last build become new shards; a small
shard is built again together with them, so that there are never many. A shard is also built again
when many of its rows have been deleted, when its file is damaged, or when the embeddings were put
back from a copy that is older than the shard. FAISS is trained again, and
everything is built again, when there are far more rows than at the last training.
"""

import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from typing import Any

import faiss
import numpy as np
from threadpoolctl import threadpool_limits

from embedkit._internal.sealed import DamagedFile
from embedkit.cluster.index_files import (
    MANIFEST,
    UNFINISHED,
    ShardRecord,
    StoreIndexFiles,
    StoreManifest,
)
from embedkit.cluster.index_plan import Piece, Ranges, live_rows, pieces_outside, shards_of
from embedkit.cluster.index_sample import (
    CANDIDATES,
    NEIGHBOURS,
    Sample,
    new_sample,
    read_sample,
    write_sample,
)
from embedkit.cluster.ray_workers import error_of_worker
from embedkit.cluster.store import StoreContent
from embedkit.cluster.vectors import Vectors
from embedkit.errors import BadArtefact, EmbedkitError, StorageError
from embedkit.index.approximate import (
    MAX_LIST_SHARE,
    TARGET_RECALL,
    default_factory,
    doubled_efforts,
    nearest_lists,
    sample_rows,
    trained,
)
from embedkit.index.exact import NearestSoFar, Proposals, merged
from embedkit.index.index import EXACT_UP_TO, MERGE_SHARE, RETRAIN_FACTOR
from embedkit.index.manifest import FileRecord
from embedkit.index.shards import Shard, read_trained, write_lists, write_trained
from embedkit.results import (
    EmbeddingSpec,
    Progress,
    ProgressCallback,
    ResolvedName,
    StoreIndexReport,
    no_progress,
)

SHARDS = 16
"""Number of shards of an index of medium size: enough for several workers."""
MIN_SHARD_ROWS = 1 << 18
MAX_SHARD_ROWS = 1 << 20
"""Rows of a shard. A worker holds the codes of one in memory; a search reads a part of each."""
LISTS_FACTOR = 4
"""Lists of an index, in units of sqrt(rows): the least that FAISS advises. With half as many,
searches of two million clustered vectors read thirty times as many codes."""
_STAGE = "building the index"


def build_index(
    store: StoreContent, backbone: ResolvedName, progress: ProgressCallback = no_progress
) -> StoreIndexReport:
    """Bring the index of a backbone's embeddings up to date, within a session of Ray.

    Searches use the old index until the new one is complete. A build that was interrupted continues
    with the next call.

    Raises :class:`StorageError`, and :class:`StoreBusy` when another process writes to the store.
    """
    with store.writing("index"):
        return update_index(store, backbone, progress)


def update_index(
    store: StoreContent, backbone: ResolvedName, progress: ProgressCallback
) -> StoreIndexReport:
    """Bring an index up to date as :func:`build_index` does; the caller holds the lease."""
    started = time.monotonic()
    report = _Build(store, backbone.spec, progress).run()
    return replace(report, seconds=time.monotonic() - started)


class _Build:
    """One build; the process has the right to write to the store."""

    def __init__(
        self, store: StoreContent, spec: EmbeddingSpec, progress: ProgressCallback
    ) -> None:
        self._store = store
        self._spec = spec
        self._progress = progress
        self._files = StoreIndexFiles(store.location, spec.digest)
        self._vectors = Vectors(store.embeddings(spec))

    def run(self) -> StoreIndexReport:
        total = len(self._vectors)
        if total <= EXACT_UP_TO:
            self._files.remove()
            return StoreIndexReport(total)
        self._files.sweep()
        self._progress(Progress("indexing digests"))
        for dataset in (self._store.files, self._store.embeddings(self._spec)):
            dataset.index("sha256")
        self._vectors = Vectors(self._store.embeddings(self._spec))  # a version with these

        found = self._begun()
        if is_new := found is None or total > RETRAIN_FACTOR * found[0].trained:
            found = self._trained()
        manifest, sample = found
        manifest, pieces = self._planned(manifest)
        manifest = self._stamped(manifest, pieces)
        sample = sample.restricted_to(_ranges(manifest))
        manifest, sample = self._encoded(manifest, sample, pieces)

        self._progress(Progress("measuring the recall"))
        sample, effort, recall = self._measured(manifest, sample)
        manifest = replace(
            manifest,
            sample=self._saved(sample),
            version=self._vectors.version,
            fragments=tuple(self._vectors.fragments()),
            effort=effort,
            recall_at_10=recall,
        )
        self._files.save(manifest)
        (self._files.location / UNFINISHED).remove()
        self._files.tidy(manifest)
        return StoreIndexReport(
            images=total,
            factory=manifest.factory,
            encoded=sum(piece.rows for piece in pieces),
            trained=is_new,
            shards=len(manifest.shards),
            effort=effort,
            recall_at_10=recall,
            bytes=sum(self._files.size(file) for file in manifest.files),
        )

    def _begun(self) -> tuple[StoreManifest, Sample] | None:
        """Return what an earlier build has left, finished or not; None if it cannot be used."""
        for name in (UNFINISHED, MANIFEST):
            try:
                manifest = self._files.manifest(name)
                if manifest is None or manifest.faiss != faiss.__version__:
                    continue
                self._files.open(manifest.centroids).check()
                sample = read_sample(self._files.open(manifest.sample))
            except (BadArtefact, DamagedFile, EmbedkitError, OSError):
                continue
            if sample.is_of(self._vectors) and sample.is_alive(self._vectors):
                return manifest, sample
        return None

    def _trained(self) -> tuple[StoreManifest, Sample]:
        """Train FAISS on a sample of the rows, as a task that uses all cores of a machine."""
        self._progress(Progress("training the index"))
        total = len(self._vectors)
        factory = default_factory(total, LISTS_FACTOR)
        centroids, sample = _results(
            _task(_train, _most_cores()).remote(
                self._store.location.place, self._spec, self._vectors.version, factory
            )
        )
        manifest = StoreManifest(
            spec=self._spec.digest,
            version=self._vectors.version,
            fragments=(),
            stamp="",
            factory=factory,
            trained=total,
            centroids=centroids,
            sample=self._saved(sample),
            shards=(),
            faiss=faiss.__version__,
        )
        self._files.save(manifest, UNFINISHED)
        return manifest, sample

    def _saved(self, sample: Sample) -> FileRecord:
        return self._files.add("sample", lambda target: write_sample(target, sample))[0]

    def _planned(self, manifest: StoreManifest) -> tuple[StoreManifest, list[Piece]]:
        """Return the manifest with the shards that can stay, and the shards to build."""
        total = len(self._vectors)
        full = min(max(total // SHARDS, MIN_SHARD_ROWS), MAX_SHARD_ROWS)
        shards = sorted(manifest.shards, key=lambda shard: shard.first)
        live = live_rows(self._vectors.row_ids(), _ranges(manifest), len(shards))
        intact = _results(
            [
                _task(_is_intact, 1).remote(self._store.location.place, self._spec, shard.file)
                for shard in shards
            ]
        )
        kept = [
            (shard, int(rows))
            for shard, rows, is_intact in zip(shards, live, intact, strict=True)
            if is_intact
            and shard.stamp in self._vectors.stamps
            and rows >= (1 - MERGE_SHARE) * shard.rows
        ]
        new = total - sum(rows for _, rows in kept)
        while new and kept:
            smallest = min(kept, key=lambda item: item[1])
            if smallest[1] > min(new, full // 2):
                break
            kept.remove(smallest)
            new += smallest[1]
        manifest = replace(manifest, shards=tuple(shard for shard, _ in kept))
        covered = _ranges(manifest)
        pieces = pieces_outside(self._vectors.row_ids(), covered)
        return manifest, shards_of(pieces, covered, full)

    def _stamped(self, manifest: StoreManifest, pieces: list[Piece]) -> StoreManifest:
        """Return the manifest with the stamp of this build, if there is something new to record.

        The index that searches use keeps its stamps until it is replaced.
        """
        is_known = manifest.stamp in self._vectors.stamps
        if is_known and not pieces and manifest.fragments == tuple(self._vectors.fragments()):
            return manifest
        stamp = token_hex(8)
        used = {stamp, *manifest.stamps}
        with suppress(BadArtefact):
            current = self._files.manifest()
            used |= set() if current is None else current.stamps
        dataset = self._store.embeddings(self._spec)
        dataset.set_stamps((used & self._vectors.stamps) | {stamp})
        self._vectors = Vectors(dataset)
        return replace(manifest, stamp=stamp)

    def _encoded(
        self, manifest: StoreManifest, sample: Sample, pieces: list[Piece]
    ) -> tuple[StoreManifest, Sample]:
        """Build shards, and note each as soon as it is complete."""
        import ray

        total, done = sum(piece.rows for piece in pieces), 0
        started = time.monotonic()
        self._progress(Progress(_STAGE, 0, total))
        empty = ray.put(new_sample(sample.queries, sample.own, sample.efforts))
        waiting = [
            _task(_encode, 1).remote(
                self._store.location.place,
                self._spec,
                self._vectors.version,
                manifest.centroids,
                empty,
                piece,
                manifest.stamp,
            )
            for piece in pieces
        ]
        while waiting:
            ready, waiting = ray.wait(waiting)
            for shard, nearest, proposed in _results(ready):
                sample = sample.with_shard(nearest, proposed)
                manifest = replace(
                    manifest, sample=self._saved(sample), shards=(*manifest.shards, shard)
                )
                self._files.save(manifest, UNFINISHED)
                done += shard.rows
                rate = done / (time.monotonic() - started)
                left = (total - done) / rate if rate else None
                self._progress(Progress(_STAGE, done, total, rate, left))
        shards = tuple(sorted(manifest.shards, key=lambda shard: shard.first))
        return replace(manifest, shards=shards), sample

    def _measured(self, manifest: StoreManifest, sample: Sample) -> tuple[Sample, int, float]:
        """Return the effort of a search and its recall, and the sample with this effort.

        If no effort of the sample reaches the target, the shards are asked again with larger ones.
        """
        lists = read_trained(self._files.open(manifest.centroids)).nlist
        effort, recall = sample.effort_and_recall(self._vectors)
        while recall < TARGET_RECALL and effort < lists:
            effort = min(2 * effort, lists)
            arguments = (self._store.location.place, self._spec, manifest.centroids)
            found = _results(
                [
                    _task(_propose, 1).remote(*arguments, shard, sample.queries, effort)
                    for shard in manifest.shards
                ]
            )
            sample = sample.with_effort(effort, merged(found, CANDIDATES))
            effort, recall = sample.effort_and_recall(self._vectors)
        return sample, effort, recall


def _ranges(manifest: StoreManifest) -> Ranges:
    return Ranges((shard.first, shard.stop) for shard in manifest.shards)


# -- tasks -----------------------------------------------------------------------------------------


def _task(function: Any, cores: int) -> Any:
    """Return a function as a Ray task that uses some cores."""
    import ray

    return ray.remote(num_cpus=cores)(function)


def _results(references: Any) -> Any:
    """Return the results of tasks; raise the error of a task as its own."""
    import ray

    try:
        return ray.get(references)
    except ray.exceptions.RayError as error:
        raise error_of_worker(error) from error


def _most_cores() -> int:
    """Return the largest number of cores of one machine of the cluster."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return max(1, *(int(resources.get("CPU", 0)) for resources in nodes))


def _opened(place: str, spec: EmbeddingSpec, version: int) -> tuple[Vectors, StoreIndexFiles]:
    store = StoreContent(place)
    vectors = Vectors(store.embeddings(spec), version)
    if not len(vectors):
        raise StorageError(
            f"a worker does not find the embeddings of {place}; give a folder that all machines "
            "share, or a URL"
        )
    return vectors, StoreIndexFiles(store.location, spec.digest)


def _use_cores() -> None:
    """Use the cores that Ray has given to this task."""
    import ray

    cores = int(ray.get_runtime_context().get_assigned_resources()["CPU"])
    faiss.omp_set_num_threads(cores)
    threadpool_limits(cores)


def _train(
    place: str, spec: EmbeddingSpec, version: int, factory: str
) -> tuple[FileRecord, Sample]:
    """Train FAISS; return the file with the centroids, and a sample without results."""
    _use_cores()
    vectors, files = _opened(place, spec, version)

    def read(offsets: np.ndarray) -> np.ndarray:
        return vectors.at(np.sort(vectors.at_offsets(offsets)))[1]

    index = trained(factory, spec.dim, len(vectors), read)
    centroids = files.add("centroids", lambda target: write_trained(target, index))[0]
    own, queries = vectors.at(np.sort(vectors.at_offsets(np.sort(sample_rows(len(vectors))))))
    shuffled = np.random.default_rng(0).permutation(len(own))
    nlist = int(faiss.extract_index_ivf(index).nlist)
    efforts = doubled_efforts(nlist, MAX_LIST_SHARE)
    return centroids, new_sample(queries[shuffled], own[shuffled], efforts)


def _is_intact(place: str, spec: EmbeddingSpec, file: FileRecord) -> bool:
    return StoreIndexFiles(StoreContent(place).location, spec.digest).is_intact(file)


def _encode(
    place: str,
    spec: EmbeddingSpec,
    version: int,
    centroids: FileRecord,
    sample: Sample,
    piece: Piece,
    stamp: str,
) -> tuple[ShardRecord, Proposals, list[Proposals]]:
    """Build one shard; return its record, the nearest rows to the sample, and its candidates."""
    _use_cores()
    vectors, files = _opened(place, spec, version)
    index = read_trained(files.open(centroids))
    nearest = NearestSoFar(sample.queries, NEIGHBOURS)
    for ids, some in vectors.batches(piece.fragments):
        inside = (ids >= piece.first) & (ids < piece.stop)
        if not inside.all():
            ids, some = ids[inside], some[inside]
        if len(ids):
            index.add_with_ids(np.ascontiguousarray(some), ids)
            nearest.add(ids, some)
    proposed = []
    for effort in sample.efforts:
        faiss.extract_index_ivf(index).nprobe = effort
        products, found = index.search(sample.queries, CANDIDATES)
        proposed.append((products, found))

    def write(target: Path) -> int:
        return write_lists(target, index)

    file, head = files.add("shard", write)
    record = ShardRecord(file, head, int(index.ntotal), piece.first, piece.stop, stamp)
    return record, nearest.proposals, proposed


def _propose(
    place: str,
    spec: EmbeddingSpec,
    centroids: FileRecord,
    shard: ShardRecord,
    queries: np.ndarray,
    effort: int,
) -> Proposals:
    """Return the candidates of one shard."""
    _use_cores()
    files = StoreIndexFiles(StoreContent(place).location, spec.digest)
    products, lists = nearest_lists(read_trained(files.open(centroids)), queries, effort)
    opened = Shard(files.open(shard.file), shard.head, shard.rows)
    return opened.search(queries, CANDIDATES, products, lists)
