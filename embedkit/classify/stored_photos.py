"""The photos of a workspace by their SHA-256: stored embeddings, and current paths."""

from collections.abc import Iterable, Sequence

import numpy as np

from embedkit.catalog import Catalog
from embedkit.classify.heads.linear import Features


class StoredPhotos:
    """What the catalog knows about photos; nothing, if there is no catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def features(
        self, specs: Iterable[str], digests: Sequence[bytes]
    ) -> tuple[list[bytes], dict[str, Features]]:
        """Return the digests of the photos with embeddings under all specs, and these embeddings.

        The features of each spec, by its digest, are in the order of the returned digests.
        """
        found: dict[str, dict[bytes, tuple[np.ndarray, float]]] = {}
        if self._catalog.exists:
            with self._catalog.read() as reader:
                ids = np.array(sorted(reader.images.ids(list(digests)).values()), np.int64)
                for spec in specs:
                    found[spec] = {}
                    if len(ids) and reader.embeddings.count(spec):
                        _, vectors, norms, sha256 = reader.embeddings.features(spec, ids)
                        keys = (row.tobytes() for row in sha256)
                        found[spec] = dict(zip(keys, zip(vectors, norms, strict=True), strict=True))
        known = [
            one for one in dict.fromkeys(digests) if all(one in some for some in found.values())
        ]
        if not found or not known:
            return [], {}
        return known, {
            spec: Features(
                np.stack([some[one][0] for one in known]),
                np.array([some[one][1] for one in known], np.float32),
            )
            for spec, some in found.items()
        }

    def paths(self, digests: Iterable[bytes]) -> dict[bytes, str]:
        """Return a path of each photo that has a file, by SHA-256."""
        if not self._catalog.exists:
            return {}
        with self._catalog.read() as reader:
            ids = reader.images.ids(list(digests))
            files = reader.files.of_images(list(ids.values()))
        return {digest: files[one][0].path for digest, one in ids.items() if one in files}
