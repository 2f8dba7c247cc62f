"""Cosine distance, ``1 - cos``, in [0, 2]: the only distance that embedkit reports."""

import numpy as np

COLLAPSE_DISTANCE = 1e-3
"""Median distance below which embeddings have collapsed."""
COLLAPSE_SAMPLE = 256
"""Number of embeddings that are checked for a collapse."""

_BLOCK = 8192


def distances(query: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return cosine distances of ``query`` (..., dim) to ``vectors`` (..., dim), float64 (...).

    The other dimensions are broadcast, for example one query (dim,) to N vectors (N, dim).
    Distances are computed in float64 with the vectors' own norms, so that equal vectors have
    distance 0 exactly and the result does not depend on the order of summation in an index.
    """
    query, vectors = query.astype(np.float64), vectors.astype(np.float64)
    products = np.einsum("...i,...i->...", vectors, query)
    squares = np.einsum("...i,...i->...", vectors, vectors)
    norms = np.sqrt(squares) * np.sqrt(np.einsum("...i,...i->...", query, query))
    return np.asarray(np.clip(np.round(1.0 - products / norms, 12), 0.0, 2.0) + 0.0)  # no -0.0


def median_pairwise(vectors: np.ndarray) -> float:
    """Return the median distance over all pairs of ``vectors`` (N, dim), N >= 2."""
    return float(
        np.median(
            np.concatenate(
                [distances(vectors[i], vectors[i + 1 :]) for i in range(len(vectors) - 1)]
            )
        )
    )


def cross_distances(queries: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return the distances of ``queries`` (Q, dim) to all ``vectors`` (N, dim), float64 (Q, N).

    They equal those of :func:`distances`, but are computed by matrix products.
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


def collapse_warning(vectors: np.ndarray) -> str | None:
    """Return a warning if embeddings (N, dim) have collapsed, else None.

    Embeddings have collapsed if half of all pairs are closer than 1e-3, which is a sign of wrong
    preprocessing. Fewer than five embeddings are not checked.
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
