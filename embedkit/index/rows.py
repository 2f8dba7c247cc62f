"""Rows of an index: image ids and their embeddings, in memory or mapped from two sealed files."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from embedkit._internal.sealed import Damaged, Sealed, sealed

_BLOCK = 8192


class Rows:
    """Image ids, int64 (N,), and embeddings, float32 (N, dim), row by row.

    Embeddings of a ``file`` are checked when they are asked for: all of these methods may raise
    :class:`Damaged`.
    """

    def __init__(self, ids: np.ndarray, vectors: np.ndarray, file: Sealed | None = None) -> None:
        self.ids = ids
        self._vectors = vectors
        self._file = file

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def vectors(self) -> np.ndarray:
        """All embeddings."""
        if self._file is not None:
            self._file.check()
        return self._vectors

    def only(self, rows: np.ndarray) -> np.ndarray:
        """All embeddings, of which just some ``rows``, int64 (...), are known to be sound."""
        if self._file is not None:
            self._file.check_rows(rows, self._vectors.itemsize * self._vectors.shape[1])
        return self._vectors

    def chunks(self, kept: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The rows that a mask, bool (N,), keeps, or all of them; some thousands at a time."""
        vectors = self.vectors
        for start in range(0, len(self), _BLOCK):
            block = slice(start, start + _BLOCK)
            some = slice(None) if kept is None else kept[block]
            yield self.ids[block][some], vectors[block][some]


Chunks = Iterable[tuple[np.ndarray, np.ndarray]]
"""Ids, int64 (n,), and embeddings, float32 (n, dim)."""


def none(dim: int) -> Rows:
    """No rows of ``dim`` numbers."""
    return Rows(np.empty(0, np.int64), np.empty((0, dim), np.float32))


def gather(chunks: Chunks, count: int, dim: int) -> Rows:
    """The ``count`` rows of chunks, in memory once."""
    ids, vectors = np.empty(count, np.int64), np.empty((count, dim), np.float32)
    start = 0
    for some_ids, some_vectors in chunks:
        part = slice(start, start + len(some_ids))
        ids[part], vectors[part] = some_ids, some_vectors
        start = part.stop
    return Rows(ids, vectors)


def write(ids_file: Path, vectors_file: Path, chunks: Chunks) -> None:
    """Write the rows of chunks to two sealed files, never holding more than a chunk."""
    held = [np.empty(0, np.int64)]
    with sealed(vectors_file) as temporary, open(temporary, "wb") as file:
        for ids, vectors in chunks:
            file.write(np.ascontiguousarray(vectors, "<f4").data)
            held.append(ids.copy())
    write_numbers(ids_file, np.concatenate(held))


def write_numbers(file: Path, numbers: np.ndarray) -> None:
    """Write int64 (n,) to a sealed file."""
    with sealed(file) as temporary:
        temporary.write_bytes(np.ascontiguousarray(numbers, "<i8").data)


def read(ids: Sealed, vectors: Sealed, dim: int) -> Rows:
    """The rows in two files, mapped, the ids checked.

    Raises :class:`Damaged` when they are damaged or do not fit each other.
    """
    numbers = read_numbers(ids)
    if len(vectors) != 4 * dim * len(numbers):
        raise Damaged(f"{vectors.file} does not hold {len(numbers)} vectors of {dim} numbers")
    return Rows(numbers, vectors.array("<f4", (len(numbers), dim)), vectors)


def read_numbers(file: Sealed) -> np.ndarray:
    """What :func:`write_numbers` wrote, mapped; raises :class:`Damaged` unless it is sound."""
    file.check()
    return file.array("<i8", (len(file) // 8,))
