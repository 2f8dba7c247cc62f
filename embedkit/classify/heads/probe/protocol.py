"""Protocols for fitting and selecting a probe: the default one, and those of two papers."""

from dataclasses import dataclass

import numpy as np

from embedkit.classify.heads.linear import RAW
from embedkit.classify.heads.probe.treatments import TREATMENTS
from embedkit.errors import BadInput


def _powers_of_ten(first: float, last: float, count: int) -> tuple[float, ...]:
    return tuple(np.logspace(first, last, count).tolist())


@dataclass(frozen=True)
class Protocol:
    """Hyperparameters that a probe tries. Raises :class:`BadInput` for invalid values.

    C is scikit-learn's: the objective is ``C * sum(cross-entropy) + |W|^2 / 2``, without a
    penalty on the intercept. The best C is inversely proportional to the squared length of the
    features. The default grid is relative to it, so that one grid suits features of any scale.
    """

    features: tuple[str, ...] = TREATMENTS
    """Treatments of the embeddings to try: ``raw``, ``l2`` and ``standardised``."""
    grid: tuple[float, ...] = _powers_of_ten(-2, 3, 11)
    """Values of C to try."""
    relative: bool = True
    """Whether ``grid`` is in units of 1 / (mean squared length of centred training features)."""
    refit: bool = False
    """Whether to fit the best probe again on training and validation set together. Such a head
    cannot be a member of an ensemble, because no validation photos are left."""
    balanced: bool = False
    """Whether to give each class the same total weight, N / classes, as scikit-learn's
    ``class_weight="balanced"``."""
    tolerance: float = 1e-6
    """A fit has converged when its next step is expected to lower the objective by less than this
    share of it."""
    max_iterations: int = 1000
    """Maximum number of L-BFGS iterations."""

    def __post_init__(self) -> None:
        for treatment in self.features:
            if treatment not in TREATMENTS:
                raise BadInput(f"unknown features {treatment!r}; use {', '.join(TREATMENTS)}")
        if not self.features or not self.grid:
            raise BadInput("a protocol needs at least one kind of features and one value of C")
        if min(self.grid) <= 0 or not np.isfinite(self.grid).all():
            raise BadInput("values of C must be positive and finite")


PROTOCOLS = {
    "embedkit": Protocol(),
    "dinov2": Protocol((RAW,), _powers_of_ten(-6, 5, 45), relative=False, refit=True),
    "clip": Protocol((RAW,), _powers_of_ten(-6, 6, 97), relative=False, refit=True),
}
"""Protocols by name.

- ``dinov2``: ``dinov2/eval/log_regression.py`` of Oquab et al. (2023): 45 values of C from 1e-6 to
  1e5, unnormalised features, at most 1000 iterations, the C of the best accuracy on held-out photos
  (by default a tenth of the training set), then a fit on both together. It minimises with cuML in
  float64, to a tolerance of 1e-12. (DINOv2's other protocol, ``linear.py``, trains layers by SGD on
  augmented photos, which embeddings do not allow.)
- ``clip``: appendix A.3 of Radford et al. (2021): scikit-learn's L-BFGS, at most 1000 iterations,
  L2 strengths from 1e-6 to 1e6 in 96 steps, eight for each factor of ten, selected on the
  validation set, then a fit on both together. The paper bisects around the best value to save time;
  here all 97 values are tried. For CLIP's ViTs the paper uses features before the projection into
  the shared space; ``clip-vit-b-32`` embeds after it.
"""
