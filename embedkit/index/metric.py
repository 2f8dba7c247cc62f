"""The one distance: cosine distance, ``1 - cos``, in [0, 2]."""

import numpy as np


def distances(query: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Cosine distances of ``query`` (..., dim) to ``vectors`` (..., dim): float64 (...).

    The other dimensions are broadcast, as of one query (dim,) to N vectors (N, dim). Worked out in
    float64 with the vectors' own norms, so that equal vectors are at exactly 0 and the result does
    not depend on how an index sums.
    """
    query, vectors = query.astype(np.float64), vectors.astype(np.float64)
    products = np.einsum("...i,...i->...", vectors, query)
    squares = np.einsum("...i,...i->...", vectors, vectors)
    norms = np.sqrt(squares) * np.sqrt(np.einsum("...i,...i->...", query, query))
    return np.asarray(np.clip(np.round(1.0 - products / norms, 12), 0.0, 2.0) + 0.0)  # no -0.0


def median_pairwise(vectors: np.ndarray) -> float:
    """Median distance over all pairs of ``vectors`` (N, dim), N >= 2."""
    return float(
        np.median(
            np.concatenate(
                [distances(vectors[i], vectors[i + 1 :]) for i in range(len(vectors) - 1)]
            )
        )
    )
