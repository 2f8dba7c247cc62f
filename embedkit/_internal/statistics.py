"""What chance alone could do: bootstrap intervals, paired tests, ties."""

from collections.abc import Callable, Collection, Sequence

import numpy as np

from embedkit.results import Estimate

RESAMPLES = 2_000
FLIPS = 10_000
SIGNIFICANCE = 0.05
MANY_CLASSES = 16
"""From so many classes on they are what is drawn. Fewer leave too little to draw from: flipping
the signs of ten, no p-value is below 0.002, which no correction for many pairs survives."""

_SEED = 0
_AT_A_TIME = 1_000
_ROUNDING = 1e-9
"""Of sums that are equal but for the order of their terms."""


def units_of(classes: np.ndarray) -> np.ndarray:
    """What stands for itself when chance is judged, by number: int64 (Q,) of queries' classes.

    Queries of one class are asked for the same images, so their figures go together: a class is
    one unit, where there are enough. Classes count as if all were of one size: G / (1 + CV^2),
    the effective number of clusters (Carter, Schnepel & Steigerwald 2017). With fewer than
    :data:`MANY_CLASSES` each query is a unit: chance is that of the photos, for these classes only.
    """
    numbers, sizes = np.unique(classes, return_inverse=True, return_counts=True)[1:]
    enough = len(classes) ** 2 >= MANY_CLASSES * np.sum(sizes**2)
    return numbers if enough else np.arange(len(classes))


def estimate(values: np.ndarray, units: np.ndarray) -> Estimate | None:
    """The mean of ``values``, float64 (Q,), and its interval; NaNs are left out.

    ``units`` is int64 (Q,), as for :func:`intervals`; None when no value is left.
    """
    known = ~np.isnan(values)
    if not known.any():
        return None
    of_known = values[known]

    def mean(weights: np.ndarray) -> list[float]:
        return [float(weights @ of_known / weights.sum())]

    ((low, high),) = intervals(mean, units[known])
    return Estimate(float(of_known.mean()), low, high)


def intervals(
    figures: Callable[[np.ndarray], Sequence[float]], units: np.ndarray
) -> list[tuple[float, float]]:
    """The 95 % bootstrap interval of each of ``figures`` of Q rows, in their order.

    Percentiles over samples of whole ``units``, int64 (Q,), drawn with replacement (Efron &
    Tibshirani 1993). ``figures`` is given how often each row counts in a sample, int64 (Q,), and
    returns as many figures every time.
    """
    numbers = np.unique(units, return_inverse=True)[1]
    count = int(numbers.max()) + 1
    random = np.random.default_rng(_SEED)
    found = []
    for _ in range(RESAMPLES):
        drawn = random.integers(count, size=count)
        found.append(figures(np.bincount(drawn, minlength=count)[numbers]))
    low, high = np.quantile(np.array(found), (0.025, 0.975), axis=0)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def p_values(differences: np.ndarray, units: np.ndarray) -> np.ndarray:
    """How likely so large a mean difference is by chance: float64 (P,) of ``differences`` (Q, P).

    A two-sided randomisation test of paired figures (Smucker, Allan & Carterette 2007): were two
    backbones alike, the sign of each unit's difference would be a toss. Not corrected for P.
    """
    sums = np.stack([np.bincount(units, column) for column in differences.T], axis=1)
    observed = np.abs(sums.sum(0))
    random = np.random.default_rng(_SEED)
    as_large = np.ones(len(observed))
    for _ in range(0, FLIPS, _AT_A_TIME):
        signs = random.integers(2, size=(_AT_A_TIME, len(sums))) * 2.0 - 1.0
        as_large += (np.abs(signs @ sums) >= observed - _ROUNDING).sum(0)
    return np.asarray(as_large / (FLIPS + 1))


def corrected(p_values: np.ndarray) -> np.ndarray:
    """P-values, float64 (P,), corrected for there being P of them (Holm 1979)."""
    order = np.argsort(p_values)
    steps = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    result = np.empty_like(p_values)
    result[order] = np.minimum(steps, 1.0)
    return result


def places(ranked: Sequence[str], ties: Collection[tuple[str, str]]) -> list[int]:
    """The places of what is ``ranked``, best first: what ties with the first of a place shares it.

    As in a race, two firsts are followed by a third. ``ties`` holds pairs, the better one first.
    """
    result: list[int] = []
    first = ""
    for rank, name in enumerate(ranked, 1):
        if (first, name) in ties:
            result.append(result[-1])
        else:
            first = name
            result.append(rank)
    return result
