"""Sealed files: caches of any size, whose readers check only the parts that they read.

A sealed file consists of its content, a checksum of each block of the content, the length of the
content, and a digest. A search that reads a few rows of a large file checks only their blocks, once
per process, and does not rely on modification times. The checksum is the CRC-32 of the parities of
a block's rows and columns, which is faster than the CRC-32 of the block itself. It detects every
change of a single bit, and misses about one in 4e9 random changes. It does not protect against
deliberate changes.
"""

import hashlib
import mmap
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from embedkit._internal.artifacts import atomic_write, regular_file_size

BLOCK = 1 << 16
"""Bytes of a block: 64 rows of 128 words of 8 bytes."""

_SHAPE = (-1, 64, 128)
_BLOCKS_AT_ONCE = 16
"""Blocks whose checksums are computed at once; more would not fit into the processor's cache."""
_FOOTER = struct.Struct("<Q32s")
FOOTER_BYTES = _FOOTER.size


class DamagedFile(ValueError):
    """A sealed file has changed since it was written."""


@contextmanager
def sealed(target: Path) -> Iterator[Path]:
    """Write a sealed file atomically: yield a temporary path at which the block writes the content.

    See :func:`embedkit._internal.artifacts.atomic_write`.
    """
    with atomic_write(target) as temporary:
        yield temporary
        _seal(temporary)


class SealedFile:
    """A sealed file, mapped into memory.

    Raises OSError, and :class:`DamagedFile` when its checksums are damaged or, with ``digest``, are
    those of another file.
    """

    def __init__(self, file: Path, digest: str | None = None) -> None:
        self.file = file
        self._map, self._content, self._sums, self.digest = self._opened()
        if digest is not None and digest != self.digest:
            raise DamagedFile(f"{file} is not the file that its manifest describes")
        self._unchecked = np.ones(len(self._sums), bool)

    def _opened(self) -> tuple[mmap.mmap, np.ndarray, np.ndarray, str]:
        size = regular_file_size(self.file)  # opening a named pipe would block
        with open(self.file, "rb") as stream:
            if size < _FOOTER.size:
                raise DamagedFile(f"{self.file} is truncated")
            mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        whole = np.frombuffer(mapped, np.uint8)
        length, digest = _FOOTER.unpack(whole[-_FOOTER.size :].tobytes())
        blocks = -(-length // BLOCK)
        if size != length + 4 * blocks + _FOOTER.size:
            raise DamagedFile(f"{self.file} does not have its original length")
        sums = np.frombuffer(whole[length : length + 4 * blocks].tobytes(), "<u4")
        if _digest(length, sums) != digest:
            raise DamagedFile(f"{self.file} has damaged checksums")
        return mapped, whole[:length], sums, digest.hex()

    def __len__(self) -> int:
        return len(self._content)

    def release_pages(self) -> None:
        """Let the process give up the pages of the file that it has read.

        They remain in the page cache of the system, which maps them again when they are read.
        Without this, a process that reads single rows of a large file holds all of it in memory.
        """
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def array(self, dtype: str, shape: tuple[int, ...], start: int = 0) -> np.ndarray:
        """Return an array that starts at byte ``start``, mapped and not checked.

        Raises :class:`DamagedFile` when the content is too short.
        """
        kind = np.dtype(dtype)
        stop = start + int(np.prod(shape, dtype=object)) * kind.itemsize
        if min(shape) < 0 or stop > len(self):
            raise DamagedFile(f"{self.file} is too short for {shape} numbers")
        return self._content[start:stop].view(kind).reshape(shape)

    def check(self, start: int = 0, stop: int | None = None) -> None:
        """Raise :class:`DamagedFile` if the bytes from ``start`` to ``stop`` have changed."""
        stop = len(self) if stop is None else min(stop, len(self))
        if start < stop:
            first = start // BLOCK
            self._check(first + np.flatnonzero(self._unchecked[first : -(-stop // BLOCK)]))

    def check_spans(self, starts: np.ndarray, stops: np.ndarray) -> None:
        """Check many ranges of bytes at once, int64 (n,) each, none of them empty."""
        if not self._unchecked.any():
            return
        first, last = starts // BLOCK, (stops - 1) // BLOCK
        wanted = np.zeros(len(self._sums), bool)
        for step in range(int((last - first).max(initial=0)) + 1):
            wanted[np.minimum(first + step, last)] = True
        self._check(np.flatnonzero(wanted & self._unchecked))

    def check_rows(self, rows: np.ndarray, width: int) -> None:
        """Check rows, int64, of ``width`` bytes each, of an array that begins the content."""
        starts = rows.ravel() * width
        self.check_spans(starts, starts + width)

    def _check(self, blocks: np.ndarray) -> None:
        if not len(blocks):
            return
        if (_checksums(self._content, blocks) != self._sums[blocks]).any():
            raise DamagedFile(f"{self.file} is damaged")
        self._unchecked[blocks] = False


def described(footer: bytes) -> tuple[int, str]:
    """Return the size and the digest of a sealed file, from its last :data:`FOOTER_BYTES` bytes."""
    length, digest = _FOOTER.unpack(footer)
    return length + 4 * -(-length // BLOCK) + FOOTER_BYTES, digest.hex()


def _seal(file: Path) -> None:
    size = file.stat().st_size
    content = np.memmap(file, np.uint8, "r", shape=size) if size else np.empty(0, np.uint8)
    sums = _checksums(content, np.arange(-(-size // BLOCK)))
    with open(file, "ab") as stream:
        stream.write(sums.tobytes())
        stream.write(_FOOTER.pack(size, _digest(size, sums)))


def _digest(length: int, sums: np.ndarray) -> bytes:
    return hashlib.sha256(length.to_bytes(8, "little") + sums.tobytes()).digest()


def _checksums(content: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Return the checksums, little-endian uint32 (n,), of blocks, given by ascending number."""
    sums = np.empty(len(blocks), "<u4")
    whole = len(content) // BLOCK  # the last block may be shorter
    words = content[: whole * BLOCK].view(np.uint64).reshape(_SHAPE)
    count = int(np.searchsorted(blocks, whole))
    for start in range(0, count, _BLOCKS_AT_ONCE):
        part = blocks[start : min(start + _BLOCKS_AT_ONCE, count)]
        first, after = int(part[0]), int(part[-1]) + 1
        run = words[first:after] if after - first == len(part) else words[part]
        sums[start : start + len(part)] = _parities(run)
    if count < len(blocks):
        last = np.zeros(BLOCK, np.uint8)
        last[: len(content) - whole * BLOCK] = content[whole * BLOCK :]
        sums[count:] = _parities(last.view(np.uint64).reshape(_SHAPE))
    return sums


def _parities(words: np.ndarray) -> list[int]:
    """Return the checksum of each block of words, uint64 (n, 64, 128)."""
    columns = np.bitwise_xor.reduce(words, axis=1)
    rows = np.bitwise_xor.reduce(words, axis=2)
    return [zlib.crc32(block) for block in np.concatenate([columns, rows], axis=1)]
