"""The collections among the sources of an add."""

import os

from embedkit._internal.paths import is_within
from embedkit.catalog import Catalog
from embedkit.collect.facts import collected_files
from embedkit.ingest.scanning import Sources
from embedkit.results.collection import MANIFEST_NAME, CollectionReport


def collection_folder(path: str) -> str:
    """Return the folder of a manifest; any other path stays as it is."""
    is_manifest = os.path.basename(path) == MANIFEST_NAME and os.path.isfile(path)
    return os.path.dirname(path) if is_manifest else path


class Collections:
    """The collections among sources.

    Raises :class:`BadArtefact` for a manifest that is damaged or newer than this version of
    embedkit.
    """

    def __init__(self, catalog: Catalog, sources: Sources) -> None:
        self._catalog = catalog
        self._folders = sorted(
            item.path
            for item in sources.items
            if item.is_collection and collected_files(item.path) is not None
        )
        self._known = [
            path for path in sources.known if os.path.isfile(os.path.join(path, MANIFEST_NAME))
        ]

    def store_facts(self) -> tuple[CollectionReport, ...]:
        """Store the labels and attributes of the photos that were added."""
        reports = []
        for folder in self._folders:
            nested = [path for path in self._known if path != folder and is_within(path, folder)]
            photos = collected_files(folder)
            if photos is not None:  # the manifest may have been removed since
                with self._catalog.write() as writer:
                    reports.append(writer.collections.store(folder, photos, nested))
        return tuple(reports)
