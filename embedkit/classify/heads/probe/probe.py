"""The probe: a linear classifier whose C and features are chosen on validation."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from embedkit.classify.heads.linear import Linear
from embedkit.classify.heads.probe.protocol import Protocol
from embedkit.classify.heads.probe.sweep import Fit, sweep
from embedkit.classify.heads.training_set import Examples, check
from embedkit.results import Progress, ProgressCallback, no_progress


@dataclass(frozen=True)
class Trial:
    """One fit of the sweep, and what it is worth on validation."""

    features: str
    C: float
    """As scikit-learn means it."""
    objective: float
    """``C * sum(weight * cross-entropy) + |W|^2 / 2`` on the training photos."""
    iterations: int
    gradient: float
    """Largest component of the gradient of objective / (C * sum of weights)."""
    converged: bool
    accuracy: float
    """Share of the validation photos whose most probable class is theirs."""
    nll: float
    """Mean over the validation photos of -log of their class's probability, in nats."""


class Probe:
    """Multinomial logistic regression on frozen embeddings.

    Tries every C of the protocol on each of its features, and keeps what classifies most
    validation photos correctly; of equals the one with the lower negative log-likelihood, then the
    one tried first. Runs on CUDA when there is one. Same input, same machine: same result.

    Fitted, it has ``classes_``, ``history`` (a :class:`Trial` for each fit), ``chosen`` (the one
    that was kept), ``selected`` (its layer, which validation has judged) and ``linear``, the layer
    to predict with: that one, unless the protocol fits it again. Standardising is folded in.
    """

    classes_: tuple[str, ...]
    history: tuple[Trial, ...]
    chosen: Trial
    selected: Linear
    linear: Linear

    def __init__(self, protocol: Protocol | None = None) -> None:
        self.protocol = protocol or Protocol()

    def fit(
        self,
        train: Examples,
        validation: Examples,
        classes: Sequence[str],
        progress: ProgressCallback = no_progress,
    ) -> "Probe":
        """Fit on ``train``, choose on ``validation``; ``classes`` are the names of the labels.

        Raises :class:`BadInput` for fewer than two classes, one without a training photo, labels
        that are none of them, and embeddings of two widths.
        """
        self.classes_ = tuple(classes)
        check(train, validation, self.classes_)
        tried: list[tuple[Trial, Linear]] = []
        for number, features in enumerate(self.protocol.features):
            progress(Progress("fitting probes", number, len(self.protocol.features)))
            fits = sweep(train, len(self.classes_), features, self.protocol)
            tried += [(_trial(features, fit, validation), fit.linear) for fit in fits]
        self.history = tuple(trial for trial, _ in tried)
        self.chosen, self.selected = min(tried, key=lambda one: (-one[0].accuracy, one[0].nll))
        self.linear = self.selected
        if self.protocol.refit:
            progress(Progress("fitting the best probe again"))
            alone = replace(self.protocol, grid=(self.chosen.C,), relative=False)
            both = train + validation
            (fit,) = sweep(both, len(self.classes_), self.chosen.features, alone)
            self.linear = fit.linear
        return self

    def predict_proba(self, vectors: np.ndarray, norms: np.ndarray) -> np.ndarray:
        """Probabilities, float64 (N, classes), of embeddings, float32 (N, dim), with norms (N,)."""
        return self.linear.predict_proba(vectors, norms)


def _trial(features: str, fit: Fit, validation: Examples) -> Trial:
    chances = fit.linear.predict_proba(validation.vectors, validation.norms)
    of_true = chances[np.arange(len(validation)), validation.labels]
    return Trial(
        features=features,
        C=fit.C,
        objective=fit.objective,
        iterations=fit.iterations,
        gradient=fit.gradient,
        converged=fit.converged,
        accuracy=float(np.mean(chances.argmax(1) == validation.labels)),
        nll=float(-np.mean(np.log(np.maximum(of_true, np.finfo(np.float64).tiny)))),
    )
