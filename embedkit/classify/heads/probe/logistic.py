"""Multinomial logistic regression at many strengths of regularisation at once, in torch.

For each C of a grid it minimises what scikit-learn's ``LogisticRegression`` does::

    C * sum_i s_i * cross_entropy_i + 1/2 * |W|^2        (the intercept is not penalised)

by L-BFGS. What makes it fast:

- All C share each pass over the features: one product of matrices, as wide as all their classes.
  A C that has converged leaves, and changes nothing for the others.
- L-BFGS starts each of its directions from the Hessian that there would be if probabilities and
  features were independent: the Kronecker product of the mean of ``diag(p) - p p'`` over examples,
  which Böhning (1992) bounds, and the features' Gram matrix. In the eigenvectors of both it is
  diagonal, and one decomposition of the Gram matrix serves every C and iteration.
- Products are float32 (the features' dtype), sums over blocks of examples float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from embedkit.classify.heads.probe.descent import MEMORY, Descent, Solve, Value
from embedkit.classify.heads.probe.workers import Spread

_BYTES = 1 << 30
"""Of what the descents that go on together remember, about."""
_BLOCK = {"cuda": 1 << 16, "cpu": 1 << 10}
"""Rows of features at once: on a CPU what is worked out of them stays in its cache."""
_FLAT = 1e-3
"""Curvature between classes is taken to be at least this much of its largest."""


@dataclass(frozen=True)
class Solution:
    """What was found for one C."""

    parameters: torch.Tensor
    """float64 (classes, dim + 1) on the CPU; the last column is the intercept."""
    objective: float
    iterations: int
    gradient: float
    """Largest component of the gradient of objective / (C * sum of weights)."""
    converged: bool


class Logistic:
    """Examples to be told apart by a linear layer.

    ``rows`` (N, dim + 1) are features, each column centred, and a column of ones; ``labels`` int64
    (N,), below ``classes``; ``weights`` (N,) say how much each example counts. All on one device.

    Points are parameters (classes, dim + 1) in other coordinates: those of the eigenvectors of the
    rows' weighted Gram matrix.
    """

    def __init__(
        self,
        rows: torch.Tensor,
        labels: torch.Tensor,
        weights: torch.Tensor,
        classes: int,
        spread: Spread,
    ) -> None:
        self._rows, self._labels, self._weights, self._classes = rows, labels, weights, classes
        self._spread = spread
        self._block = _BLOCK[rows.device.type]
        self._total = float(weights.sum(dtype=torch.float64))
        self._penalised = torch.ones_like(rows[0], dtype=torch.float64)
        self._penalised[-1] = 0.0
        self._variances, self._axes = self._decomposed()

    def minimise(
        self, grid: Sequence[float], tolerance: float, max_iterations: int
    ) -> list[Solution]:
        """The solution for each C of ``grid``; :class:`Descent` says when one has converged."""
        dtype, width = self._rows.dtype, self._rows.shape[1]
        start = self._penalised.new_zeros(self._classes, width)
        at_once = max(1, _BYTES // (2 * MEMORY * start.numel() * dtype.itemsize))
        penalties = [1 / (c * self._total) for c in grid]
        descents = [Descent(start, dtype, tolerance, max_iterations) for _ in grid]
        while going := [number for number, one in enumerate(descents) if not one.done][:at_once]:
            some = [descents[number] for number in going]
            values = self._evaluate([descent.trial for descent in some])
            list(
                self._spread(self._advance, some, [penalties[number] for number in going], *values)
            )
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
        """Let a descent take the mean loss of its trial point, with the penalty added."""
        pulled = penalty * descent.trial * self._penalised
        objective = float(loss + torch.sum(pulled * descent.trial) / 2)
        descent.take(Value(objective, gradient + pulled, self._inverse(curvature, penalty)))

    def _evaluate(
        self, points: list[torch.Tensor]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The weighted mean loss, float64 (A,), of A points, and its gradients, float64.

        The third are curvatures between classes, (A, classes, classes): ``diag(p) - p p'``.
        """
        count = len(points)
        layers = torch.cat(points).to(self._rows.dtype) @ self._axes.T

        def block(start: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
            part = slice(start, start + self._block)
            rows, weights = self._rows[part], self._weights[part]
            true = (slice(None), self._labels[part], torch.arange(len(rows), device=rows.device))
            # What is told apart well has a loss and residuals far below float32's resolution of 1:
            # they are summed from the other classes, never taken as 1 - p.
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
        for parts in self._spread(block, range(0, len(self._rows), self._block)):
            for total, part in zip((losses, gradients, curvatures), parts, strict=True):
                total += part
        inner = (gradients / self._total).to(self._rows.dtype) @ self._axes
        shape = (count, self._classes, len(self._penalised))
        return losses / self._total, inner.view(shape).double(), curvatures / self._total

    def _inverse(self, curvature: torch.Tensor, penalty: float) -> Solve:
        """The inverse of the Hessian that is assumed, of the mean objective."""
        flat, classes = torch.linalg.eigh(curvature)
        flat = torch.maximum(flat, _FLAT * flat[-1])
        hessian = flat[:, None] * self._variances + penalty * self._penalised
        factors, classes = (1 / hessian).to(self._rows.dtype), classes.to(self._rows.dtype)

        def solve(gradient: torch.Tensor) -> torch.Tensor:
            solved: torch.Tensor = classes @ (factors * (classes.T @ gradient))
            return solved

        return solve

    def _decomposed(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Eigenvalues (dim + 1,) and eigenvectors of the rows' weighted Gram matrix.

        Features are centred, so the column of ones is taken for an eigenvector of its own.
        """

        def block(start: int) -> torch.Tensor:
            part = slice(start, start + 8 * self._block)
            rows = self._rows[part, :-1]
            return (rows * self._weights[part, None]).T @ rows

        width = self._rows.shape[1]
        gram = self._penalised.new_zeros(width - 1, width - 1)
        for part in self._spread(block, range(0, len(self._rows), 8 * self._block)):
            gram += part
        variances, axes = torch.ones_like(self._rows[0]), torch.eye(width).to(self._rows)
        # In float64: in float32 LAPACK may fail where there are fewer rows than columns.
        found, vectors = torch.linalg.eigh(gram / self._total)
        variances[:-1], axes[:-1, :-1] = found.clamp(min=0), vectors
        return variances, axes

    def _solution(self, descent: Descent, penalty: float) -> Solution:
        axes = self._axes.double()
        return Solution(
            (descent.point @ axes.T).cpu(),
            descent.value.objective / penalty,
            descent.iterations,
            float((descent.value.gradient @ axes.T).abs().max()),
            descent.converged,
        )
