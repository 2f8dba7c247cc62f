"""The one distance: cosine distance, ``1 - cos``, in [0, 2]."""

import numpy as np


def distances(query: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Cosine distances of ``vectors`` (N, dim) to ``query`` (dim,): float64 (N,).

    Worked out in float64 with the vectors' own norms, so that equal vectors are at exactly 0 and
    the result does not depend on how an index sums.
    """
    query = query.astype(np.float64)
    rows = vectors.astype(np.float64)
    products = np.einsum("ij,j->i", rows, query)
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows)) * np.sqrt(np.dot(query, query))
    return _distances(products, norms)


def paired_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cosine distances of the rows of ``first`` to those of ``second``, (P, dim): float64 (P,)."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    products = np.einsum("ij,ij->i", first, second)
    squares = np.einsum("ij,ij->i", first, first) * np.einsum("ij,ij->i", second, second)
    return _distances(products, np.sqrt(squares))


def _distances(products: np.ndarray, norms: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(np.round(1.0 - products / norms, 12), 0.0, 2.0))


def median_pairwise(vectors: np.ndarray) -> float:
    """Median distance over all pairs of ``vectors`` (N, dim), N >= 2."""
    return float(
        np.median(
            np.concatenate(
                [distances(vectors[i], vectors[i + 1 :]) for i in range(len(vectors) - 1)]
            )
        )
    )
