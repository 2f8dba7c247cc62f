"""The one pass over a collection: scan, read each file once, fingerprint and embed, commit.

Nothing is read twice and nothing is computed twice: a file whose size and time are those of the
last run is not opened, bytes that are known are not decoded, and an image whose embedding is there
is not embedded. Progress is committed in batches, so that a run that was killed goes on where it
was, and ends with the same catalog as one that was not.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

import numpy as np
import pyarrow as pa

from embedkit import labels, paths
from embedkit.backbones import is_current, load_backbone, open_backbone, registry
from embedkit.backbones.backbone import BATCH, Backbone
from embedkit.catalog import Catalog
from embedkit.catalog.reader import KnownImages, Scope, TodoFile
from embedkit.catalog.writer import Batch, ImageRow
from embedkit.errors import BadInput, UnreadableImage
from embedkit.images.decode import Decoder, read_bytes
from embedkit.images.scan import FoundFile, scan
from embedkit.index.metric import median_pairwise
from embedkit.records import (
    AddReport,
    EmbeddingSpec,
    Failure,
    Progress,
    ProgressCallback,
    ResolvedName,
)
from embedkit.version import __version__

COMMIT_FILES = 256
COMMIT_SECONDS = 10.0
"""A batch is committed when it has this many files, or is this old."""

READ_AHEAD = 16
PREPARE_AHEAD = 2 * BATCH
"""Files whose bytes, and images whose pixels, may be waiting in memory."""

CHOICE_FILES = 256
"""With this many files to read, it pays to find out which runtime is the fastest."""

COLLAPSE_DISTANCE = 1e-3
COLLAPSE_SAMPLE = 256


@dataclass(frozen=True)
class Source:
    """A photo or a folder of photos to add."""

    path: str
    """Absolute."""
    is_file: bool
    labels_from_folders: bool
    named: bool
    """Whether a person named it just now; one that is remembered may have gone."""


_In = TypeVar("_In")
_Out = TypeVar("_Out")


def add(
    catalog: Catalog,
    sources: Sequence[Source],
    backbones: Sequence[str],
    *,
    resolved: Sequence[ResolvedName],
    skip: str,
    progress: ProgressCallback,
) -> AddReport:
    """Bring the catalog in line with the photos at ``sources``.

    ``resolved`` are the backbone names that the catalog has, which need not be resolved again
    while their weights file is the same; ``skip`` is a folder that is never scanned. Files that
    cannot be used are in the report; the run goes on. Raises :class:`BadInput` for a named source
    that does not exist, before anything is done, and the errors of
    :func:`embedkit.load_backbone`.
    """
    started = time.monotonic()
    for name in backbones:
        registry.parse(name)
    found, problems = _scan(sources, skip, progress)
    remembered = {item.name: item for item in resolved if is_current(item)}
    networks = [_Network(name, remembered.get(name)) for name in backbones]

    with catalog.write() as writer:
        for _ in range(2):  # a later source may become the root of an earlier one
            scopes = [writer.scope(source.path, source.is_file) for source in sources]
        roots = writer.roots()
        for source in sources:
            writer.remember_source(source.path, source.labels_from_folders)
        for network in networks:
            writer.remember(network.resolved)
        places = [roots[scope.root_id] for scope in scopes]
        table = _found_table(found, scopes, places)
        specs = [network.spec.digest for network in networks]
        todo = writer.todo(table, specs)
        known = writer.known_images(specs) if todo else None
    placed_problems = [
        (_todo(scopes[number], places[number], item.path), item) for number, item in problems
    ]
    embedded = 0
    if known is not None:
        one_pass = _Pass(catalog, roots, known, networks)
        one_pass.run(todo, progress)
        embedded = len(one_pass.embedded)

    with catalog.write() as writer:
        scopes = [writer.scope(source.path, source.is_file) for source in sources]
        writer.settle(scopes, table, placed_problems)
        for network in networks:
            if network.rate:
                writer.set_rate(network.spec.digest, network.rate)
        counts = writer.counts(scopes)
        failures = writer.failures(scopes)
        report = AddReport(
            files=table.num_rows
            + sum(
                os.path.lexists(item.path) and not os.path.isdir(item.path) for _, item in problems
            ),
            images=counts["images"],
            embedded=embedded,
            # Another process may have removed what this one embedded.
            reused=max(0, counts["images"] - embedded),
            failed=len(failures),
            missing=counts["missing"],
            failures=tuple(failures),
            warnings=tuple(filter(None, (network.collapse_warning() for network in networks))),
            seconds=time.monotonic() - started,
            rates={network.name: network.rate for network in networks if network.rate},
        )
        writer.log_run(
            report.seconds,
            __version__,
            {key: getattr(report, key) for key in ("files", "images", "embedded", "failed")},
        )
    return report


# -- scanning ----------------------------------------------------------------------------------


@dataclass
class _Found:
    """Scan results as columns: a Python object a file would not fit for a large collection."""

    source: list[int] = field(default_factory=list)
    path: list[str] = field(default_factory=list)
    bytes: list[int] = field(default_factory=list)
    mtime_ns: list[int] = field(default_factory=list)
    label: list[str | None] = field(default_factory=list)


def _scan(
    sources: Sequence[Source], skip: str, progress: ProgressCallback
) -> tuple[_Found, list[tuple[int, Failure]]]:
    found, problems = _Found(), []
    seen: set[str] = set()
    for number, source in enumerate(sources):
        for item in _scanned(source, skip):
            if item.path in seen:
                continue
            seen.add(item.path)
            if isinstance(item, Failure):
                problems.append((number, item))
                continue
            found.source.append(number)
            found.path.append(item.path)
            found.bytes.append(item.bytes)
            found.mtime_ns.append(item.mtime_ns)
            found.label.append(
                labels.from_folder(source.path, item.path) if source.labels_from_folders else None
            )
            if len(found.path) % 1000 == 0:
                progress(Progress("scanning", len(found.path)))
    return found, problems


def _scanned(source: Source, skip: str) -> Iterator[FoundFile | Failure]:
    try:
        yield from scan(source.path, skip=skip)
    except BadInput as error:
        if source.named:
            raise
        yield Failure(source.path, "scan", str(error))


def _found_table(found: _Found, scopes: Sequence[Scope], places: Sequence[str]) -> pa.Table:
    stored = [
        _stored(places[number], path) for number, path in zip(found.source, found.path, strict=True)
    ]
    return pa.table(
        {
            "root_id": pa.array([scopes[number].root_id for number in found.source], pa.int64()),
            "path": pa.array(stored, pa.string()),
            "bytes": pa.array(found.bytes, pa.int64()),
            "mtime_ns": pa.array(found.mtime_ns, pa.int64()),
            "label": pa.array(found.label, pa.string()),
        }
    )


def _stored(root: str, path: str) -> str:
    return paths.to_stored(path[len(root.rstrip(os.sep)) + 1 :])


def _todo(scope: Scope, root: str, path: str) -> TodoFile:
    return TodoFile(scope.root_id, _stored(root, path), 0, 0, None)


# -- networks ----------------------------------------------------------------------------------


class _Network:
    """A backbone that is loaded when the first image needs it, and not otherwise."""

    def __init__(self, name: str, remembered: ResolvedName | None) -> None:
        self.name = name
        self.rate = 0.0
        """Images a second through the whole pass, the network's own loading aside; 0 for none."""
        self._backbone: Backbone | None = None
        self._waited = 0.0
        self._many = False
        self._images = 0
        self._sample: list[np.ndarray] = []
        if remembered is not None:
            self.resolved = remembered
        else:
            self._backbone = load_backbone(name)
            self.resolved = self._backbone.resolved

    @property
    def spec(self) -> EmbeddingSpec:
        return self.resolved.spec

    def embed(self, pixels: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        started = time.monotonic()
        batch = np.stack(pixels)
        if self._backbone is None:
            self._backbone = open_backbone(self.resolved)
            if self._backbone.spec != self.resolved.spec:
                raise BadInput(f"{self.name} has changed just now; add the photos again")
        backbone = self._backbone
        if self._many and not self._images:
            backbone.settle_runtime(batch)
        self._waited += time.monotonic() - started
        vectors, norms = backbone.embed_pixels(batch)
        self._images += len(vectors)
        if len(self._sample) < COLLAPSE_SAMPLE:
            self._sample.extend(vectors[norms > 0])
        return vectors, norms

    def expect(self, files: int) -> None:
        """Note how many files are about to come, at the most."""
        self._many = files >= CHOICE_FILES

    def finish(self, seconds: float) -> None:
        """Note how long the pass took that this network was part of."""
        if self._images:
            self.rate = self._images / (seconds - self._waited)

    def collapse_warning(self) -> str | None:
        """What to say when the embeddings just made are nearly all the same."""
        if len(self._sample) < 5:
            return None
        median = median_pairwise(np.stack(self._sample[:COLLAPSE_SAMPLE]))
        if median >= COLLAPSE_DISTANCE:
            return None
        return (
            f"{self.name}: the embeddings just made have collapsed: half of all pairs are closer "
            f"than {median:.1e}. Unless the photos really are all alike, the preprocessing or the "
            "weights do not suit this network"
        )


# -- the pass ----------------------------------------------------------------------------------

_FINGERPRINT = 1
"""Bit of the fingerprint in a mask of what an image has; network n has bit n + 1."""


@dataclass
class _Item:
    """A file on its way through the pass."""

    todo: TodoFile
    data: bytes = b""
    sha256: bytes = b""
    md5: bytes = b""
    failure: tuple[str, str] | None = None
    """Stage and reason."""
    lacks: int = 0
    """Mask of what its image lacks and this file has to provide."""
    image: ImageRow | None = None
    pixels: dict[int, np.ndarray] = field(default_factory=dict)
    """Prepared pixels by network number."""


class _Pass:
    """Reads, decodes and embeds the files that need it, in order, and commits them in batches."""

    def __init__(
        self,
        catalog: Catalog,
        roots: dict[int, str],
        known: KnownImages,
        networks: Sequence[_Network],
    ) -> None:
        from embedkit.images import fingerprint  # scipy: only when there is something to do

        self._fingerprint = fingerprint
        self._catalog = catalog
        self._roots = roots
        self._known = known
        self._networks = networks
        self._all = (1 << (len(networks) + 1)) - 1
        self._claimed: set[bytes] = set()
        self._failed: dict[bytes, tuple[str, str]] = {}
        self._batch = Batch()
        self._waiting: list[_Item] = []
        self.embedded: set[bytes] = set()
        """Digests of the images that went through a network."""

    def run(self, todo: Sequence[TodoFile], progress: ProgressCallback) -> None:
        for network in self._networks:
            network.expect(len(todo))
        started = committed = time.monotonic()
        pool = ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 1))
        try:
            items = _in_order(pool, self._read, todo, READ_AHEAD)
            items = _in_order(pool, self._prepare, map(self._claim, items), PREPARE_AHEAD)
            for done, item in enumerate(items, 1):
                self._take(item)
                now = time.monotonic()
                if len(self._batch) >= COMMIT_FILES or now - committed > COMMIT_SECONDS:
                    self._commit()
                    committed = time.monotonic()
                rate = done / (now - started)
                progress(Progress("embedding", done, len(todo), rate, (len(todo) - done) / rate))
            self._commit()
        finally:
            pool.shutdown(cancel_futures=True)
        for network in self._networks:
            network.finish(time.monotonic() - started)

    def _read(self, todo: TodoFile) -> _Item:
        try:
            data = read_bytes(paths.join(self._roots[todo.root_id], todo.path))
        except UnreadableImage as error:
            return _Item(todo, failure=(error.stage, error.reason))
        sha256, md5 = self._fingerprint.digests(data)
        return _Item(todo, data, sha256, md5)

    def _claim(self, item: _Item) -> _Item:
        """Decide what this file has to provide: nothing, if its bytes are known or on their way."""
        if item.failure is None and item.sha256 not in self._claimed:
            self._claimed.add(item.sha256)
            item.lacks = self._all & ~(self._known.of(item.sha256) or 0)
        if not item.lacks:
            item.data = b""
        return item

    def _prepare(self, item: _Item) -> _Item:
        if not item.lacks:
            return item
        from embedkit.backbones.preprocess import prepare

        try:
            decoder = Decoder(item.data)
            item.image = ImageRow(item.sha256, item.md5, len(item.data))
            if item.lacks & _FINGERPRINT:
                item.image.fingerprint = self._fingerprint.fingerprint(decoder)
            for number, network in enumerate(self._networks):
                if item.lacks & (2 << number):
                    item.pixels[number] = prepare(decoder, network.spec)
        except UnreadableImage as error:
            item.failure = (error.stage, error.reason)
        item.data = b""
        return item

    def _take(self, item: _Item) -> None:
        if item.failure is not None:
            if item.sha256:
                self._failed[item.sha256] = item.failure
            self._batch.failures.append((item.todo, *item.failure))
            return
        self._batch.files.append((item.todo, item.sha256))
        if item.image is not None:
            self._batch.images.append(item.image)
        if item.pixels:
            self._waiting.append(item)
            if len(self._waiting) == BATCH:
                self._forward()

    def _forward(self) -> None:
        for number, network in enumerate(self._networks):
            items = [item for item in self._waiting if number in item.pixels]
            if not items:
                continue
            vectors, norms = network.embed([item.pixels[number] for item in items])
            for item, vector, norm in zip(items, vectors, norms, strict=True):
                assert item.image is not None
                self.embedded.add(item.sha256)
                if norm:
                    item.image.embeddings[network.spec.digest] = (vector, float(norm))
                else:
                    reason = f"{network.name} gives no usable vector"
                    self._batch.failures.append((item.todo, "embed", reason))
        self._waiting.clear()

    def _commit(self) -> None:
        self._forward()
        batch, self._batch = self._batch, Batch()
        if not len(batch):
            return
        # Copies of a file that failed to decode share its fate.
        failed = [(todo, sha256) for todo, sha256 in batch.files if sha256 in self._failed]
        batch.failures.extend((todo, *self._failed[sha256]) for todo, sha256 in failed)
        batch.files = [(todo, sha256) for todo, sha256 in batch.files if sha256 not in self._failed]
        with self._catalog.write() as writer:
            writer.commit(batch)


def _in_order(
    pool: ThreadPoolExecutor,
    function: Callable[[_In], _Out],
    items: Iterable[_In],
    ahead: int,
) -> Iterator[_Out]:
    """``map`` over a pool that keeps at most ``ahead`` calls under way; results in order."""
    source = iter(items)
    futures: deque[Future[_Out]] = deque(
        pool.submit(function, item) for item in islice(source, ahead)
    )
    while futures:
        result = futures.popleft().result()
        futures.extend(pool.submit(function, item) for item in islice(source, 1))
        yield result
