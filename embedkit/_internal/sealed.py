"""Sealed files: caches of any size, of which a reader checks just what it reads.

Behind the content of a sealed file is a checksum for each block of it, and behind these the length
of the content and a digest. So a search that reads a few rows of a file of gigabytes checks a few
blocks, once in a process, whatever the file's times say. The checksum is the CRC-32 of the parities
of a block's rows and columns, which is faster than the CRC-32 of the block itself. It notices every
change of a single bit, and misses about one in four thousand million of random changes. It is no
defence against changes that are made on purpose.
"""

import hashlib
import mmap
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from embedkit._internal.artifacts import regular_size, replaced

BLOCK = 1 << 16
"""Bytes of a block: 64 rows of 128 words."""

_SHAPE = (-1, 64, 128)
_TOGETHER = 16
"""Blocks that are summed at once: more would not stay in the processor's cache."""
_FOOTER = struct.Struct("<Q32s")


class Damaged(ValueError):
    """A sealed file is not as it was written."""


@contextmanager
def sealed(target: Path) -> Iterator[Path]:
    """As :func:`embedkit._internal.artifacts.replaced`; what the block writes there is sealed."""
    with replaced(target) as temporary:
        yield temporary
        _seal(temporary)


class Sealed:
    """A sealed file, mapped.

    Raises OSError, and :class:`Damaged` when its checksums are not sound or, with a ``digest``, are
    not the ones of the file that was sealed with it.
    """

    def __init__(self, file: Path, digest: str | None = None) -> None:
        self.file = file
        self._content, self._sums, self.digest = self._opened()
        if digest is not None and digest != self.digest:
            raise Damaged(f"{file} is not the one that its manifest describes")
        self._unchecked = np.ones(len(self._sums), bool)

    def _opened(self) -> tuple[np.ndarray, np.ndarray, str]:
        size = regular_size(self.file)  # opening a named pipe would wait for ever
        with open(self.file, "rb") as stream:
            if size < _FOOTER.size:
                raise Damaged(f"{self.file} is cut short")
            whole = np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)
        length, digest = _FOOTER.unpack(whole[-_FOOTER.size :].tobytes())
        blocks = -(-length // BLOCK)
        if size != length + 4 * blocks + _FOOTER.size:
            raise Damaged(f"{self.file} is not of the length that it had")
        sums = np.frombuffer(whole[length : length + 4 * blocks].tobytes(), "<u4")
        if _digest(length, sums) != digest:
            raise Damaged(f"{self.file} has checksums that are damaged")
        return whole[:length], sums, digest.hex()

    def __len__(self) -> int:
        return len(self._content)

    def array(self, dtype: str, shape: tuple[int, ...], start: int = 0) -> np.ndarray:
        """What the content holds from byte ``start`` on, mapped and not checked yet.

        Raises :class:`Damaged` when it holds less.
        """
        kind = np.dtype(dtype)
        stop = start + int(np.prod(shape, dtype=object)) * kind.itemsize
        if min(shape) < 0 or stop > len(self):
            raise Damaged(f"{self.file} does not hold {shape} numbers")
        return self._content[start:stop].view(kind).reshape(shape)

    def check(self, start: int = 0, stop: int | None = None) -> None:
        """Raise :class:`Damaged` unless the bytes from ``start`` to ``stop`` are as written."""
        stop = len(self) if stop is None else min(stop, len(self))
        if start < stop:
            first = start // BLOCK
            self._check(first + np.flatnonzero(self._unchecked[first : -(-stop // BLOCK)]))

    def check_spans(self, starts: np.ndarray, stops: np.ndarray) -> None:
        """The same for many stretches of bytes at once, int64 (n,) each, none of them empty."""
        if not self._unchecked.any():
            return
        first, last = starts // BLOCK, (stops - 1) // BLOCK
        wanted = np.zeros(len(self._sums), bool)
        for step in range(int((last - first).max(initial=0)) + 1):
            wanted[np.minimum(first + step, last)] = True
        self._check(np.flatnonzero(wanted & self._unchecked))

    def check_rows(self, rows: np.ndarray, width: int) -> None:
        """The same for some rows, int64, of ``width`` bytes each, of what begins the content."""
        starts = rows.ravel() * width
        self.check_spans(starts, starts + width)

    def _check(self, blocks: np.ndarray) -> None:
        if not len(blocks):
            return
        if (_checksums(self._content, blocks) != self._sums[blocks]).any():
            raise Damaged(f"{self.file} is damaged")
        self._unchecked[blocks] = False


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
    """The checksums of some blocks, int64 and ascending, of bytes: little-endian uint32 (n,)."""
    sums = np.empty(len(blocks), "<u4")
    whole = len(content) // BLOCK
    words = content[: whole * BLOCK].view(np.uint64).reshape(_SHAPE)
    some = int(np.searchsorted(blocks, whole))
    for start in range(0, some, _TOGETHER):
        part = blocks[start : min(start + _TOGETHER, some)]
        first, after = int(part[0]), int(part[-1]) + 1
        run = words[first:after] if after - first == len(part) else words[part]
        sums[start : start + len(part)] = _parities(run)
    if some < len(blocks):
        last = np.zeros(BLOCK, np.uint8)
        last[: len(content) - whole * BLOCK] = content[whole * BLOCK :]
        sums[some:] = _parities(last.view(np.uint64).reshape(_SHAPE))
    return sums


def _parities(words: np.ndarray) -> list[int]:
    """A checksum for each of some blocks of words, uint64 (n, 64, 128)."""
    columns = np.bitwise_xor.reduce(words, axis=1)
    rows = np.bitwise_xor.reduce(words, axis=2)
    return [zlib.crc32(block) for block in np.concatenate([columns, rows], axis=1)]
