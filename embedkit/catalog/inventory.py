"""What a workspace has, by what the disk says now."""

from collections import Counter
from dataclasses import dataclass

from embedkit._internal import paths
from embedkit.catalog import Catalog

IMAGES_AT_A_TIME = 100_000
"""Images whose files are looked at between two leases of the catalog."""


@dataclass(frozen=True)
class Inventory:
    """Files and what they contain."""

    files: int
    """Files that are there."""
    images: int
    """Distinct images that they hold."""
    missing: int
    """Files that are gone now, or were at the last add."""
    labels: dict[str, int]
    """Files that are there by label, sorted."""


def inventory(catalog: Catalog) -> Inventory:
    """Look at the path of every file that the catalog takes to be there."""
    with catalog.read() as reader:
        last, missing = reader.images.last_id(), reader.files.counts()["missing"]
    labels: Counter[str] = Counter()
    files = images = 0
    for first in range(0, last + 1, IMAGES_AT_A_TIME):
        with catalog.read() as reader:
            rows = reader.files.in_image_range(first, first + IMAGES_AT_A_TIME)
        there: set[int] = set()
        for image_id, path, label in rows:
            if paths.is_gone(path):
                missing += 1
                continue
            files += 1
            there.add(image_id)
            if label is not None:
                labels[label] += 1
        images += len(there)
    return Inventory(files, images, missing, dict(sorted(labels.items())))
