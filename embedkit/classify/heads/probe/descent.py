"""L-BFGS (Nocedal & Wright 2006, algorithms 7.4 and 7.5), one trial point at a time.

The caller evaluates the trial points, so that it can evaluate those of many descents together.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch

MEMORY = 10
"""Maximum number of stored pairs of a step and the change of the gradient along it."""

_TRIALS = 20
_CURVATURE = 0.9
"""Wolfe's second condition: maximum share of the slope that remains after a step. This is the usual
value for quasi-Newton methods."""

Solve = Callable[[torch.Tensor], torch.Tensor]
"""Applies the inverse of an approximate Hessian to a gradient."""


@dataclass(frozen=True)
class Value:
    """Value and derivatives of a convex function at a point."""

    objective: float
    gradient: torch.Tensor
    """float64, with the shape of the point."""
    solve: Solve
    """Approximates the inverse Hessian at the point, in the ``dtype`` of the descent."""


class Descent:
    """One minimisation: evaluate :attr:`trial` and :meth:`update` with the value until ``done``.

    It has ``converged`` when the next step would lower L-BFGS's quadratic model of the objective by
    less than ``tolerance`` times the objective. It is also done after ``max_iterations``, or when
    no step lowers the objective by more than the rounding error of ``dtype``.
    """

    def __init__(
        self, start: torch.Tensor, dtype: torch.dtype, tolerance: float, max_iterations: int
    ) -> None:
        self.point = self.trial = start
        self.value = Value(math.inf, torch.zeros_like(start), lambda gradient: gradient)
        self.iterations = -1
        self.converged = self.done = False
        self._dtype, self._tolerance, self._limit = dtype, tolerance, max_iterations
        self._direction, self._slope = torch.zeros_like(start), 0.0
        self._step, self._low, self._high, self._trials = 0.0, 0.0, math.inf, 0
        self._pairs: deque[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = deque(maxlen=MEMORY)

    def update(self, value: Value) -> None:
        """Accept the trial point if its ``value`` meets Wolfe's conditions, else choose another."""
        slope = float(_dot(value.gradient, self._direction))
        rounding = 10 * torch.finfo(self._dtype).eps * abs(value.objective)
        lower = value.objective <= self.value.objective + rounding
        if lower and abs(slope) <= -_CURVATURE * self._slope:
            self._accept(value)
        elif self._trials == _TRIALS:
            self.done = True
        else:
            self._choose_step(slope, short=lower and slope < 0)

    def _accept(self, value: Value) -> None:
        if self.iterations >= 0:
            move = (self.trial - self.point).to(self._dtype)
            change = (value.gradient - self.value.gradient).to(self._dtype)
            if (product := _dot(move, change)) > 0:
                self._pairs.append((move, change, 1 / product))
        self.point, self.value = self.trial, value
        self.iterations += 1
        self._direction = -self._inverse_hessian(value).double()
        self._slope = float(_dot(value.gradient, self._direction))
        self.converged = -self._slope / 2 <= self._tolerance * value.objective
        self.done = self.converged or self.iterations == self._limit
        self._step, self._low, self._high, self._trials = 1.0, 0.0, math.inf, 1
        self.trial = self.point + self._direction

    def _choose_step(self, slope: float, short: bool) -> None:
        """Choose another step length; since the function is convex, one bracket is enough."""
        step = self._step
        self._low, self._high = (step, self._high) if short else (self._low, step)
        secant = step * self._slope / (self._slope - slope) if slope != self._slope else math.inf
        beyond = 4 * step if math.isinf(self._high) else (self._low + self._high) / 2
        least, most = self._low + 0.1 * (beyond - self._low), min(self._high, 10 * step)
        self._step = secant if least < secant < most else beyond
        self._trials += 1
        self.trial = self.point + self._step * self._direction

    def _inverse_hessian(self, value: Value) -> torch.Tensor:
        """Apply the L-BFGS approximation of the inverse Hessian to the gradient (two loops)."""
        result, weights = value.gradient.to(self._dtype), []
        for move, change, rate in reversed(self._pairs):
            weights.append(rate * _dot(move, result))
            result = result - weights[-1] * change
        result = value.solve(result)
        if self._pairs:  # scaled by the last pair (7.20)
            move, change, rate = self._pairs[-1]
            result = result / (rate * _dot(change, value.solve(change)))
        for (move, change, rate), weight in zip(self._pairs, reversed(weights), strict=True):
            result = result + (weight - rate * _dot(change, result)) * move
        return result


def _dot(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return torch.dot(one.flatten(), other.flatten())
