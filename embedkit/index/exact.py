"""Exact search: the inner products of queries with all vectors."""

from collections.abc import Sequence

import numpy as np

from embedkit.index.metric import distances

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


Proposals = tuple[np.ndarray, np.ndarray]
"""Products, float32 (Q, n), and ids of vectors, int64 (Q, n), the best first; -1 for none."""


def merged(proposals: Sequence[Proposals], count: int) -> Proposals:
    """Return the ``count`` best of several proposals for the same queries."""
    products = np.concatenate([found for found, _ in proposals], axis=1)
    ids = np.concatenate([found for _, found in proposals], axis=1)
    products = np.where(ids < 0, -np.inf, products).astype(np.float32)
    best = np.lexsort((ids, -products), axis=1)[:, :count]
    return np.take_along_axis(products, best, axis=1), np.take_along_axis(ids, best, axis=1)


class NearestSoFar:
    """The nearest vectors to some queries among those that were shown, chunk by chunk.

    Parameters
    ----------
    queries : numpy.ndarray
        float32 (Q, dim).
    k : int
        Number of vectors to keep for each query.
    """

    def __init__(self, queries: np.ndarray, k: int) -> None:
        self._queries = queries
        self._k = k
        self.proposals: Proposals = (
            np.empty((len(queries), 0), np.float32),
            np.empty((len(queries), 0), np.int64),
        )

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        """Show vectors, float32 (n, dim), with their ids, int64 (n,)."""
        if len(ids):
            products, rows = nearest_with_products(self._queries, vectors, self._k)
            self.proposals = merged([self.proposals, (products, ids[rows])], self._k)


def closest(
    queries: np.ndarray, ids: np.ndarray, vectors: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``k`` nearest candidates of each query: ids and distances, (Q, k), nearest first.

    ``ids``, int64 (Q, n), are those of the candidates' ``vectors``, float32 (Q, n, dim). Candidates
    at equal distances are in order of id. A negative id is no candidate, at an infinite distance.
    """
    each = np.arange(len(queries))[:, None]
    if ids.shape[1] > k + EXTRA_ROWS:
        products = (vectors @ queries[:, :, None])[:, :, 0]
        products[ids < 0] = -np.inf
        likely = np.argpartition(products, -k - EXTRA_ROWS, axis=1)[:, -k - EXTRA_ROWS :]
        ids, vectors = ids[each, likely], vectors[each, likely]
    measured = distances(queries[:, None], vectors)
    measured[ids < 0] = np.inf
    best = np.lexsort((ids, measured))[:, :k]
    return ids[each, best], measured[each, best]
