"""Which heads differ by more than by chance."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from embedkit._internal.statistics import SIGNIFICANCE, corrected, p_values
from embedkit.classify.evaluation.figures import HeadPair


def compare_heads(
    names: Sequence[str], right: np.ndarray, units: np.ndarray
) -> tuple[HeadPair, ...]:
    """Every pair of heads, the more accurate one first; a difference chance would make is a tie.

    ``right`` is bool (H, N): which photos each head gets right; ``units`` is int64 (N,). The test
    is :func:`mcnemar`; where units hold several photos, the randomisation test over units, which is
    the same but that a unit's photos are tossed together. P-values are corrected as Holm does.
    """
    order = np.argsort(-right.mean(1), kind="stable").tolist()
    pairs = list(combinations(order, 2))
    if not pairs:
        return ()
    only = [
        (int((right[one] & ~right[other]).sum()), int((right[other] & ~right[one]).sum()))
        for one, other in pairs
    ]
    if len(np.unique(units)) == len(units):
        chances = np.array([mcnemar(*counts) for counts in only])
    else:
        correct = right.astype(np.int64)
        differences = np.stack([correct[one] - correct[other] for one, other in pairs], axis=1)
        chances = p_values(differences, np.unique(units, return_inverse=True)[1])
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
            pairs, only, corrected(chances), strict=True
        )
    )


def mcnemar(only_one: int, only_other: int) -> float:
    """How likely chance makes so uneven a split of the photos that one of two heads gets right.

    McNemar's test (1947), which Dietterich (1998) recommends for two classifiers and one test set,
    in its exact form: were both alike, each such photo would be a toss. Two-sided, not corrected.
    """
    from scipy.special import bdtr  # not before there is something to test

    return min(1.0, 2 * float(bdtr(min(only_one, only_other), only_one + only_other, 0.5)))
