"""Intervals, paired tests, and ranks with ties."""

import math
from collections.abc import Callable, Collection, Sequence

import numpy as np

from embedkit.results import Estimate

RESAMPLES = 2_000
"""Number of bootstrap samples."""
SIGN_ASSIGNMENTS = 10_000
"""Number of random assignments of signs in a randomisation test."""
SIGNIFICANCE = 0.05
"""Significance level of tests."""
MIN_RESAMPLED_CLASSES = 16
"""Minimum effective number of classes for resampling classes instead of queries. With fewer, a test
has no power: the p-values of ten signs are at least 0.002, too large after a correction for many
pairs."""

_SEED = 0
_Z = 1.959964  # the 97.5 % quantile of the normal distribution
_BLOCK = 1_000
_ROUNDING = 1e-9
"""Rounding error of sums that differ only in the order of their terms."""


def units_of(classes: np.ndarray) -> np.ndarray:
    """Return the resampling unit of each query, int64 (Q,).

    ``classes`` are class numbers, int64 (Q,). Queries of one class search for the same images, so
    their metrics are correlated: if there are enough classes, each class is one unit. Enough means
    an effective number of clusters G / (1 + CV^2) (Carter, Schnepel & Steigerwald 2017) of at least
    :data:`MIN_RESAMPLED_CLASSES`. Otherwise each query is a unit, and the result applies to these
    classes only.
    """
    numbers, sizes = np.unique(classes, return_inverse=True, return_counts=True)[1:]
    enough = len(classes) ** 2 >= MIN_RESAMPLED_CLASSES * np.sum(sizes**2)
    return numbers if enough else np.arange(len(classes))


def estimate(values: np.ndarray, units: np.ndarray) -> Estimate | None:
    """Return the mean of ``values``, float64 (Q,), without NaNs, and its interval.

    ``units`` is int64 (Q,), as for :func:`intervals`. Return None when all values are NaN.
    """
    known = ~np.isnan(values)
    if not known.any():
        return None
    defined = values[known]

    def mean(weights: np.ndarray) -> list[float]:
        return [float(weights @ defined / weights.sum())]

    ((low, high),) = intervals(mean, units[known])
    return Estimate(float(defined.mean()), low, high)


def estimate_share(hits: np.ndarray, units: np.ndarray) -> Estimate:
    """Return the share of ``hits``, float64 (Q,), and its interval.

    The interval is Wilson's if each query is a unit of its own, and that of :func:`estimate` for
    larger ``units``, int64 (Q,). A hit is 0 or 1, or between them if it depends on a tie.
    """
    if len(np.unique(units)) == len(hits):
        return Estimate(float(hits.mean()), *wilson(float(hits.sum()), len(hits)))
    result = estimate(hits, units)
    assert result is not None  # every query hits or misses
    return result


def intervals(
    statistic: Callable[[np.ndarray], Sequence[float]], units: np.ndarray
) -> list[tuple[float, float]]:
    """Return the 95 % intervals of metrics from 0 to 1 that are computed from Q rows.

    The intervals are bootstrap percentiles over samples of whole ``units``, int64 (Q,), drawn with
    replacement (Efron & Tibshirani 1993). ``statistic`` computes the metrics of a sample, given the
    number of times that each row was drawn, int64 (Q,). A metric that is 0 or 1 in every sample has
    Wilson's interval for the number of units: an empty one would say that it is known exactly.
    """
    numbers = np.unique(units, return_inverse=True)[1]
    count = int(numbers.max()) + 1
    random = np.random.default_rng(_SEED)
    samples = []
    for _ in range(RESAMPLES):
        drawn = random.integers(count, size=count)
        samples.append(statistic(np.bincount(drawn, minlength=count)[numbers]))
    low, high = np.quantile(np.array(samples), (0.025, 0.975), axis=0)
    return [
        wilson(bounds[0] * count, count) if bounds in ((0.0, 0.0), (1.0, 1.0)) else bounds
        for bounds in zip(low.tolist(), high.tolist(), strict=True)
    ]


def wilson(hits: float, count: int) -> tuple[float, float]:
    """Return the 95 % score interval of the share of ``hits`` in ``count`` (Wilson 1927)."""
    share = hits / count
    centre = share + _Z**2 / (2 * count)
    half = _Z * math.sqrt(share * (1 - share) / count + (_Z / (2 * count)) ** 2)
    divisor = 1 + _Z**2 / count
    low, high = (centre - half) / divisor, (centre + half) / divisor
    return low if hits else 0.0, high if hits < count else 1.0  # without the rounding error


def p_values(differences: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return p-values, float64 (P,), of the mean of paired ``differences``, float64 (Q, P).

    This is a two-sided randomisation test (Smucker, Allan & Carterette 2007): if two backbones are
    equally good, the sign of the difference of each unit is random. The p-values are not corrected
    for multiple comparisons.
    """
    sums = np.stack([np.bincount(units, column) for column in differences.T], axis=1)
    observed = np.abs(sums.sum(0))
    random = np.random.default_rng(_SEED)
    as_large = np.ones(len(observed))
    for _ in range(0, SIGN_ASSIGNMENTS, _BLOCK):
        signs = random.integers(2, size=(_BLOCK, len(sums))) * 2.0 - 1.0
        as_large += (np.abs(signs @ sums) >= observed - _ROUNDING).sum(0)
    return np.asarray(as_large / (SIGN_ASSIGNMENTS + 1))


def corrected(p_values: np.ndarray) -> np.ndarray:
    """Return p-values, float64 (P,), corrected for multiple comparisons (Holm 1979)."""
    order = np.argsort(p_values)
    steps = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    result = np.empty_like(p_values)
    result[order] = np.minimum(steps, 1.0)
    return result


def shared_ranks(ranked: Sequence[str], ties: Collection[tuple[str, str]]) -> list[int]:
    """Return the rank of each name, from 1; ``ranked`` is best first.

    A name that ties with the first name of a rank shares that rank; two names at rank 1 are
    followed by rank 3. ``ties`` contains pairs of names, the better one first.
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
