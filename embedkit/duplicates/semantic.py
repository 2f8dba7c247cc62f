"""Pairs of images whose embeddings are near, and what near means in a collection."""

from dataclasses import dataclass
from math import comb, erfc, sqrt

import numpy as np

from embedkit.index.index import Index
from embedkit.results import Progress, ProgressCallback

EXACT_UP_TO = 200_000
"""Embeddings up to which every one is compared with every other."""
PROPOSED = 32
"""Above it, so many neighbours of each are looked at."""

_BLOCK = 2048
_SAMPLE = 300
_OTHERS = 50_000
_SEED = 0
_SLACK = 1e-5
"""More than float32 products are off."""


@dataclass(frozen=True)
class Space:
    """How far apart the embeddings of a collection are, from a sample of its pairs."""

    apart: np.ndarray
    """Distances of pairs, sorted: float32 (S,)."""
    count: int
    """Images in the collection."""

    @property
    def typical(self) -> float:
        """The median distance of two images; 0 when there are not two."""
        return float(self.apart[len(self.apart) // 2]) if len(self.apart) else 0.0

    def reach(self, neighbours: float) -> float:
        """The distance within which an image has so many others on average."""
        place = int(len(self.apart) * neighbours / max(1, self.count - 1))
        return float(self.apart[min(place, len(self.apart) - 1)]) if len(self.apart) else 0.0

    def chance(self, limit: float) -> float:
        """Pairs within ``limit`` to be expected if no two images had to do with each other.

        Distances of unrelated images are taken to be normal, with the sample's median and the
        spread of its nearer half, which copies hardly move.
        """
        if not len(self.apart):
            return 0.0
        nearer = float(self.apart[int(0.1587 * len(self.apart))])  # one standard deviation below
        deviations = (self.typical - limit) / max(self.typical - nearer, 1e-9)
        return comb(self.count, 2) * erfc(deviations / sqrt(2)) / 2


def survey(vectors: np.ndarray, rows: np.ndarray) -> Space:
    """The space of some rows of ``vectors`` (N, dim)."""
    mixed = np.random.default_rng(_SEED).permutation(rows)
    ones, others = np.sort(mixed[:_SAMPLE]), np.sort(mixed[:_OTHERS])
    products = vectors[ones] @ vectors[others].T
    apart = np.clip(1 - products[ones[:, None] != others[None]], 0, 2)
    return Space(np.sort(apart), len(rows))


def near_images(
    index: Index,
    ids: np.ndarray,
    vectors: np.ndarray,
    rows: np.ndarray,
    limit: float,
    progress: ProgressCallback,
) -> tuple[tuple[np.ndarray, np.ndarray], float]:
    """Pairs of positions in ``ids`` whose embeddings are within ``limit``, and the recall.

    The embeddings are ``rows`` of ``vectors``. All pairs are found, recall 1, up to
    :data:`EXACT_UP_TO`; above, those among each one's nearest that the ``index`` finds. Pairs
    slightly further apart come too.
    """
    if len(rows) <= EXACT_UP_TO:
        return _every_pair(vectors[rows], limit, progress), 1.0
    firsts, seconds = [], []
    order = np.argsort(ids)
    for start in range(0, len(rows), _BLOCK):
        progress(Progress("looking for neighbours", start, len(rows)))
        some = np.arange(start, min(start + _BLOCK, len(rows)))
        found, apart = index.search(vectors[rows[some]], PROPOSED)
        other = order[np.minimum(np.searchsorted(ids, found, sorter=order), len(order) - 1)]
        query, place = np.nonzero((apart <= limit) & (ids[other] == found))
        firsts.append(some[query])
        seconds.append(other[query, place])
    return (np.concatenate(firsts), np.concatenate(seconds)), index.recall_at_10


def _every_pair(
    vectors: np.ndarray, limit: float, progress: ProgressCallback
) -> tuple[np.ndarray, np.ndarray]:
    count = len(vectors)
    firsts, seconds = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for start in range(0, count, _BLOCK):
        progress(Progress("comparing embeddings", start, count))
        block = vectors[start : start + _BLOCK]
        for other in range(start, count, _BLOCK):
            products = block @ vectors[other : other + _BLOCK].T
            row, column = np.nonzero(products >= 1 - limit - _SLACK)
            later = column + other > row + start
            firsts.append(row[later] + start)
            seconds.append(column[later] + other)
    return np.concatenate(firsts), np.concatenate(seconds)
