"""The ingest pipeline: read, decode, embed and commit concurrently, in bounded memory.

::

    packs -> [read, digest] -> assign -> [decode, fingerprint, prepare] -> passes -> batches
              threads                     threads                          device    writer thread

Small files are passed between threads in packs, as passing one costs more than reading it. The
order of the files is kept, so that ids do not depend on timing.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from threading import Semaphore
from typing import TYPE_CHECKING, Protocol

import numpy as np

from embedkit._internal import paths
from embedkit._internal.cores import usable_cores
from embedkit.backbones.preprocess import allow_reduced_decode
from embedkit.catalog import Batch, ImageRow, KnownImages, PendingFile, PendingFiles
from embedkit.errors import UnreadableImage
from embedkit.images.decode import LARGE_BYTES, Decoder, differs_from_version_1, read_bytes
from embedkit.images.faults import file_errors
from embedkit.images.opening import open_image
from embedkit.images.partial import repaired
from embedkit.ingest.network import IngestNetwork
from embedkit.ingest.stages import Clock, OrderedMap
from embedkit.results import ADD_ALL, AddOptions, Progress, ProgressCallback, StageTimes

if TYPE_CHECKING:
    from embedkit.images.fingerprint import Sketch

READERS = 4
"""Files of a local disk read concurrently; more than cores, as reading mostly waits for it."""

READ_AHEAD = 64_000_000
PREPARE_AHEAD = 192_000_000
"""Maximum number of bytes in memory: of files that are read, and of files and pixels that wait for
the network."""

PACK_FILES = 64
PACK_BYTES = 500_000
"""A pack ends at this number of files or bytes."""

GROUP_FILES = 1024
"""Maximum number of files in a group, if few of them have to be embedded."""

COMMIT_FILES = 256
COMMIT_SECONDS = 2.0
"""A batch is committed when it has COMMIT_FILES files and COMMIT_SECONDS have passed since the last
commit."""
COMMIT_MAX_FILES = 8192
COMMIT_MAX_SECONDS = 10.0
"""A batch is also committed when it reaches one of these limits."""

FINGERPRINT, UP_TO_DATE, FIRST_EMBEDDING = 1, 2, 4
"""Bits in the mask of an image's results: see :class:`KnownImages`. The bit of an embedding is
``FIRST_EMBEDDING << number``, with the number of the network."""
ALL_RESULTS = -1
"""The mask of all results."""
_MAX_PARTIAL = 1 - 1e-6
"""Maximum share of decoded pixels of a truncated image. A progressive JPEG may have all pixels and
only lack detail."""
_UNKNOWN_BYTES = 1_000_000
"""Bytes to allow for a file of unknown size."""
_ITEM_BYTES = 2048
"""Memory of an item besides its bytes and pixels."""


@dataclass(slots=True)
class _Item:
    """A file in the pipeline."""

    file: PendingFile
    data: bytes = b""
    sha256: bytes = b""
    md5: bytes = b""
    failure: tuple[str, str] | None = None
    """Stage and reason."""
    small: tuple[int, int] | None = None
    """Width and height of an image that is skipped because of its size."""
    known: int | None = None
    """Mask of the results that its image has; None for an unknown image."""
    missing: int = 0
    """Mask of the results of its image that are computed from this file."""
    image: ImageRow | None = None
    sketch: "Sketch | None" = None
    """Data of the fingerprint until it is computed."""
    pixels: dict[int, np.ndarray] = field(default_factory=dict)
    """Prepared pixels by network number."""
    warnings: Sequence[str] = ()
    """Warnings about its pixels."""


_Pack = list[_Item]


@dataclass
class _Group:
    """Files whose images are embedded together."""

    items: list[_Item] = field(default_factory=list)
    to_embed: int = 0
    """Number of images to embed."""
    passes: list[tuple[int, list[_Item], Callable[[], tuple[np.ndarray, np.ndarray]]]] = field(
        default_factory=list
    )
    """Network number, the items that it embeds, and the function that fetches the embeddings."""


class Files(Protocol):
    """Where the files of a pipeline are."""

    @property
    def readers(self) -> int:
        """Number of files to read concurrently."""

    def read(self, file: PendingFile) -> bytes:
        """Return the content of a file. Raises :class:`UnreadableImage` (stage ``read``)."""

    def name(self, file: PendingFile) -> str:
        """Return the path or URL of a file."""


class RootFiles:
    """Files below the roots of a catalog: absolute paths by id."""

    def __init__(self, roots: dict[int, str]) -> None:
        self._roots = roots

    @property
    def readers(self) -> int:
        """Number of files to read concurrently: :data:`READERS`."""
        return READERS

    def read(self, file: PendingFile) -> bytes:
        """Return the content of a file: see :class:`Files`."""
        return read_bytes(self.name(file))

    def name(self, file: PendingFile) -> str:
        """Return the absolute path of a file."""
        return paths.absolute_path(self._roots[file.root_id], file.path)


Claims = Callable[[Sequence[bytes]], Sequence[int | None]]
"""Returns the mask of the results that each image has, by SHA-256, and claims the other results for
this pipeline. They count as results for later calls. None for an image that is not known."""


def claims_of(known: KnownImages) -> Claims:
    """Return the claims of the only pipeline that adds images to a catalog."""
    claimed: set[bytes] = set()

    def claim(digests: Sequence[bytes]) -> list[int | None]:
        masks = [ALL_RESULTS if sha256 in claimed else known.mask(sha256) for sha256 in digests]
        claimed.update(digests)
        return masks

    return claim


class IngestPipeline:
    """Read, decode and embed files in order and store the results in batches.

    ``claim`` decides which results are computed. ``store`` commits a batch to the catalog; it is
    called in a separate thread, for one batch at a time.
    """

    def __init__(
        self,
        files: Files,
        claim: Claims,
        networks: Sequence[IngestNetwork],
        store: Callable[[Batch], None],
        options: AddOptions = ADD_ALL,
    ) -> None:
        from embedkit.images import fingerprint  # imports scipy

        self._fingerprint = fingerprint
        self._files = files
        self._claim = claim
        self._networks = networks
        self._store = store
        self._options = options
        self._all_results = (FIRST_EMBEDDING << len(networks)) - 1
        self._pixel_bytes = sum(network.input_bytes for network in networks)
        self._is_reduced = allow_reduced_decode(network.spec for network in networks)
        self._failed: dict[bytes, tuple[str, str]] = {}
        self._group = _Group()
        self._running: deque[_Group] = deque()
        self._batch = self._new_batch()
        self._writer = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None
        self._clock = Clock()
        self.embedded = 0
        """Number of images that were embedded."""
        self.fingerprinted = 0
        """Number of images that were fingerprinted."""
        self._warnings: dict[str, tuple[int, PendingFile]] = {}
        self._large_file = Semaphore()
        """Acquired by a pack with a large file before it is read, released when it is prepared."""

    def run(self, todo: PendingFiles, progress: ProgressCallback, stage: str) -> StageTimes:
        """Process all files of ``todo``; return the time spent in each stage.

        ``stage`` describes the run in its progress.
        """
        for network in self._networks:
            network.expect(len(todo))
        cores = max(2, usable_cores())
        started = committed = time.monotonic()
        reading = OrderedMap(
            self._read_pack,
            self._admitted(_packs(todo, len(todo) // (2 * self._files.readers))),
            threads=self._files.readers,
            weight=lambda files: sum(_ITEM_BYTES + _size(file) for file in files),
            limit=READ_AHEAD,
        )
        preparing = OrderedMap(
            self._prepare_pack,
            map(self._assign_work, reading),
            threads=cores,
            weight=lambda pack: sum(map(self._memory, pack)),
            limit=PREPARE_AHEAD,
        )
        ready = chain.from_iterable(self._clock.measure_waits("files", preparing))
        try:
            for done, item in enumerate(ready, 1):
                self._add_to_group(item)
                now = time.monotonic()
                if self._is_due(now - committed):
                    self._commit()
                    committed = now
                rate = done / max(now - started, 1e-6)
                progress(Progress(stage, done, len(todo), rate, (len(todo) - done) / rate))
            self._submit()
            while self._running:
                self._fetch()
            self._commit()
            self._wait_for_writer()
        finally:
            reading.stop()
            preparing.stop()
            self._large_file.release()  # end a thread that waits for it
            reading.join()
            preparing.join()
            self._writer.shutdown()
        seconds = time.monotonic() - started
        for network in self._networks:
            network.finish(seconds)
        return self._stages(seconds, cores)

    def warnings(self) -> Iterator[str]:
        """Yield each warning about pixels with the number of files and the first file."""
        for text, (count, first) in self._warnings.items():
            path = paths.shown(self._files.name(first))
            which = f"{path} has" if count == 1 else f"{count} files, the first {path}, have"
            yield f"{which} {text}"

    # -- in threads ----------------------------------------------------------------------------

    def _admitted(self, packs: Iterable[list[PendingFile]]) -> Iterator[list[PendingFile]]:
        """Yield the packs, and packs with a large file one at a time."""
        for pack in packs:
            if _is_large(pack):
                self._large_file.acquire()
            yield pack

    def _read_pack(self, files: list[PendingFile]) -> _Pack:
        with self._clock.measure("read"):
            return [self._read(file) for file in files]

    def _read(self, file: PendingFile) -> _Item:
        try:
            with file_errors(stage="read"):
                data = self._files.read(file)
                sha256, md5 = self._fingerprint.digests(data)
        except UnreadableImage as error:
            return _Item(file, failure=(error.stage, error.reason))
        if (small := self._too_small(data)) is not None:
            return _Item(file, small=small)
        return _Item(file, data, sha256, md5)

    def _too_small(self, data: bytes) -> tuple[int, int] | None:
        """Return width and height of an image that is skipped because of its size, else None."""
        if not self._options.min_size:
            return None
        try:
            size = open_image(data).size
        except Exception:  # decoding reports the error
            return None
        return size if min(size) < self._options.min_size else None

    def _assign_work(self, pack: _Pack) -> _Pack:
        """Set the missing results of each file; none if its bytes are known or in the pipeline."""
        first: dict[bytes, _Item] = {}
        for item in pack:
            if item.sha256:
                first.setdefault(item.sha256, item)
        for item, known in zip(first.values(), self._claim(list(first)), strict=True):
            item.known = known
            item.missing = self._all_results & ~(known or 0)
        for item in pack:
            if not item.missing:
                item.data = b""
        return pack

    def _memory(self, item: _Item) -> int:
        return _ITEM_BYTES + len(item.data) + bool(item.missing) * self._pixel_bytes

    def _prepare_pack(self, pack: _Pack) -> _Pack:
        with self._clock.measure("decode"):
            for item in pack:
                if item.missing:
                    self._prepare(item)
            sketches = [(item.image, item.sketch) for item in pack if item.image and item.sketch]
            prints = self._fingerprint.fingerprints([sketch for _, sketch in sketches])
            for (image, _), fingerprint in zip(sketches, prints, strict=True):
                image.fingerprint = fingerprint
            for item in pack:
                item.sketch = None
        if _is_large([item.file for item in pack]):
            self._large_file.release()
        return pack

    def _prepare(self, item: _Item) -> None:
        try:
            try:
                with file_errors():
                    self._compute(item, Decoder(item.data))
            except UnreadableImage as error:
                if error.stage != "decode" or not self._options.tolerate_truncated:
                    raise
                with file_errors():
                    self._compute_truncated(item, error)
        except UnreadableImage as error:
            item.failure = error.stage, error.reason
            item.image = None
            item.pixels.clear()
        item.data = b""

    def _compute_truncated(self, item: _Item, reason: UnreadableImage) -> None:
        """Compute the results of a truncated file; raise ``reason`` if nothing can be decoded."""
        try:
            decoder, mask = repaired(item.data)
        except UnreadableImage:
            raise reason from None
        item.pixels.clear()
        self._compute(item, decoder)
        assert item.image is not None
        item.image.share = min(float(mask.mean()), _MAX_PARTIAL)

    def _compute(self, item: _Item, decoder: Decoder) -> None:
        """Compute the missing results of an image; all if an earlier version got other pixels.

        The fingerprint is computed later from the sketch, together with the others of the pack.
        """
        item.image = ImageRow(item.sha256, item.md5, len(item.data))
        with decoder.exclusive(reduced=self._is_reduced):
            is_outdated = item.known is not None and not item.known & UP_TO_DATE
            if is_outdated and differs_from_version_1(decoder):
                item.image.pixels_changed = True
                item.missing = self._all_results
            if item.missing & FINGERPRINT:
                item.sketch = self._fingerprint.sketch(decoder)
            for number, network in enumerate(self._networks):
                if item.missing & (FIRST_EMBEDDING << number):
                    item.pixels[number] = network.prepare(decoder)
        item.warnings = decoder.warnings

    # -- in order ------------------------------------------------------------------------------

    def _add_to_group(self, item: _Item) -> None:
        self._group.items.append(item)
        self._group.to_embed += bool(item.pixels)
        batch = min((network.batch for network in self._networks), default=GROUP_FILES)
        if self._group.to_embed >= batch or len(self._group.items) >= GROUP_FILES:
            self._submit()

    def _submit(self) -> None:
        """Start the forward passes of the group, after waiting for earlier ones."""
        group, self._group = self._group, _Group()
        passes = max((network.concurrent_passes for network in self._networks), default=1)
        while len(self._running) >= passes:
            self._fetch()
        with self._clock.measure("network"):
            for number, network in enumerate(self._networks):
                items = [item for item in group.items if number in item.pixels]
                if items:
                    fetch = network.submit([item.pixels[number] for item in items])
                    group.passes.append((number, items, fetch))
        self._running.append(group)

    def _fetch(self) -> None:
        """Wait for the oldest group and add it to the batch."""
        group = self._running.popleft()
        self.embedded += group.to_embed
        for number, items, fetch in group.passes:
            with self._clock.measure("network"):
                vectors, norms = fetch()
            network = self._networks[number]
            for item, vector, norm in zip(items, vectors, norms, strict=True):
                assert item.image is not None
                if norm:
                    item.image.embeddings[network.spec.digest] = (vector, float(norm))
                else:
                    reason = f"{network.name} gives no usable vector"
                    self._batch.failures.append((item.file, "embed", reason))
        for item in group.items:
            self._add_to_batch(item)

    def _add_to_batch(self, item: _Item) -> None:
        if item.small is not None:
            self._batch.small.append((item.file, *item.small))
            return
        if item.failure is not None and item.sha256:
            self._failed[item.sha256] = item.failure
        # Copies of a file that failed to decode fail too.
        failure = item.failure or self._failed.get(item.sha256)
        if failure is not None:
            self._batch.failures.append((item.file, *failure))
            return
        for text in item.warnings:
            count, first = self._warnings.get(text, (0, item.file))
            self._warnings[text] = count + 1, first
        self._batch.files.append((item.file, item.sha256))
        if item.image is not None:
            self._batch.images.append(item.image)
            self.fingerprinted += item.image.fingerprint is not None

    def _is_due(self, seconds: float) -> bool:
        files = len(self._batch)
        return (
            (files >= COMMIT_FILES and seconds >= COMMIT_SECONDS)
            or files >= COMMIT_MAX_FILES
            or seconds >= COMMIT_MAX_SECONDS
        )

    def _commit(self) -> None:
        """Pass the batch to the writer thread when it has stored the previous one."""
        self._wait_for_writer()
        batch, self._batch = self._batch, self._new_batch()
        if len(batch):
            self._writing = self._writer.submit(self._store, batch)

    def _new_batch(self) -> Batch:
        return Batch(tolerates_truncated=self._options.tolerate_truncated)

    def _wait_for_writer(self) -> None:
        if self._writing is not None:
            with self._clock.measure("catalog"):
                self._writing.result()

    def _stages(self, seconds: float, cores: int) -> StageTimes:
        """Return the time that the pipeline waited for each stage.

        Waiting for files is divided between reading and decoding in proportion to their work.
        """
        spent = self._clock.seconds
        read = spent.get("read", 0.0) / self._files.readers
        decode = spent.get("decode", 0.0) / cores
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


def _size(file: PendingFile) -> int:
    """Return the bytes of a file, or a guess if the listing does not name them."""
    return file.bytes or _UNKNOWN_BYTES


def _is_large(files: Iterable[PendingFile]) -> bool:
    """Return whether a pack contains a large file."""
    return any(file.bytes > LARGE_BYTES for file in files)


def _packs(files: Iterable[PendingFile], most: int) -> Iterator[list[PendingFile]]:
    """Yield the files in order, in packs: see :data:`PACK_FILES`.

    Packs of more than ``most`` files would leave readers without work.
    """
    most = max(1, min(PACK_FILES, most))
    pack: list[PendingFile] = []
    size = 0
    for file in files:
        pack.append(file)
        size += _size(file)
        if len(pack) == most or size >= PACK_BYTES:
            yield pack
            pack, size = [], 0
    if pack:
        yield pack
