"""Copies of indexes on a GPU, where FAISS sees one."""

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np

MOST = 2048
"""FAISS's GPU indexes find no more matches, and probe no more lists, than this."""
_BLOCK = 65536

Propose = Callable[[np.ndarray, int, int], np.ndarray | None]
"""From queries, float32 (Q, dim), a count and ``nprobe`` (0 for none) to rows, int64 (Q, count)."""


def codes_on_gpu(index: Any) -> Propose | None:
    """The search of an index's copy on the first GPU; None without a GPU, or if it cannot be there.

    FAISS has no GPU form of some indexes, HNSW among them, and others do not fit the memory. The
    search gives None where the GPU cannot answer.
    """
    if not faiss.get_num_gpus():
        return None
    try:
        return _search(faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index))
    except RuntimeError:
        return None


def vectors_on_gpu(vectors: np.ndarray) -> Propose | None:
    """The exact search of a copy of ``vectors``, float32 (N, dim); as :func:`codes_on_gpu`."""
    if not faiss.get_num_gpus():
        return None
    try:
        copy = faiss.GpuIndexFlatIP(faiss.StandardGpuResources(), vectors.shape[1])
        for start in range(0, len(vectors), _BLOCK):
            copy.add(vectors[start : start + _BLOCK])
        return _search(copy)
    except RuntimeError:
        return None


def _search(copy: Any) -> Propose:
    def search(queries: np.ndarray, count: int, nprobe: int) -> np.ndarray | None:
        if count > MOST or nprobe > MOST:
            return None
        if nprobe:
            faiss.GpuParameterSpace().set_index_parameter(copy, "nprobe", nprobe)
        return np.asarray(copy.search(queries, count)[1])

    return search
