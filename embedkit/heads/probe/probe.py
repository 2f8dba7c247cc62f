"""A linear classifier of frozen embeddings; what is chosen of it is chosen on validation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from embedkit.backbones.torch_runtime import best_device, exact_float32
from embedkit.heads.examples import Examples, check
from embedkit.heads.linear import Linear
from embedkit.heads.probe.logistic import Logistic, Solution
from embedkit.heads.probe.protocol import Protocol
from embedkit.heads.probe.treatments import Treated, treat
from embedkit.records import Progress, ProgressCallback, silent


@dataclass(frozen=True)
class Trial:
    """One fit of the sweep and what it is worth on validation."""

    features: str
    C: float
    objective: float
    """``C * sum(weight * cross-entropy) + |W|^2 / 2`` on the training photos."""
    iterations: int
    gradient: float
    """Largest component of the gradient of the objective divided by C and the sum of weights."""
    converged: bool
    accuracy: float
    """Share of the validation photos whose most probable class is theirs."""
    nll: float
    """Mean of -log of the probability of their class, in nats."""


class Probe:
    """Multinomial logistic regression on frozen embeddings.

    Tries every C of the protocol with each of its features, and keeps what classifies most
    validation photos correctly; of equals that with the lower negative log-likelihood, then the
    one tried first. Runs on CUDA when there is one. Same input, same machine: same result.

    Fitted, it has ``classes_`` (names, sorted as given), ``history`` (a :class:`Trial` for each
    fit), ``chosen`` (the one that was kept), ``selected`` (its layer, which validation has judged)
    and ``linear``: the layer to predict with, which is that one unless the protocol fits it again.
    Standardising is folded into both.
    """

    classes_: tuple[str, ...]
    history: tuple[Trial, ...]
    chosen: Trial
    selected: Linear
    linear: Linear

    def __init__(
        self, protocol: Protocol | None = None, device: torch.device | None = None
    ) -> None:
        self.protocol = protocol or Protocol()
        found = device or best_device()
        # Sums are float64, which MPS does not have.
        self._device = torch.device("cpu") if found.type == "mps" else found

    def fit(
        self,
        train: Examples,
        validation: Examples,
        classes: Sequence[str],
        progress: ProgressCallback = silent,
    ) -> "Probe":
        """Fit on ``train``, choose on ``validation``; ``classes`` are the names of the labels.

        Raises :class:`BadInput` for fewer than two classes, one without a training photo, labels
        that are none of them and embeddings of two widths.
        """
        self.classes_ = tuple(classes)
        check(train, validation, self.classes_)
        trials: list[tuple[Trial, Linear]] = []
        for number, features in enumerate(self.protocol.features):
            progress(Progress("fitting probes", number, len(self.protocol.features)))
            treated, solutions = self._fitted(train, features, self.protocol.grid)
            for c, solution in zip(self.protocol.grid, solutions, strict=True):
                linear = treated.fold(solution.parameters)
                trials.append((_trial(features, c, solution, linear, validation), linear))
        self.history = tuple(trial for trial, _ in trials)
        self.chosen, self.selected = min(trials, key=lambda pair: (-pair[0].accuracy, pair[0].nll))
        self.linear = self.selected
        if self.protocol.refit:
            progress(Progress("fitting the best probe again"))
            both = train + validation
            treated, (solution,) = self._fitted(both, self.chosen.features, (self.chosen.C,))
            self.linear = treated.fold(solution.parameters)
        return self

    def predict_proba(self, vectors: np.ndarray, norms: np.ndarray) -> np.ndarray:
        """Probabilities, float64 (N, classes), of embeddings, float32 (N, dim), with norms (N,)."""
        return self.linear.predict_proba(vectors, norms)

    def _fitted(
        self, examples: Examples, features: str, grid: tuple[float, ...]
    ) -> tuple[Treated, list[Solution]]:
        counts = np.bincount(examples.labels, minlength=len(self.classes_))
        weights = np.ones(len(examples), np.float32)
        if self.protocol.balanced:
            each = len(examples) / (len(counts) * counts)
            weights = each.astype(np.float32)[examples.labels]
        with torch.inference_mode(), exact_float32():
            treated = treat(examples, features, self._device)
            logistic = Logistic(
                treated.rows,
                torch.from_numpy(examples.labels).to(self._device),
                torch.from_numpy(weights).to(self._device),
                len(counts),
            )
            limits = self.protocol.tolerance, self.protocol.max_iterations
            return treated, logistic.minimise(grid, *limits)


def _trial(
    features: str, c: float, solution: Solution, linear: Linear, validation: Examples
) -> Trial:
    chances = linear.predict_proba(validation.vectors, validation.norms)
    of_true = chances[np.arange(len(validation)), validation.labels]
    return Trial(
        features=features,
        C=c,
        objective=solution.objective,
        iterations=solution.iterations,
        gradient=solution.gradient,
        converged=solution.converged,
        accuracy=float(np.mean(chances.argmax(1) == validation.labels)),
        nll=float(-np.mean(np.log(np.maximum(of_true, np.finfo(np.float64).tiny)))),
    )
