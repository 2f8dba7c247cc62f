"""Rank photos by how probable it is that their label is wrong, from embeddings and labels.

Each backbone is a member: :func:`out_of_fold` gives each photo the class probabilities of a probe
that was fitted without this photo and its copies. :func:`rank` averages the probabilities of the
members and ranks the photos by the log-ratio of the best other class to the given one.

The choices are measured (``scripts/bench_label_errors.py``). The order of the log-ratio does not
depend on the temperature. The votes of nearest neighbours as a further member lower the average
precision by .01 on CIFAR-10N. A second round, fitted without the surest suspects, raises it by .00
to .02 there, but lowers it by .04 or more on the small classes of clip art. So both are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedkit.classify.heads.examples import Examples
from embedkit.classify.heads.linear import L2
from embedkit.classify.heads.probabilities import (
    fit_temperature,
    log_softmax,
    negative_log_likelihood,
    softmax,
)
from embedkit.classify.heads.probe import Protocol
from embedkit.classify.heads.probe.sweep import sweep
from embedkit.errors import BadInput
from embedkit.results import Progress, ProgressCallback, no_progress

NOT_SCORED = "all photos with this label are copies of each other"
"""Why a photo has no out-of-fold probabilities: no other photo shows what its class looks like."""

_FOLDS = 5
_SEED = 0
_GRID = tuple(10 ** np.arange(-0.5, 2.1, 0.25))
"""Values of C, relative to the features; see :class:`Protocol`."""
_SELECTION_PHOTOS = 10_000
"""Approximate maximum number of photos on which C is selected."""
_UNKNOWN_CLASS = 10.0
"""How far the logit of a class without training photos is below the lowest logit of the photo."""
_TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Class probabilities of N photos by probes that were fitted without these photos."""

    probabilities: np.ndarray
    """Calibrated probabilities, float64 (N, classes); NaN for photos that are not scored."""
    scored: np.ndarray
    """Photos with probabilities, bool (N,); :data:`NOT_SCORED` is the reason of the others."""
    C: float
    """Selected inverse regularisation strength, in units of 1 / (mean squared length of centred
    features); NaN if no photo is scored."""
    temperature: float
    """Temperature that calibrates the logits; NaN if no photo is scored."""


@dataclass(frozen=True, eq=False)
class LabelRanking:
    """N photos ranked by how probable it is that their label is wrong."""

    order: np.ndarray
    """Rows of the scored photos, surest suspect first: int64 (scored,)."""
    scores: np.ndarray
    """``log p(best other class) - log p(given class)``, float64 (N,); NaN if not scored. Above 0
    another class is more probable than the given one."""
    suggestions: np.ndarray
    """The most probable other class, int64 (N,); -1 if not scored."""
    probabilities: np.ndarray
    """Mean of the members' probabilities, float64 (N, classes); NaN if not scored."""
    scored: np.ndarray
    """Photos with a score, bool (N,); :data:`NOT_SCORED` is the reason of the others."""
    estimated: int
    """Estimated number of wrong labels; see :func:`rank`."""


def out_of_fold(
    vectors: np.ndarray,
    norms: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    classes: int,
    progress: ProgressCallback = no_progress,
) -> OutOfFold:
    """Return calibrated out-of-fold class probabilities of a probe.

    The photos are divided into five folds with about the same share of each class; a group of
    copies is in one fold. The probe is logistic regression on L2-normalised embeddings, fitted on
    four folds for the photos of the fifth. C is the one with the lowest out-of-fold negative
    log-likelihood; with more than 10,000 photos, on a random sample of 10,000. One temperature
    calibrates the logits. The same input in the same order gives the same result.

    Parameters
    ----------
    vectors : ndarray
        L2-normalised embeddings: float32 (N, dim).
    norms : ndarray
        Norms of the embeddings before normalising: float32 (N,).
    labels : ndarray
        Class numbers, from 0 to ``classes - 1``: int64 (N,).
    groups : ndarray
        Group numbers, the same for copies of each other: int64 (N,).
    classes : int
        Number of classes.
    progress : callable, optional
        Called with the state of the work.

    Returns
    -------
    OutOfFold
        A photo is not scored if all photos with its label are in one fold. This is certain for a
        label with a single group of photos.

    Raises
    ------
    BadInput
        There are photos of fewer than two classes, or the arrays differ in length.
    """
    examples = Examples(vectors, norms, labels)
    if len(groups) != len(labels):
        raise BadInput(f"{len(groups)} group numbers and {len(labels)} labels; give one each")
    present = np.unique(labels)
    if len(present) < 2:
        raise BadInput("finding wrong labels needs photos of two classes or more")
    if present[0] < 0 or present[-1] >= classes:
        raise BadInput(f"labels must be class numbers from 0 to {classes - 1}")
    folds = _folds(labels, groups)
    scored = _scored(labels, folds, classes)
    if not scored.any():
        return OutOfFold(np.full((len(labels), classes), np.nan), scored, np.nan, np.nan)
    sample = _sample(groups)
    progress(Progress("selecting C"))
    tried = _logits(examples, folds, sample, classes, _GRID)
    counted = scored & sample
    fits = [_calibrated(logits[counted], labels[counted]) for logits in tried]
    best = min(range(len(_GRID)), key=lambda number: fits[number][1])
    (temperature, _), logits = fits[best], tried[best]
    if not sample.all():
        progress(Progress("fitting probes"))
        (logits,) = _logits(examples, folds, np.ones(len(labels), bool), classes, (_GRID[best],))
        temperature, _ = _calibrated(logits[scored], labels[scored])
    probabilities = softmax(logits / temperature)
    probabilities[~scored] = np.nan
    return OutOfFold(probabilities, scored, _GRID[best], temperature)


def rank(members: Sequence[OutOfFold], labels: np.ndarray) -> LabelRanking:
    """Rank photos by the mean of their members' probabilities.

    The estimated number of wrong labels is the number of photos whose most probable class differs
    from the given one and is at least as probable as it is on average for photos with that label
    (Northcutt, Jiang & Chuang 2021). It is a rough guide: 0.7 to 1.5 times the true number in
    most measurements.

    Parameters
    ----------
    members : sequence of OutOfFold
        One for each backbone, of the same photos in the same order.
    labels : ndarray
        Class numbers of the photos: int64 (N,).

    Returns
    -------
    LabelRanking
        Equal scores are in the order of the rows.
    """
    scored = np.logical_and.reduce([member.scored for member in members])
    probabilities = np.mean([member.probabilities for member in members], axis=0)
    probabilities[~scored] = np.nan
    scores = np.full(len(labels), np.nan)
    suggestions = np.full(len(labels), -1)
    rows = np.flatnonzero(scored)
    known, given = probabilities[rows], labels[rows]
    own = known[np.arange(len(rows)), given]
    others = known.copy()
    others[np.arange(len(rows)), given] = -1.0
    suggestions[rows] = others.argmax(1)
    scores[rows] = np.log(np.maximum(others.max(1), _TINY)) - np.log(np.maximum(own, _TINY))
    order = rows[np.argsort(-scores[rows], kind="stable")]
    estimated = _estimated(known, given)
    return LabelRanking(order, scores, suggestions, probabilities, scored, estimated)


def _estimated(probabilities: np.ndarray, labels: np.ndarray) -> int:
    """Count the photos that are, with confidence, of another class than their label."""
    count, classes = probabilities.shape
    own = probabilities[np.arange(count), labels]
    photos = np.bincount(labels, minlength=classes)
    confidence = np.bincount(labels, own, minlength=classes) / np.maximum(photos, 1)
    confidence[photos == 0] = np.inf
    best = probabilities.argmax(1)
    return int(np.sum((best != labels) & (probabilities.max(1) >= confidence[best])))


def _folds(labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return the fold of each photo, int64 (N,), the same for a group.

    Groups are dealt out in the order of the class of their first photo, at random within a class.
    """
    first, numbers = np.unique(groups, return_index=True, return_inverse=True)[1:]
    drawn = np.random.default_rng(_SEED).permutation(len(first))
    dealt = drawn[np.argsort(labels[first][drawn], kind="stable")]
    fold_of = np.empty(len(first), np.int64)
    fold_of[dealt] = np.arange(len(first)) % _FOLDS
    return fold_of[numbers]


def _scored(labels: np.ndarray, folds: np.ndarray, classes: int) -> np.ndarray:
    """Return which photos have a label that photos outside of their fold have too, bool (N,).

    Where these are the only other label, a probe has nothing to compare it with.
    """
    counts = np.bincount(folds * classes + labels, minlength=_FOLDS * classes)
    outside = counts.reshape(_FOLDS, classes)
    known = (outside.sum(0) - outside) > 0
    return np.asarray(known[folds, labels] & (known.sum(1) > 1)[folds])


def _sample(groups: np.ndarray) -> np.ndarray:
    """Return which photos C is selected on, bool (N,): whole groups, drawn at random."""
    if len(groups) <= _SELECTION_PHOTOS:
        return np.ones(len(groups), bool)
    numbers = np.unique(groups, return_inverse=True)[1]
    order = np.random.default_rng(_SEED).permutation(int(numbers.max()) + 1)
    sizes = np.bincount(numbers)[order]
    drawn = np.zeros(len(order), bool)
    drawn[order[np.cumsum(sizes) <= _SELECTION_PHOTOS]] = True
    return np.asarray(drawn[numbers])


def _logits(
    examples: Examples,
    folds: np.ndarray,
    among: np.ndarray,
    classes: int,
    grid: Sequence[float],
) -> np.ndarray:
    """Return out-of-fold logits for each C of the grid, float32 (C, N, classes).

    Photos that are not ``among``, bool (N,), are neither fitted on nor predicted. Theirs are 0, as
    those of a fold for which fewer than two classes are left.
    """
    logits = np.zeros((len(grid), len(folds), classes), np.float32)
    protocol = Protocol(grid=tuple(grid))
    for fold in range(_FOLDS):
        train, predicted = (np.flatnonzero(among & (folds != fold)), among & (folds == fold))
        present, numbers = np.unique(examples.labels[train], return_inverse=True)
        if len(present) < 2 or not predicted.any():
            continue
        fitted = Examples(examples.vectors[train], examples.norms[train], numbers)
        vectors, norms = examples.vectors[predicted], examples.norms[predicted]
        for number, fit in enumerate(sweep(fitted, len(present), L2, protocol)):
            found = fit.linear.logits(vectors, norms)
            of_all = np.repeat(found.min(1, keepdims=True) - _UNKNOWN_CLASS, classes, axis=1)
            of_all[:, present] = found
            logits[number, predicted] = of_all
    return logits


def _calibrated(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return the temperature of logits (N, classes), and their loss at that temperature, nats."""
    scores = logits.astype(np.float64)
    temperature = fit_temperature(scores, labels)
    return temperature, negative_log_likelihood(log_softmax(scores / temperature), labels)
