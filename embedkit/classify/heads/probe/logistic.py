"""Multinomial logistic regression for many regularisation strengths at once, in torch.

For each C of a grid it minimises the objective of scikit-learn's ``LogisticRegression``::

    C * sum_i s_i * cross_entropy_i + 1/2 * |W|^2        (the intercept is not penalised)

by L-BFGS. Three things make it fast:

- All C share each pass over the features: one matrix product for the classes of all C. A C that has
  converged drops out without effect on the others.
- The initial Hessian of L-BFGS is the one for independent probabilities and features: the Kronecker
  product of the mean of ``diag(p) - p p'`` over examples, which Böhning (1992) bounds, and the Gram
  matrix of the features. It is diagonal in the eigenvectors of both, and one decomposition of the
  Gram matrix serves every C and iteration.
- With fewer examples than dimensions, the search is limited to the span of the features, which
  contains every minimum: a component orthogonal to all features only adds to the penalty.
- Products are float32 (the dtype of the features), sums over blocks of examples float64.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from embedkit.classify.heads.probe.descent import MEMORY, Descent, Solve, Value

ParallelMap = Callable[..., Iterator[Any]]
"""Like :func:`map`: yields results in the order of the arguments."""

_BYTES = 1 << 30
"""Approximate memory of the L-BFGS pairs of the descents that are evaluated together."""
_BLOCK = {"cuda": 1 << 16, "cpu": 1 << 10}
"""Rows of features per block; on a CPU the intermediate results fit in its cache."""
_FLAT = 1e-3
"""Lower bound of the curvature between classes, relative to the largest."""


@dataclass(frozen=True)
class Solution:
    """The minimum for one C."""

    parameters: torch.Tensor
    """float64 (classes, dim + 1) on the CPU; the last column is the intercept."""
    objective: float
    iterations: int
    gradient: float
    """Largest absolute component of the gradient of objective / (C * sum of weights)."""
    converged: bool


class Logistic:
    """The logistic loss of a linear layer on a set of examples.

    Points of the descents are parameters in the basis of the eigenvectors of the weighted Gram
    matrix of the rows: (classes, rank + 1), where rank is the smaller one of N and dim.

    Parameters
    ----------
    rows : Tensor
        Centred features and a last column of ones: (N, dim + 1).
    labels : Tensor
        Class numbers: int64 (N,).
    weights : Tensor
        Weight of each example: (N,), on the same device as the others.
    classes : int
        Number of classes.
    parallel_map : callable
        Runs blocks of work; see :func:`parallel_over_cores`.
    """

    def __init__(
        self,
        rows: torch.Tensor,
        labels: torch.Tensor,
        weights: torch.Tensor,
        classes: int,
        parallel_map: ParallelMap,
    ) -> None:
        self._rows, self._labels, self._weights, self._classes = rows, labels, weights, classes
        self._map = parallel_map
        self._block = _BLOCK[rows.device.type]
        self._total = float(weights.sum(dtype=torch.float64))
        self._variances, self._axes = self._decomposed()
        self._penalised = torch.ones_like(self._variances, dtype=torch.float64)
        self._penalised[-1] = 0.0

    def minimise(
        self, grid: Sequence[float], tolerance: float, max_iterations: int
    ) -> list[Solution]:
        """Return the solution for each C of ``grid``; see :class:`Descent` for the convergence."""
        dtype = self._rows.dtype
        start = self._penalised.new_zeros(self._classes, len(self._penalised))
        count = max(1, _BYTES // (2 * MEMORY * start.numel() * dtype.itemsize))
        penalties = [1 / (c * self._total) for c in grid]
        descents = [Descent(start, dtype, tolerance, max_iterations) for _ in grid]
        unfinished = list(zip(descents, penalties, strict=True))
        while unfinished := [pair for pair in unfinished if not pair[0].done]:
            batch, penalties_of_batch = zip(*unfinished[:count], strict=True)
            values = self._evaluate([descent.trial for descent in batch])
            list(self._map(self._advance, batch, penalties_of_batch, *values))
        return [
            self._solution(descent, penalty)
            for descent, penalty in zip(descents, penalties, strict=True)
        ]

    def _advance(
        self,
        descent: Descent,
        penalty: float,
        loss: torch.Tensor,
        gradient: torch.Tensor,
        curvature: torch.Tensor,
    ) -> None:
        """Update a descent with the penalised mean loss of its trial point."""
        shrinkage = penalty * descent.trial * self._penalised
        objective = float(loss + torch.sum(shrinkage * descent.trial) / 2)
        descent.update(Value(objective, gradient + shrinkage, self._inverse(curvature, penalty)))

    def _evaluate(
        self, points: list[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the weighted mean loss of A points, its gradients and curvatures, all float64.

        The loss is (A,), the gradients (A, classes, dim + 1). The curvatures between classes,
        (A, classes, classes), are the mean of ``diag(p) - p p'``.
        """
        count = len(points)
        layers = torch.cat(points).to(self._rows.dtype) @ self._axes.T

        def block(start: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            part = slice(start, start + self._block)
            rows, weights = self._rows[part], self._weights[part]
            true = (slice(None), self._labels[part], torch.arange(len(rows), device=rows.device))
            # Well separated examples have losses and residuals far below the float32 resolution at
            # 1, so these are summed over the other classes and never computed as 1 - p.
            logits = (layers @ rows.T).view(count, self._classes, len(rows))
            logits -= logits.amax(1, keepdim=True)
            of_true = logits[true]
            shares = logits.exp_()
            shares[true] = 0.0
            others = shares.sum(1)
            excess = others + (of_true.exp() - 1)  # of the sum over classes beyond 1
            losses = ((excess.log1p() - of_true) * weights).sum(1, dtype=torch.float64)
            shares[true] = -others
            shares /= (excess + 1)[:, None]
            gradients = (shares * weights).view(len(layers), len(rows)) @ rows
            shares[true] += 1.0
            weighted = shares * weights
            products = weighted @ shares.transpose(1, 2)
            return losses, gradients, torch.diag_embed(weighted.sum(2)) - products

        losses = self._penalised.new_zeros(count)
        gradients = self._penalised.new_zeros(layers.shape)
        curvatures = self._penalised.new_zeros(count, self._classes, self._classes)
        for parts in self._map(block, range(0, len(self._rows), self._block)):
            for total, part in zip((losses, gradients, curvatures), parts, strict=True):
                total += part
        inner = (gradients / self._total).to(self._rows.dtype) @ self._axes
        shape = (count, self._classes, len(self._penalised))
        return losses / self._total, inner.view(shape).double(), curvatures / self._total

    def _inverse(self, curvature: torch.Tensor, penalty: float) -> Solve:
        """Return the inverse of the approximate Hessian of the mean objective."""
        flat, classes = torch.linalg.eigh(curvature)
        flat = torch.maximum(flat, _FLAT * flat[-1])
        hessian = flat[:, None] * self._variances + penalty * self._penalised
        factors, classes = (1 / hessian).to(self._rows.dtype), classes.to(self._rows.dtype)

        def solve(gradient: torch.Tensor) -> torch.Tensor:
            solved: torch.Tensor = classes @ (factors * (classes.T @ gradient))
            return solved

        return solve

    def _decomposed(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return eigenvalues and eigenvectors of the weighted Gram matrix of the rows.

        The eigenvalues are (rank + 1,), the eigenvectors the columns of (dim + 1, rank + 1). Since
        the features are centred, the column of ones is treated as an eigenvector.
        """
        gram, basis = self._gram()
        # In float64, because in float32 LAPACK may fail with fewer rows than columns.
        found, vectors = torch.linalg.eigh(gram / self._total)
        variances = self._rows.new_ones(len(found) + 1)
        axes = self._rows.new_zeros(self._rows.shape[1], len(found) + 1)
        variances[:-1] = found.clamp(min=0)
        axes[:-1, :-1] = vectors if basis is None else basis @ vectors
        axes[-1, -1] = 1.0
        return variances, axes

    def _gram(self) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the weighted Gram matrix of the features, float64, and the basis that it is in.

        With fewer examples than dimensions, this is an orthonormal basis of a space that contains
        the features, (dim, N); otherwise the matrix is (dim, dim), and there is no basis.
        """
        if len(self._rows) < self._rows.shape[1] - 1:
            scaled = self._rows[:, :-1].double() * self._weights[:, None].double().sqrt()
            basis, factor = torch.linalg.qr(scaled.T)
            return factor @ factor.T, basis

        def block(start: int) -> torch.Tensor:
            part = slice(start, start + 8 * self._block)
            rows = self._rows[part, :-1]
            return (rows * self._weights[part, None]).T @ rows

        width = self._rows.shape[1] - 1
        gram = torch.zeros(width, width, dtype=torch.float64, device=self._rows.device)
        for part in self._map(block, range(0, len(self._rows), 8 * self._block)):
            gram += part
        return gram, None

    def _solution(self, descent: Descent, penalty: float) -> Solution:
        axes = self._axes.double()
        return Solution(
            (descent.point @ axes.T).cpu(),
            descent.value.objective / penalty,
            descent.iterations,
            float((descent.value.gradient @ axes.T).abs().max()),
            descent.converged,
        )


@contextmanager
def parallel_over_cores(device: torch.device) -> Iterator[ParallelMap]:
    """Yield a :func:`map` that runs calls in parallel, one thread each; on a GPU the plain one.

    torch's own threads synchronise after each operation. With small operations, or other load on
    the machine, they spend most of their time waiting.
    """
    if device.type != "cpu":
        yield map
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads, "probe", torch.set_num_threads, (1,)) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(threads)
