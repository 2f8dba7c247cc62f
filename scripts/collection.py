"""The images of a workspace, with everything that scripts need to score pairs of them."""

from dataclasses import dataclass
from pathlib import Path

from embedkit import Workspace
from embedkit.duplicates.distribution import DistanceDistribution, sample_distances
from embedkit.duplicates.evidence import Fingerprints, ImageEmbeddings
from embedkit.duplicates.find import load_fingerprints
from embedkit.duplicates.pair_search import image_embeddings
from embedkit.index.index import Index


@dataclass(frozen=True, eq=False)
class Collection:
    """N images of a workspace, with their embeddings under the default backbone."""

    paths: list[Path]
    """The first file of each image."""
    fingerprints: Fingerprints
    index: Index
    embeddings: ImageEmbeddings
    distribution: DistanceDistribution


def collection_of(workspace: Workspace) -> Collection:
    """Return the images of a workspace."""
    resolved = workspace._embeddings.select(None)
    with workspace._catalog.read() as reader:
        table, revision = (
            reader.images.fingerprints(),
            reader.embeddings.revision(resolved.spec.digest),
        )
        files = reader.files.of_images(table.column("image_id").to_pylist())
    index = workspace._embeddings.indexes.at(resolved.spec, revision)
    fingerprints = load_fingerprints(workspace._catalog, table)
    embeddings = image_embeddings(index, fingerprints.ids)
    paths = [Path(files[image_id][0].path) for image_id in fingerprints.ids.tolist()]
    return Collection(paths, fingerprints, index, embeddings, sample_distances(embeddings))
