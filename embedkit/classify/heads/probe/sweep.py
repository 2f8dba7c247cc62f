"""Fit one layer for each C on one treatment of the embeddings."""

from dataclasses import dataclass

import numpy as np
import torch

from embedkit.backbones.torch_runtime import best_device, exact_float32
from embedkit.classify.heads.examples import Examples
from embedkit.classify.heads.linear import Linear
from embedkit.classify.heads.probe.logistic import Logistic, parallel_over_cores
from embedkit.classify.heads.probe.protocol import Protocol
from embedkit.classify.heads.probe.treatments import treat


@dataclass(frozen=True)
class Fit:
    """A fitted layer and the state of its optimisation."""

    C: float
    """Inverse regularisation strength as in scikit-learn, even if the grid is relative."""
    linear: Linear
    objective: float
    """``C * sum(weight * cross-entropy) + |W|^2 / 2``, W being the weights on treated features."""
    iterations: int
    gradient: float
    """Largest absolute component of the gradient of objective / (C * sum of weights), which
    scikit-learn's ``tol`` bounds."""
    converged: bool


def sweep(
    examples: Examples,
    classes: int,
    features: str,
    protocol: Protocol,
    among: np.ndarray | None = None,
) -> list[Fit]:
    """Fit a layer of ``classes`` classes for each C of the protocol's grid, on CUDA or the CPU.

    The layer is fitted on the examples ``among``, int64 (n,), all by default. It makes one copy of
    their vectors on the device; other memory does not grow with N.
    """
    found = best_device()
    # Sums are float64, which MPS does not support.
    device = torch.device("cpu") if found.type == "mps" else found
    with exact_float32(), parallel_over_cores(device) as parallel_map:
        treated = treat(examples, features, device, among)
        unit = (treated.power or 1.0) if protocol.relative else 1.0  # 0 for constant features
        grid = [c / unit for c in protocol.grid]
        labels = examples.labels if among is None else examples.labels[among]
        logistic = Logistic(
            treated.rows,
            torch.from_numpy(labels).to(device),
            torch.from_numpy(_weights(labels, classes, protocol.balanced)).to(device),
            classes,
            parallel_map,
        )
        solutions = logistic.minimise(grid, protocol.tolerance, protocol.max_iterations)
    return [
        Fit(
            c,
            treated.fold(solution.parameters),
            solution.objective,
            solution.iterations,
            solution.gradient,
            solution.converged,
        )
        for c, solution in zip(grid, solutions, strict=True)
    ]


def _weights(labels: np.ndarray, classes: int, balanced: bool) -> np.ndarray:
    if not balanced:
        return np.ones(len(labels), np.float32)
    of_classes = len(labels) / (classes * np.bincount(labels, minlength=classes))
    return np.asarray(of_classes[labels], np.float32)
