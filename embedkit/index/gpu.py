"""Copies of indexes on a GPU, if FAISS finds one."""

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np

MAX_GPU_RESULTS = 2048
"""Maximum number of matches, and of probed lists, of FAISS's GPU indexes."""
_BLOCK = 65536

Propose = Callable[[np.ndarray, int, int], np.ndarray | None]
"""Function of queries, float32 (Q, dim), a count and ``nprobe`` (0 for none) that returns candidate
rows, int64 (Q, count), or None when the GPU cannot answer."""


def codes_on_gpu(index: Any) -> Propose | None:
    """Copy an index to the first GPU and return its search; None if that is impossible.

    FAISS has no GPU version of some indexes, such as HNSW, and others do not fit into memory.
    """
    if not faiss.get_num_gpus():
        return None
    try:
        return _search(faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index))
    except RuntimeError:
        return None


def vectors_on_gpu(vectors: np.ndarray) -> Propose | None:
    """Copy ``vectors``, float32 (N, dim), to the first GPU and return their exact search."""
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
        if count > MAX_GPU_RESULTS or nprobe > MAX_GPU_RESULTS:
            return None
        if nprobe:
            faiss.GpuParameterSpace().set_index_parameter(copy, "nprobe", nprobe)
        return np.asarray(copy.search(queries, count)[1])

    return search
