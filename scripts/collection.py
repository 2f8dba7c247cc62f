"""What scripts need of a workspace to weigh pairs of its images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedkit import Workspace
from embedkit.duplicates.evidence import Prints
from embedkit.duplicates.find import prints_of
from embedkit.duplicates.pair_search import places_in
from embedkit.duplicates.semantic import Space, survey
from embedkit.index.index import Index


@dataclass(frozen=True, eq=False)
class Collection:
    """The images of a workspace, N of them, with their embeddings under the default backbone."""

    paths: list[Path]
    """The first file of each image."""
    prints: Prints
    index: Index
    places: np.ndarray
    """int64 (N,): the row of each image's embedding, -1 for none."""
    vectors: np.ndarray
    """float32 (M, dim), L2-normalised."""
    space: Space


def collection_of(workspace: Workspace) -> Collection:
    """The images of a workspace."""
    resolved = workspace._embeddings.pick(None)
    with workspace._catalog.read() as reader:
        table, revision = (
            reader.images.fingerprints(),
            reader.embeddings.revision(resolved.spec.digest),
        )
        files = reader.files.of_images(table.column("image_id").to_pylist())
    index = workspace._embeddings.indexes.at(resolved.spec, revision)
    prints = prints_of(workspace._catalog, table)
    places, vectors = places_in(index, prints.ids)
    paths = [Path(files[image_id][0].path) for image_id in prints.ids.tolist()]
    return Collection(paths, prints, index, places, vectors, survey(vectors, places[places >= 0]))
