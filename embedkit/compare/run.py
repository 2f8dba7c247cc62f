"""A comparison from start to end: checked, what lacks embedded, measured."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from embedkit._internal.paths import absolute
from embedkit.backbones import open_backbone
from embedkit.backbones.registry import DEFAULT
from embedkit.catalog import Catalog
from embedkit.compare.collection import collection
from embedkit.compare.comparison import Asked, Contender, compare
from embedkit.compare.groups import read_framings
from embedkit.results import Comparison, ProgressCallback, ResolvedName
from embedkit.search.embeddings import Embeddings, named
from embedkit.search.queries import by_images, digest_of


@dataclass(frozen=True)
class Order:
    """What is to be compared, as a person asks for it."""

    backbones: str | Sequence[str]
    """One or several; none stands for those of the recipe and those that are known."""
    queries: Sequence[str | os.PathLike[str]]
    """Photos whose rankings are wanted."""
    by: str
    framing: str | os.PathLike[str] | None
    """A CSV."""


def compare_backbones(
    catalog: Catalog, embeddings: Embeddings, order: Order, progress: ProgressCallback
) -> Comparison:
    """Compare backbones on the images that are there, after embedding what those lack.

    Raises as :meth:`embedkit.Workspace.compare` does, before anything is embedded.
    """
    asked = list(dict.fromkeys(map(absolute, order.queries)))
    for path in asked:
        digest_of(path, photo=True)
    images = collection(catalog, (), order.by)
    framing_of = None
    if order.framing is not None:
        framing_of = read_framings(catalog, Path(absolute(order.framing)), images)
    resolved = _resolved(embeddings, order.backbones)
    failures = embeddings.complete(resolved)
    with catalog.read() as reader:
        revisions = [reader.embeddings.revision(item.spec.digest) for item in resolved]
        rates = reader.backbones.rates()
    stored = [
        embeddings.indexes.at(item.spec, revision).stored()
        for item, revision in zip(resolved, revisions, strict=True)
    ]
    images = collection(catalog, [rows.ids for rows in stored], order.by, failures)
    # One network is in memory at a time, and none of them afterwards.
    found = [by_images(catalog, item.name, asked, open_backbone) for item in resolved]
    contenders = [
        Contender(item, rows, rates.get(item.spec.digest), queries.vectors)
        for item, rows, queries in zip(resolved, stored, found, strict=True)
    ]
    queried = list(map(Asked, asked, found[0].image_ids))
    comparison = compare(images, contenders, queried, framing_of, progress)
    return replace(comparison, failures=failures)


def _resolved(embeddings: Embeddings, backbones: str | Sequence[str]) -> list[ResolvedName]:
    """What the backbones to compare stand for, each once."""
    known = [item.name for item in embeddings.held().backbones]
    names = named(backbones) or [*embeddings.in_recipe(), *known] or [DEFAULT]
    return [embeddings.resolve(name) for name in dict.fromkeys(names)]
