"""Examinations of pairs of images of a catalog: computed in threads, cached in the catalog."""

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from embedkit._internal.cores import usable_cores
from embedkit.catalog import Catalog, LiveFile, Reader
from embedkit.duplicates.examination import (
    VERSION,
    LazyImage,
    examine,
    examine_partial,
    read_metadata,
)
from embedkit.errors import UnreadableImage
from embedkit.images.faults import file_errors
from embedkit.images.version import DECODER
from embedkit.results import (
    OPEN,
    Change,
    Examination,
    FileMetadata,
    GroupMember,
    Progress,
    ProgressCallback,
    no_progress,
)
from embedkit.search.verification.cache import FeatureCache
from embedkit.search.verification.features import EXTRACTION
from embedkit.search.verification.photos import content_of, view_of

Pair = tuple[int, int]
"""Ids of two images, the smaller first."""


UNREAD, FAILED = "one of them could not be opened", "they could not be compared"
"""Notes of examinations that failed; they are not cached, so they are tried again."""

_CACHED_IMAGES = 48  # decoded images kept in memory: at most 6 MB each
_BATCH = 256  # pairs examined between two commits
_HEADERS = 4096  # headers read between two commits
EXAMINATION_VERSION = f"{VERSION}; {DECODER}; {EXTRACTION}"
"""Version of the results of examinations; those of another one are not used."""


class FileExaminer:
    """Examine pairs of images by id, in threads, and remember the results.

    Ids of images without a file have an entry without files in ``files``.
    """

    def __init__(self, progress: ProgressCallback, files: Mapping[int, list[LiveFile]]) -> None:
        self._progress = progress
        self._files = dict(files)
        self._images = lru_cache(_CACHED_IMAGES)(self._lazy_image)
        self._examinations: dict[Pair, Examination] = {}
        self._metadata: dict[int, FileMetadata] = {}
        self._ids: dict[str, int] = {}
        self._damaged: set[int] = set()
        self.examined = 0
        """Number of pairs whose files were opened."""

    def examinations(self, pairs: Iterable[Pair]) -> dict[Pair, Examination]:
        """Return the examinations of pairs, of the first image against the second."""
        wanted = sorted(set(pairs))
        self._locate({image_id for pair in wanted for image_id in pair})
        todo = [pair for pair in wanted if pair not in self._examinations]
        for start in range(0, len(todo), _BATCH):
            self._progress(Progress("comparing files", start, len(todo)))
            self._examine(todo[start : start + _BATCH])
        return {pair: self._examinations[pair] for pair in wanted}

    def examination(self, one: int, other: int) -> Examination:
        """Return the examination of one image against another, in either order."""
        pair = (min(one, other), max(one, other))
        found = self.examinations([pair])[pair]
        return found if one <= other else found.reversed()

    def compare(self, one: str, other: str) -> Examination:
        """Return the examination of one image against another, by SHA-256 (hex)."""
        return self.examination(self._ids[one], self._ids[other])

    def prefetch(self, one: str, others: Iterable[str]) -> None:
        """Examine one image against others in parallel, by SHA-256 (hex), before the results are
        needed."""
        number = self._ids[one]
        ids = (self._ids[other] for other in others)
        self.examinations((min(number, other), max(number, other)) for other in ids)

    def metadata_by_digest(self, digests: Sequence[str]) -> dict[str, FileMetadata]:
        """Return the metadata in the headers of images' files, by SHA-256 (hex)."""
        found = self.metadata([self._ids[digest] for digest in digests])
        ids = ((digest, self._ids[digest]) for digest in digests)
        return {digest: found[one] for digest, one in ids if one in found}

    def metadata(self, image_ids: Sequence[int]) -> dict[int, FileMetadata]:
        """Return the metadata in the headers of images' files; omit images that cannot be read."""
        self._locate(set(image_ids))
        missing = [image_id for image_id in image_ids if image_id not in self._metadata]
        with ThreadPoolExecutor(usable_cores()) as threads:
            for start in range(0, len(missing), _HEADERS):
                self._progress(Progress("reading metadata", start, len(missing)))
                batch = missing[start : start + _HEADERS]
                found = zip(batch, threads.map(self._read_metadata, batch), strict=True)
                new = {one: metadata for one, metadata in found if metadata is not None}
                self._metadata |= new
                self._store({}, new)
        return {one: self._metadata[one] for one in image_ids if one in self._metadata}

    # -- internals ---------------------------------------------------------------------------------

    def _examine(self, pairs: Sequence[Pair]) -> None:
        opencv_threads = cv2.getNumThreads()
        cv2.setNumThreads(1)  # pairs are examined in parallel
        try:
            with threadpool_limits(1), ThreadPoolExecutor(usable_cores()) as threads:
                found = dict(zip(pairs, threads.map(self._examine_pair, pairs), strict=True))
        finally:
            cv2.setNumThreads(opencv_threads)
        self.examined += len(pairs)
        self._examinations |= found
        new_ids = {image_id for pair in pairs for image_id in pair} - self._metadata.keys()
        metadata = {
            image_id: image.picture.metadata
            for image_id in new_ids
            if (image := self._images(image_id)).is_decoded
        }
        self._metadata |= metadata
        self._store(
            {pair: one for pair, one in found.items() if one.note not in (UNREAD, FAILED)}, metadata
        )

    def _examine_pair(self, pair: Pair) -> Examination:
        try:
            with file_errors():
                return self._compare_files(pair)
        except UnreadableImage:
            unreadable = [not self._is_readable(image_id) for image_id in pair]
            if not any(unreadable):
                return Examination(OPEN, note=FAILED)
            side = unreadable.index(True) + 1 if unreadable.count(True) == 1 else 0
            return Examination(OPEN, note=UNREAD, unread=side)

    def _compare_files(self, pair: Pair) -> Examination:
        try:
            if pair[0] in self._damaged:
                return examine_partial(*(self._images(image_id).read() for image_id in pair))
            return examine(self._images(pair[0]), self._images(pair[1]))
        except (cv2.error, np.linalg.LinAlgError):  # degenerate geometry needs a review
            return Examination(OPEN, note="they could not be aligned")

    def _is_readable(self, image_id: int) -> bool:
        try:
            with file_errors():
                return self._images(image_id).picture.size[0] > 0
        except UnreadableImage:
            return False

    def _read_metadata(self, image_id: int) -> FileMetadata | None:
        try:
            with file_errors():
                return read_metadata(self._images(image_id).read())
        except UnreadableImage:
            return None

    def _locate(self, image_ids: set[int]) -> None:
        """Look up the files and earlier examinations of images."""

    def _lazy_image(self, image_id: int) -> LazyImage:
        raise NotImplementedError

    def _store(
        self, found: Mapping[Pair, Examination], metadata: Mapping[int, FileMetadata]
    ) -> None:
        """Store results for later."""


class Examiner(FileExaminer):
    """Examine pairs of images of a catalog by id, and cache the results in the catalog.

    ``features_folder`` is the folder of cached local features; ``new_files`` maps ids smaller than
    all ids of the catalog to the files of images that are not in the catalog. Examinations of
    unreadable files are not cached.
    """

    def __init__(
        self,
        catalog: Catalog,
        features_folder: Path,
        progress: ProgressCallback = no_progress,
        new_files: Mapping[int, LiveFile] | None = None,
    ) -> None:
        files = {image_id: [file] for image_id, file in (new_files or {}).items()}
        super().__init__(progress, files)
        self._catalog = catalog
        self._cache = FeatureCache(features_folder)
        self._has_loaded = False

    def add_members(self, members: Iterable[GroupMember]) -> None:
        """Register the files of groups, whose images need not be in the catalog."""
        paths: dict[str, GroupMember] = {}
        for member in members:
            paths.setdefault(member.sha256, member)
        with self._catalog.read() as reader:
            known = reader.images.ids([bytes.fromhex(digest) for digest in paths])
        self._ids = {sha256.hex(): image_id for sha256, image_id in known.items()}
        for digest, member in paths.items():
            if digest not in self._ids:
                self._ids[digest] = number = -len(self._files)
                self._files[number] = [LiveFile(member.path, member.label, digest)]

    def add_damaged(self, files: Mapping[str, Sequence[str]]) -> dict[str, int]:
        """Register damaged files, absolute paths by SHA-256 (hex), and return ids for them.

        In a pair, such an id comes first. Only the decoded part of the damaged file is compared.
        """
        ids = {}
        for digest, paths in files.items():
            ids[digest] = number = -len(self._files)
            self._files[number] = [LiveFile(path, None, digest) for path in paths]
        self._damaged |= set(ids.values())
        with self._catalog.read() as reader:
            cached = reader.examinations.of_images(
                EXAMINATION_VERSION, [bytes.fromhex(digest) for digest in ids]
            )
            known = reader.images.ids(list({second for _, second, _ in cached}))
        for first, second, report in cached:
            self._examinations[ids[first.hex()], known[second]] = examination_of(report)
        return ids

    # -- internals ---------------------------------------------------------------------------------

    def _locate(self, image_ids: set[int]) -> None:
        """Look up the files and cached examinations of images."""
        unknown = sorted(image_ids - self._files.keys())
        if not unknown:
            return
        with self._catalog.read() as reader:
            self._files |= reader.files.of_images(unknown)
            if not self._has_loaded:
                self._load_cached(reader)
        for image_id in unknown:
            self._files.setdefault(image_id, [])

    def _load_cached(self, reader: Reader) -> None:
        """Load all cached examinations and metadata of the current version."""
        cached, metadata = (
            reader.examinations.all(EXAMINATION_VERSION),
            reader.examinations.headers(EXAMINATION_VERSION),
        )
        digests = {sha256 for row in cached for sha256 in row[:2]}
        ids = reader.images.ids([*digests, *(sha256 for sha256, _ in metadata)])
        for first, second, report in cached:
            one, other, found = ids[first], ids[second], examination_of(report)
            self._examinations[min(one, other), max(one, other)] = (
                found if one <= other else found.reversed()
            )
        self._metadata |= {ids[sha256]: metadata_of(report) for sha256, report in metadata}
        self._has_loaded = True

    def _lazy_image(self, image_id: int) -> LazyImage:
        files = self._files[image_id]
        paths = [file.path for file in files]
        digest = files[0].sha256 if files else ""
        return LazyImage(
            lambda: content_of(paths, digest), lambda: view_of(paths, digest, self._cache)
        )

    def _store(
        self, found: Mapping[Pair, Examination], metadata: Mapping[int, FileMetadata]
    ) -> None:
        """Store results in the catalog, if it is writable."""
        stored = {image_id: files[0].sha256 for image_id, files in self._files.items() if files}
        rows = [
            (bytes.fromhex(stored[one]), bytes.fromhex(stored[other]), json.dumps(asdict(item)))
            for (one, other), item in found.items()
            if one in stored and other in stored
        ]
        headers = [
            (bytes.fromhex(stored[one]), json.dumps(asdict(item)))
            for one, item in metadata.items()
            if one in stored
        ]
        if (rows or headers) and self._catalog.is_writable:
            with self._catalog.write() as writer:
                writer.examinations.store(EXAMINATION_VERSION, rows, headers)


def examination_of(report: str) -> Examination:
    """Return the examination in a JSON text."""
    values = json.loads(report)
    values["changes"] = tuple(Change(**change) for change in values["changes"])
    return Examination(**values)


def metadata_of(report: str) -> FileMetadata:
    """Return the metadata in a JSON text."""
    values = json.loads(report)
    return FileMetadata(**{**values, "tables": tuple(map(tuple, values["tables"]))})
