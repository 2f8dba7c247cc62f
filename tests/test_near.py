"""Pairs of near embeddings in coarse cells."""

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from embedkit.duplicates.cells import Cells, make_cells
from embedkit.duplicates.near import cell_pairs
from embedkit.duplicates.semantic import SEARCHED_NEIGHBOURS

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


def found_in(vectors: np.ndarray, cells: Cells, few: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of rows that all parts find, and the nearest cells of the rows."""
    nearest = cells.nearest(vectors)
    found = [np.empty((0, 2), np.int64)]
    for part in range(PARTS):
        own_cells = np.flatnonzero(cells.part == part).astype(np.int32)
        rows = np.flatnonzero(np.isin(nearest, own_cells).any(axis=1))

        def vectors_of(some: np.ndarray, rows: np.ndarray = rows) -> np.ndarray:
            return vectors[rows[some]]

        for one, other in cell_pairs(vectors_of, nearest[rows], own_cells, 1 - LIMIT, few):
            found.append(np.sort(np.stack([rows[one], rows[other]], axis=1)))
    return np.concatenate(found), nearest


@pytest.mark.parametrize("few", [None, SEARCHED_NEIGHBOURS])
def test_a_crowd_keeps_the_nearest_of_each_image_whatever_cell_they_are_in(
    few: int | None,
) -> None:
    vectors = crowded()
    cells = make_cells(vectors, len(vectors), PARTS)
    cells = Cells(cells.centroids, cells.part, VISITED)
    found, nearest = found_in(vectors, cells, few)
    coded = found[:, 0] * len(vectors) + found[:, 1]
    products = vectors @ vectors.T
    np.fill_diagonal(products, -1)
    one, other = np.nonzero(products >= 1 - LIMIT)
    share_a_cell = (nearest[one] == nearest[other][:, :1]).any(axis=1)
    share_a_cell |= (nearest[other] == nearest[one][:, :1]).any(axis=1)
    one, other = one[share_a_cell & (one < other)], other[share_a_cell & (one < other)]
    every = one * len(vectors) + other
    if few is None:
        assert np.isin(every, coded).all()
        assert len(np.unique(coded)) == len(coded)  # no pair is compared twice
        return
    # One less: products that differ by rounding may change places.
    last = np.sort(products, axis=1)[:, 1 - few]
    wanted = (products[one, other] >= last[one]) | (products[one, other] >= last[other])
    assert np.isin(every[wanted], coded).all()
    assert len(coded) < 0.6 * len(every)  # it is a crowd


def test_all_images_of_a_crowd_of_equal_ones_are_connected() -> None:
    vectors = np.concatenate([np.repeat(crowded()[:1], 1_500, axis=0), crowded()])
    cells = make_cells(crowded(), len(vectors), PARTS)
    found, _ = found_in(vectors, cells, SEARCHED_NEIGHBOURS)
    assert len(found) < 200 * len(vectors)
    edges = (np.ones(len(found), bool), (found[:, 0], found[:, 1]))
    _, label = connected_components(coo_array(edges, shape=(len(vectors),) * 2), directed=False)
    assert len(np.unique(label[:1_500])) == 1
