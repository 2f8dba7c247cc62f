"""The photos that are shown beside a suspect, to explain why it is listed."""

import numpy as np

from embedkit.index.exact import nearest_with_products
from embedkit.index.metric import distances
from embedkit.review.suspects import Near

SHOWN = 3
"""Number of neighbours of each kind."""
_SPARE = 13
"""Neighbours to find beyond those shown, because copies are skipped."""
_BLOCK = 512


def nearest_of_class(
    vectors: np.ndarray, rows: np.ndarray, wanted: np.ndarray, codes: np.ndarray, groups: np.ndarray
) -> list[Near]:
    """Return the nearest photos of a class to each of some photos, without their copies.

    Parameters
    ----------
    vectors : ndarray
        Embeddings of all photos, L2-normalised: float32 (N, dim).
    rows : ndarray
        Rows of the photos: int64 (n,).
    wanted : ndarray
        The class of the neighbours of each photo: int64 (n,).
    codes : ndarray
        Class of each photo; -1 for none: int64 (N,).
    groups : ndarray
        Group number of each photo; copies share one: int64 (N,).
    """
    found: list[Near] = [() for _ in rows]
    for code in np.unique(wanted).tolist():
        members = np.flatnonzero(codes == code)
        chosen = np.flatnonzero(wanted == code)
        near = nearest_among(vectors, rows[chosen], members, groups)
        for place, of_photo in zip(chosen.tolist(), near, strict=True):
            found[place] = of_photo
    return found


def nearest_to(vector: np.ndarray, vectors: np.ndarray, members: np.ndarray) -> Near:
    """Return the nearest of the photos ``members`` to an embedding (dim,)."""
    _, places = nearest_with_products(vector[None], vectors[members], SHOWN)
    others = members[places[0]]
    far = distances(vector, vectors[others])
    order = np.lexsort((others, far)).tolist()
    return tuple((int(others[one]), float(far[one])) for one in order)


def nearest_among(
    vectors: np.ndarray, rows: np.ndarray, members: np.ndarray, groups: np.ndarray
) -> list[Near]:
    """Return the nearest of the photos ``members`` to each of ``rows``, without its copies."""
    among = vectors[members]
    found: list[Near] = []
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        _, candidates = nearest_with_products(vectors[block], among, SHOWN + _SPARE)
        for row, places in zip(block.tolist(), candidates, strict=True):
            others = members[places]
            others = others[groups[others] != groups[row]]
            far = distances(vectors[row], vectors[others])
            order = np.lexsort((others, far))[:SHOWN]
            found.append(tuple((int(others[one]), float(far[one])) for one in order.tolist()))
    return found
