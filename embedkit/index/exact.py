"""Exact search: the inner products of queries with all vectors."""

import numpy as np

PAIRS_IN_NUMPY = 1 << 22
"""Maximum number of query-vector pairs for which NumPy is as fast as FAISS, whose import takes 0.2
s."""
EXTRA_ROWS = 8
"""Number of rows to find beyond k: near ties may have another order by float32 products than by
distances."""
_BLOCK = 16384


def nearest(queries: np.ndarray, vectors: np.ndarray, k: int) -> np.ndarray:
    """Return the rows of ``vectors`` (N, dim) with the largest products, int64 (Q, min(k, N)).

    ``queries`` is float32 (Q, dim); the rows of a query are in no particular order.
    """
    return nearest_with_products(queries, vectors, k)[1]


def nearest_with_products(
    queries: np.ndarray, vectors: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the products, float32 (Q, min(k, N)), and the rows as :func:`nearest` does."""
    k = min(k, len(vectors))
    if k == 0:
        return np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
    if len(queries) * len(vectors) > PAIRS_IN_NUMPY:
        import faiss

        products, rows = faiss.knn(queries, vectors, k, metric=faiss.METRIC_INNER_PRODUCT)
        return np.asarray(products), np.asarray(rows)
    products = queries @ vectors.T
    rows = np.argpartition(products, len(vectors) - k, axis=1)[:, len(vectors) - k :]
    return np.take_along_axis(products, rows, axis=1), rows


def nearest_among(queries: np.ndarray, vectors: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """Return at least min(k, n) rows of each query, the nearest of ``rows``, int64 (n,)."""
    found = []
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        found.append(block[nearest(queries, vectors[block], k)])
    return np.concatenate([np.empty((len(queries), 0), np.int64), *found], axis=1)
