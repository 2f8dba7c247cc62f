"""Pairs with images of other parts, of which a part knows vectors and outlines roughly."""

import numpy as np
import pytest

from embedkit._internal.fixed_point import from_fixed_point, to_fixed_point
from embedkit.cluster.duplicates.part import OutlinedImages
from embedkit.cluster.duplicates.scoring import Scoring, screen
from embedkit.duplicates.evidence import ImageEmbeddings, Traits
from embedkit.duplicates.pair_search import candidate_limits, duplicate_options
from embedkit.duplicates.screening import TOLERANCE
from embedkit.duplicates.semantic import DistanceDistribution
from embedkit.duplicates.similarity import Outlines
from embedkit.index.metric import distances

PAIRS = 200


def images(vectors: np.ndarray, random: np.random.Generator) -> OutlinedImages:
    """Images with these vectors, and with hashes and outlines that have nothing in common."""
    count = len(vectors)
    small = random.integers(0, 1020, (count, 16, 16)).astype(np.uint16)
    return OutlinedImages(
        np.arange(count),
        np.zeros(count, np.int16),
        np.full(count, 7, np.uint64),
        Traits(
            random.integers(0, 1 << 63, (count, 8, 1), np.uint64),
            np.full(count, 0.2, np.float32),
            ImageEmbeddings(np.arange(count), vectors),
        ),
        Outlines.of(small),
    )


@pytest.mark.parametrize("dim", [64, 1280])
def test_no_pair_within_the_limit_is_ruled_out_by_rounding(dim: int) -> None:
    random = np.random.default_rng(dim)
    distribution = DistanceDistribution(np.linspace(0.5, 1, 100, dtype=np.float32), 2 * PAIRS)
    limits = candidate_limits(duplicate_options(["semantic"]), 2 * PAIRS, distribution)
    one = random.standard_normal((PAIRS, dim))
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    across = random.standard_normal((PAIRS, dim))
    across -= (across * one).sum(axis=1, keepdims=True) * one
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    cosine = 1 - limits.distance + 1e-6
    other = cosine * one + np.sqrt(1 - cosine**2) * across
    vectors = np.concatenate([one, other]).astype(np.float32)
    exact = distances(vectors[:PAIRS], vectors[PAIRS:])
    assert (exact < limits.distance).all()
    vectors[PAIRS:] = from_fixed_point(to_fixed_point(vectors[PAIRS:]))
    rough = distances(vectors[:PAIRS], vectors[PAIRS:])
    assert (rough > limits.distance).sum() > PAIRS / 4
    assert np.abs(rough - exact).max() < TOLERANCE

    rows = np.arange(PAIRS), np.arange(PAIRS, 2 * PAIRS)
    scoring = Scoring(
        duplicate_options(["semantic"]), limits, distribution.median, 2 * PAIRS, 2 * PAIRS, 2
    )
    known, near = images(vectors, random), np.ones(PAIRS, bool)
    assert len(screen(known, known, rows, scoring, near, exact=False).needed) == PAIRS
    assert len(screen(known, known, rows, scoring, near, exact=True).needed) < 3 * PAIRS / 4
