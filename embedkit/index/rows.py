"""Rows of an index: image ids and their embeddings, in memory or mapped from two .npy files."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedkit.artifacts import append_array, replaced

_BLOCK = 8192


@dataclass(frozen=True)
class Rows:
    """Image ids, int64 (N,), and embeddings, float32 (N, dim), row by row."""

    ids: np.ndarray
    vectors: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def chunks(self, kept: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The rows that a mask, bool (N,), keeps, some thousands at a time."""
        for start in range(0, len(self), _BLOCK):
            block = slice(start, start + _BLOCK)
            yield self.ids[block][kept[block]], self.vectors[block][kept[block]]


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


def write(ids_file: Path, vectors_file: Path, chunks: Chunks, count: int, dim: int) -> None:
    """Write the ``count`` rows of chunks to two .npy files, never holding more than a chunk."""
    held = [np.empty(0, np.int64)]
    with replaced(vectors_file) as temporary, open(temporary, "wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": (count, dim)}
        np.lib.format.write_array_header_1_0(file, header)
        for ids, vectors in chunks:
            file.write(np.ascontiguousarray(vectors, "<f4").data)
            held.append(ids.copy())
    write_array(ids_file, np.concatenate(held))


def write_array(file: Path, ids: np.ndarray) -> None:
    """Write int64 (n,) to a .npy file."""
    with replaced(file) as temporary, open(temporary, "wb") as stream:
        append_array(stream, ids)


def read(ids_file: Path, vectors_file: Path, dim: int) -> Rows:
    """The rows in two .npy files, mapped; raises ValueError when they are not of that shape."""
    ids = read_array(ids_file)
    vectors = np.load(vectors_file, mmap_mode="r", allow_pickle=False)
    if vectors.dtype != np.float32 or vectors.shape != (len(ids), dim):
        raise ValueError(f"{vectors_file} does not hold {len(ids)} vectors of {dim} numbers")
    return Rows(ids, vectors.view(np.ndarray))


def read_array(file: Path) -> np.ndarray:
    """What :func:`write_array` wrote, mapped; raises ValueError when it is something else."""
    ids = np.load(file, mmap_mode="r", allow_pickle=False)
    if ids.dtype != np.int64 or ids.ndim != 1:
        raise ValueError(f"{file} does not hold whole numbers")
    return np.asarray(ids.view(np.ndarray))
