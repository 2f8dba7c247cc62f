"""Compare backbones: metrics of each, tests of their differences, rankings side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from embedkit._internal.paths import shown
from embedkit._internal.statistics import (
    SIGNIFICANCE,
    corrected,
    estimate,
    estimate_share,
    p_values,
    shared_ranks,
    units_of,
)
from embedkit.backbones.runtime_choice import precision_warning
from embedkit.compare.collection import Collection
from embedkit.compare.retrieval_metrics import (
    RetrievalMetrics,
    average_precision,
    is_triplet_query,
    retrieval_metrics,
    share_nearer,
)
from embedkit.errors import BadInput
from embedkit.index.metric import COLLAPSE_SAMPLE, collapse_warning, cross_distances
from embedkit.index.rows import Rows
from embedkit.results import (
    BackboneMetrics,
    ComparedQuery,
    Comparison,
    Estimate,
    PairedTest,
    Progress,
    ProgressCallback,
    QueryMetrics,
    Ranking,
    ResolvedName,
    Separation,
    no_progress,
)
from embedkit.search.search import make_match

MAX_QUERIES = 5_000
"""Maximum number of queries; drawn at random from more."""
RANKING_LENGTH = 50
"""Images in a ranking."""
DEFAULT_RANKINGS = 3
"""Maximum number of queries with rankings if no photos are given."""
BINS = 40
"""Bins of a histogram of distances."""
_SEED = 0


@dataclass(frozen=True)
class ComparedBackbone:
    """A backbone to compare, with its embeddings."""

    resolved: ResolvedName
    stored: Rows
    """Embeddings of the images of the workspace."""
    images_per_second: float | None
    query_vectors: np.ndarray
    """Embeddings of the given queries: float32 (A, dim)."""


@dataclass(frozen=True)
class RankedPhoto:
    """A photo to return rankings for."""

    path: str
    """Absolute path."""
    image_id: int | None
    """None for a photo that is not in the workspace."""


def compare(
    collection: Collection,
    backbones: Sequence[ComparedBackbone],
    ranked: Sequence[RankedPhoto] = (),
    group: str | None = None,
    groups: np.ndarray | None = None,
    progress: ProgressCallback = no_progress,
) -> Comparison:
    """Compare backbones on a collection, with the embeddings of one at a time in memory.

    Parameters
    ----------
    collection : Collection
        Images with classes. Every image of a class with two or more is a query.
    backbones : sequence of ComparedBackbone
        The backbones with their embeddings.
    ranked : sequence of RankedPhoto, optional
        Photos to return rankings for; by default the queries on which the backbones differ most.
    group, groups : str and ndarray, optional
        For the content score: the name of a nuisance grouping, such as the camera, and the group
        number of each image, int64 (N,), -1 for unknown.
    progress : callable, optional
        Called with the state of the work.

    Raises
    ------
    BadInput
        No query has the images that the content score needs.
    """
    queries, singletons, sampled = _queries(collection.classes)
    if groups is not None:
        check_triplets(collection.classes, groups, group, queries)
    units = units_of(collection.classes[queries])
    metrics, precisions = [], []
    for backbone in backbones:
        name = backbone.resolved.name

        def report(step: Progress, name: str = name) -> None:
            progress(replace(step, stage=f"comparing {name}"))

        vectors = _vectors(backbone, collection)
        of_queries = retrieval_metrics(vectors, collection.classes, queries, groups, report)
        metrics.append(_metrics(backbone, vectors, of_queries, units))
        precisions.append(of_queries.average_precision)
    tests = _tests([item.backbone for item in metrics], np.stack(precisions), units)
    results = _ranked(metrics, tests)
    names = [item.backbone for item in results]
    best_first = sorted(backbones, key=lambda backbone: names.index(backbone.resolved.name))
    return Comparison(
        by=collection.by,
        images=len(collection.ids),
        classes=len(collection.class_names),
        left_out=collection.left_out,
        alone=singletons,
        group=group,
        grouped=0 if groups is None else int(np.count_nonzero(groups >= 0)),
        queries=len(queries),
        sampled=sampled,
        resampled="classes" if units.max() + 1 < len(queries) else "queries",
        backbones=results,
        tests=tests,
        average_precision=_by_query(collection, queries, backbones, precisions),
        rankings=_rankings(
            collection,
            best_first,
            ranked or _most_disputed(collection, queries, np.stack(precisions)),
        ),
    )


def check_triplets(
    classes: np.ndarray, groups: np.ndarray, group: str | None, queries: np.ndarray | None = None
) -> None:
    """Raise :class:`BadInput` unless one of the queries, by default any image, has a triplet.

    See :func:`embedkit.compare.retrieval_metrics.content_score`; ``classes`` and ``groups`` are
    int64 (N,).
    """
    has_triplet = is_triplet_query(classes, groups)
    if not (has_triplet if queries is None else has_triplet[queries]).any():
        raise BadInput(
            f"the content score needs a class with photos in two groups of {shown(group or '')}, "
            "and in one of these groups a photo of another class; there is none. Use another column"
        )


def _queries(classes: np.ndarray) -> tuple[np.ndarray, int, bool]:
    """Return the rows of the queries, the number of images alone in their class, and whether the
    queries are a sample."""
    eligible = np.flatnonzero(np.bincount(classes)[classes] > 1)
    singletons = len(classes) - len(eligible)
    if len(eligible) <= MAX_QUERIES:
        return eligible, singletons, False
    drawn = np.random.default_rng(_SEED).choice(eligible, MAX_QUERIES, replace=False)
    return np.sort(drawn), singletons, True


def _vectors(backbone: ComparedBackbone, collection: Collection) -> np.ndarray:
    """Return the embeddings of the collection's images: float32 (N, dim)."""
    ids = backbone.stored.ids
    order = np.argsort(ids)
    return backbone.stored.vectors[order[np.searchsorted(ids, collection.ids, sorter=order)]]


def _metrics(
    backbone: ComparedBackbone, vectors: np.ndarray, of_queries: RetrievalMetrics, units: np.ndarray
) -> BackboneMetrics:
    def mean(values: np.ndarray) -> Estimate:
        result = estimate(values, units)
        assert result is not None  # these metrics have a value for every query
        return result

    spec = backbone.resolved.spec
    sample = np.random.default_rng(_SEED).permutation(len(vectors))[:COLLAPSE_SAMPLE]
    collapse, precision = collapse_warning(vectors[sample]), precision_warning(spec.network)
    warnings = [] if collapse is None else [f"the embeddings have {collapse}"]
    if precision is not None:
        warnings.append(precision)
    return BackboneMetrics(
        backbone=backbone.resolved.name,
        place=0,  # set by _ranked
        mean_ap=mean(of_queries.average_precision),
        precision_at_1=estimate_share(of_queries.precision_at_1, units),
        recall_at={k: mean(values) for k, values in of_queries.recall_at.items()},
        knn_accuracy={
            k: estimate_share(hits, units) for k, hits in of_queries.knn_accuracy.items()
        },
        content_score=estimate(of_queries.content_score, units),
        separation=_separation(of_queries.same, of_queries.different),
        spec=spec.digest,
        architecture=spec.architecture,
        size=spec.size,
        resize=spec.resize,
        crop=spec.crop,
        interpolation=spec.interpolation,
        pool=spec.pool,
        dim=spec.dim,
        megabytes=vectors.nbytes / 1e6,
        images_per_second=backbone.images_per_second,
        warning="; ".join(warnings) or None,
    )


def _separation(same: np.ndarray, different: np.ndarray) -> Separation:
    edges = np.linspace(0.0, max(same[-1], different[-1]) or 1.0, BINS + 1)
    shares = [np.histogram(values, edges)[0] / len(values) for values in (same, different)]
    return Separation(
        auc=share_nearer(same, different),
        same_pairs=len(same),
        different_pairs=len(different),
        edges=tuple(edges.tolist()),
        same=tuple(shares[0].tolist()),
        different=tuple(shares[1].tolist()),
    )


def _tests(
    names: Sequence[str], precisions: np.ndarray, units: np.ndarray
) -> tuple[PairedTest, ...]:
    """Test every pair of backbones, the better one first.

    ``precisions`` are the average precisions of the queries: float64 (B, Q).
    """
    pairs = list(combinations(np.argsort(-precisions.mean(1), kind="stable").tolist(), 2))
    if not pairs:
        return ()
    differences = np.stack(
        [precisions[first] - precisions[second] for first, second in pairs], axis=1
    )
    p_of_pairs = corrected(p_values(differences, units))
    return tuple(
        PairedTest(names[first], names[second], float(mean), float(p), bool(p >= SIGNIFICANCE))
        for (first, second), mean, p in zip(pairs, differences.mean(0), p_of_pairs, strict=True)
    )


def _ranked(
    metrics: Sequence[BackboneMetrics], tests: Sequence[PairedTest]
) -> tuple[BackboneMetrics, ...]:
    """Return the backbones with their ranks, the best first."""
    ranked = sorted(metrics, key=lambda item: -item.mean_ap.value)
    ties = {(test.backbone, test.other) for test in tests if test.tie}
    ranks = shared_ranks([item.backbone for item in ranked], ties)
    return tuple(replace(item, place=rank) for item, rank in zip(ranked, ranks, strict=True))


def _by_query(
    collection: Collection,
    queries: np.ndarray,
    backbones: Sequence[ComparedBackbone],
    precisions: Sequence[np.ndarray],
) -> tuple[QueryMetrics, ...]:
    names = [backbone.resolved.name for backbone in backbones]
    return tuple(
        QueryMetrics(
            collection.files[row][0].path,
            collection.class_names[collection.classes[row]],
            dict(zip(names, values, strict=True)),
        )
        for row, values in zip(queries.tolist(), np.stack(precisions, axis=1).tolist(), strict=True)
    )


def _most_disputed(
    collection: Collection, queries: np.ndarray, precisions: np.ndarray
) -> list[RankedPhoto]:
    """Return the queries on which the backbones differ most, at most one for each class.

    Ties are broken by the lowest average precision.
    """
    spread = precisions.max(0) - precisions.min(0)
    by_class: dict[int, RankedPhoto] = {}
    for index in np.lexsort((precisions.mean(0), -spread)).tolist():
        row = int(queries[index])
        path, image_id = collection.files[row][0].path, int(collection.ids[row])
        by_class.setdefault(int(collection.classes[row]), RankedPhoto(path, image_id))
        if len(by_class) == DEFAULT_RANKINGS:
            break
    return list(by_class.values())


def _rankings(
    collection: Collection, backbones: Sequence[ComparedBackbone], ranked: Sequence[RankedPhoto]
) -> tuple[ComparedQuery, ...]:
    row_of = {image_id: row for row, image_id in enumerate(collection.ids.tolist())}
    rows = [None if query.image_id is None else row_of.get(query.image_id) for query in ranked]
    names = (collection.class_of(query.path, None) for query in ranked)
    labels = [
        (name if name in collection.class_names else None)
        if row is None
        else collection.class_names[collection.classes[row]]
        for name, row in zip(names, rows, strict=True)
    ]
    rankings: list[list[Ranking]] = [[] for _ in ranked]
    for backbone in backbones:
        vectors = _vectors(backbone, collection)
        for number, (row, label) in enumerate(zip(rows, labels, strict=True)):
            vector = backbone.query_vectors[number] if row is None else vectors[row]
            distances = cross_distances(vector[None], vectors)[0]
            rankings[number].append(
                _ranking(backbone.resolved.name, collection, distances, row, label)
            )
    return tuple(
        ComparedQuery(query.path, label, tuple(of_query))
        for query, label, of_query in zip(ranked, labels, rankings, strict=True)
    )


def _ranking(
    backbone: str, collection: Collection, distances: np.ndarray, row: int | None, label: str | None
) -> Ranking:
    """Rank the images, except the query's own ``row``, by distance, then by path."""
    order = np.argsort(distances, kind="stable")
    order = order[order != row] if row is not None else order
    known = label in collection.class_names
    relevant = collection.classes[order] == (collection.class_names.index(label) if known else -1)
    precision = None
    if relevant.any():
        precision = average_precision(distances[order], distances[order][relevant])
    matches = []
    for rank, index in enumerate(order[:RANKING_LENGTH].tolist(), 1):
        files, name = collection.files[index], collection.class_names[collection.classes[index]]
        match = make_match(rank, float(distances[index]), files, files)
        matches.append(replace(match, label=name))
    return Ranking(backbone, precision, tuple(matches))
