"""The embeddings of a workspace: by which backbones, made where they lack, and their indexes."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from embedkit.backbones import load_backbone, open_backbone
from embedkit.backbones.registry import DEFAULT, rooted
from embedkit.catalog import BackboneSnapshot, Catalog, Reader
from embedkit.images.decode import ImageInput
from embedkit.index.indexes import Indexes
from embedkit.index.manifest import spec_info
from embedkit.recipe import read_recipe
from embedkit.results import Failure, ProgressCallback, RemovalReport, ResolvedName, SpecInfo
from embedkit.search.queries import Queries, by_images, by_text, pick

if TYPE_CHECKING:
    from embedkit.backbones.backbone import Backbone
    from embedkit.index.index import Index


class Embeddings:
    """The embeddings of the workspace that ``catalog`` is of, and the networks that make them.

    A backbone is named as a person names it: files in its name are found from the current folder.
    """

    def __init__(self, catalog: Catalog, progress: ProgressCallback) -> None:
        self._catalog = catalog
        self._folder = catalog.path.parent
        self._progress = progress
        self._networks: dict[str, Backbone] = {}
        self.indexes = Indexes(
            self._folder / "index", catalog, lambda: read_recipe(self._folder).index, progress
        )

    # -- backbones -----------------------------------------------------------------------------

    def held(self) -> BackboneSnapshot:
        """The backbones that are known; none in an empty workspace."""
        return self._catalog.backbones() if self._catalog.exists else BackboneSnapshot((), (), {})

    def in_recipe(self) -> list[str]:
        """The names in the recipe, files in them found from its folder."""
        return [rooted(name, str(self._folder)) for name in read_recipe(self._folder).backbones]

    def pick(self, backbone: str | None) -> ResolvedName:
        """The backbone of the workspace with that name, or its first one.

        Raises as :func:`embedkit.search.queries.pick` does.
        """
        return pick(self._catalog.backbones().backbones, _rooted(backbone), self._folder)

    def resolve(self, backbone: str) -> ResolvedName:
        """What the full name of a backbone stands for, known here or not."""
        from embedkit.ingest import resolve

        return resolve(backbone, self.held().backbones)

    def network(self, resolved: ResolvedName) -> "Backbone":
        """The network of a backbone, which stays open."""
        spec = resolved.spec.digest
        if spec not in self._networks:
            self._networks[spec] = open_backbone(resolved)
        return self._networks[spec]

    # -- embeddings of images and words --------------------------------------------------------

    def of_images(self, backbone: str | None, images: Sequence[ImageInput]) -> Queries:
        """The queries for images: see :func:`embedkit.search.queries.by_images`."""
        return by_images(self._catalog, _rooted(backbone), images, self.network)

    def of_text(self, backbone: str | None, text: str) -> Queries:
        """The query for words: see :func:`embedkit.search.queries.by_text`."""
        return by_text(self._catalog, _rooted(backbone), text, self.network)

    def vectors(self, backbone: str | None, images: Sequence[ImageInput]) -> np.ndarray:
        """Embeddings of images, float32 (N, dim), by a backbone that need not be known here.

        None is the workspace's first one, and in an empty workspace the default.
        """
        known = self.held().backbones
        backbone = _rooted(backbone)
        if known and (backbone is None or backbone in {item.name for item in known}):
            return self.of_images(backbone, images).vectors
        return load_backbone(backbone or DEFAULT).embed(images)

    def complete(self, backbones: Sequence[ResolvedName]) -> tuple[Failure, ...]:
        """Embed what images lack, one backbone after another; what failed, each file once."""
        from embedkit.ingest import embed

        done = [embed(self._catalog, item, self._progress) for item in backbones]
        if any(embedded for embedded, _ in done):
            self.save_caches()
        return tuple(dict.fromkeys(failure for _, failed in done for failure in failed))

    def completed(self, backbone: str) -> ResolvedName:
        """What the full name of a backbone stands for, once all images have its embedding."""
        resolved = self.resolve(backbone)
        self.complete([resolved])
        return resolved

    # -- indexes -------------------------------------------------------------------------------

    def index(self, backbone: str | None) -> "Index":
        """The index of a backbone's embeddings, caught up with the catalog."""
        resolved = self.pick(backbone)
        revision = self._catalog.backbones().revisions[resolved.spec.digest]
        return self.indexes.at(resolved.spec, revision)

    def index_for(self, queries: Queries) -> "Index":
        """The index to search for queries, as the catalog was when they were made."""
        return self.indexes.at(queries.resolved.spec, queries.revision)

    def to_compare(self, backbone: str | None) -> "Index":
        """The index of a backbone's embeddings; an empty one where images are fingerprinted only.

        Raises as :func:`embedkit.search.queries.pick` does for a backbone that is named.
        """
        if backbone is None and not self._catalog.backbones().backbones:
            return self.indexes.none()
        return self.index(backbone)

    def to_compare_with(
        self, backbone: str | None, image: ImageInput
    ) -> tuple["Index", np.ndarray]:
        """The index as :meth:`to_compare` gives it, and the image's embedding, float32 (1, dim)."""
        if backbone is None and not self._catalog.backbones().backbones:
            return self.indexes.none(), np.empty((1, 0), np.float32)
        query = self.of_images(backbone, [image])
        return self.index_for(query), query.vectors

    def save_caches(self) -> None:
        """Have the indexes and the listing of files on disk be those of the catalog as it is."""
        with self._catalog.read() as reader:
            specs = [
                (item.spec, reader.embeddings.revision(item.spec.digest))
                for item in reader.backbones.all()
            ]
        for spec, revision in specs:
            self.indexes.save_at(spec, revision)
        self._catalog.list_files()

    def forget(self, backbone: str) -> RemovalReport:
        """Forget a backbone, and its embeddings and index unless another name shares them."""
        resolved = self.pick(backbone)
        with self._catalog.write() as writer:
            removal = writer.backbones.remove(resolved.name)
            used = {item.spec.digest for item in writer.reader.backbones.all()}
        if resolved.spec.digest not in used:
            self.indexes.forget(resolved.spec)
        return removal

    def tidy(self) -> None:
        """Remove the indexes of specs that the catalog has no more."""
        self.indexes.forget_all_but({item.spec.digest for item in self.held().backbones})

    def told(self, reader: Reader) -> tuple[SpecInfo, ...]:
        """What there is to tell of each spec."""
        known, rates = reader.backbones.all(), reader.backbones.rates()
        names: dict[str, list[str]] = {}
        for item in known:
            names.setdefault(item.spec.digest, []).append(item.name)
        return tuple(
            spec_info(
                self.indexes.folder_of(spec),
                spec,
                tuple(names[digest]),
                reader.embeddings.count(digest),
                rates.get(digest),
            )
            for digest, spec in {item.spec.digest: item.spec for item in known}.items()
        )


def named(backbones: str | Sequence[str]) -> list[str]:
    """The full names of backbones that a person named, one or several, each once."""
    names = [backbones] if isinstance(backbones, str) else backbones
    return list(dict.fromkeys(rooted(name, os.getcwd()) for name in names))


def _rooted(backbone: str | None) -> str | None:
    return None if backbone is None else rooted(backbone, os.getcwd())
