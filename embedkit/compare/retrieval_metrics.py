"""Retrieval metrics of one backbone on a collection, by ranking all other images for each query.

Metrics do not depend on the order of images at equal distances: average precision treats them as
one rank, as scikit-learn does, and a tie at rank k counts in proportion. Only for the votes of
neighbours, images at equal distances are ordered by path.
"""

from dataclasses import dataclass

import numpy as np

from embedkit.classify.heads.knn import NEIGHBOURS, votes
from embedkit.index.metric import cross_distances
from embedkit.results import Progress, ProgressCallback, no_progress

RECALL_AT = (5, 10, 50)

MAX_SAMPLED_PAIRS = 4_000_000
"""Approximate maximum number of stored distances for pairs of one class, and for pairs of two;
drawn at random from more."""
_SEED = 0
_BLOCK = 1 << 24
"""Distances computed at once: 128 MiB."""


@dataclass(frozen=True)
class RetrievalMetrics:
    """Metrics of a backbone for each of Q queries; arrays are float64 (Q,)."""

    average_precision: np.ndarray
    precision_at_1: np.ndarray
    recall_at: dict[int, np.ndarray]
    """By k: share of the other images of the query's class that are among its k nearest."""
    knn_accuracy: dict[int, np.ndarray]
    """By k: 1 if the k nearest images vote for the query's class, else 0."""
    content_score: np.ndarray
    """Content score of each query, see :func:`content_score`; NaN without triplets."""
    same: np.ndarray
    """Distances between images of one class, sorted: (S,)."""
    different: np.ndarray
    """Distances between images of two classes, sorted: (D,)."""


def retrieval_metrics(
    vectors: np.ndarray,
    classes: np.ndarray,
    queries: np.ndarray,
    groups: np.ndarray | None = None,
    progress: ProgressCallback = no_progress,
) -> RetrievalMetrics:
    """Return the metrics of each query, ranking all images except the query itself.

    The time is proportional to Q N (dim + log N); the memory is that of the vectors and a block of
    distances. kNN accuracy follows DINOv2 (:mod:`embedkit.classify.heads.knn`), with all other
    images as the training set.

    Parameters
    ----------
    vectors : ndarray
        L2-normalised embeddings: float32 (N, dim).
    classes : ndarray
        Class numbers: int64 (N,).
    queries : ndarray
        Rows with another image of their class: int64 (Q,).
    groups : ndarray, optional
        Group numbers for the content score, -1 for unknown: int64 (N,).
    progress : callable, optional
        Called with the number of queries so far.
    """
    count, query_count = len(vectors), len(queries)
    precisions, precisions_at_1, content = (np.full(query_count, np.nan) for _ in range(3))
    recall_at = {k: np.empty(query_count) for k in RECALL_AT if k < count}
    knn_accuracy = {k: np.empty(query_count) for k in NEIGHBOURS if k < count}
    same: list[np.ndarray] = []
    different: list[np.ndarray] = []
    sizes = np.bincount(classes)
    others = sizes[classes[queries]] - 1
    shares = [min(1.0, MAX_SAMPLED_PAIRS / pairs) for pairs in (others.sum(), query_count * count)]
    random = np.random.default_rng(_SEED)
    block = max(1, _BLOCK // count)
    for index, row in enumerate(queries):
        if index % block == 0:
            progress(Progress("comparing", index, query_count))
            distances = cross_distances(vectors[queries[index : index + block]], vectors)
        from_query = distances[index % block]
        from_query[row] = np.inf
        relevant = classes == classes[row]
        relevant[row] = False
        ranked, of_relevant = np.sort(from_query)[:-1], np.sort(from_query[relevant])

        precisions[index] = average_precision(ranked, of_relevant)
        precisions_at_1[index] = _relevant_among(ranked, of_relevant, 1)
        for k, values in recall_at.items():
            values[index] = _relevant_among(ranked, of_relevant, k) / len(of_relevant)
        if knn_accuracy:
            nearest = _nearest(from_query, ranked[max(knn_accuracy) - 1])
            for k, values in knn_accuracy.items():
                voters = nearest[None, :k]
                of_classes = votes(from_query[voters], classes[voters], len(sizes))
                values[index] = of_classes.argmax() == classes[row]
        if groups is not None and groups[row] >= 0:
            same_group = groups == groups[row]
            content[index] = content_score(
                from_query[relevant & ~same_group & (groups >= 0)],
                from_query[(classes != classes[row]) & same_group],
            )
        for kept, pairs, share in zip(
            (same, different),
            (of_relevant, from_query[classes != classes[row]]),
            shares,
            strict=True,
        ):
            kept.append(pairs if share == 1 else pairs[random.random(len(pairs)) < share])
    return RetrievalMetrics(
        precisions,
        precisions_at_1,
        recall_at,
        knn_accuracy,
        content,
        np.sort(np.concatenate(same)),
        np.sort(np.concatenate(different)),
    )


def average_precision(ranked: np.ndarray, relevant: np.ndarray) -> float:
    """Return the average precision of a ranking; images at equal distances are one rank.

    ``ranked`` are the distances of all images, ``relevant`` those of the relevant ones, both
    sorted. It is the mean, over relevant images, of the share of relevant ones among all images at
    most as far: the value of scikit-learn's ``average_precision_score``.
    """
    so_far = np.searchsorted(relevant, relevant, "right")
    return float(np.mean(so_far / np.searchsorted(ranked, relevant, "right")))


def content_score(same_class: np.ndarray, same_group: np.ndarray) -> float:
    """Return the share of a query's triplets in which its class outweighs its group.

    A triplet is a query, an image of its class in another group, and an image of another class in
    its group. The score is how often the image of the same class is nearer; ties count half. 0.5
    means no preference; lower values mean that distances follow the group, such as a framing, a
    camera, a shop or a photographer.

    Parameters
    ----------
    same_class : ndarray
        Distances from the query to images of its class in other groups.
    same_group : ndarray
        Distances from the query to images of other classes in its group.

    Returns
    -------
    float
        From 0 to 1; NaN without triplets.
    """
    if not len(same_class) or not len(same_group):
        return np.nan
    return share_nearer(same_class, np.sort(same_group))


def is_triplet_query(classes: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Return whether each image is the query of a triplet of :func:`content_score`: bool (N,).

    ``classes`` and ``groups`` are int64 (N,), -1 for an unknown group.
    """
    known = groups >= 0
    pairs = np.unique(np.stack([classes[known], groups[known]], axis=1), axis=0)
    groups_of_class, classes_in_group = np.bincount(pairs[:, 0]), np.bincount(pairs[:, 1])
    is_query = np.zeros(len(classes), bool)
    is_query[known] = (groups_of_class[classes[known]] > 1) & (classes_in_group[groups[known]] > 1)
    return is_query


def share_nearer(ones: np.ndarray, others: np.ndarray) -> float:
    """Return the share of pairs (one, other) with one < other; ties count half.

    For distances of pairs of one class and of two classes it is the area under the ROC curve (Mann
    & Whitney 1947). ``others`` is sorted.
    """
    not_farther = np.searchsorted(others, ones, "left") + np.searchsorted(others, ones, "right")
    return float(1 - np.mean(not_farther) / (2 * len(others)))


def _relevant_among(ranked: np.ndarray, relevant: np.ndarray, k: int) -> float:
    """Return the number of relevant images among the k nearest; ties at rank k count in part."""
    last = ranked[k - 1]
    nearer, tied = _nearer_and_tied(ranked, last)
    relevant_nearer, relevant_tied = _nearer_and_tied(relevant, last)
    return float(relevant_nearer + relevant_tied * (k - nearer) / tied)


def _nearer_and_tied(distances: np.ndarray, limit: float) -> tuple[int, int]:
    """Return how many of the sorted distances are below and equal to a limit."""
    nearer, not_farther = (np.searchsorted(distances, limit, side) for side in ("left", "right"))
    return int(nearer), int(not_farther - nearer)


def _nearest(distances: np.ndarray, limit: float) -> np.ndarray:
    """Return the rows with at most a distance, in order of distance, then of row."""
    rows = np.flatnonzero(distances <= limit)
    return rows[np.argsort(distances[rows], kind="stable")]
