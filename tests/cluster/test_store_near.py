"""Pairs of near embeddings in the cells of parts, without a store."""

import numpy as np
import pytest
from embedkit.cluster.duplicates.cells import Cells, make_cells
from embedkit.cluster.duplicates.near import cell_pairs
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from embedkit.cluster.duplicates.scoring import Scoring
from embedkit.duplicates.evidence import ImageEmbeddings
from embedkit.duplicates.kinds import Limits
from embedkit.duplicates.pair_search import CandidateLimits, duplicate_options
from embedkit.duplicates.semantic import EXACT_UP_TO, SEARCHED_NEIGHBOURS

PARTS = 4
VISITED = 6
LIMIT = 0.25


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def crowded(dim: int = 24) -> np.ndarray:
    """Two crowds of 400 images, the nearer to their centre the more, among 3,000 others."""
    random = np.random.default_rng(2)
    others = random.standard_normal((3_000, dim))
    centres = unit(random.standard_normal((2, dim)))
    far = random.uniform(0.05, 1, (800, 1)) * 1.2 / np.sqrt(dim)
    crowds = np.repeat(centres, 400, axis=0) + random.standard_normal((800, dim)) * far
    return random.permutation(unit(np.concatenate([unit(others), unit(crowds)])))


def found_in(vectors: np.ndarray, cells: Cells, embedded: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of rows that all parts find, and the nearest cells of the rows."""
    limits = CandidateLimits(Limits(0, LIMIT), 64, -1, -1, LIMIT)
    scoring = Scoring(duplicate_options(()), limits, 1.0, 2 * EXACT_UP_TO, embedded, PARTS)
    nearest = cells.nearest(vectors)
    places = cells.part[nearest]
    found = [np.empty((0, 2), np.int64)]
    for part in range(PARTS):
        home = np.flatnonzero(places[:, 0] == part)
        visits = np.flatnonzero((places == part).any(axis=1) & (places[:, 0] != part))
        rows = np.concatenate([home, visits])
        embeddings = [
            ImageEmbeddings(np.arange(len(some)), vectors[some]) for some in (home, visits)
        ]
        own_cells = np.flatnonzero(cells.part == part).astype(np.int32)
        for one, other in cell_pairs(*embeddings, nearest[rows], own_cells, scoring):
            found.append(np.sort(np.stack([rows[one], rows[other]], axis=1)))
    return np.concatenate(found), nearest


@pytest.mark.parametrize("embedded", [EXACT_UP_TO, EXACT_UP_TO + 1])
def test_a_crowd_keeps_the_nearest_of_each_image_whatever_cell_they_are_in(embedded: int) -> None:
    vectors = crowded()
    cells = make_cells(vectors, len(vectors), PARTS)
    cells = Cells(cells.centroids, cells.part, VISITED)
    found, nearest = found_in(vectors, cells, embedded)
    coded = found[:, 0] * len(vectors) + found[:, 1]
    products = vectors @ vectors.T
    np.fill_diagonal(products, -1)
    one, other = np.nonzero(products >= 1 - LIMIT)
    share_a_cell = (nearest[one] == nearest[other][:, :1]).any(axis=1)
    share_a_cell |= (nearest[other] == nearest[one][:, :1]).any(axis=1)
    one, other = one[share_a_cell & (one < other)], other[share_a_cell & (one < other)]
    every = one * len(vectors) + other
    if embedded <= EXACT_UP_TO:
        assert np.isin(every, coded).all()
        assert len(np.unique(coded)) == len(coded)  # no pair is compared twice
        return
    # One less: products that differ by rounding may change places.
    last = np.sort(products, axis=1)[:, 1 - SEARCHED_NEIGHBOURS]
    wanted = (products[one, other] >= last[one]) | (products[one, other] >= last[other])
    assert np.isin(every[wanted], coded).all()
    assert len(coded) < 0.6 * len(every)  # it is a crowd


def test_all_images_of_a_crowd_of_equal_ones_are_connected() -> None:
    vectors = np.concatenate([np.repeat(crowded()[:1], 1_500, axis=0), crowded()])
    cells = make_cells(crowded(), len(vectors), PARTS)
    found, _ = found_in(vectors, cells, EXACT_UP_TO + 1)
    assert len(found) < 200 * len(vectors)
    edges = (np.ones(len(found), bool), (found[:, 0], found[:, 1]))
    _, label = connected_components(coo_array(edges, shape=(len(vectors),) * 2), directed=False)
    assert len(np.unique(label[:1_500])) == 1
