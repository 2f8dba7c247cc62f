"""The one distance: cosine distance, ``1 - cos``, in [0, 2]."""

import numpy as np

COLLAPSE_DISTANCE = 1e-3
COLLAPSE_SAMPLE = 256
"""Embeddings that are enough to see whether all of them have collapsed."""

_BLOCK = 8192


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


def cross_distances(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Distances of each of ``queries`` (Q, dim) to each of ``vectors`` (N, dim): float64 (Q, N).

    Those of :func:`distances`, by products of matrices; time Q N dim, memory Q N and some rows.
    """
    units = _units(queries)
    found = np.empty((len(queries), len(vectors)))
    for start in range(0, len(vectors), _BLOCK):
        part = slice(start, start + _BLOCK)
        found[:, part] = np.round(1.0 - units @ _units(vectors[part]).T, 12)
    return np.asarray(np.clip(found, 0.0, 2.0, out=found) + 0.0)  # no -0.0


def _units(vectors: np.ndarray) -> np.ndarray:
    exact = vectors.astype(np.float64)
    return np.asarray(exact / np.linalg.norm(exact, axis=1, keepdims=True))


def collapse(vectors: np.ndarray) -> str | None:
    """What to say of embeddings (N, dim) half of whose pairs are nearer than 1e-3; None if not.

    Wrong preprocessing looks like that. Fewer than five say nothing.
    """
    if len(vectors) < 5:
        return None
    median = median_pairwise(vectors[:COLLAPSE_SAMPLE])
    if median >= COLLAPSE_DISTANCE:
        return None
    return (
        f"collapsed: half of all pairs are closer than {median:.1e}. Unless the photos really "
        "are all alike, the preprocessing or the weights do not suit this network"
    )
