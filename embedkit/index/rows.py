"""Rows of an index: image ids and their embeddings, in memory or mapped from two sealed files."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from embedkit._internal.sealed import DamagedFile, SealedFile, sealed

_BLOCK = 8192


class Rows:
    """Image ids, int64 (N,), and embeddings, float32 (N, dim), row by row.

    Embeddings that are mapped from a ``file`` are checked before they are returned: all methods may
    raise :class:`DamagedFile`.
    """

    def __init__(
        self, ids: np.ndarray, vectors: np.ndarray, file: SealedFile | None = None
    ) -> None:
        self.ids = ids
        self._vectors = vectors
        self._file = file

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def vectors(self) -> np.ndarray:
        """All embeddings, checked."""
        if self._file is not None:
            self._file.check()
        return self._vectors

    def checked(self, rows: np.ndarray) -> np.ndarray:
        """Return all embeddings after checking only some ``rows``, int64 (...)."""
        if self._file is not None:
            self._file.check_rows(rows, self._vectors.itemsize * self._vectors.shape[1])
        return self._vectors

    def release_pages(self) -> None:
        """Give up the memory of the embeddings that were read, if they are mapped."""
        if self._file is not None:
            self._file.release_pages()

    def chunks(self, kept: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield chunks of the rows selected by a mask, bool (N,), or of all rows."""
        vectors = self.vectors
        for start in range(0, len(self), _BLOCK):
            block = slice(start, start + _BLOCK)
            selected = slice(None) if kept is None else kept[block]
            yield self.ids[block][selected], vectors[block][selected]


Chunks = Iterable[tuple[np.ndarray, np.ndarray]]
"""Chunks of image ids, int64 (n,), and embeddings, float32 (n, dim)."""


def empty_rows(dim: int) -> Rows:
    """Return zero rows of dimension ``dim``."""
    return Rows(np.empty(0, np.int64), np.empty((0, dim), np.float32))


def rows_from_chunks(chunks: Chunks, count: int, dim: int) -> Rows:
    """Return the ``count`` rows of chunks in memory, copied only once."""
    ids, vectors = np.empty(count, np.int64), np.empty((count, dim), np.float32)
    start = 0
    for some_ids, some_vectors in chunks:
        part = slice(start, start + len(some_ids))
        ids[part], vectors[part] = some_ids, some_vectors
        start = part.stop
    return Rows(ids, vectors)


def write_rows(ids_file: Path, vectors_file: Path, chunks: Chunks) -> None:
    """Write the rows of chunks to two sealed files, with one chunk of vectors in memory."""
    all_ids = [np.empty(0, np.int64)]
    with sealed(vectors_file) as temporary, open(temporary, "wb") as file:
        for ids, vectors in chunks:
            file.write(np.ascontiguousarray(vectors, "<f4").data)
            all_ids.append(ids.copy())
    write_numbers(ids_file, np.concatenate(all_ids))


def write_numbers(file: Path, numbers: np.ndarray) -> None:
    """Write numbers, int64 (n,), to a sealed file."""
    with sealed(file) as temporary:
        temporary.write_bytes(np.ascontiguousarray(numbers, "<i8").data)


def read_rows(ids: SealedFile, vectors: SealedFile, dim: int) -> Rows:
    """Return the rows in two files, mapped; the ids are checked.

    Raises :class:`DamagedFile` when the files are damaged or do not match.
    """
    numbers = read_numbers(ids)
    if len(vectors) != 4 * dim * len(numbers):
        raise DamagedFile(
            f"{vectors.file} does not contain {len(numbers)} vectors of dimension {dim}"
        )
    return Rows(numbers, vectors.array("<f4", (len(numbers), dim)), vectors)


def read_numbers(file: SealedFile) -> np.ndarray:
    """Return the numbers that :func:`write_numbers` wrote, mapped and checked.

    Raises :class:`DamagedFile` when the file is damaged.
    """
    file.check()
    return file.array("<i8", (len(file) // 8,))
