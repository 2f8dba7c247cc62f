"""What a workspace has, by what the disk says now."""

from collections import Counter
from dataclasses import dataclass

from embedkit import paths
from embedkit.catalog import Catalog
from embedkit.catalog.reader import ROWS_AT_A_TIME


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
        table, missing = reader.live_table(), reader.counts()["missing"]
    images: set[int] = set()
    labels: Counter[str] = Counter()
    files = 0
    for batch in table.to_batches(ROWS_AT_A_TIME):
        rows = zip(*(column.to_pylist() for column in batch.columns), strict=True)
        for image_id, place, label in rows:
            if paths.is_gone(paths.place(place)):
                missing += 1
                continue
            files += 1
            images.add(image_id)
            if label is not None:
                labels[label] += 1
    return Inventory(files, len(images), missing, dict(sorted(labels.items())))
