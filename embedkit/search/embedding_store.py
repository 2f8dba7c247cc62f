"""The embeddings of a workspace: the networks that compute them, and the indexes over them."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from embedkit.backbones import LOADING, load_with_projection, open_backbone
from embedkit.backbones.projection import WorkspaceProjections, projection_of
from embedkit.backbones.registry import DEFAULT, absolute_name, network_name
from embedkit.catalog import BackboneSnapshot, Catalog, Reader
from embedkit.images.decode import ImageInput
from embedkit.index.indexes import Indexes
from embedkit.index.manifest import spec_info
from embedkit.recipe import read_recipe
from embedkit.results import (
    Failure,
    ProgressCallback,
    ProjectionInfo,
    RemovalReport,
    ResolvedName,
    SpecInfo,
)
from embedkit.search.queries import (
    Queries,
    embed_images,
    embed_text,
    select_backbone,
    stored_query,
)

if TYPE_CHECKING:
    from embedkit.backbones.backbone import Backbone
    from embedkit.index.index import Index


class EmbeddingStore:
    """The embeddings of a workspace: its networks, stored vectors and indexes.

    Backbones are given by name, as on the command line: files in a name are relative to the current
    folder. ``None`` is the workspace's first backbone.
    """

    def __init__(self, catalog: Catalog, progress: ProgressCallback) -> None:
        self._catalog = catalog
        self._folder = catalog.path.parent
        self._progress = progress
        self._networks: dict[str, Backbone] = {}
        self.projections = WorkspaceProjections(self._folder)
        self.indexes = Indexes(
            self._folder / "index", catalog, lambda: read_recipe(self._folder).index, progress
        )

    # -- backbones -----------------------------------------------------------------------------

    def backbone_snapshot(self) -> BackboneSnapshot:
        """Return the known backbones; none for an empty workspace."""
        return self._catalog.backbone_snapshot() if self._catalog.exists else BackboneSnapshot()

    def recipe_backbones(self) -> list[str]:
        """Return the backbones of the recipe; files in their names are relative to its folder."""
        return [
            absolute_name(name, str(self._folder)) for name in read_recipe(self._folder).backbones
        ]

    def select(self, backbone: str | None) -> ResolvedName:
        """Return a backbone of the workspace.

        Raises as :func:`embedkit.search.queries.select_backbone` does.
        """
        known = self._catalog.backbone_snapshot().backbones
        return select_backbone(known, _full_name(backbone), self._folder)

    def resolve(self, backbone: str) -> ResolvedName:
        """Resolve the full name of a backbone, whether the workspace has it or not.

        Raises :class:`BadInput` when the workspace has no projection for it.
        """
        from embedkit.ingest.network import resolve

        known = self.backbone_snapshot().backbones
        return resolve(backbone, known, self._progress, self.projections.find)

    def resolve_and_fit(self, backbone: str) -> ResolvedName:
        """Resolve the full name of a backbone.

        The projection of a name with ``dims=`` is fitted on the photos of the workspace, if it has
        none.
        """
        from embedkit.ingest.projections import CatalogSample, ensure_projection

        if network_name(backbone) != backbone:
            known = self.backbone_snapshot().backbones
            sample = CatalogSample(self._catalog, self._progress)
            ensure_projection(backbone, known, self.projections, sample, self._progress)
        return self.resolve(backbone)

    def network(self, resolved: ResolvedName) -> "Backbone":
        """Return the network of a backbone; it stays loaded."""
        spec = resolved.spec.digest
        if spec not in self._networks:
            self._progress(LOADING)
            self._networks[spec] = self.open(resolved)
        return self._networks[spec]

    def open(self, resolved: ResolvedName) -> "Backbone":
        """Open the network of a backbone."""
        return open_backbone(resolved, self.projections.find)

    def remove(self, backbone: str) -> RemovalReport:
        """Remove a backbone.

        Its embeddings, index and projection are removed too, unless another backbone shares them.
        """
        resolved = self.select(backbone)
        spec = resolved.spec
        with self._catalog.write() as writer:
            removal = writer.backbones.remove(resolved.name)
            used = [item.spec for item in writer.reader.backbones.all()]
        if spec not in used:
            self.indexes.remove(spec)
        if spec.projection and spec.projection not in {other.projection for other in used}:
            self.projections.remove(spec)
        return removal

    # -- computing embeddings ------------------------------------------------------------------

    def query_images(self, backbone: str | None, images: Sequence[ImageInput]) -> Queries:
        """Return images as queries: see :func:`embedkit.search.queries.embed_images`."""
        return embed_images(self._catalog, _full_name(backbone), images, self.network)

    def query_stored(self, backbone: str | None, sha256: str) -> Queries:
        """Return a stored photo as a query: see :func:`embedkit.search.queries.stored_query`."""
        return stored_query(self._catalog, _full_name(backbone), sha256)

    def query_text(self, backbone: str | None, text: str) -> Queries:
        """Return a text as a query: see :func:`embedkit.search.queries.embed_text`."""
        return embed_text(self._catalog, _full_name(backbone), text, self.network)

    def embed(self, backbone: str | None, images: Sequence[ImageInput]) -> np.ndarray:
        """Return the embeddings of images, float32 (N, dim).

        The workspace need not have the backbone. In an empty workspace None is the default one.
        """
        known = self.backbone_snapshot().backbones
        backbone = _full_name(backbone)
        if known and (backbone is None or backbone in {item.name for item in known}):
            return self.query_images(backbone, images).vectors
        self._progress(LOADING)
        return load_with_projection(backbone or DEFAULT, self.projections.find).embed(images)

    def embed_missing(self, backbones: Sequence[ResolvedName]) -> tuple[Failure, ...]:
        """Compute the missing embeddings of all images; return the files that failed."""
        from embedkit.ingest.add import embed

        find = self.projections.find
        done = [embed(self._catalog, item, find, self._progress) for item in backbones]
        if any(embedded for embedded, _ in done):
            self.save_caches()
        return tuple(dict.fromkeys(failure for _, failed in done for failure in failed))

    def resolve_and_embed(self, backbone: str) -> ResolvedName:
        """Resolve the full name of a backbone and compute its missing embeddings."""
        resolved = self.resolve_and_fit(backbone)
        self.embed_missing([resolved])
        return resolved

    # -- indexes -------------------------------------------------------------------------------

    def index(self, backbone: str | None) -> "Index":
        """Return the index of a backbone, up to date with the catalog."""
        resolved = self.select(backbone)
        revision = self._catalog.backbone_snapshot().revisions[resolved.spec.digest]
        return self.indexes.at(resolved.spec, revision)

    def index_for(self, queries: Queries) -> "Index":
        """Return the index to search for queries, at the revision at which they were made."""
        return self.indexes.at(queries.resolved.spec, queries.revision)

    def index_or_empty(self, backbone: str | None) -> "Index":
        """Return the index of a backbone; an empty one for None in a workspace without backbones.

        Raises as :meth:`select` does for a named backbone.
        """
        if backbone is None and not self._catalog.backbone_snapshot().backbones:
            return self.indexes.empty()
        return self.index(backbone)

    def index_and_query(
        self, backbone: str | None, image: ImageInput
    ) -> tuple["Index", np.ndarray]:
        """Return :meth:`index_or_empty` and the image's embedding, float32 (1, dim)."""
        if backbone is None and not self._catalog.backbone_snapshot().backbones:
            return self.indexes.empty(), np.empty((1, 0), np.float32)
        query = self.query_images(backbone, [image])
        return self.index_for(query), query.vectors

    def save_caches(self) -> None:
        """Bring the indexes and the file listing on disk up to date with the catalog."""
        with self._catalog.read() as reader:
            specs = [
                (item.spec, reader.embeddings.revision(item.spec.digest))
                for item in reader.backbones.all()
            ]
        for spec, revision in specs:
            self.indexes.save_at(spec, revision)
        self._catalog.write_listing()

    def remove_unused_indexes(self) -> None:
        """Remove the indexes of specs that are not in the catalog any more."""
        known = self.backbone_snapshot().backbones
        self.indexes.remove_all_except({item.spec.digest for item in known})

    def spec_infos(self, reader: Reader) -> tuple[SpecInfo, ...]:
        """Return a description of each spec."""
        known, rates = reader.backbones.all(), reader.backbones.rates()
        names: dict[str, list[str]] = {}
        for item in known:
            names.setdefault(item.spec.digest, []).append(item.name)
        return tuple(
            spec_info(
                self.indexes.folder_of(item.spec),
                item.spec,
                tuple(names[digest]),
                reader.embeddings.count(digest),
                rates.get(digest),
                self._projection_info(item),
            )
            for digest, item in {item.spec.digest: item for item in known}.items()
        )

    def _projection_info(self, resolved: ResolvedName) -> ProjectionInfo | None:
        projection = projection_of(resolved, self.projections.find)
        return None if projection is None else projection.info


def full_names(backbones: str | Sequence[str]) -> list[str]:
    """Return the full names of one or several backbones, without repetitions.

    Files in a name are relative to the current folder.
    """
    names = [backbones] if isinstance(backbones, str) else backbones
    return list(dict.fromkeys(absolute_name(name, os.getcwd()) for name in names))


def _full_name(backbone: str | None) -> str | None:
    return None if backbone is None else absolute_name(backbone, os.getcwd())
