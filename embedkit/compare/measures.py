"""What one backbone makes of a collection: every query asked for all other images.

Nothing here depends on the order of images at equal distances: average precision takes them
together, as scikit-learn does, and they share the last of the first k places evenly. Only of the
neighbours that vote do those come first, at equal distances, that are first by path.
"""

from dataclasses import dataclass

import numpy as np

from embedkit.classify.heads.knn import NEIGHBOURS, votes
from embedkit.index.metric import cross_distances
from embedkit.results import Progress, ProgressCallback, no_progress

RECALL_AT = (5, 10, 50)

PAIRS = 4_000_000
"""Distances of pairs of one class that are kept, about, and of pairs of two; drawn at random."""
_SEED = 0
_BLOCK = 1 << 24
"""Distances worked out at once: 128 MiB."""


@dataclass(frozen=True)
class Measures:
    """Query by query, what a backbone makes of a collection: arrays are float64 (Q,)."""

    average_precision: np.ndarray
    precision_at_1: np.ndarray
    recall_at: dict[int, np.ndarray]
    """Share of the other images of the query's class that are among its k nearest."""
    knn_accuracy: dict[int, np.ndarray]
    """1 where the k nearest vote for the query's class, else 0."""
    content_score: np.ndarray
    """Share of the triplets in which content beats composition; NaN where there is none."""
    same: np.ndarray
    """Distances of pairs of one class, sorted: (S,)."""
    different: np.ndarray
    """Distances of pairs of two classes, sorted: (D,)."""


def measure(
    vectors: np.ndarray,
    classes: np.ndarray,
    queries: np.ndarray,
    framings: np.ndarray | None = None,
    progress: ProgressCallback = no_progress,
) -> Measures:
    """Ask every query for all other images; a query is never in its own ranking.

    ``vectors`` is float32 (N, dim); ``classes`` and ``framings`` are int64 (N,), a framing of -1
    being unknown; ``queries``, int64 (Q,), are rows that have another image of their class. Takes
    time Q N (dim + log N), and memory N dim and a block of distances.

    kNN accuracy follows DINOv2 (:mod:`embedkit.classify.heads.knn`). There, neighbours come from a
    training set; here, they are all images but the query.
    """
    count, asked = len(vectors), len(queries)
    precisions, firsts, content = (np.full(asked, np.nan) for _ in range(3))
    recall_at = {k: np.empty(asked) for k in RECALL_AT if k < count}
    knn_accuracy = {k: np.empty(asked) for k in NEIGHBOURS if k < count}
    same: list[np.ndarray] = []
    different: list[np.ndarray] = []
    sizes = np.bincount(classes)
    others = sizes[classes[queries]] - 1
    shares = [min(1.0, PAIRS / pairs) for pairs in (others.sum(), asked * count)]
    random = np.random.default_rng(_SEED)
    block = max(1, _BLOCK // count)
    for place, row in enumerate(queries):
        if place % block == 0:
            progress(Progress("comparing", place, asked))
            distances = cross_distances(vectors[queries[place : place + block]], vectors)
        away = distances[place % block]
        away[row] = np.inf
        relevant = classes == classes[row]
        relevant[row] = False
        ranked, found = np.sort(away)[:-1], np.sort(away[relevant])

        precisions[place] = average_precision(ranked, found)
        firsts[place] = _found_among(ranked, found, 1)
        for k, values in recall_at.items():
            values[place] = _found_among(ranked, found, k) / len(found)
        if knn_accuracy:
            nearest = _nearest(away, ranked[max(knn_accuracy) - 1])
            for k, values in knn_accuracy.items():
                voters = nearest[None, :k]
                voted = votes(away[voters], classes[voters], len(sizes))
                values[place] = voted.argmax() == classes[row]
        if framings is not None and framings[row] >= 0:
            alike = framings == framings[row]
            content[place] = content_score(
                away[relevant & ~alike & (framings >= 0)], away[(classes != classes[row]) & alike]
            )
        for kept, pairs, share in zip(
            (same, different), (found, away[classes != classes[row]]), shares, strict=True
        ):
            kept.append(pairs if share == 1 else pairs[random.random(len(pairs)) < share])
    return Measures(
        precisions,
        firsts,
        recall_at,
        knn_accuracy,
        content,
        np.sort(np.concatenate(same)),
        np.sort(np.concatenate(different)),
    )


def average_precision(ranked: np.ndarray, relevant: np.ndarray) -> float:
    """Average precision of a ranking, images at equal distances taken together.

    ``ranked`` holds the distances of all images, ``relevant`` those of the ones to be found, both
    sorted. It is the mean, over the latter, of the share of relevant ones among all images that
    are as near: what scikit-learn's ``average_precision_score`` computes.
    """
    so_far = np.searchsorted(relevant, relevant, "right")
    return float(np.mean(so_far / np.searchsorted(ranked, relevant, "right")))


def content_score(content: np.ndarray, composition: np.ndarray) -> float:
    """Share of triplets in which content beats composition, a draw being half; NaN without any.

    A triplet is a query, an image of its class in another framing, whose distance is in
    ``content``, and one of another class in its framing, whose distance is in ``composition``.
    """
    if not len(content) or not len(composition):
        return np.nan
    return share_nearer(content, np.sort(composition))


def in_triplet(classes: np.ndarray, framings: np.ndarray) -> np.ndarray:
    """Which images are the query of a triplet of :func:`content_score`: bool (N,).

    ``classes`` and ``framings`` are int64 (N,), a framing of -1 being unknown.
    """
    known = framings >= 0
    pairs = np.unique(np.stack([classes[known], framings[known]], axis=1), axis=0)
    framings_of, classes_in = np.bincount(pairs[:, 0]), np.bincount(pairs[:, 1])
    found = np.zeros(len(classes), bool)
    found[known] = (framings_of[classes[known]] > 1) & (classes_in[framings[known]] > 1)
    return found


def share_nearer(ones: np.ndarray, others: np.ndarray) -> float:
    """Share of pairs in which the one is less than the other, a draw being half.

    Of same and different distances that is the area under the ROC curve (Mann & Whitney 1947).
    ``others`` is sorted; takes time log(len(others)) for each of ``ones``.
    """
    not_more = np.searchsorted(others, ones, "left") + np.searchsorted(others, ones, "right")
    return float(1 - np.mean(not_more) / (2 * len(others)))


def _found_among(ranked: np.ndarray, relevant: np.ndarray, k: int) -> float:
    """How many relevant images are among the k nearest; those at the last one's distance share."""
    last = ranked[k - 1]
    nearer, upto = np.searchsorted(ranked, last, "left"), np.searchsorted(ranked, last, "right")
    found, also = np.searchsorted(relevant, last, "left"), np.searchsorted(relevant, last, "right")
    return float(found + (also - found) * (k - nearer) / (upto - nearer))


def _nearest(distances: np.ndarray, limit: float) -> np.ndarray:
    """The rows up to a distance, nearest first, then by row."""
    rows = np.flatnonzero(distances <= limit)
    return rows[np.argsort(distances[rows], kind="stable")]
