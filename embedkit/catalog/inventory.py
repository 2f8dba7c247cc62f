"""What a workspace has, by what the disk says now."""

from collections import Counter
from dataclasses import dataclass

from embedkit import paths
from embedkit.catalog.reader import Reader


@dataclass(frozen=True)
class Inventory:
    """Files and what they contain."""

    files: int
    """Files that are there."""
    images: int
    """Distinct images that they hold."""
    missing: int
    """Files that are gone, whether an add has noted it or not."""
    labels: dict[str, int]
    """Files that are there by label, sorted."""


def inventory(reader: Reader) -> Inventory:
    """Look at the path of every file that the catalog takes to be there."""
    images: set[int] = set()
    labels: Counter[str] = Counter()
    files = 0
    missing = reader.counts()["missing"]
    for image_id, path, label in reader.all_files():
        if paths.is_gone(path):
            missing += 1
            continue
        files += 1
        images.add(image_id)
        if label is not None:
            labels[label] += 1
    return Inventory(files, len(images), missing, dict(sorted(labels.items())))
