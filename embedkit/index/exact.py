"""Exact search: the inner product of a query with every vector."""

import numpy as np

PAIRS_IN_NUMPY = 1 << 22
"""Up to this many (query, vector) pairs numpy is as fast as FAISS, whose import takes 0.2 s."""
EXTRA = 8
"""Rows asked for beyond k: float32 products of near ties may come in another order than their
distances."""
_BLOCK = 16384


def nearest(queries: np.ndarray, vectors: np.ndarray, k: int) -> np.ndarray:
    """The rows of ``vectors`` (N, dim) with the largest products: int64 (Q, min(k, N)).

    ``queries`` is float32 (Q, dim); the rows of a query are in no particular order.
    """
    k = min(k, len(vectors))
    if k == 0:
        return np.empty((len(queries), 0), np.int64)
    if len(queries) * len(vectors) > PAIRS_IN_NUMPY:
        import faiss

        found = faiss.knn(queries, vectors, k, metric=faiss.METRIC_INNER_PRODUCT)[1]
        return np.asarray(found)
    products = queries @ vectors.T
    rows = np.argpartition(products, len(vectors) - k, axis=1)
    return rows[:, len(vectors) - k :]


def nearest_among(queries: np.ndarray, vectors: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """As :func:`nearest` among some rows, int64 (n,): at least min(k, n) for each query."""
    found = []
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        found.append(block[nearest(queries, vectors[block], k)])
    return np.concatenate([np.empty((len(queries), 0), np.int64), *found], axis=1)
