"""A cache of local features on disk."""

import hashlib
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from threading import Lock

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from embedkit._internal.artifacts import atomic_write
from embedkit.search.verification.features import (
    DESCRIPTOR,
    EXTRACTION,
    Grey,
    LocalFeatures,
    local_features,
)

MAX_BYTES = 1 << 30
"""Default maximum size of all files together, bytes."""

_TRIMMED = 0.9  # share of the maximum, so that a full cache is not trimmed for every image
_SUFFIX = ".features"
_CHECKSUM_BYTES = 4  # at the end of a file
_EXTRACTION_DIGEST = hashlib.sha256(EXTRACTION.encode()).hexdigest()[:8]


class FeatureCache:
    """A folder with one file for each image; the least recently used files are removed first.

    Files are named by the image's SHA-256 and a digest of the extraction's parameters. They contain
    safetensors and a checksum. (NumPy's own format is read with Python's parser, which threads
    cannot share under 3.11.) Writing is atomic except for a power failure, and features that cannot
    be read are extracted again. Threads and processes may share a folder; each process limits the
    files that it knows of to ``max_bytes`` in total.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._bytes: int | None = None
        self._writing = Lock()

    def features(self, sha256: str, grey: Callable[[], Grey]) -> LocalFeatures:
        """Return the local features of the image with this SHA-256 (hex).

        ``grey`` returns its reduced pixels (H, W) and is called only if they are not stored yet.
        """
        path = self._folder / f"{sha256}-{_EXTRACTION_DIGEST}{_SUFFIX}"
        known = _read(path)
        if known is not None:
            _touch(path)
            return known
        features = local_features(grey())
        with self._writing:
            self._write(path, features)
        return features

    def _write(self, path: Path, features: LocalFeatures) -> None:
        try:
            if self._bytes is None:
                self._bytes = sum(size for _, size, _ in self._files())
            size = np.array(features.size, np.int32)
            arrays: dict[str, np.ndarray] = {
                "points": features.points,
                "descriptors": features.descriptors,
                "size": size,
            }
            data = save(arrays)
            with atomic_write(path, durable=False) as temporary:
                temporary.write_bytes(data + _checksum(data))
            self._bytes += path.stat().st_size
            if self._bytes > self._max_bytes:
                self._trim()
        except OSError:  # a full or read-only disk costs only another extraction
            self._bytes = None

    def _trim(self) -> None:
        files = sorted(self._files())
        total = sum(size for _, size, _ in files)
        for _, size, path in files:
            if total <= self._max_bytes * _TRIMMED:
                break
            path.unlink(missing_ok=True)
            total -= size
        self._bytes = total

    def _files(self) -> list[tuple[int, int, Path]]:
        """Return the time of last use (ns), bytes and path of each file."""
        found = []
        for path in self._folder.glob(f"*{_SUFFIX}"):
            try:
                status = path.stat()
            except FileNotFoundError:  # another process trimmed it
                continue
            found.append((status.st_mtime_ns, status.st_size, path))
        return found


def _read(path: Path) -> LocalFeatures | None:
    try:
        content = path.read_bytes()
        data, checksum = content[:-_CHECKSUM_BYTES], content[-_CHECKSUM_BYTES:]
        if checksum != _checksum(data):
            return None
        stored = load(data)
        points, descriptors, size = stored["points"], stored["descriptors"], stored["size"]
    except (OSError, KeyError, SafetensorError):
        return None
    valid = (
        points.dtype == np.float32
        and descriptors.dtype == np.uint8
        and points.shape == (len(descriptors), 2)
        and descriptors.shape == (len(points), DESCRIPTOR)
        and size.shape == (2,)
        and size.dtype == np.int32
        and bool(np.isfinite(points).all())
    )
    return LocalFeatures(points, descriptors, (int(size[0]), int(size[1]))) if valid else None


def _checksum(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(_CHECKSUM_BYTES, "little")


def _touch(path: Path) -> None:
    try:
        os.utime(path)
    except OSError:  # removed in the meantime, or not writable: the last use is not recorded
        return
