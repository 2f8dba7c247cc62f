"""Multinomial logistic regression at many strengths of regularisation at once, in torch.

For each C of a grid it minimises what scikit-learn's ``LogisticRegression`` does::

    C * sum_i s_i * cross_entropy_i + 1/2 * |W|^2        (the intercept is not penalised)

by L-BFGS (Nocedal & Wright 2006, algorithm 7.4). Three things make it fast:

- All C share each pass over the features: one product of matrices, as wide as all their classes.
  A C that has converged leaves, and changes nothing for the others.
- L-BFGS starts each of its directions from the Hessian that there would be if probabilities and
  features were independent: a Kronecker product of the mean of ``diag(p) - p p'`` over examples,
  of which Böhning's bound (1992) is the extreme, and the features' Gram matrix. One eigenvalue
  decomposition of the Gram matrix serves every C and iteration. At zero weights it is the Hessian.
- Products are float32 (the features' dtype), sums over examples float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from embedkit.heads.probe.lbfgs import Memory, dot, spread

MEMORY = 10
"""Pairs of steps and changes of the gradient that L-BFGS remembers."""

_BYTES = 1 << 30
"""Of the memories of all C that are minimised at once, about."""
_BLOCK = {"cuda": 1 << 16, "cpu": 1 << 11}
"""Rows of features at once: on a CPU what is worked out of them stays in its cache."""
_TRIALS = 20
_CURVATURE = 0.9
"""How much of the slope a step may leave (Wolfe's second condition), as usual for quasi-Newton."""
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
    """Largest component of the gradient of objective / (C * sum of weights): what scikit-learn's
    ``tol`` bounds."""
    converged: bool


@dataclass
class _Values:
    """What some parameters make of the mean objective; the first axis runs over the C."""

    objective: torch.Tensor
    """float64 (A,)."""
    gradient: torch.Tensor
    """float64 (A, classes, dim + 1)."""
    curvature: torch.Tensor
    """(A, classes, classes): the weighted mean of ``diag(p) - p p'`` over the examples."""

    def __getitem__(self, kept: torch.Tensor) -> "_Values":
        return _Values(self.objective[kept], self.gradient[kept], self.curvature[kept])

    def put(self, places: torch.Tensor, values: "_Values") -> None:
        self.objective[places] = values.objective
        self.gradient[places] = values.gradient
        self.curvature[places] = values.curvature


class Logistic:
    """Examples to be told apart by a linear layer.

    ``rows`` (N, dim + 1) are features, each column centred, and a column of ones; ``labels`` int64
    (N,), below ``classes``; ``weights`` (N,) how much each example counts. All on one device.
    """

    def __init__(
        self, rows: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, classes: int
    ) -> None:
        self._rows, self._labels, self._weights, self._classes = rows, labels, weights, classes
        self._block = _BLOCK[rows.device.type]
        self._total = float(weights.sum(dtype=torch.float64))
        self._penalised = torch.ones_like(rows[0], dtype=torch.float64)
        self._penalised[-1] = 0.0
        self._eigenvalues, self._basis = self._decomposed()

    def minimise(
        self, grid: Sequence[float], tolerance: float, max_iterations: int
    ) -> list[Solution]:
        """The solution for each C of ``grid``.

        A C has converged when the next step of L-BFGS, were the objective the quadratic that it
        takes it for, would lower the objective by less than ``tolerance`` of it.
        """
        each = 8 * (MEMORY + 8) * self._classes * self._rows.shape[1]
        at_once = max(1, _BYTES // each)
        found: list[Solution] = []
        for start in range(0, len(grid), at_once):
            found += self._minimise(grid[start : start + at_once], tolerance, max_iterations)
        return found

    def _minimise(
        self, grid: Sequence[float], tolerance: float, max_iterations: int
    ) -> list[Solution]:
        scales = self._total * torch.tensor(
            grid, dtype=torch.float64, device=self._rows.device
        )  # from the mean objective to scikit-learn's
        found: list[Solution | None] = [None] * len(grid)
        places = torch.arange(len(grid), device=self._rows.device)
        points = scales.new_zeros(len(grid), self._classes, self._rows.shape[1])
        values, memory = self._evaluate(points, 1 / scales), Memory(MEMORY)
        stuck = torch.zeros_like(places, dtype=torch.bool)
        for iteration in range(max_iterations + 1):
            directions = self._directions(values, 1 / scales, memory)
            slopes = dot(values.gradient, directions)
            converged = slopes / -2 <= tolerance * values.objective
            leaving = converged | stuck | (iteration == max_iterations)
            for row in torch.nonzero(leaving).flatten().tolist():
                found[int(places[row])] = Solution(
                    points[row].cpu(),
                    float(values.objective[row] * scales[row]),
                    iteration,
                    float(values.gradient[row].abs().max()),
                    bool(converged[row]),
                )
            going = ~leaving
            if not going.any():
                break
            if leaving.any():
                places, scales, points = places[going], scales[going], points[going]
                directions, slopes = directions[going], slopes[going]
                values = values[going]
                memory.keep(going)
            steps, after, stuck = self._search(points, directions, slopes, values, 1 / scales)
            moves = spread(steps) * directions
            changes = after.gradient - values.gradient
            memory.remember(moves.to(self._rows.dtype), changes.to(self._rows.dtype))
            points, values = points + moves, after
        return [solution for solution in found if solution is not None]

    def _evaluate(self, points: torch.Tensor, penalties: torch.Tensor) -> _Values:
        """Objective, gradient and curvature at ``points`` (A, classes, dim + 1)."""
        count, classes, width = points.shape
        flat = points.reshape(count * classes, width)
        layers = flat.to(self._rows.dtype)
        losses, gradient = torch.zeros_like(penalties), torch.zeros_like(flat)
        curvature = layers.new_zeros(count, classes, classes)
        for start in range(0, len(self._rows), self._block):
            part = slice(start, start + self._block)
            rows, weights = self._rows[part], self._weights[part]
            true = (slice(None), self._labels[part], torch.arange(len(rows), device=rows.device))
            logits = (layers @ rows.T).view(count, classes, len(rows))
            # What is told apart well has a loss and residuals far below float32's resolution of 1,
            # so they are summed from the other classes, never taken as 1 - p.
            logits -= logits.amax(1, keepdim=True)
            of_true = logits[true]
            shares = logits.exp_()
            shares[true] = 0.0
            others = shares.sum(1)
            beyond = others + (of_true.exp() - 1)
            losses += ((beyond.log1p() - of_true) * weights).sum(1, dtype=torch.float64)
            shares[true] = -others
            shares /= (beyond + 1)[:, None]
            gradient += (shares * weights).view(count * classes, len(rows)) @ rows
            shares[true] += 1.0
            weighted = shares * weights
            curvature += torch.diag_embed(weighted.sum(2)) - weighted @ shares.transpose(1, 2)
        pulled = spread(penalties) * points * self._penalised
        return _Values(
            losses / self._total + dot(pulled, points) / 2,
            gradient.view_as(points) / self._total + pulled,
            curvature / self._total,
        )

    def _directions(self, values: _Values, penalties: torch.Tensor, memory: Memory) -> torch.Tensor:
        flat, classes = torch.linalg.eigh(values.curvature.double())
        flat = torch.maximum(flat, _FLAT * flat[:, -1:])
        hessian = flat[:, :, None] * self._eigenvalues + spread(penalties) * self._penalised
        factors, classes = (1 / hessian).to(self._rows.dtype), classes.to(self._rows.dtype)

        def solve(gradient: torch.Tensor) -> torch.Tensor:
            """The assumed Hessian's inverse applied to ``gradient``."""
            inner = classes.transpose(1, 2) @ gradient @ self._basis
            outer: torch.Tensor = classes @ (factors * inner) @ self._basis.T
            return outer

        return -memory.apply(solve, values.gradient.to(self._rows.dtype)).double()

    def _search(
        self,
        points: torch.Tensor,
        directions: torch.Tensor,
        slopes: torch.Tensor,
        values: _Values,
        penalties: torch.Tensor,
    ) -> tuple[torch.Tensor, _Values, torch.Tensor]:
        """Steps that meet Wolfe's conditions, values there, and which C found none.

        The objective is convex, so a slope that is still falling brackets from below.
        """
        rounding = 10 * torch.finfo(self._rows.dtype).eps * values.objective
        steps = torch.ones_like(slopes)
        low, high = torch.zeros_like(slopes), torch.full_like(slopes, torch.inf)
        after = self._evaluate(points + directions, penalties)
        for _ in range(_TRIALS):
            there = dot(after.gradient, directions)
            lower = after.objective <= values.objective + rounding
            good = lower & (there.abs() <= -_CURVATURE * slopes)
            if good.all():
                break
            short = lower & (there < 0)
            low, high = torch.where(short, steps, low), torch.where(short, high, steps)
            secant = steps * slopes / (slopes - there)
            halfway = torch.where(high.isinf(), 4 * steps, (low + high) / 2)
            inside = (secant > low + 0.1 * (halfway - low)) & (secant < high)
            inside &= secant < 10 * steps
            steps = torch.where(good, steps, torch.where(inside, secant, halfway))
            again = torch.nonzero(~good).flatten()
            tried = points[again] + spread(steps[again]) * directions[again]
            after.put(again, self._evaluate(tried, penalties[again]))
        else:
            good = after.objective < values.objective
        stuck = ~good
        if stuck.any():
            steps = torch.where(stuck, 0.0, steps)
            after.put(torch.nonzero(stuck).flatten(), values[stuck])
        return steps, after, stuck

    def _decomposed(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Eigenvalues, float64 (dim + 1,), and eigenvectors of the rows' weighted Gram matrix.

        Rows are centred, so that the column of ones is an eigenvector of its own (but for weights).
        """
        width = self._rows.shape[1]
        gram = torch.zeros(width - 1, width - 1, dtype=torch.float64, device=self._rows.device)
        for start in range(0, len(self._rows), self._block):
            part = slice(start, start + self._block)
            rows = self._rows[part, :-1]
            gram += (rows * self._weights[part, None]).T @ rows
        eigenvalues, eigenvectors = torch.linalg.eigh(gram / self._total)
        basis = torch.eye(width, dtype=torch.float64, device=gram.device)
        basis[:-1, :-1] = eigenvectors
        ones = torch.ones_like(eigenvalues[:1])
        return torch.cat([eigenvalues.clamp(min=0), ones]), basis.to(self._rows.dtype)
