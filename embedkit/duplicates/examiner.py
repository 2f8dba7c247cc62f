"""Examinations of pairs of a collection: each once, in threads, kept in the catalog."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from embedkit.catalog import Catalog, LiveFile, Reader
from embedkit.duplicates.examination import VERSION, Opened, examine, examine_part, facts_of
from embedkit.errors import UnreadableImage
from embedkit.images.decode import DECODER
from embedkit.images.faults import one_file
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
"""Notes of examinations that come to nothing for now, and are tried again."""

_OPENED = 48  # images kept decoded: some 6 MB each at most
_BATCH = 256  # pairs between two commits
_HEADERS = 4096  # files between two commits, if only their headers are wanted
_VERSION = f"{VERSION}; {DECODER}; {EXTRACTION}"


class Examiner:
    """Examines pairs of images of a catalog by id, and knows what was examined before.

    ``features`` is the folder of local features; ``new`` are files of images that the catalog does
    not have, by ids below those of the catalog. What could not be read stays open, and is tried
    again the next time.
    """

    def __init__(
        self,
        catalog: Catalog,
        features: Path,
        progress: ProgressCallback = no_progress,
        new: Mapping[int, LiveFile] | None = None,
    ) -> None:
        self._catalog = catalog
        self._progress = progress
        self._cache = FeatureCache(features)
        self._files: dict[int, list[LiveFile]] = {
            image_id: [file] for image_id, file in (new or {}).items()
        }
        self._opened = lru_cache(_OPENED)(self._open)
        self._known: dict[Pair, Examination] = {}
        self._facts: dict[int, FileMetadata] = {}
        self._by_digest: dict[str, int] = {}
        self._damaged: set[int] = set()
        self._is_recalled = False
        self.examined = 0
        """Pairs whose files were opened."""

    def examinations(self, pairs: Iterable[Pair]) -> dict[Pair, Examination]:
        """The examinations of pairs, of the first against the second."""
        wanted = sorted(set(pairs))
        self._locate({image_id for pair in wanted for image_id in pair})
        todo = [pair for pair in wanted if pair not in self._known]
        for start in range(0, len(todo), _BATCH):
            self._progress(Progress("comparing files", start, len(todo)))
            self._examine(todo[start : start + _BATCH])
        return {pair: self._known[pair] for pair in wanted}

    def examination(self, one: int, other: int) -> Examination:
        """The examination of one image against another, in either order."""
        pair = (min(one, other), max(one, other))
        found = self.examinations([pair])[pair]
        return found if one <= other else found.reversed()

    def between(self, one: str, other: str) -> Examination:
        """The examination of one image against another, by SHA-256 (hex)."""
        return self.examination(self._by_digest[one], self._by_digest[other])

    def compare(self, one: str, others: Iterable[str]) -> None:
        """Examine one image against others at once, by SHA-256 (hex), before each is asked for."""
        number = self._by_digest[one]
        ids = (self._by_digest[other] for other in others)
        self.examinations((min(number, other), max(number, other)) for other in ids)

    def headers(self, digests: Sequence[str]) -> dict[str, FileMetadata]:
        """What the headers of images' files say, by SHA-256 (hex)."""
        found = self.facts([self._by_digest[digest] for digest in digests])
        ids = ((digest, self._by_digest[digest]) for digest in digests)
        return {digest: found[one] for digest, one in ids if one in found}

    def facts(self, image_ids: Sequence[int]) -> dict[int, FileMetadata]:
        """What the headers of images' files say; images that cannot be read are left out."""
        self._locate(set(image_ids))
        lacking = [image_id for image_id in image_ids if image_id not in self._facts]
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            for start in range(0, len(lacking), _HEADERS):
                self._progress(Progress("reading metadata", start, len(lacking)))
                some = lacking[start : start + _HEADERS]
                found = zip(some, threads.map(self._read_facts, some), strict=True)
                new = {one: facts for one, facts in found if facts is not None}
                self._facts |= new
                self._store({}, new)
        return {one: self._facts[one] for one in image_ids if one in self._facts}

    def learn(self, members: Iterable[GroupMember]) -> None:
        """Learn where files of groups lie whose images the catalog need not have."""
        paths: dict[str, GroupMember] = {}
        for member in members:
            paths.setdefault(member.sha256, member)
        with self._catalog.read() as reader:
            known = reader.images.ids([bytes.fromhex(digest) for digest in paths])
        self._by_digest = {sha256.hex(): image_id for sha256, image_id in known.items()}
        for digest, member in paths.items():
            if digest not in self._by_digest:
                self._by_digest[digest] = number = -len(self._files)
                self._files[number] = [LiveFile(member.path, member.label, digest)]

    def learn_damaged(self, files: Mapping[str, Sequence[str]]) -> dict[str, int]:
        """Learn where damaged files lie, absolute paths by SHA-256 (hex); ids for them.

        Of what they are compared with, only the part that is there of them is examined; it is the
        second image of such a pair.
        """
        ids = {}
        for digest, paths in files.items():
            ids[digest] = number = -len(self._files)
            self._files[number] = [LiveFile(path, None, digest) for path in paths]
        self._damaged |= set(ids.values())
        with self._catalog.read() as reader:
            kept = reader.examinations.of_images(
                _VERSION, [bytes.fromhex(digest) for digest in ids]
            )
            known = reader.images.ids(list({second for _, second, _ in kept}))
        for first, second, report in kept:
            self._known[ids[first.hex()], known[second]] = _examination(report)
        return ids

    # -- inside ------------------------------------------------------------------------------------

    def _locate(self, image_ids: set[int]) -> None:
        """Learn where images lie, and what is known of them."""
        unknown = sorted(image_ids - self._files.keys())
        if not unknown:
            return
        with self._catalog.read() as reader:
            self._files |= reader.files.of_images(unknown)
            if not self._is_recalled:
                self._recall(reader)
        for image_id in unknown:
            self._files.setdefault(image_id, [])

    def _recall(self, reader: Reader) -> None:
        """Take over what the catalog has of earlier examinations."""
        kept, facts = reader.examinations.all(_VERSION), reader.examinations.headers(_VERSION)
        digests = {sha256 for row in kept for sha256 in row[:2]}
        ids = reader.images.ids([*digests, *(sha256 for sha256, _ in facts)])
        for first, second, report in kept:
            one, other, found = ids[first], ids[second], _examination(report)
            self._known[min(one, other), max(one, other)] = (
                found if one <= other else found.reversed()
            )
        self._facts |= {ids[sha256]: _facts(report) for sha256, report in facts}
        self._is_recalled = True

    def _examine(self, pairs: Sequence[Pair]) -> None:
        threads_of_opencv = cv2.getNumThreads()
        cv2.setNumThreads(1)  # pairs are examined side by side already
        try:
            with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as threads:
                found = dict(zip(pairs, threads.map(self._examined, pairs), strict=True))
        finally:
            cv2.setNumThreads(threads_of_opencv)
        self.examined += len(pairs)
        self._known |= found
        facts = {
            image_id: opened.picture.facts
            for image_id in {image_id for pair in pairs for image_id in pair} - self._facts.keys()
            if (opened := self._opened(image_id)).is_open
        }
        self._facts |= facts
        self._store(
            {pair: one for pair, one in found.items() if one.note not in (UNREAD, FAILED)}, facts
        )

    def _examined(self, pair: Pair) -> Examination:
        try:
            with one_file():
                return self._compared(pair)
        except UnreadableImage:
            unread = [not self._opens(image_id) for image_id in pair]
            if not any(unread):
                return Examination(OPEN, note=FAILED)
            side = unread.index(True) + 1 if unread.count(True) == 1 else 0
            return Examination(OPEN, note=UNREAD, unread=side)

    def _compared(self, pair: Pair) -> Examination:
        try:
            if pair[0] in self._damaged:
                return examine_part(*(self._opened(image_id).read() for image_id in pair))
            return examine(self._opened(pair[0]), self._opened(pair[1]))
        except (cv2.error, np.linalg.LinAlgError):  # degenerate geometry: a person has to look
            return Examination(OPEN, note="they could not be laid on each other")

    def _opens(self, image_id: int) -> bool:
        try:
            with one_file():
                return self._opened(image_id).picture.size[0] > 0
        except UnreadableImage:
            return False

    def _open(self, image_id: int) -> Opened:
        files = self._files[image_id]
        paths = [file.path for file in files]
        digest = files[0].sha256 if files else ""
        return Opened(
            lambda: content_of(paths, digest), lambda: view_of(paths, digest, self._cache)
        )

    def _read_facts(self, image_id: int) -> FileMetadata | None:
        try:
            with one_file():
                return facts_of(self._opened(image_id).read())
        except UnreadableImage:
            return None

    def _store(self, found: Mapping[Pair, Examination], facts: Mapping[int, FileMetadata]) -> None:
        """Keep what was found in the catalog, where it can be written."""
        stored = {image_id: files[0].sha256 for image_id, files in self._files.items() if files}
        rows = [
            (bytes.fromhex(stored[one]), bytes.fromhex(stored[other]), json.dumps(asdict(item)))
            for (one, other), item in found.items()
            if one in stored and other in stored
        ]
        headers = [
            (bytes.fromhex(stored[one]), json.dumps(asdict(item)))
            for one, item in facts.items()
            if one in stored
        ]
        path = self._catalog.path
        if (rows or headers) and os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
            with self._catalog.write() as writer:
                writer.examinations.store(_VERSION, rows, headers)


def _examination(report: str) -> Examination:
    values = json.loads(report)
    values["changes"] = tuple(Change(**change) for change in values["changes"])
    return Examination(**values)


def _facts(report: str) -> FileMetadata:
    values = json.loads(report)
    return FileMetadata(**{**values, "tables": tuple(map(tuple, values["tables"]))})
