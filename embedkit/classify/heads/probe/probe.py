"""The probe: a linear classifier whose C and features are selected on the validation set."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from embedkit.classify.heads.examples import Examples, check_examples
from embedkit.classify.heads.linear import Linear
from embedkit.classify.heads.probabilities import negative_log_likelihood
from embedkit.classify.heads.probe.protocol import Protocol
from embedkit.classify.heads.probe.sweep import Fit, sweep
from embedkit.results import Progress, ProgressCallback, no_progress


@dataclass(frozen=True)
class Trial:
    """One fit of the sweep, with its metrics on the validation set."""

    features: str
    C: float
    """Inverse regularisation strength, as in scikit-learn."""
    objective: float
    """``C * sum(weight * cross-entropy) + |W|^2 / 2`` on the training photos."""
    iterations: int
    gradient: float
    """Largest absolute component of the gradient of objective / (C * sum of weights)."""
    converged: bool
    accuracy: float
    """Accuracy on the validation set."""
    nll: float
    """Negative log-likelihood on the validation set, nats."""


class Probe:
    """Multinomial logistic regression on frozen embeddings.

    Fits every C of the protocol on each of its features and selects the fit with the highest
    validation accuracy; ties are broken by the lowest negative log-likelihood, then by the first
    one. Runs on CUDA if available. The same input gives the same result on the same machine.

    Parameters
    ----------
    protocol : Protocol, optional
        Features and values of C to try; ``Protocol()`` by default.

    Attributes
    ----------
    classes_
        Names of the classes.
    history
        A :class:`Trial` for each fit.
    best
        The trial that was selected.
    selected
        The layer of that trial, which the validation metrics refer to.
    linear
        The layer to predict with: ``selected``, or with ``refit`` the same hyperparameters fitted
        on training and validation set together. Standardisation is folded into the layer.
    """

    classes_: tuple[str, ...]
    history: tuple[Trial, ...]
    best: Trial
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
        """Fit the probe and select its hyperparameters.

        Parameters
        ----------
        train, validation : Examples
            Embeddings with class numbers.
        classes : sequence of str
            Names of the classes, by class number.
        progress : callable, optional
            Called with the state of the work.

        Returns
        -------
        Probe
            The probe itself.

        Raises
        ------
        BadInput
            There are fewer than two classes, a class has no training photos, labels are not class
            numbers, or embeddings have different dimensions.
        """
        self.classes_ = tuple(classes)
        check_examples(train, validation, self.classes_)
        tried: list[tuple[Trial, Linear]] = []
        for number, features in enumerate(self.protocol.features):
            progress(Progress("fitting probes", number, len(self.protocol.features)))
            fits = sweep(train, len(self.classes_), features, self.protocol)
            tried += [(_trial(features, fit, validation), fit.linear) for fit in fits]
        self.history = tuple(trial for trial, _ in tried)
        self.best, self.selected = min(
            tried, key=lambda fitted: (-fitted[0].accuracy, fitted[0].nll)
        )
        self.linear = self.selected
        if self.protocol.refit:
            progress(Progress("fitting the best probe again"))
            best_only = replace(self.protocol, grid=(self.best.C,), relative=False)
            both = train + validation
            (fit,) = sweep(both, len(self.classes_), self.best.features, best_only)
            self.linear = fit.linear
        return self

    def predict_proba(self, vectors: np.ndarray, norms: np.ndarray) -> np.ndarray:
        """Return class probabilities.

        Parameters
        ----------
        vectors : ndarray
            L2-normalised embeddings: float32 (N, dim).
        norms : ndarray
            Their norms before normalising: float32 (N,).

        Returns
        -------
        numpy.ndarray
            float64 (N, classes).
        """
        return self.linear.predict_proba(vectors, norms)


def _trial(features: str, fit: Fit, validation: Examples) -> Trial:
    probabilities = fit.linear.predict_proba(validation.vectors, validation.norms)
    logarithms = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    return Trial(
        features=features,
        C=fit.C,
        objective=fit.objective,
        iterations=fit.iterations,
        gradient=fit.gradient,
        converged=fit.converged,
        accuracy=float(np.mean(probabilities.argmax(1) == validation.labels)),
        nll=negative_log_likelihood(logarithms, validation.labels),
    )
