"""Compare backbones from start to end: check the options, embed missing images, measure."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from embedkit._internal.paths import absolute
from embedkit.backbones.registry import DEFAULT
from embedkit.catalog import Catalog
from embedkit.classify.split import group_values
from embedkit.compare.collection import Collection, load_collection
from embedkit.compare.comparison import ComparedBackbone, RankedPhoto, check_triplets, compare
from embedkit.results import Comparison, ProgressCallback, ResolvedName
from embedkit.search.embedding_store import EmbeddingStore, full_names
from embedkit.search.queries import digest_in, embed_images


@dataclass(frozen=True)
class CompareOptions:
    """Options of a comparison."""

    backbones: str | Sequence[str]
    """Names of the backbones; empty for those of the recipe and of the workspace."""
    queries: Sequence[str | os.PathLike[str]]
    """Photos to return rankings for."""
    by: str
    """The property that defines the classes: ``label`` or ``folder``."""
    group: str | None
    """A column of the label tables, for the content score."""


def compare_backbones(
    catalog: Catalog,
    embeddings: EmbeddingStore,
    options: CompareOptions,
    progress: ProgressCallback,
) -> Comparison:
    """Compare backbones on the images of the workspace, after embedding missing images.

    Raises the errors of :meth:`embedkit.Workspace.compare`. The options are checked before anything
    is embedded.
    """
    paths = list(dict.fromkeys(map(absolute, options.queries)))
    for path in paths:
        digest_in(catalog, path, must_decode=True)
    collection = load_collection(catalog, (), options.by)
    values = None
    if options.group is not None:
        values = group_values(catalog, options.group)
        check_triplets(collection.classes, _groups(collection, values), options.group)
    resolved = _resolved(embeddings, options.backbones)
    failures = embeddings.embed_missing(resolved)
    with catalog.read() as reader:
        revisions = [reader.embeddings.revision(item.spec.digest) for item in resolved]
        rates = reader.backbones.rates()
    stored = [
        embeddings.indexes.at(item.spec, revision).stored()
        for item, revision in zip(resolved, revisions, strict=True)
    ]
    collection = load_collection(catalog, [rows.ids for rows in stored], options.by, failures)
    groups = None if values is None else _groups(collection, values)
    # One network at a time is in memory, and none while measuring.
    queries = [embed_images(catalog, item.name, paths, embeddings.open) for item in resolved]
    backbones = [
        ComparedBackbone(item, rows, rates.get(item.spec.digest), of_backbone.vectors)
        for item, rows, of_backbone in zip(resolved, stored, queries, strict=True)
    ]
    ranked = list(map(RankedPhoto, paths, queries[0].image_ids))
    comparison = compare(collection, backbones, ranked, options.group, groups, progress)
    return replace(comparison, failures=failures)


def _resolved(embeddings: EmbeddingStore, backbones: str | Sequence[str]) -> list[ResolvedName]:
    """Return the backbones to compare, without repetitions."""
    known = [item.name for item in embeddings.backbone_snapshot().backbones]
    names = full_names(backbones) or [*embeddings.recipe_backbones(), *known] or [DEFAULT]
    return [embeddings.resolve_and_fit(name) for name in dict.fromkeys(names)]


def _groups(collection: Collection, values: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return the group number of each image, int64 (N,), -1 for an image without one.

    ``values`` are image ids and group numbers, two int64 (M,) arrays. An image whose files are in
    different groups has the first one.
    """
    group_of: dict[int, int] = {}
    for image_id, number in zip(*(array.tolist() for array in values), strict=True):
        group_of.setdefault(image_id, number)
    return np.array([group_of.get(image_id, -1) for image_id in collection.ids.tolist()], np.int64)
