"""How a probe is fitted and chosen: this project's way, and those of two papers."""

from dataclasses import dataclass

import numpy as np

from embedkit.classify.heads.linear import RAW
from embedkit.classify.heads.probe.treatments import TREATMENTS
from embedkit.errors import BadInput


def _powers_of_ten(first: float, last: float, count: int) -> tuple[float, ...]:
    return tuple(np.logspace(first, last, count).tolist())


@dataclass(frozen=True)
class Protocol:
    """What is tried, and what is done with the best of it.

    C is scikit-learn's: the objective is ``C * sum(cross-entropy) + |W|^2 / 2``, with the
    intercept not penalised. The C that suits is in inverse proportion to the features' squared
    length, so by default the grid is in such units: one grid fits features of every scale.
    """

    features: tuple[str, ...] = TREATMENTS
    grid: tuple[float, ...] = _powers_of_ten(-2, 3, 11)
    """Values of C to try."""
    relative: bool = True
    """Whether they are multiples of 1 / (mean squared length of the centred training features)."""
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
    "dinov2": Protocol((RAW,), _powers_of_ten(-6, 5, 45), relative=False, refit=True),
    "clip": Protocol((RAW,), _powers_of_ten(-6, 6, 97), relative=False, refit=True),
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
