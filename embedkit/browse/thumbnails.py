"""Thumbnails of photos, kept in a file of limited size, and sheets of many thumbnails."""

import io
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from enum import IntEnum
from itertools import repeat
from pathlib import Path
from typing import TypeAlias

from PIL import Image, ImageOps

from embedkit._internal.cores import usable_cores
from embedkit.errors import UnreadableImage
from embedkit.images.decode import decoding
from embedkit.images.faults import file_errors
from embedkit.images.thumbnail import webp, within

FILE_NAME = "thumbnails.sqlite"
LARGE_SIDE = 2048
"""Longest side of an enlarged photo, pixels."""
MAX_BYTES = 2_000_000_000
"""Default limit of the thumbnails in a file, bytes; about 400,000 of 128 pixels."""
MEMORY_BYTES = 64_000_000
"""Limit of the thumbnails in memory, bytes, where there is no file."""

_QUALITY, _LARGE_QUALITY = 75, 88
_KEPT_SHARE = 0.9
_DAY = 86_400


class Side(IntEnum):
    """Longest side of a thumbnail, pixels."""

    SMALL = 128
    MEDIUM = 256


class ThumbnailCache:
    """Thumbnails by SHA-256 and side, in an SQLite file or in memory.

    When they have more than ``max_bytes``, those that were not used for longest are removed.
    Several processes may use one file. A damaged file is replaced.
    """

    def __init__(self, file: Path | None, max_bytes: int = MAX_BYTES) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._connection = self._open()
        self._bytes = self._total()

    def get(self, digests: Sequence[str], side: int) -> dict[str, bytes]:
        """Return the stored thumbnails, by digest (hex)."""
        found: dict[str, bytes] = {}
        today = int(time.time()) // _DAY
        stale = []
        with self._access() as connection:
            for digest in dict.fromkeys(digests):
                row = connection.execute(
                    "SELECT image, used FROM thumbnails WHERE sha256 = ? AND side = ?",
                    (bytes.fromhex(digest), side),
                ).fetchone()
                if row is not None:
                    found[digest] = row[0]
                    if row[1] < today:
                        stale.append((today, bytes.fromhex(digest), side))
            connection.executemany(
                "UPDATE thumbnails SET used = ? WHERE sha256 = ? AND side = ?", stale
            )
        return found

    def put(self, thumbnails: dict[str, bytes], side: int) -> None:
        """Store thumbnails by digest (hex), unless the disk is full."""
        today = int(time.time()) // _DAY
        rows = [(bytes.fromhex(one), side, image, today) for one, image in thumbnails.items()]
        with self._access() as connection:
            connection.executemany("INSERT OR REPLACE INTO thumbnails VALUES (?, ?, ?, ?)", rows)
            self._bytes += sum(map(len, thumbnails.values()))
            if self._bytes > self._max_bytes:
                self._evict(connection)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _access(self) -> Iterator[sqlite3.Connection]:
        """Use the connection in one thread; an error of the file loses thumbnails only."""
        with self._lock, suppress(sqlite3.Error), self._connection:
            yield self._connection

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connected()
        except sqlite3.DatabaseError:
            if self._file is None:
                raise
        for suffix in ("", "-wal", "-shm"):
            with suppress(OSError):
                self._file.with_name(self._file.name + suffix).unlink(missing_ok=True)
        try:
            return self._connected()
        except sqlite3.Error:  # a read-only or full disk
            self._file, self._max_bytes = None, MEMORY_BYTES
            return self._connected()

    def _connected(self) -> sqlite3.Connection:
        if self._file is None:
            self._max_bytes = min(self._max_bytes, MEMORY_BYTES)
        connection = sqlite3.connect(
            ":memory:" if self._file is None else self._file, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")  # a lost thumbnail is made again
            connection.execute(
                """CREATE TABLE IF NOT EXISTS thumbnails (sha256 BLOB, side INTEGER, image BLOB,
                       used INTEGER, PRIMARY KEY (sha256, side)) WITHOUT ROWID"""
            )
            connection.commit()
        except BaseException:
            connection.close()
            raise
        return connection

    def _total(self) -> int:
        total = 0
        with self._access() as connection:
            (total,) = connection.execute(
                "SELECT coalesce(sum(length(image)), 0) FROM thumbnails"
            ).fetchone()
        return int(total)

    def _evict(self, connection: sqlite3.Connection) -> None:
        rows = connection.execute(
            "SELECT sha256, side, length(image) FROM thumbnails ORDER BY used, sha256"
        ).fetchall()
        self._bytes = sum(size for *_, size in rows)
        removed = []
        for digest, side, size in rows:
            if self._bytes <= _KEPT_SHARE * self._max_bytes:
                break
            removed.append((digest, side))
            self._bytes -= size
        connection.executemany("DELETE FROM thumbnails WHERE sha256 = ? AND side = ?", removed)


Sources: TypeAlias = Mapping[str, Sequence[str]]
"""Paths of the files of each image, by SHA-256 (hex)."""


class Thumbnails:
    """Makes thumbnails, and keeps them in a cache."""

    def __init__(self, cache: ThumbnailCache) -> None:
        self._cache = cache
        self._pool = ThreadPoolExecutor(usable_cores(), "thumbnails")  # decoding releases the GIL

    def of(self, sources: Sources, side: int) -> dict[str, bytes]:
        """Return the thumbnails of images as WebP; omit images of which no file can be shown."""
        found = self._cache.get(list(sources), side)
        missing = [digest for digest in sources if digest not in found]
        paths = [sources[digest] for digest in missing]
        made = self._pool.map(_encoded, missing, paths, repeat(side), repeat(_QUALITY))
        new = {
            digest: image for digest, image in zip(missing, made, strict=True) if image is not None
        }
        if new:
            self._cache.put(new, side)
        return found | new

    def sheet(
        self, sources: Sources, digests: Sequence[str], side: int, columns: int
    ) -> tuple[bytes, bool]:
        """Return thumbnails side by side, row by row, as one WebP image, and whether all are there.

        Each is in the middle of a square of ``side`` pixels, and a smaller one is enlarged. The
        square of an image that cannot be shown is transparent.
        """
        found = self.of(sources, side)
        rows = -(-len(digests) // columns)
        sheet = Image.new("RGBA", (columns * side, rows * side))
        for number, digest in enumerate(digests):
            if digest in found:
                with Image.open(io.BytesIO(found[digest])) as image:
                    thumbnail = ImageOps.contain(image, (side, side), Image.Resampling.BICUBIC)
                    row, column = divmod(number, columns)
                    left = column * side + (side - thumbnail.width) // 2
                    sheet.paste(thumbnail, (left, row * side + (side - thumbnail.height) // 2))
        return webp(sheet), all(digest in found for digest in digests)

    def close(self) -> None:
        """Release the cache."""
        self._pool.shutdown()
        self._cache.close()


def enlarged(digest: str, paths: Sequence[str]) -> bytes | None:
    """Return a photo at up to :data:`LARGE_SIDE` as WebP; None if no file of it can be shown."""
    return _encoded(digest, paths, LARGE_SIDE, _LARGE_QUALITY)


def _encoded(digest: str, paths: Sequence[str], side: int, quality: int) -> bytes | None:
    """Return an image, encoded anew, from the first of its files that has these bytes."""
    for path in paths:
        with suppress(UnreadableImage), file_errors(), decoding(path, reduced=True) as decoder:
            if decoder.sha256 == digest:
                return webp(within(decoder.at_least(long=side), side), quality)
    return None
