"""The driver of an add on a cluster.

The driver lists the sources, leaves out the files that the store has, and gives the others in
blocks to workers, which write the images and embeddings of a block to files beside the datasets.
The driver commits the files of many blocks at once: each block whole, and once. The same command
computes again what a killed driver had not committed.

Embeddings are committed before images, and images before files. So the image of a committed file is
in the store, unless no worker could use it: then the file is a copy of a broken one, which another
block has read. Such files are read again at the end of the run.
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from embedkit._internal.paths import as_argument, shown
from embedkit.cluster.claims import Registry
from embedkit.cluster.digests import empty_table
from embedkit.cluster.embedder import BLOCK, Embedder
from embedkit.cluster.files import file_name
from embedkit.cluster.kept_facts import keep_rows
from embedkit.cluster.listing import listed
from embedkit.cluster.moved_facts import follow_moves
from embedkit.cluster.pending import Pending
from embedkit.cluster.projection_sample import StoreSample
from embedkit.cluster.rows import from_bytes
from embedkit.cluster.store import StoreContent
from embedkit.cluster.tables import FILES
from embedkit.cluster.workers import Workers
from embedkit.errors import StorageError
from embedkit.ingest.network import resolve
from embedkit.ingest.projections import ensure_projection
from embedkit.results import AddReport, Failure, Progress, ProgressCallback, ResolvedName
from embedkit.results.collection import MANIFEST_NAME

MIN_BLOCK, MAX_BLOCK = 64, 1024
"""Minimum and maximum number of files of a block, which a worker that dies has to compute again."""
BLOCKS_PER_WORKER = 16
"""Number of blocks for each worker, if they are not too small: all workers then end together."""
COMMIT_SECONDS = 5.0
"""Minimum number of seconds between two commits."""


@dataclass
class _Run:
    """What an add to a store has done so far."""

    files: int = 0
    """Files that the sources list."""
    embedded: int = 0
    fingerprinted: int = 0
    failed: set[str] = field(default_factory=set)
    """Paths of the files that could not be used, in stored form."""
    unread: list[Failure] = field(default_factory=list)
    """Files that could not be read, of which the store has the content."""
    unlisted: list[Failure] = field(default_factory=list)
    """Files and folders that could not be listed."""
    warnings: dict[str, None] = field(default_factory=dict)
    """An ordered set."""
    reserved: pa.Array = field(default_factory=lambda: pa.array([], pa.binary(32)))
    """SHA-256 of the images with facts that are reserved for files in quarantine."""
    restored: set[str] = field(default_factory=set)
    """Paths of the new files of these images."""


def add_to_store(
    store: StoreContent,
    sources: Sequence[str],
    names: Sequence[str],
    networks: Sequence[ResolvedName],
    *,
    labels_from_folders: bool,
    workers: Workers,
    progress: ProgressCallback,
) -> AddReport:
    """Bring a store up to date with the photos at ``sources``.

    ``names`` are those of the backbones, and ``networks`` their resolved networks; without any,
    images are only fingerprinted. The caller holds the lease of the store. Raises
    :class:`BadInput` for a source that does not exist, for a worker with other weights, and for too
    few photos to fit a projection on.
    """
    run = _Run()
    started = time.monotonic()
    found: list[pa.Table] = []
    for item in listed(sources, labels_from_folders):
        if isinstance(item, Failure):
            run.unlisted.append(item)
        else:
            found.append(item)
            run.files += len(item)
            progress(Progress("listing", run.files))
    run.warnings.update(dict.fromkeys([*_of_collections(sources), *store.recreate_missing()]))
    known = [*store.backbones(), *networks]
    projections, photos = store.projections, StoreSample(store, found, workers, progress)
    fitted = {
        name: info
        for name in names
        if (info := ensure_projection(name, known, projections, photos, progress)) is not None
    }
    backbones = [resolve(name, known, progress, projections.find) for name in names]
    store.register(backbones)
    run.reserved = store.kept_facts.read(["sha256"], "reserved")["sha256"].unique()
    specs = [item.spec for item in backbones]
    is_first = True
    while True:
        progress(Progress("reading the store"))
        pending = Pending(store, specs)
        size = run.files // (BLOCKS_PER_WORKER * workers.count)
        size = max(MIN_BLOCK, min(size, MAX_BLOCK))
        blocks = list(pending.blocks(found, run.failed, size))
        if not blocks:
            break
        # After the first pass, each block computes for itself whatever is missing.
        _Pass(store, backbones, pending, run, claiming=is_first).run(blocks, workers, progress)
        is_first = False
    progress(Progress("looking for moved files"))
    kept = store.kept_facts.read(["sha256"])["sha256"]
    is_listed = pending.are_listed(found)
    run.warnings.update(
        dict.fromkeys(follow_moves(store, *pending.moved(is_listed, kept), sources, run.restored))
    )
    for dataset in (store.files, store.images, *map(store.embeddings, specs)):
        dataset.tidy()
    images, failures, missing = pending.summary(is_listed, sources)
    failures = sorted([*failures, *run.unread], key=lambda item: item.path)
    seconds = time.monotonic() - started
    new = run.embedded if backbones else run.fingerprinted
    return AddReport(
        files=run.files,
        images=images,
        embedded=run.embedded,
        reused=max(0, images - new),
        failed=len(run.unlisted) + len(failures),
        missing=missing,
        failures=(*run.unlisted, *failures),
        warnings=tuple(run.warnings),
        fingerprinted=run.fingerprinted,
        seconds=seconds,
        rates={item.name: run.embedded / seconds for item in backbones if run.embedded},
        fitted=fitted,
    )


def _of_collections(sources: Sequence[str]) -> Iterator[str]:
    """Yield a warning for each collection from the web, of which the labels are not read."""
    for source in sources:
        if os.path.isfile(os.path.join(source, MANIFEST_NAME)):
            table = as_argument(os.path.join(source, "photos.csv"))
            yield (
                f"{shown(source)} is a collection, of which a store reads no labels; 'embedkit "
                f"collect RECIPE --labels-only --csv {table}' writes a table to add in its place"
            )


class _Pass:
    """One pass over files that have to be read."""

    def __init__(
        self,
        store: StoreContent,
        backbones: Sequence[ResolvedName],
        pending: Pending,
        run: _Run,
        claiming: bool,
    ) -> None:
        self._store = store
        self._backbones = backbones
        self._pending = pending
        self._run = run
        self._claiming = claiming
        self._stored = empty_table()
        """The images with results of this pass."""
        self._uncommitted: list[dict[str, Any]] = []
        self._committed = 0

    def run(self, blocks: Sequence[pa.Table], workers: Workers, progress: ProgressCallback) -> None:
        """Process the blocks, and commit them as they are finished."""
        total = sum(map(len, blocks))
        stage = "embedding" if self._backbones else "fingerprinting"
        progress(Progress(stage, 0, total))
        started = committed = time.monotonic()
        done = 0
        for written in self._written(blocks, workers):
            done += len(written["paths"])
            self._take(written)
            now = time.monotonic()
            if now - committed >= COMMIT_SECONDS:
                self._commit()
                committed = now
            rate = done / max(now - started, 1e-6)
            progress(Progress(stage, done, total, rate, (total - done) / rate))
        self._commit()
        if not self._committed:
            raise StorageError(f"{self._store.location}: no block could be committed; try again")

    def _written(self, blocks: Sequence[pa.Table], workers: Workers) -> Iterator[dict[str, Any]]:
        """Return the results of the workers, in the order in which they finish."""
        known = self._pending.known
        registry = workers.share_object(
            Registry, known.sha256, known.masks.view("i8"), self._claiming
        )
        return workers.map_blocks(
            Embedder,
            (self._store.location.place, self._backbones, registry),
            (
                block.append_column(BLOCK, pa.array([number] * len(block), pa.int64()))
                for number, block in enumerate(blocks)
            ),
            runs_network=True,
        )

    def _take(self, written: dict[str, Any]) -> None:
        """Accept the rows of a block, unless another block has stored one of its images."""
        digests = written["digests"]
        if any(owner is not None for owner in self._stored.get(digests)):
            return  # the next pass reads its files again
        self._stored.add(digests, written[BLOCK])
        self._uncommitted.append(written)

    def _commit(self) -> None:
        blocks, self._uncommitted = self._uncommitted, []
        for backbone in self._backbones:
            digest = backbone.spec.digest
            rows = [text for block in blocks for text in dict(block["embeddings"])[digest]]
            self._store.embeddings(backbone.spec).commit(rows)
        self._store.images.commit([text for block in blocks for text in block["images"]])
        read = pa.concat_tables(
            [FILES.empty_table(), *(from_bytes(block["files"]) for block in blocks)]
        )
        files, facts = self._pending.settled(read)
        self._note_failures(read, files)
        keep_rows(self._store, facts.to_pylist())
        is_old = pa.array(self._pending.are_stored(files["path"].to_pylist()), pa.bool_())
        new = files.filter(pc.invert(is_old))
        self._store.files.upsert(files.filter(is_old), "path")
        self._store.files.append(new)
        is_restored = pc.is_in(new["sha256"], value_set=self._run.reserved)
        self._run.restored.update(new["path"].filter(is_restored).to_pylist())
        for block in blocks:
            self._run.embedded += block["embedded"]
            self._run.fingerprinted += block["fingerprinted"]
            self._run.warnings.update(dict.fromkeys(block["warnings"]))
        self._committed += len(blocks)

    def _note_failures(self, read: pa.Table, stored: pa.Table) -> None:
        """Note which of the files that were read could not be used; ``stored`` are their rows."""
        read = read.select(["path", "stage", "reason"]).append_column("stored", stored["stage"])
        for row in read.filter(pc.is_valid(read["stage"])).to_pylist():
            self._run.failed.add(row["path"])
            if row["stored"] != row["stage"]:
                self._run.unread.append(
                    Failure(file_name(row["path"]), row["stage"], row["reason"])
                )
