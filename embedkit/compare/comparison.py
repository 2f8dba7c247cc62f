"""Backbones compared: the figures of each, which differences are real, rankings side by side."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from embedkit._internal.statistics import (
    SIGNIFICANCE,
    corrected,
    estimate,
    p_values,
    places,
    units_of,
)
from embedkit.backbones.choice import doubt
from embedkit.compare.collection import Collection
from embedkit.compare.groups import framings_of
from embedkit.compare.measures import Measures, average_precision, measure, share_nearer
from embedkit.index.metric import COLLAPSE_SAMPLE, collapse, cross_distances
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
from embedkit.search.search import match_of

MOST_QUERIES = 5_000
RANKED = 50
"""Images of a ranking that are told."""
SHOWN = 3
"""Queries whose rankings are told when none is asked for."""
BINS = 40
_SEED = 0


@dataclass(frozen=True)
class Contender:
    """A backbone to compare, and its embeddings."""

    resolved: ResolvedName
    stored: Rows
    images_per_second: float | None
    asked: np.ndarray
    """Embeddings of the queries that are asked for: float32 (A, dim)."""


@dataclass(frozen=True)
class Asked:
    """A query that is asked for by its path."""

    path: str
    """Absolute."""
    image_id: int | None
    """None when its bytes are not in the workspace."""


def compare(
    collection: Collection,
    contenders: Sequence[Contender],
    asked: Sequence[Asked] = (),
    framing_of: dict[str, str] | None = None,
    progress: ProgressCallback = no_progress,
) -> Comparison:
    """Measure every contender on the collection, test their differences, rank side by side.

    ``framing_of`` gives the framings of photos by absolute path. One contender's embeddings are in
    memory at a time. Raises :class:`BadInput` when the framings make no triplet.
    """
    queries, alone, sampled = _queries(collection.classes)
    framings = None if framing_of is None else framings_of(collection, queries, framing_of)
    units = units_of(collection.classes[queries])
    figures, precisions = [], []
    for contender in contenders:
        name = contender.resolved.name

        def tell(step: Progress, name: str = name) -> None:
            progress(replace(step, stage=f"comparing {name}"))

        vectors = _vectors(contender, collection)
        measures = measure(vectors, collection.classes, queries, framings, tell)
        figures.append(_figures(contender, vectors, measures, units))
        precisions.append(measures.average_precision)
    tests = _tests([item.backbone for item in figures], np.stack(precisions), units)
    backbones = _placed(figures, tests)
    names = [item.backbone for item in backbones]
    best_first = sorted(contenders, key=lambda contender: names.index(contender.resolved.name))
    return Comparison(
        by=collection.by,
        images=len(collection.ids),
        classes=len(collection.names),
        left_out=collection.left_out,
        alone=alone,
        framed=0 if framings is None else int(np.count_nonzero(framings >= 0)),
        queries=len(queries),
        sampled=sampled,
        resampled="classes" if units.max() + 1 < len(queries) else "queries",
        backbones=backbones,
        tests=tests,
        average_precision=_by_query(collection, queries, contenders, precisions),
        rankings=_rankings(
            collection,
            best_first,
            asked or _most_disputed(collection, queries, np.stack(precisions)),
        ),
    )


def _queries(classes: np.ndarray) -> tuple[np.ndarray, int, bool]:
    """The rows that are queries, how many are alone in their class, whether it is a sample."""
    eligible = np.flatnonzero(np.bincount(classes)[classes] > 1)
    alone = len(classes) - len(eligible)
    if len(eligible) <= MOST_QUERIES:
        return eligible, alone, False
    drawn = np.random.default_rng(_SEED).choice(eligible, MOST_QUERIES, replace=False)
    return np.sort(drawn), alone, True


def _vectors(contender: Contender, collection: Collection) -> np.ndarray:
    """Its embeddings of the collection's images: float32 (N, dim)."""
    ids = contender.stored.ids
    order = np.argsort(ids)
    return contender.stored.vectors[order[np.searchsorted(ids, collection.ids, sorter=order)]]


def _figures(
    contender: Contender, vectors: np.ndarray, measures: Measures, units: np.ndarray
) -> BackboneMetrics:
    def mean(values: np.ndarray) -> Estimate:
        found = estimate(values, units)
        assert found is not None  # of these there is one for every query
        return found

    spec = contender.resolved.spec
    sample = np.random.default_rng(_SEED).permutation(len(vectors))[:COLLAPSE_SAMPLE]
    suspicion = collapse(vectors[sample])
    warnings = [f"the embeddings have {suspicion}"] if suspicion is not None else []
    if (text := doubt(spec)) is not None:
        warnings.append(text)
    return BackboneMetrics(
        backbone=contender.resolved.name,
        place=0,  # until the others are known
        mean_ap=mean(measures.average_precision),
        precision_at_1=mean(measures.precision_at_1),
        recall_at={k: mean(values) for k, values in measures.recall_at.items()},
        knn_accuracy={k: mean(values) for k, values in measures.knn_accuracy.items()},
        content_score=estimate(measures.content_score, units),
        separation=_separation(measures.same, measures.different),
        spec=spec.digest,
        architecture=spec.architecture,
        size=spec.size,
        resize=spec.resize,
        crop=spec.crop,
        interpolation=spec.interpolation,
        pool=spec.pool,
        dim=spec.dim,
        megabytes=vectors.nbytes / 1e6,
        images_per_second=contender.images_per_second,
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
    """Every pair of backbones, the better one first; ``precisions`` is float64 (B, Q)."""
    pairs = list(combinations(np.argsort(-precisions.mean(1), kind="stable").tolist(), 2))
    if not pairs:
        return ()
    differences = np.stack([precisions[one] - precisions[other] for one, other in pairs], axis=1)
    chances = corrected(p_values(differences, units))
    return tuple(
        PairedTest(names[one], names[other], float(mean), float(p), bool(p >= SIGNIFICANCE))
        for (one, other), mean, p in zip(pairs, differences.mean(0), chances, strict=True)
    )


def _placed(
    figures: Sequence[BackboneMetrics], tests: Sequence[PairedTest]
) -> tuple[BackboneMetrics, ...]:
    """The backbones with their places, the best first."""
    ranked = sorted(figures, key=lambda item: -item.mean_ap.value)
    ties = {(test.backbone, test.other) for test in tests if test.tie}
    taken = places([item.backbone for item in ranked], ties)
    return tuple(replace(item, place=place) for item, place in zip(ranked, taken, strict=True))


def _by_query(
    collection: Collection,
    queries: np.ndarray,
    contenders: Sequence[Contender],
    precisions: Sequence[np.ndarray],
) -> tuple[QueryMetrics, ...]:
    names = [contender.resolved.name for contender in contenders]
    return tuple(
        QueryMetrics(
            collection.files[row][0].path,
            collection.names[collection.classes[row]],
            dict(zip(names, values, strict=True)),
        )
        for row, values in zip(queries.tolist(), np.stack(precisions, axis=1).tolist(), strict=True)
    )


def _most_disputed(
    collection: Collection, queries: np.ndarray, precisions: np.ndarray
) -> list[Asked]:
    """Queries on which the backbones differ most, then fail most; of each class one."""
    spread = precisions.max(0) - precisions.min(0)
    found: dict[int, Asked] = {}
    for place in np.lexsort((precisions.mean(0), -spread)).tolist():
        row = int(queries[place])
        path, image_id = collection.files[row][0].path, int(collection.ids[row])
        found.setdefault(int(collection.classes[row]), Asked(path, image_id))
        if len(found) == SHOWN:
            break
    return list(found.values())


def _rankings(
    collection: Collection, contenders: Sequence[Contender], asked: Sequence[Asked]
) -> tuple[ComparedQuery, ...]:
    row_of = {image_id: row for row, image_id in enumerate(collection.ids.tolist())}
    rows = [None if query.image_id is None else row_of.get(query.image_id) for query in asked]
    strange = (collection.class_of(query.path, None) for query in asked)
    labels = [
        (name if name in collection.names else None)
        if row is None
        else collection.names[collection.classes[row]]
        for name, row in zip(strange, rows, strict=True)
    ]
    rankings: list[list[Ranking]] = [[] for _ in asked]
    for contender in contenders:
        vectors = _vectors(contender, collection)
        for number, (row, label) in enumerate(zip(rows, labels, strict=True)):
            vector = contender.asked[number] if row is None else vectors[row]
            away = cross_distances(vector[None], vectors)[0]
            rankings[number].append(_ranking(contender.resolved.name, collection, away, row, label))
    return tuple(
        ComparedQuery(query.path, label, tuple(of_query))
        for query, label, of_query in zip(asked, labels, rankings, strict=True)
    )


def _ranking(
    backbone: str, collection: Collection, away: np.ndarray, row: int | None, label: str | None
) -> Ranking:
    """The images nearest to a query, its own ``row`` left out, by distance, then by path."""
    order = np.argsort(away, kind="stable")
    order = order[order != row] if row is not None else order
    known = label in collection.names
    relevant = collection.classes[order] == (collection.names.index(label) if known else -1)
    precision = None
    if relevant.any():
        precision = average_precision(away[order], away[order][relevant])
    matches = []
    for rank, place in enumerate(order[:RANKED].tolist(), 1):
        files, name = collection.files[place], collection.names[collection.classes[place]]
        match = match_of(rank, float(away[place]), files, files)
        matches.append(replace(match, label=name))
    return Ranking(backbone, precision, tuple(matches))
