"""The training photos nearest to a photo: why a head says what it says."""

import numpy as np

from embedkit.catalog import Catalog
from embedkit.classify.heads.head import Head, Nearest
from embedkit.results import Neighbour


def nearest_photos(catalog: Catalog, head: Head, nearest: Nearest) -> list[tuple[Neighbour, ...]]:
    """What the head's first model found ``nearest`` to photos, nearest first, by photo."""
    gallery = head.models[0].gallery
    rows, distances = nearest
    place_of = _places(catalog, gallery.sha256[np.unique(rows)])
    return [
        tuple(
            Neighbour(
                place_of.get(gallery.sha256[row].tobytes()),
                head.classes_[gallery.labels[row]],
                float(away),
            )
            for row, away in zip(some, apart, strict=True)
        )
        for some, apart in zip(rows, distances, strict=True)
    ]


def _places(catalog: Catalog, digests: np.ndarray) -> dict[bytes, str]:
    """Where images lie now, by SHA-256; those that the workspace still has."""
    if not catalog.exists:
        return {}
    with catalog.read() as reader:
        ids = reader.images.ids([row.tobytes() for row in digests])
        files = reader.files.of_images(list(ids.values()))
    return {digest: files[one][0].path for digest, one in ids.items() if one in files}
