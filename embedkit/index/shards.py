"""An IVF index in several files: one with the centroids, and shards with the inverted lists.

A shard contains the codes of some vectors, under ids of the caller's choice. A search finds the
lists nearest to a query once, searches them in each shard, and merges what the shards propose. As
in :mod:`embedkit.index.approximate`, FAISS only proposes candidates.
"""

from pathlib import Path
from typing import Any

import faiss
import numpy as np

from embedkit._internal.sealed import DamagedFile, SealedFile
from embedkit.index.approximate import MappedLists, file_errors, head_of, write_index
from embedkit.index.exact import Proposals


class Shard:
    """The inverted lists in a sealed file, mapped into memory.

    ``head`` is the number of bytes before the lists, which are checked before FAISS parses them.
    Raises OSError, and :class:`DamagedFile` when the file is damaged or does not contain ``rows``
    vectors.
    """

    def __init__(self, file: SealedFile, head: int, rows: int) -> None:
        file.check(0, head)
        with file_errors(file.file):
            index = faiss.read_index(str(file.file), faiss.IO_FLAG_MMAP)
        if index.ntotal != rows:
            raise DamagedFile(f"{file.file} does not contain {rows} vectors")
        self._lists = MappedLists(index, file)

    def search(
        self, queries: np.ndarray, count: int, products: np.ndarray, lists: np.ndarray
    ) -> Proposals:
        """Search some lists of each query: see :meth:`MappedLists.search`."""
        return self._lists.search(queries, count, products, lists)


def read_trained(file: SealedFile) -> Any:
    """Return the trained, empty index in a file. Raises OSError and :class:`DamagedFile`."""
    file.check()
    with file_errors(file.file):
        return faiss.read_index(str(file.file))


def write_trained(target: Path, index: Any) -> None:
    """Write a trained, empty index. Raises OSError."""
    with file_errors(target), open(target, "wb") as stream:
        write_index(stream, index)


def write_lists(target: Path, index: Any) -> int:
    """Write the inverted lists of an IVF index; return the bytes before them. Raises OSError."""
    ivf: Any = faiss.downcast_index(index)
    centroids, is_owner = ivf.quantizer, ivf.own_fields
    none = faiss.IndexFlatIP(ivf.d)
    ivf.own_fields, ivf.quantizer = False, none
    try:
        write_trained(target, ivf)
    finally:
        ivf.quantizer, ivf.own_fields = centroids, is_owner
    with file_errors(target):
        mapped = faiss.read_index(str(target), faiss.IO_FLAG_MMAP)
    return head_of(mapped, target.stat().st_size)
