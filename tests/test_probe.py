"""Probes compared with scikit-learn's logistic regression, and their selection."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from embedkit.classify.heads.examples import Examples
from embedkit.classify.heads.linear import L2, RAW
from embedkit.classify.heads.probe import PROTOCOLS, Probe, Protocol
from embedkit.classify.heads.probe.sweep import sweep
from embedkit.classify.heads.probe.treatments import STANDARDISED, TREATMENTS
from embedkit.errors import BadInput

CLASSES = ("a", "b", "c")


def examples(count: int, seed: int, dim: int = 12) -> Examples:
    """Three overlapping clouds of different norms; the last raw component is constant."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, count)
    centres = np.random.default_rng(99).normal(size=(3, dim))
    raw = centres[labels] + 1.5 * random.normal(size=(count, dim)) * np.linspace(0.05, 2, dim)
    norms = np.linalg.norm(raw, axis=1)
    vectors = (raw / norms[:, None]).astype(np.float32)
    return Examples(vectors, norms.astype(np.float32), labels)


TRAIN, VAL = examples(400, 1), examples(200, 2)


def exactly(treatment: str, *grid: float) -> Protocol:
    """A protocol with these values of C, not relative, and a low tolerance."""
    return Protocol((treatment,), grid, relative=False, tolerance=1e-9)


def features_of(some: Examples, treatment: str) -> np.ndarray:
    exact = some.vectors.astype(np.float64)
    return exact * some.norms[:, None] if treatment == RAW else exact


def objective(
    weights: np.ndarray, bias: np.ndarray, x: np.ndarray, y: np.ndarray, c: float
) -> float:
    logits = x @ weights.T + bias
    losses = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(y)), y]
    return float(c * losses.sum() + (weights**2).sum() / 2)


@pytest.mark.parametrize("treatment", [RAW, L2, STANDARDISED])
@pytest.mark.parametrize("c", [1e-3, 1.0, 1e3])
def test_the_optimum_equals_that_of_scikit_learn(treatment: str, c: float) -> None:
    probe = Probe(exactly(treatment, c))
    probe.fit(TRAIN, VAL, CLASSES)
    x = features_of(TRAIN, treatment)
    scaler = StandardScaler().fit(x) if treatment == STANDARDISED else None
    treated = scaler.transform(x) if scaler else x
    exact = LogisticRegression(C=c, tol=1e-8, max_iter=10_000).fit(treated, TRAIN.labels)
    least = objective(exact.coef_, exact.intercept_, treated, TRAIN.labels, c)
    assert probe.best.objective == pytest.approx(least, rel=1e-5)
    val_features = features_of(VAL, treatment)
    expected = exact.predict_proba(scaler.transform(val_features) if scaler else val_features)
    assert np.abs(probe.predict_proba(VAL.vectors, VAL.norms) - expected).max() < 0.01


def test_each_c_has_the_same_solution_alone_and_in_a_grid() -> None:
    grid = (1e-3, 1e-1, 1e1, 1e3)
    together = Probe(exactly(L2, *grid)).fit(TRAIN, VAL, CLASSES).history
    for c, trial in zip(grid, together, strict=True):
        (alone,) = Probe(exactly(L2, c)).fit(TRAIN, VAL, CLASSES).history
        assert trial.converged
        assert trial.objective == pytest.approx(alone.objective, rel=1e-5)


def test_a_fit_among_some_examples_equals_a_fit_on_them_alone() -> None:
    rows = np.random.default_rng(0).permutation(400)[:150]
    alone = Examples(TRAIN.vectors[rows], TRAIN.norms[rows], TRAIN.labels[rows])
    for treatment in TREATMENTS:
        protocol = replace(exactly(treatment, 1.0), balanced=True)
        (among,) = sweep(TRAIN, 3, treatment, protocol, rows)
        (expected,) = sweep(alone, 3, treatment, protocol)
        assert np.array_equal(among.linear.weights, expected.linear.weights)
        assert np.array_equal(among.linear.bias, expected.linear.bias)


def test_the_probe_with_the_best_validation_accuracy_then_nll_is_selected() -> None:
    probe = Probe().fit(TRAIN, VAL, CLASSES)
    assert len(probe.history) == 3 * len(Protocol().grid)
    best = min(probe.history, key=lambda trial: (-trial.accuracy, trial.nll))
    assert probe.best == best
    predicted = probe.predict_proba(VAL.vectors, VAL.norms).argmax(axis=1)
    assert (predicted == VAL.labels).mean() == best.accuracy


def test_balanced_class_weights_equal_those_of_scikit_learn() -> None:
    few = np.flatnonzero((TRAIN.labels > 0) | (np.arange(len(TRAIN)) % 5 == 0))
    some = Examples(TRAIN.vectors[few], TRAIN.norms[few], TRAIN.labels[few])
    probe = Probe(replace(exactly(RAW, 1.0), balanced=True)).fit(some, VAL, CLASSES)
    exact = LogisticRegression(tol=1e-8, max_iter=10_000, class_weight="balanced")
    exact.fit(features_of(some, RAW), some.labels)
    expected = exact.predict_proba(features_of(VAL, RAW))
    assert np.abs(probe.predict_proba(VAL.vectors, VAL.norms) - expected).max() < 0.01


def test_a_refit_uses_the_validation_set_and_keeps_the_hyperparameters() -> None:
    protocol = replace(PROTOCOLS["embedkit"], refit=True)
    probe = Probe(protocol).fit(TRAIN, VAL, CLASSES)
    plain = Probe().fit(TRAIN, VAL, CLASSES)
    assert probe.best == plain.best
    assert (probe.selected.weights == plain.linear.weights).all()
    assert not np.allclose(probe.linear.weights, plain.linear.weights)


def test_fitting_is_deterministic() -> None:
    one, other = (Probe().fit(TRAIN, VAL, CLASSES).linear for _ in range(2))
    assert one.weights.tobytes() == other.weights.tobytes()
    assert one.bias.tobytes() == other.bias.tobytes()


def test_invalid_training_data_is_refused() -> None:
    with pytest.raises(BadInput, match="no training photo of the class 'd'"):
        Probe().fit(TRAIN, VAL, (*CLASSES, "d"))
    with pytest.raises(BadInput, match="two classes or more"):
        Probe().fit(TRAIN, VAL, ("a",))
    with pytest.raises(BadInput, match="one norm and one label"):
        Examples(TRAIN.vectors, TRAIN.norms[:-1], TRAIN.labels)
    with pytest.raises(BadInput, match="unknown features 'cubed'"):
        Protocol(("cubed",))


@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("treatment", [RAW, STANDARDISED])
def test_with_fewer_photos_than_dimensions_the_optimum_equals_that_of_scikit_learn(
    treatment: str, balanced: bool
) -> None:
    few, others = examples(40, 3, dim=60), examples(30, 4, dim=60)
    twice = np.r_[: len(few), :5]  # copies, so that the rank is lower than the number of rows
    few = Examples(few.vectors[twice], few.norms[twice], few.labels[twice])
    for c in (1e-3, 1.0, 1e3):
        protocol = replace(exactly(treatment, c), balanced=balanced)
        probe = Probe(protocol).fit(few, others, CLASSES)
        x = features_of(few, treatment)
        scaler = StandardScaler(with_std=treatment == STANDARDISED).fit(x)
        exact = LogisticRegression(
            C=c, tol=1e-10, max_iter=100_000, class_weight="balanced" if balanced else None
        ).fit(scaler.transform(x), few.labels)
        expected = exact.predict_proba(scaler.transform(features_of(others, treatment)))
        found = probe.predict_proba(others.vectors, others.norms)
        assert np.abs(found - expected).max() < 0.002


def test_a_probe_fits_few_photos_of_many_dimensions() -> None:
    few = examples(18, 3, dim=1280)
    probe = Probe().fit(few, examples(9, 4, dim=1280), CLASSES)
    assert all(trial.converged for trial in probe.history)
