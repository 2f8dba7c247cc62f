"""How a probe is fitted and chosen: this project's way, and those of two papers."""

from dataclasses import dataclass

import numpy as np

from embedkit.errors import BadInput
from embedkit.heads.linear import RAW
from embedkit.heads.probe.treatments import TREATMENTS


@dataclass(frozen=True)
class Protocol:
    """What is tried, and what is done with the best of it.

    ``grid`` holds values of C as scikit-learn means them: the objective is
    ``C * sum(cross-entropy) + |W|^2 / 2`` and does not penalise the intercept.
    """

    features: tuple[str, ...] = TREATMENTS
    grid: tuple[float, ...] = tuple(np.logspace(-4, 4, 17).tolist())
    refit: bool = False
    """Fit the best again on training and validation photos together. The validation photos can
    then choose nothing more: no temperature, no weight in an ensemble."""
    balanced: bool = False
    """Weigh examples by N / (classes * examples of their class), as scikit-learn's
    ``class_weight="balanced"``, so that each class counts the same."""
    tolerance: float = 1e-6
    """A fit has converged when its next step promises to lower the objective by less than this
    share of it."""
    max_iterations: int = 1000

    def __post_init__(self) -> None:
        for treatment in self.features:
            if treatment not in TREATMENTS:
                raise BadInput(f"no features called {treatment!r}; take {', '.join(TREATMENTS)}")
        if not self.features or not self.grid:
            raise BadInput("a protocol needs one of each to try: features, and a value of C")
        if min(self.grid) <= 0 or not np.isfinite(self.grid).all():
            raise BadInput("values of C must be positive and finite")


PROTOCOLS = {
    "embedkit": Protocol(),
    "dinov2": Protocol((RAW,), tuple((10 ** np.linspace(-6, 5, 45)).tolist()), refit=True),
    "clip": Protocol((RAW,), tuple((10 ** np.linspace(-6, 6, 97)).tolist()), refit=True),
}
"""Protocols by name.

- ``dinov2``: ``dinov2/eval/log_regression.py`` of Oquab et al. (2023): 45 values of C from 1e-6 to
  1e5, features as the backbone gives them, at most 1000 iterations, the C of the best accuracy on
  held-out photos (a tenth of the training set, where nothing else is given), then a fit on both
  together. It minimises with cuML in float64, to a tolerance of 1e-12. (DINOv2's other protocol,
  ``linear.py``, trains layers by SGD on augmented photos; that is no function of an embedding.)
- ``clip``: appendix A.3 of Radford et al. (2021): scikit-learn's L-BFGS, at most 1000 iterations,
  the L2 strength from 1e-6 to 1e6 in 96 steps, eight for each factor of ten, chosen on validation,
  then a fit on both together. The paper halves intervals around the best to save time; here all 97
  values are tried. For CLIP's ViTs it takes features before the projection into the shared space,
  which are not what ``clip-vit-b-32`` embeds.
"""
