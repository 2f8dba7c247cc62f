"""Photos that do not belong to the topic of a collection.

Without verdicts, two scores start the search: the distance of a photo to the centre of the
collection, and the distance to its nearest neighbours. The photos with the highest scores are then
taken for off-topic and a ridge regression learns to tell them from the others; its out-of-fold
predictions are the next scores. After some rounds, off-topic photos that look alike have confirmed
each other, while on-topic photos that were merely unusual have dropped. The literature calls this
pseudo-relevance feedback (Rocchio 1971). It runs once for each of several shares of off-topic
photos; the runs that separate their photos best weigh most.

A collection has a style as well as a topic. After feedback, a ridge regression on the style learns
to tell the photos with the highest scores from the others. Its out-of-fold predictions are added to
the scores. Their weight grows steeply with their correlation with these photos, so that a style
that has nothing to do with the topic hardly counts.

With verdicts, a logistic regression on the embeddings, the style and the score replaces the score.
Photos without a verdict keep a small weight, with the probability that their score gives them.

Without verdicts, a small class of the topic cannot be told from a group of similar photos off the
topic, and similar photos near the centre of a collection of many topics are not found.

Copies count as one photo: arguments named ``groups`` give the copies of a photo the same number.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from embedkit.classify.heads.gallery import sampled_rows
from embedkit.errors import BadInput
from embedkit.index.exact import nearest_with_products
from embedkit.index.metric import cross_distances

MIN_PHOTOS = 3
"""Minimum number of different photos: of two, neither is more unusual than the other."""
MIN_FEEDBACK_PHOTOS = 20
"""Minimum number of different photos for feedback, and for an estimated number above 0."""
NEIGHBOURS = 20
"""Number of nearest neighbours. Dividing their mean distance by that of the neighbours' own
neighbours lowers the average precision in most settings of scripts/bench_off_topic.py."""
COMPONENTS = 128
"""Principal components of the embeddings that neighbours and the relevance probe use."""
FEEDBACK_COMPONENTS = 32
"""Principal components that feedback uses."""
SHARES = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.14)
"""Shares of off-topic photos that feedback tries."""
SEPARATE = 0.62
"""Maximum overlap of two groups of photos; above it, the estimated number is 0. Collections without
planted photos have .65 or more, unless a distinct part of them is larger than the largest share."""

_CORE = 0.8
"""Share of the photos, those nearest to the centre, that determine the centre."""
_CENTRE_ROUNDS = 5
_FOLDS = 5
_ROUNDS, _AVERAGED = 10, 3
_RIDGE = 5.0
"""Ridge penalty, relative to the mean variance of a component."""
_START_WEIGHT = 0.2
_OVERLAP_POWER = 8
_STYLE_GAIN, _STYLE_POWER = 5.0, 4
"""Weight of the style is the gain times this power of the correlation: .1 at .4, and 2 at .8."""
_STYLE_NORM = 0.3
"""Root mean square norm of the style beside the components of the embeddings."""
_CLIP = 3.0
"""Maximum of a style statistic, standard deviations."""
_PROBE_C = 0.3
_PRIOR_SLOPE = 4.0
"""Log-odds per standard deviation of the score; at most three standard deviations count."""
_VERDICT_WEIGHT = 0.08
"""Weight of a verdict, relative to that of all photos without one."""
_SAMPLE = 20_000
"""Maximum number of photos that the principal components are computed from."""
_ROUNDING = 1e-6
"""Root mean square of components that are rounding errors of equal embeddings."""
_SEED = 0


@dataclass(frozen=True)
class OffTopic:
    """Off-topic scores of N photos, before any verdict."""

    scores: np.ndarray
    """The larger, the more certainly off-topic; a sum of standardised scores: float64 (N,)."""
    estimated: int
    """Estimated number of off-topic photos; 0 if no small group of photos is clearly separate."""
    overlap: float
    """Overlap of the highest-scoring photos with the others: the variance of the scores inside
    the two groups, relative to that of a normal distribution cut at the same share. 0 for two
    points, 1 for a normal distribution."""
    threshold: float
    """Lowest score of the group of highest-scoring photos that is most separate."""
    components: np.ndarray
    """Principal components of the embeddings, with a mean squared norm of 1, then the style:
    float64 (N, D)."""
    groups: np.ndarray
    """Group numbers: int64 (N,), from 0."""


def off_topic(
    vectors: Sequence[np.ndarray],
    groups: np.ndarray | None = None,
    terms: Sequence[np.ndarray] = (),
    styles: Sequence[np.ndarray] = (),
) -> OffTopic:
    """Score photos by how unlikely they belong to the topic of their collection.

    Parameters
    ----------
    vectors : sequence of ndarray
        L2-normalised embeddings, one array for each spec: float32 (N, dim).
    groups : ndarray, optional
        Group numbers, equal for copies: int64 (N,). Copies get the same score. Default: no copies.
    terms : sequence of ndarray, optional
        Further scores, larger for photos off the topic, such as :func:`topic_distances`: float64
        (N,). They are standardised and added to the distances that the search starts from.
    styles : sequence of ndarray, optional
        Statistics of the style, such as :func:`embedkit.review.style.styles_of`: float64
        (N, statistics). Each array has the same weight.

    Returns
    -------
    OffTopic
        The scores and the estimated number of off-topic photos.

    Raises
    ------
    BadInput
        There are fewer than :data:`MIN_PHOTOS` different photos, or arrays differ in length.
    """
    arrays = [*vectors, *terms, *styles, *([] if groups is None else [groups])]
    lengths = {len(array) for array in arrays}
    if not vectors or len(lengths) != 1:
        raise BadInput("off-topic photos need embeddings, and arrays of one length")
    if groups is None:
        groups = np.arange(len(vectors[0]))
    _, first, number = np.unique(groups, return_index=True, return_inverse=True)
    if len(first) < MIN_PHOTOS:
        raise BadInput(
            f"off-topic photos are found by comparing {MIN_PHOTOS} or more different photos; "
            f"there {'is' if len(first) == 1 else 'are'} {len(first)}"
        )
    different = [of_spec[first] for of_spec in vectors]
    components = _principal_components(different)
    start = _standardised(_centre_distances(different)) + _standardised(
        _neighbour_distances(components)
    )
    style = _joined_styles([of_kind[first] for of_kind in styles], len(first))
    for term in terms:
        start = start + _standardised(np.asarray(term, np.float64)[first])
    scores, estimated, overlap, threshold = start, 0, 1.0, float(start.max())
    if len(first) >= MIN_FEEDBACK_PHOTOS:
        scores = _after_feedback(components[:, :FEEDBACK_COMPONENTS], start)
        if styles:
            scores = _after_style(scores, style)
        size, overlap = _most_separate(scores)
        threshold = float(np.sort(scores)[-size])
        if overlap <= SEPARATE and size < _largest_size(len(scores)):
            estimated = int(np.count_nonzero(scores[number] >= threshold))
    features = np.concatenate([components, _STYLE_NORM * style], axis=1)
    return OffTopic(scores[number], estimated, overlap, threshold, features[number], number)


def topic_distances(vectors: np.ndarray, texts: np.ndarray) -> np.ndarray:
    """Return the cosine distance of each photo to the nearest description of the topic.

    Parameters
    ----------
    vectors : ndarray
        L2-normalised embeddings of N photos: float32 (N, dim).
    texts : ndarray
        L2-normalised embeddings of descriptions by the same backbone: float32 (T, dim), T >= 1.

    Returns
    -------
    ndarray
        float64 (N,), a term of :func:`off_topic`.
    """
    return np.asarray(cross_distances(texts, vectors).min(axis=0))


def relevance_scores(found: OffTopic, verdicts: np.ndarray) -> np.ndarray:
    """Return off-topic scores that take verdicts into account.

    Parameters
    ----------
    found : OffTopic
        The scores without verdicts.
    verdicts : ndarray
        1 for an off-topic photo, 0 for an on-topic one, -1 without a verdict: int (N,). A verdict
        on one copy counts for all; of different verdicts on copies, off-topic counts.

    Returns
    -------
    ndarray
        Log-odds of being off-topic: float64 (N,). Photos with a verdict are scored like the others.
    """
    from sklearn.linear_model import LogisticRegression

    _, first = np.unique(found.groups, return_index=True)
    known = np.full(len(first), -1)
    np.maximum.at(known, found.groups, verdicts)
    scores = found.scores[first]
    prior = np.clip((scores - found.threshold) / max(scores.std(), 1e-12), -3, 3)
    target = np.where(known >= 0, known, 1 / (1 + np.exp(-_PRIOR_SLOPE * prior)))
    weight = np.where(known >= 0, max(1.0, _VERDICT_WEIGHT * len(first)), 1.0)
    features = np.column_stack([found.components[first], prior])
    # A photo with the probability p is an off-topic one of weight p and an on-topic one of 1 - p.
    weights = np.concatenate([weight * target, weight * (1 - target)])
    used = weights > 1e-3
    rows = np.tile(np.arange(len(first)), 2)[used]
    labels = np.repeat([1, 0], len(first))[used]
    if len(np.unique(labels)) < 2:
        return np.asarray(_PRIOR_SLOPE * prior[found.groups])
    probe = LogisticRegression(C=_PROBE_C, max_iter=200)
    probe.fit(features[rows], labels, sample_weight=weights[used])
    return np.asarray(probe.decision_function(features)[found.groups])


def next_photo(found: OffTopic, verdicts: np.ndarray) -> int | None:
    """Return the row of the photo whose verdict is the most uncertain; None if all have one.

    Arguments are those of :func:`relevance_scores`. Copies of photos with a verdict have one too.
    """
    answered = np.isin(found.groups, found.groups[verdicts >= 0])
    if answered.all():
        return None
    doubt = np.abs(relevance_scores(found, verdicts))
    doubt[answered] = np.inf
    return int(doubt.argmin())


def _standardised(scores: np.ndarray) -> np.ndarray:
    return np.asarray((scores - np.median(scores)) / max(scores.std(), 1e-12))


def _principal_components(vectors: Sequence[np.ndarray]) -> np.ndarray:
    """Return principal components of several specs' embeddings, joined: float64 (N, D)."""
    from sklearn.utils.extmath import randomized_svd

    sample = sampled_rows(len(vectors[0]), _SAMPLE)
    joined = np.concatenate([of_spec[sample] for of_spec in vectors], axis=1)
    mean = joined.mean(axis=0)
    count = min(COMPONENTS, *joined.shape)
    _, _, axes = randomized_svd(joined - mean, count, n_iter=3, random_state=_SEED)
    ends = np.cumsum([of_spec.shape[1] for of_spec in vectors])[:-1]
    parts = zip(vectors, np.split(axes, ends, axis=1), strict=True)
    components = np.zeros((len(vectors[0]), count))
    for of_spec, axes_of_spec in parts:
        components += of_spec @ axes_of_spec.T
    components -= axes @ mean
    norm = np.sqrt((components**2).sum(axis=1).mean())
    return np.asarray(components / norm if norm > _ROUNDING else np.zeros_like(components))


def _centre_distances(vectors: Sequence[np.ndarray]) -> np.ndarray:
    """Return cosine distances to the mean of the photos nearest to it: float64 (N,)."""
    core = np.ones(len(vectors[0]), bool)
    for _ in range(1 + _CENTRE_ROUNDS):
        weights = core.astype(np.float32) / np.count_nonzero(core)
        centres = [weights @ of_spec for of_spec in vectors]
        norm = np.sqrt(sum(float(centre @ centre) for centre in centres) * len(vectors))
        products = sum(of_spec @ centre for of_spec, centre in zip(vectors, centres, strict=True))
        distances = 1 - np.asarray(products, np.float64) / max(norm, 1e-12)
        core = distances <= np.quantile(distances, _CORE)
    return np.asarray(np.round(distances, 6))  # float32 has no more


def _neighbour_distances(components: np.ndarray) -> np.ndarray:
    """Return the log of the mean squared distance to the nearest neighbours: float64 (N,)."""
    points = components.astype(np.float32)
    squares = (points**2).sum(axis=1)
    ones = np.ones(len(points), np.float32)
    # The product of (x, 1) and (y, -|y|^2 / 2) is largest for the y nearest to x.
    queries, stored = np.c_[points, ones], np.c_[points, -squares / 2]
    count = min(NEIGHBOURS, len(points) - 2) + 1
    products = nearest_with_products(queries, stored, count)[0]
    squared = np.sort(np.maximum(squares[:, None] - 2 * products, 0), axis=1)[:, 1:]
    return np.asarray(np.log(squared.mean(axis=1, dtype=np.float64) + 1e-9))


def _after_feedback(components: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the mean of the scores after feedback, over :data:`SHARES`: float64 (N,)."""
    total, weights = np.zeros(len(start)), 0.0
    for size in sorted({max(2, round(share * len(start))) for share in SHARES}):
        scores = _feedback(components, start, size)
        weight = max(float(_overlaps(scores)[size - 1]), 1e-3) ** -_OVERLAP_POWER
        total += weight * scores
        weights += weight
    return total / weights


def _feedback(components: np.ndarray, start: np.ndarray, size: int) -> np.ndarray:
    """Return the scores after feedback that takes ``size`` photos for off-topic: float64 (N,)."""
    start = _standardised(start)
    scores, last = start, []
    random = np.random.default_rng(_SEED)
    for _ in range(_ROUNDS):
        suspect = scores >= np.partition(scores, -size)[-size]
        folds = random.permutation(len(scores)) % _FOLDS
        predicted = _standardised(_out_of_fold(components, suspect.astype(np.float64), folds))
        scores = _START_WEIGHT * start + predicted
        last.append(scores)
    return _standardised(np.mean(last[-_AVERAGED:], axis=0))


def _after_style(scores: np.ndarray, style: np.ndarray) -> np.ndarray:
    """Return the scores with the evidence of the style: float64 (N,)."""
    size, _ = _most_separate(scores)
    suspect = (scores >= np.partition(scores, -size)[-size]).astype(np.float64)
    folds = np.random.default_rng(_SEED).permutation(len(scores)) % _FOLDS
    predicted = _standardised(_out_of_fold(style, suspect, folds))
    covariance = float(predicted @ (suspect - suspect.mean())) / len(scores)
    correlation = covariance / max(float(suspect.std()), 1e-12)
    weight = _STYLE_GAIN * max(correlation, 0.0) ** _STYLE_POWER
    return _standardised(_standardised(scores) + weight * predicted)


def _joined_styles(styles: Sequence[np.ndarray], count: int) -> np.ndarray:
    """Return the standardised statistics of several kinds, with a mean squared norm of 1.

    Each kind weighs the same. Without a difference in style, all are 0: float64 (count, D).
    """
    joined = np.zeros((count, 0))
    for of_kind in styles:
        centred = of_kind - np.median(of_kind, axis=0)
        deviations = of_kind.std(axis=0)
        centred = np.where(deviations > _ROUNDING, centred / np.maximum(deviations, _ROUNDING), 0)
        part = np.clip(centred, -_CLIP, _CLIP) / np.sqrt(of_kind.shape[1])
        joined = np.concatenate([joined, part - part.mean(axis=0)], axis=1)
    norm = np.sqrt((joined**2).sum(axis=1).mean())
    return np.asarray(joined / max(norm, _ROUNDING))


def _out_of_fold(features: np.ndarray, target: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return out-of-fold predictions of a ridge regression, relative to the mean: float64 (N,)."""
    moments = [_moments(features[folds == fold], target[folds == fold]) for fold in range(_FOLDS)]
    totals = [sum(of_folds) for of_folds in zip(*moments, strict=True)]
    predicted = np.empty(len(target))
    for fold, of_fold in enumerate(moments):
        count, mean, share, gram, products = (
            total - part for total, part in zip(totals, of_fold, strict=True)
        )
        mean, share = mean / count, share / count
        gram = gram - count * np.outer(mean, mean)
        penalty = _RIDGE * np.trace(gram) / len(gram) + 1e-9
        weights = np.linalg.solve(
            gram + penalty * np.eye(len(gram)), products - count * mean * share
        )
        predicted[folds == fold] = (features[folds == fold] - mean) @ weights
    return predicted


def _moments(features: np.ndarray, target: np.ndarray) -> Iterable[np.ndarray]:
    """Return count, sums of features and target, and their products."""
    return (
        np.array(len(target)),
        features.sum(axis=0),
        target.sum(),
        features.T @ features,
        features.T @ target,
    )


def _most_separate(scores: np.ndarray) -> tuple[int, float]:
    """Return the number of highest scores with the least overlap with the rest, and the overlap."""
    overlaps = _overlaps(scores)
    size = 2 + int(overlaps[1:].argmin())
    return size, float(overlaps[size - 1])


def _largest_size(count: int) -> int:
    return max(2, round(max(SHARES) * count))


def _overlaps(scores: np.ndarray) -> np.ndarray:
    """Return the overlap of the n highest scores with the others, for n from 1: float64 (M,).

    M is the largest of :data:`SHARES`, times the number of scores.
    """
    from scipy.stats import norm

    count = len(scores)
    sizes = np.arange(1, 1 + _largest_size(count))
    shares = sizes / count
    sums = np.cumsum(np.sort(scores)[::-1][: len(sizes)])
    differences = sums / sizes - (scores.sum() - sums) / (count - sizes)
    between = differences**2 * shares * (1 - shares) / max(scores.var(), 1e-12)
    of_normal = norm.pdf(norm.ppf(shares)) ** 2 / (shares * (1 - shares))
    return np.asarray((1 - between) / (1 - of_normal))
