"""The pass itself: read, decode, embed and commit, all at the same time, in bounded memory.

::

    packs -> [read, digest] -> claim -> [decode, fingerprint, prepare] -> passes -> batches
              threads                    threads                          device    storing thread

Small files go from thread to thread in packs, since handing over costs more than reading one.
Everything comes out in the order in which it went in, so that identifiers do not depend on what
was fast.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from threading import Semaphore
from typing import TYPE_CHECKING

import numpy as np

from embedkit._internal import paths
from embedkit.backbones.preprocess import prepare
from embedkit.catalog import Batch, ImageRow, KnownImages, PendingFile, PendingFiles
from embedkit.errors import UnreadableImage
from embedkit.images.changes import changed
from embedkit.images.decode import LARGE_BYTES, Decoder, read_bytes
from embedkit.images.faults import one_file
from embedkit.images.opening import opened
from embedkit.images.partial import mended
from embedkit.ingest.network import IngestNetwork
from embedkit.ingest.stages import Clock, InOrder
from embedkit.results import ADD_ALL, AddOptions, Progress, ProgressCallback, StageTimes

if TYPE_CHECKING:
    from embedkit.images.fingerprint import Sketch

READERS = 4
"""Files read at once; more than cores, for they mostly wait for the disk."""

READ_AHEAD = 64_000_000
PREPARE_AHEAD = 192_000_000
"""Bytes of files that were read, and of files and pixels on their way to the network, that may be
waiting in memory."""

PACK_FILES = 64
PACK_BYTES = 500_000
"""A pack has so many files at most, and no further one once it has so many bytes."""

GROUP_FILES = 1024
"""Files that go on together at the most, when few of them have anything to embed."""

COMMIT_FILES = 256
COMMIT_SECONDS = 2.0
"""A batch is committed when it has this many files and the last was so long ago, ..."""
COMMIT_MOST_FILES = 8192
COMMIT_MOST_SECONDS = 10.0
"""... or when it reaches one of these."""

_FINGERPRINT, _UP_TO_DATE = 1, 2
"""Bits in a mask of what an image has; the embedding of network n is bit n + 2."""
_LESS_THAN_ALL = 1 - 1e-6
"""Share of the pixels that is said to be there of an image that only lacks detail."""
_ITEM_BYTES = 2048
"""What an item weighs besides its bytes and pixels."""


@dataclass(slots=True)
class _Item:
    """A file on its way through the pass."""

    todo: PendingFile
    data: bytes = b""
    sha256: bytes = b""
    md5: bytes = b""
    failure: tuple[str, str] | None = None
    """Stage and reason."""
    small: tuple[int, int] | None = None
    """Width and height of an image that is left out for its size."""
    lacks: int = 0
    """Mask of what its image lacks and this file has to provide."""
    image: ImageRow | None = None
    sketch: "Sketch | None" = None
    """What the fingerprint is made from, until it is made."""
    pixels: dict[int, np.ndarray] = field(default_factory=dict)
    """Prepared pixels by network number."""
    warnings: Sequence[str] = ()
    """What is doubtful in its pixels."""


_Pack = list[_Item]


@dataclass
class _Group:
    """Files whose images go through the networks together."""

    items: list[_Item] = field(default_factory=list)
    to_embed: int = 0
    passes: list[tuple[int, list[_Item], Callable[[], tuple[np.ndarray, np.ndarray]]]] = field(
        default_factory=list
    )
    """Network number, the items it embeds, and what fetches their embeddings."""


class OnePass:
    """Reads, decodes and embeds the files that need it, in order, and stores them in batches.

    ``store`` commits a batch to the catalog; it is called in a thread, for one batch at a time.
    """

    def __init__(
        self,
        roots: dict[int, str],
        known: KnownImages,
        networks: Sequence[IngestNetwork],
        store: Callable[[Batch], None],
        options: AddOptions = ADD_ALL,
    ) -> None:
        from embedkit.images import fingerprint  # scipy: only when there is something to do

        self._fingerprint = fingerprint
        self._roots = roots
        self._known = known
        self._networks = networks
        self._store = store
        self._options = options
        self._all = (4 << len(networks)) - 1
        self._pixel_bytes = sum(3 * network.spec.size**2 for network in networks)
        self._claimed: set[bytes] = set()
        self._failed: dict[bytes, tuple[str, str]] = {}
        self._group = _Group()
        self._under_way: deque[_Group] = deque()
        self._batch = self._new_batch()
        self._writer = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None
        self._clock = Clock()
        self.embedded = 0
        """Images that went through a network."""
        self.fingerprinted = 0
        """Images whose fingerprint was made."""
        self._doubts: dict[str, tuple[int, PendingFile]] = {}
        self._gate = Semaphore()
        """Let through by a pack with a large file, from before it is read until it is prepared."""

    def run(self, todo: PendingFiles, progress: ProgressCallback) -> StageTimes:
        """Take all of ``todo`` through the pass; returns where the time went."""
        for network in self._networks:
            network.expect(len(todo))
        cores = max(2, os.cpu_count() or 1)
        stage = "embedding" if self._networks else "fingerprinting"
        started = committed = time.monotonic()
        reading = InOrder(
            self._read_pack,
            self._admitted(_packs(todo)),
            threads=READERS,
            weight=lambda files: sum(_ITEM_BYTES + file.bytes for file in files),
            limit=READ_AHEAD,
        )
        preparing = InOrder(
            self._prepare_pack,
            map(self._claim_pack, reading),
            threads=cores,
            weight=lambda pack: sum(map(self._weight, pack)),
            limit=PREPARE_AHEAD,
        )
        ready = chain.from_iterable(self._clock.waits("files", preparing))
        try:
            for done, item in enumerate(ready, 1):
                self._take(item)
                now = time.monotonic()
                if self._is_due(now - committed):
                    self._commit()
                    committed = now
                rate = done / max(now - started, 1e-6)
                progress(Progress(stage, done, len(todo), rate, (len(todo) - done) / rate))
            self._submit()
            while self._under_way:
                self._fetch()
            self._commit()
            self._written()
        finally:
            reading.stop()
            preparing.stop()
            self._gate.release()  # whoever waits for it ends
            reading.join()
            preparing.join()
            self._writer.shutdown()
        seconds = time.monotonic() - started
        for network in self._networks:
            network.finish(seconds)
        return self._stages(seconds, cores)

    def warnings(self) -> Iterator[str]:
        """What is doubtful in the pixels of files, each kind once, with the first such file."""
        for text, (count, first) in self._doubts.items():
            path = paths.shown(paths.join(self._roots[first.root_id], first.path))
            which = f"{path} has" if count == 1 else f"{count} files, the first {path}, have"
            yield f"{which} {text}"

    # -- in threads ----------------------------------------------------------------------------

    def _admitted(self, packs: Iterable[list[PendingFile]]) -> Iterator[list[PendingFile]]:
        """The packs, those with a large file one at a time."""
        for pack in packs:
            if _is_large(pack):
                self._gate.acquire()
            yield pack

    def _read_pack(self, files: list[PendingFile]) -> _Pack:
        with self._clock.counting("read"):
            return [self._read(todo) for todo in files]

    def _read(self, todo: PendingFile) -> _Item:
        try:
            with one_file(stage="read"):
                data = read_bytes(paths.join(self._roots[todo.root_id], todo.path))
                sha256, md5 = self._fingerprint.digests(data)
        except UnreadableImage as error:
            return _Item(todo, failure=(error.stage, error.reason))
        if (small := self._too_small(data)) is not None:
            return _Item(todo, small=small)
        return _Item(todo, data, sha256, md5)

    def _too_small(self, data: bytes) -> tuple[int, int] | None:
        """Width and height of an image that is left out for its size; None for any other."""
        if not self._options.min_size:
            return None
        try:
            size = opened(data).size
        except Exception:  # what is wrong with it is said when it is decoded
            return None
        return size if min(size) < self._options.min_size else None

    def _claim_pack(self, pack: _Pack) -> _Pack:
        """Decide what each file has to provide: nothing, if its bytes are known or on the way."""
        for item in pack:
            if item.sha256 and item.sha256 not in self._claimed:
                self._claimed.add(item.sha256)
                item.lacks = self._all & ~(self._known.mask(item.sha256) or 0)
            if not item.lacks:
                item.data = b""
        return pack

    def _weight(self, item: _Item) -> int:
        return _ITEM_BYTES + len(item.data) + bool(item.lacks) * self._pixel_bytes

    def _prepare_pack(self, pack: _Pack) -> _Pack:
        with self._clock.counting("decode"):
            for item in pack:
                if item.lacks:
                    self._prepare(item)
            sketched = [(item.image, item.sketch) for item in pack if item.image and item.sketch]
            prints = self._fingerprint.fingerprints([sketch for _, sketch in sketched])
            for (image, _), made in zip(sketched, prints, strict=True):
                image.fingerprint = made
            for item in pack:
                item.sketch = None
        if _is_large([item.todo for item in pack]):
            self._gate.release()
        return pack

    def _prepare(self, item: _Item) -> None:
        try:
            try:
                with one_file():
                    self._fill(item, Decoder(item.data))
            except UnreadableImage as error:
                if error.stage != "decode" or not self._options.tolerate_truncated:
                    raise
                with one_file():
                    self._fill_partially(item, error)
        except UnreadableImage as error:
            item.failure = error.stage, error.reason
            item.image = None
            item.pixels.clear()
        item.data = b""

    def _fill_partially(self, item: _Item, reason: UnreadableImage) -> None:
        """Make what a file lacks from what is there of its image; raises ``reason`` for nothing."""
        try:
            decoder, there = mended(item.data)
        except UnreadableImage:
            raise reason from None
        item.pixels.clear()
        self._fill(item, decoder)
        assert item.image is not None
        item.image.share = min(float(there.mean()), _LESS_THAN_ALL)

    def _fill(self, item: _Item, decoder: Decoder) -> None:
        """Make what the image of a file lacks, and all if it was made from other pixels.

        Its fingerprint is made with those of the other files of the pack, from the sketch.
        """
        with decoder.alone(reduced=True):
            self._fill_from(item, decoder)
        item.warnings = decoder.warnings

    def _fill_from(self, item: _Item, decoder: Decoder) -> None:
        item.image = ImageRow(item.sha256, item.md5, len(item.data))
        known = self._known.mask(item.sha256)
        if known is not None and not known & _UP_TO_DATE and changed(decoder):
            item.image.renewed = True
            item.lacks = self._all
        if item.lacks & _FINGERPRINT:
            item.sketch = self._fingerprint.sketch(decoder)
        for number, network in enumerate(self._networks):
            if item.lacks & (4 << number):
                item.pixels[number] = prepare(decoder, network.spec)

    # -- in order ------------------------------------------------------------------------------

    def _take(self, item: _Item) -> None:
        self._group.items.append(item)
        self._group.to_embed += bool(item.pixels)
        batch = min((network.batch for network in self._networks), default=GROUP_FILES)
        if self._group.to_embed >= batch or len(self._group.items) >= GROUP_FILES:
            self._submit()

    def _submit(self) -> None:
        """Start the passes of the group, once there is room for them."""
        group, self._group = self._group, _Group()
        passes = max((network.passes for network in self._networks), default=1)
        while len(self._under_way) >= passes:
            self._fetch()
        with self._clock.counting("network"):
            for number, network in enumerate(self._networks):
                items = [item for item in group.items if number in item.pixels]
                if items:
                    fetch = network.submit([item.pixels[number] for item in items])
                    group.passes.append((number, items, fetch))
        self._under_way.append(group)

    def _fetch(self) -> None:
        """Wait for the oldest group and put it into the batch."""
        group = self._under_way.popleft()
        self.embedded += group.to_embed
        for number, items, fetch in group.passes:
            with self._clock.counting("network"):
                vectors, norms = fetch()
            network = self._networks[number]
            for item, vector, norm in zip(items, vectors, norms, strict=True):
                assert item.image is not None
                if norm:
                    item.image.embeddings[network.spec.digest] = (vector, float(norm))
                else:
                    reason = f"{network.name} gives no usable vector"
                    self._batch.failures.append((item.todo, "embed", reason))
        for item in group.items:
            self._settle(item)

    def _settle(self, item: _Item) -> None:
        if item.small is not None:
            self._batch.small.append((item.todo, *item.small))
            return
        if item.failure is not None and item.sha256:
            self._failed[item.sha256] = item.failure
        # Copies of a file that failed to decode share its fate.
        failure = item.failure or self._failed.get(item.sha256)
        if failure is not None:
            self._batch.failures.append((item.todo, *failure))
            return
        for text in item.warnings:
            count, first = self._doubts.get(text, (0, item.todo))
            self._doubts[text] = count + 1, first
        self._batch.files.append((item.todo, item.sha256))
        if item.image is not None:
            self._batch.images.append(item.image)
            self.fingerprinted += item.image.fingerprint is not None

    def _is_due(self, seconds: float) -> bool:
        files = len(self._batch)
        return (
            (files >= COMMIT_FILES and seconds >= COMMIT_SECONDS)
            or files >= COMMIT_MOST_FILES
            or seconds >= COMMIT_MOST_SECONDS
        )

    def _commit(self) -> None:
        """Hand the batch to the storing thread, once that has done with the one before."""
        self._written()
        batch, self._batch = self._batch, self._new_batch()
        if len(batch):
            self._writing = self._writer.submit(self._store, batch)

    def _new_batch(self) -> Batch:
        return Batch(tolerant=self._options.tolerate_truncated)

    def _written(self) -> None:
        if self._writing is not None:
            with self._clock.counting("catalog"):
                self._writing.result()

    def _stages(self, seconds: float, cores: int) -> StageTimes:
        """What the pass waited for; waiting for files is reading or decoding by their work."""
        spent = self._clock.seconds
        read, decode = spent.get("read", 0.0) / READERS, spent.get("decode", 0.0) / cores
        files = spent.get("files", 0.0) / (read + decode or 1.0)
        opening = sum(network.waited for network in self._networks)
        waited = {
            "read": files * read,
            "decode": files * decode,
            "network": spent.get("network", 0.0) - opening,
            "catalog": spent.get("catalog", 0.0),
        }
        slowest = max(waited, key=lambda stage: waited[stage])
        return StageTimes(seconds=seconds, opening=opening, **waited, bottleneck=slowest)


def _is_large(files: Iterable[PendingFile]) -> bool:
    """Whether a pack has a file that is to be in memory alone."""
    return any(file.bytes > LARGE_BYTES for file in files)


def _packs(files: Iterable[PendingFile]) -> Iterator[list[PendingFile]]:
    """The files in order, in packs: see :data:`PACK_FILES`."""
    pack: list[PendingFile] = []
    size = 0
    for file in files:
        pack.append(file)
        size += file.bytes
        if len(pack) == PACK_FILES or size >= PACK_BYTES:
            yield pack
            pack, size = [], 0
    if pack:
        yield pack
