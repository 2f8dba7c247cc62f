"""What L-BFGS remembers of several minimisations that go on side by side."""

from collections.abc import Callable

import torch


class Memory:
    """The last steps and the changes of the gradient that they made.

    Everything is (A, classes, width), a minimisation for each place of the first axis.
    """

    def __init__(self, pairs: int) -> None:
        self._most = pairs
        self._pairs: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def remember(self, moves: torch.Tensor, changes: torch.Tensor) -> None:
        """Keep a pair; the oldest goes when there are too many."""
        products = dot(moves, changes)
        rates = torch.where(products > 0, 1 / products, 0.0)  # 0: no curvature seen, no effect
        self._pairs = [*self._pairs, (moves, changes, rates)][-self._most :]

    def keep(self, going: torch.Tensor) -> None:
        """Forget the minimisations that are not ``going``, bool (A,)."""
        self._pairs = [(s[going], y[going], rates[going]) for s, y, rates in self._pairs]

    def apply(
        self, solve: Callable[[torch.Tensor], torch.Tensor], gradient: torch.Tensor
    ) -> torch.Tensor:
        """The inverse Hessian, as far as known, applied to ``gradient``.

        The two loops of Nocedal & Wright (2006), algorithm 7.4; ``solve`` applies the inverse
        Hessian that is assumed beforehand. It is scaled as the last pair tells (their 7.20).
        """
        result, weights = gradient.clone(), []
        for moves, changes, rates in reversed(self._pairs):
            weights.append(rates * dot(moves, result))
            result.addcmul_(spread(weights[-1]), changes, value=-1)
        result = solve(result)
        if self._pairs:
            moves, changes, _ = self._pairs[-1]
            seen, assumed = dot(moves, changes), dot(changes, solve(changes))
            result *= spread(torch.where(seen > 0, seen / assumed, 1.0))
        for (moves, changes, rates), weight in zip(self._pairs, reversed(weights), strict=True):
            result.addcmul_(spread(weight - rates * dot(changes, result)), moves)
        return result


def dot(ones: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Inner products, (A,), of (A, classes, width)."""
    products: torch.Tensor = torch.linalg.vecdot(ones.flatten(1), others.flatten(1))
    return products


def spread(numbers: torch.Tensor) -> torch.Tensor:
    """``numbers`` (A,) as (A, 1, 1), to be multiplied with (A, classes, width)."""
    return numbers[:, None, None]
