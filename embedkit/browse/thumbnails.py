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
"""Default limit of the thumbnails in a file, bytes: about 400,000 of 128 pixels."""
MEMORY_BYTES = 64_000_000
"""Limit of the thumbnails in memory, bytes, if there is no file."""

_QUALITY, _LARGE_QUALITY = 75, 88
_KEPT_SHARE = 0.9
_DAY = 86_400


class Side(IntEnum):
    """Longest side of a thumbnail, pixels."""

    SMALL = 128
    MEDIUM = 256


class ThumbnailCache:
    """Thumbnails by SHA-256 and side, in an SQLite file or in memory.

    When they exceed ``max_bytes``, the least recently used ones are removed. Several processes may
    use one file. A damaged file is replaced.
    """

    def __init__(self, file: Path | None, max_bytes: int = MAX_BYTES) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._connection, self._bytes = self._opened()

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
        """Store thumbnails by digest (hex); a full disk loses them."""
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
        with self._lock:
            try:
                with self._connection:
                    yield self._connection
            except sqlite3.Error as error:
                if self._file is not None and _is_damage(error):
                    self._connection.close()
                    _remove(self._file)
                    self._connection, self._bytes = self._opened()

    def _opened(self) -> tuple[sqlite3.Connection, int]:
        """Return a connection, and the bytes of the thumbnails; a damaged file is replaced.

        Without a usable file, the thumbnails are in memory.
        """
        if self._file is not None:
            with suppress(sqlite3.Error):  # a locked or read-only file, or a full disk
                try:
                    return _connected(self._file)
                except sqlite3.Error as error:
                    if not _is_damage(error):
                        raise
                _remove(self._file)
                return _connected(self._file)
        self._file, self._max_bytes = None, min(self._max_bytes, MEMORY_BYTES)
        return _connected(":memory:")

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


def _connected(file: Path | str) -> tuple[sqlite3.Connection, int]:
    """Return a connection, and the bytes of the thumbnails."""
    connection = sqlite3.connect(file, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")  # a lost thumbnail is made again
        connection.execute(
            """CREATE TABLE IF NOT EXISTS thumbnails (sha256 BLOB, side INTEGER, image BLOB,
                   used INTEGER, PRIMARY KEY (sha256, side)) WITHOUT ROWID"""
        )
        connection.commit()
        (total,) = connection.execute(
            "SELECT coalesce(sum(length(image)), 0) FROM thumbnails"
        ).fetchone()
    except BaseException:
        connection.close()
        raise
    return connection, int(total)


def _remove(file: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        with suppress(OSError):
            file.with_name(file.name + suffix).unlink(missing_ok=True)


def _is_damage(error: sqlite3.Error) -> bool:
    """Return whether a file is damaged; locks, full disks and the like raise subclasses."""
    return type(error) is sqlite3.DatabaseError


Sources: TypeAlias = Mapping[str, Sequence[str]]
"""Paths of the files of each image, by SHA-256 (hex)."""


class Thumbnails:
    """Makes thumbnails, and keeps them in a cache.

    Few images are decoded at once, because each takes much memory. Enlarged images do not wait for
    thumbnails.
    """

    def __init__(self, cache: ThumbnailCache) -> None:
        self._cache = cache
        self._pool = ThreadPoolExecutor(usable_cores(), "thumbnails")  # decoding releases the GIL
        self._enlarging = threading.Semaphore(usable_cores())

    def of(self, sources: Sources, side: int) -> dict[str, bytes]:
        """Return the thumbnails of images as WebP; images that cannot be shown are left out."""
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

    def enlarged(self, digest: str, paths: Sequence[str]) -> bytes | None:
        """Return an image at up to :data:`LARGE_SIDE` as WebP; None if no file can be shown."""
        with self._enlarging:
            return _encoded(digest, paths, LARGE_SIDE, _LARGE_QUALITY)

    def sheet(
        self, sources: Sources, digests: Sequence[str], side: int, columns: int
    ) -> tuple[bytes, bool]:
        """Return thumbnails in a grid as one WebP image, and whether none is missing.

        Each thumbnail is in the middle of a square of ``side`` pixels, and a smaller one is
        enlarged. The square of an image that cannot be shown is transparent.
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


def _encoded(digest: str, paths: Sequence[str], side: int, quality: int) -> bytes | None:
    """Return an image, encoded anew, from the first of its files that has these bytes."""
    for path in paths:
        with suppress(UnreadableImage), file_errors(), decoding(path, reduced=True) as decoder:
            if decoder.sha256 == digest:
                return webp(within(decoder.at_least(long=side), side), quality)
    return None
