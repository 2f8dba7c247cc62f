"""The files of a workspace that exist on disk now."""

from collections import Counter
from dataclasses import dataclass

from embedkit._internal import paths
from embedkit.catalog import Catalog
from embedkit.results.verdicts import RELABEL

IMAGES_AT_A_TIME = 100_000
"""Images whose files are checked between two leases of the catalog."""


@dataclass(frozen=True)
class Inventory:
    """Counts of files, images and labels."""

    files: int
    """Files that exist."""
    images: int
    """Distinct images in these files."""
    missing: int
    """Files that do not exist, now or at the last add."""
    labels: dict[str, int]
    """Number of existing files by label, sorted."""
    relabelled: int
    """Number of existing files with a label from a verdict."""


def inventory(catalog: Catalog) -> Inventory:
    """Check the path of every live file of the catalog."""
    with catalog.read() as reader:
        last, missing = reader.images.last_id(), reader.files.counts()["missing"]
        with_new_label = set(reader.verdicts.on_one_image(RELABEL))
    labels: Counter[str] = Counter()
    files = images = relabelled = 0
    for first in range(0, last + 1, IMAGES_AT_A_TIME):
        with catalog.read() as reader:
            rows = reader.files.in_image_range(first, first + IMAGES_AT_A_TIME)
        existing: set[int] = set()
        for image_id, path, label in rows:
            if paths.is_missing(path):
                missing += 1
                continue
            files += 1
            relabelled += image_id in with_new_label
            existing.add(image_id)
            if label is not None:
                labels[label] += 1
        images += len(existing)
    return Inventory(files, images, missing, dict(sorted(labels.items())), relabelled)
