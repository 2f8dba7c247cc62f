"""The images of a workspace, with everything that scripts need to score pairs of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedkit import Workspace
from embedkit.duplicates.evidence import Fingerprints
from embedkit.duplicates.find import load_fingerprints
from embedkit.duplicates.pair_search import embedding_rows
from embedkit.duplicates.semantic import DistanceDistribution, sample_distances
from embedkit.index.index import Index


@dataclass(frozen=True, eq=False)
class Collection:
    """N images of a workspace, with their embeddings under the default backbone."""

    paths: list[Path]
    """The first file of each image."""
    fingerprints: Fingerprints
    index: Index
    places: np.ndarray
    """int64 (N,): the row of each image's embedding, -1 for none."""
    vectors: np.ndarray
    """float32 (M, dim), L2-normalised."""
    distribution: DistanceDistribution


def collection_of(workspace: Workspace) -> Collection:
    """Return the images of a workspace."""
    resolved = workspace._embeddings.pick(None)
    with workspace._catalog.read() as reader:
        table, revision = (
            reader.images.fingerprints(),
            reader.embeddings.revision(resolved.spec.digest),
        )
        files = reader.files.of_images(table.column("image_id").to_pylist())
    index = workspace._embeddings.indexes.at(resolved.spec, revision)
    fingerprints = load_fingerprints(workspace._catalog, table)
    places, vectors = embedding_rows(index, fingerprints.ids)
    paths = [Path(files[image_id][0].path) for image_id in fingerprints.ids.tolist()]
    return Collection(
        paths, fingerprints, index, places, vectors, sample_distances(vectors, places[places >= 0])
    )
