"""Tests of the differences in accuracy between heads."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from embedkit._internal.statistics import SIGNIFICANCE, corrected, p_values
from embedkit.results.evaluation import HeadPair


def compare_heads(
    names: Sequence[str], right: np.ndarray, groups: np.ndarray
) -> tuple[HeadPair, ...]:
    """Return a test of every pair of heads, the more accurate one first.

    With independent photos the test is :func:`mcnemar`. With groups of several photos it is a
    randomisation test, which swaps the results of whole groups. p-values are corrected by Holm's
    method.

    Parameters
    ----------
    names : sequence of str
        Names of the H heads.
    right : ndarray
        Whether each head gets each photo right: bool (H, N).
    groups : ndarray
        Group of each photo: int64 (N,).
    """
    order = np.argsort(-right.mean(1), kind="stable").tolist()
    pairs = list(combinations(order, 2))
    if not pairs:
        return ()
    only_right = [
        (int((right[one] & ~right[other]).sum()), int((right[other] & ~right[one]).sum()))
        for one, other in pairs
    ]
    if len(np.unique(groups)) == len(groups):
        p_of_pairs = np.array([mcnemar(*counts) for counts in only_right])
    else:
        correct = right.astype(np.int64)
        differences = np.stack([correct[one] - correct[other] for one, other in pairs], axis=1)
        p_of_pairs = p_values(differences, np.unique(groups, return_inverse=True)[1])
    return tuple(
        HeadPair(
            head=names[one],
            other=names[other],
            difference=(only_one - only_other) / right.shape[1],
            only_head=only_one,
            only_other=only_other,
            mcnemar=mcnemar(only_one, only_other),
            p_value=float(p),
            tie=bool(p >= SIGNIFICANCE),
        )
        for (one, other), (only_one, only_other), p in zip(
            pairs, only_right, corrected(p_of_pairs), strict=True
        )
    )


def mcnemar(only_one: int, only_other: int) -> float:
    """Return the p-value of McNemar's exact test: two-sided, not corrected.

    The arguments are the photos that only one of two heads gets right. McNemar (1947); Dietterich
    (1998) recommends the test for two classifiers on one test set.
    """
    from scipy.special import bdtr  # most commands do not need SciPy

    return min(1.0, 2 * float(bdtr(min(only_one, only_other), only_one + only_other, 0.5)))
