"""Rank photos by how probable it is that their label is wrong, from embeddings and labels.

Each backbone is a member: a probe gives each photo class probabilities, fitted without this photo
and its copies. Photos are ranked by the log-ratio of the best other class to the given one, after
corrections of the log-probabilities: see :func:`corrections`. On published probabilities
(``scripts/check_label_ranking.py``), the corrections raise the average precision by .004 on
CIFAR-10 with synthetic errors, by .010 and .001 on CIFAR-10N aggregate and worst, and by .053 on
Roman numerals, where many photos seem unclear. Measured with ``scripts/bench_label_errors.py``:

- A second round of probes, fitted without the confident suspects, raises the average precision by
  .01 on CIFAR-10N, if it is averaged with the first round, and changes little on clip art: +.003
  in average precision, -.01 in precision among as many suspects as there are wrong labels. Alone
  it is better still on CIFAR-10N, but it lost up to .09 on clip art, where classes are small.
- The votes of nearest neighbours as a further member lower it by .01, and so are left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from embedkit.classify.heads.linear import Features
from embedkit.results import Progress, ProgressCallback, no_progress
from embedkit.review.cross_validation import OutOfFold, out_of_fold, refit_without

ReadEmbeddings = Callable[[], Features]
"""Reads the embeddings of N photos under one backbone."""

_TINY = np.finfo(np.float64).tiny
_NEGLIGIBLE = 1e-12
"""Smaller probabilities are treated as equal when the typical ones of a label are computed."""
_PRIOR = 10.0
"""Confident errors that are added to those of each two classes, so that few do not count."""
_CERTAIN = 1 / 3
"""Rank correlation from which all photos with a wrong label are treated as photos of another
class. With 1/2, the average precision is .007 lower on CIFAR-10N random 1; with 1/4, it is up to
.011 below the best of cleanlab's scores on Roman numerals."""


@dataclass(frozen=True, eq=False)
class LabelRanking:
    """N photos ranked by how probable it is that their label is wrong."""

    order: np.ndarray
    """Rows of the scored photos, surest suspect first: int64 (scored,)."""
    scores: np.ndarray
    """Corrected ``log p(best other class) - log p(given class)``, float64 (N,); NaN if not scored.
    As many are above 0 as there are photos whose label is not the most probable class."""
    suggestions: np.ndarray
    """The most probable other class, int64 (N,); -1 if not scored."""
    probabilities: np.ndarray
    """Mean of the members' probabilities, float64 (N, classes); NaN if not scored."""
    scored: np.ndarray
    """Photos with a score, bool (N,); :data:`embedkit.review.cross_validation.NOT_SCORED` is why
    the others have none."""
    confident: np.ndarray
    """Photos that are, with confidence, of another class than their label, bool (N,): the most
    probable class is at least as probable as it is on average for photos with that label."""


def two_rounds(
    embeddings: Sequence[ReadEmbeddings],
    labels: np.ndarray,
    groups: np.ndarray,
    classes: int,
    verified: np.ndarray | None = None,
    progress: ProgressCallback = no_progress,
) -> list[OutOfFold]:
    """Return the out-of-fold probabilities of both rounds of probes of each backbone.

    Parameters
    ----------
    embeddings : sequence of callable
        One for each backbone; each is called twice, so that the embeddings of one backbone at a
        time are in memory.
    labels, groups, classes
        As for :func:`out_of_fold`.
    verified : ndarray, optional
        Photos whose label a person has verified, bool (N,): the second round is fitted on them,
        however improbable their label is. Default: none.
    progress : callable, optional
        Called with the state of the work.

    Returns
    -------
    list of OutOfFold
        The members of the ranking: see :func:`rank`.

    Raises
    ------
    BadInput
        As for :func:`out_of_fold`.
    """
    total = 2 * len(embeddings)
    first, second = [], []
    for number, read in enumerate(embeddings):
        progress(Progress("fitting probes", number, total))
        first.append(out_of_fold(read(), labels, groups, classes))
    suspects = rank(first, labels).confident
    if verified is not None:
        suspects &= ~verified
    for number, (read, member) in enumerate(zip(embeddings, first, strict=True)):
        progress(Progress("fitting probes", len(first) + number, total))
        second.append(refit_without(suspects, member, read(), labels, groups))
    return [*first, *second]


def rank(members: Sequence[OutOfFold], labels: np.ndarray) -> LabelRanking:
    """Rank photos by the mean of their members' probabilities.

    Parameters
    ----------
    members : sequence of OutOfFold
        Probabilities of the same photos in the same order: see :func:`two_rounds`.
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
    own, best, suggestions[rows] = _own_and_other(known, given)
    corrected = np.log(np.maximum(known, _TINY)) + corrections(known, given)[given]
    own_score, other_score, _ = _own_and_other(corrected, given)
    scores[rows] = other_score - own_score
    scores[rows] -= _between(scores[rows], int((best > own).sum()))
    order = rows[np.argsort(-scores[rows], kind="stable")]
    confident = np.zeros(len(labels), bool)
    confident[rows] = confident_errors(known, given)
    return LabelRanking(order, scores, suggestions, probabilities, scored, confident)


def confident_errors(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return which of n photos are, with confidence, of another class than their label: bool (n,).

    ``probabilities`` is (n, classes), ``labels`` (n,).
    """
    count, classes = probabilities.shape
    own = probabilities[np.arange(count), labels]
    photos = np.bincount(labels, minlength=classes)
    average = np.bincount(labels, own, minlength=classes) / np.maximum(photos, 1)
    average[photos == 0] = np.inf
    best = probabilities.argmax(1)
    return np.asarray((best != labels) & (probabilities.max(1) >= average[best]))


def corrections(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the terms that are added to log-probabilities: float64 (labels, classes).

    A photo with a wrong label is of another class, or it is unclear: of no class, or of several.

    - Another class: a probe confuses two classes in both directions, but people often confuse them
      in one. The term is half the logarithm of the ratio of confident errors in the two directions.
    - Unclear: the probability of another class is evidence only if it is unusual for photos with
      this label. The term is minus half the logarithm of the typical probability, which is the
      geometric mean.

    :func:`other_class_share` weights the two terms.

    Parameters
    ----------
    probabilities : ndarray
        Class probabilities of n photos: float64 (n, classes).
    labels : ndarray
        Class numbers: int64 (n,).
    """
    classes = probabilities.shape[1]
    logs = np.log(np.maximum(probabilities, _NEGLIGIBLE))
    typical = np.full((classes, classes), -np.log(classes))
    for number in range(classes):
        of_label = logs[labels == number]
        typical[number] = (typical[number] + of_label.sum(0)) / (1 + len(of_label))
    wrong = confident_errors(probabilities, labels)
    errors = np.full((classes, classes), _PRIOR)
    np.add.at(errors, (labels[wrong], probabilities[wrong].argmax(1)), 1)
    share = other_class_share(probabilities, labels)
    return np.asarray((share * np.log(errors / errors.T) - (1 - share) * typical) / 2)


def other_class_share(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the weight of photos of another class among those with a wrong label, from 0 to 1.

    If photos are of another class, a less probable label leaves a larger share of the remaining
    probability to one class. If photos are unclear, it does not. The weight is proportional to this
    rank correlation among the photos with the least probable labels. Their number is the number of
    photos whose label is not the most probable class.

    ``probabilities`` is (n, classes), ``labels`` (n,).
    """
    from scipy.stats import rankdata

    own, other, _ = _own_and_other(probabilities, labels)
    doubtful = np.argsort(own, kind="stable")[: (other > own).sum()]
    concentration = other[doubtful] / (1 - own[doubtful])
    if len(doubtful) < 2 or np.ptp(own[doubtful]) == 0 or probabilities.shape[1] == 2:
        return 1.0
    ranks = rankdata(own[doubtful]), rankdata(-concentration)
    correlation = np.corrcoef(*ranks)[0, 1] if np.ptp(concentration) else 0.0
    return float(np.clip(correlation / _CERTAIN, 0.0, 1.0))


def _own_and_other(
    values: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the values of the labels, the largest ones of other classes, and these classes: (n,).

    ``values`` is (n, classes), ``labels`` (n,).
    """
    rows, others = np.arange(len(labels)), values.copy()
    others[rows, labels] = -np.inf
    best = others.argmax(1)
    return values[rows, labels], values[rows, best], best


def _between(scores: np.ndarray, count: int) -> float:
    """Return the middle between the smallest of the ``count`` largest scores and the next one.

    Without such two scores, it is the number nearest to 0 that has all scores on one side.
    """
    ranked = np.sort(scores)[::-1]
    if count == 0:
        return float(np.nextafter(max(ranked.max(initial=0.0), 0.0), np.inf))
    if count == len(ranked):
        return float(np.nextafter(min(ranked[-1], 0.0), -np.inf))
    return float(ranked[count - 1 : count + 1].mean())
