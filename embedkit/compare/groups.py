"""The framings of photos: by which what they show is told from how they are composed."""

from pathlib import Path

import numpy as np

from embedkit._internal.paths import shown
from embedkit.catalog import Catalog
from embedkit.compare.collection import LABEL, Collection
from embedkit.compare.measures import in_triplet
from embedkit.errors import BadInput
from embedkit.ingest import labels


def read_framings(catalog: Catalog, source: Path, collection: Collection) -> dict[str, str]:
    """Framings by absolute path from a CSV with the columns ``path`` and ``framing``.

    Raises :class:`BadInput` for a CSV that cannot be read, or that tells nothing of the collection.
    """
    framing_of = labels.values_from_csv(catalog, source, "framing")
    held = {file.path for files in collection.files for file in files}
    if framing_of and held.isdisjoint(framing_of):
        first, count = shown(next(iter(framing_of))), len(framing_of)
        where = "in the workspace" + (" under a label" if collection.by == LABEL else "")
        raise BadInput(
            f"{shown(str(source))}: its only path, {first}, is not {where}"
            if count == 1
            else f"{shown(str(source))}: none of its {count} paths is {where}; the first is {first}"
        )
    framings_of(collection, np.arange(len(collection.ids)), framing_of)
    return framing_of


def framings_of(
    collection: Collection, queries: np.ndarray, framing_of: dict[str, str]
) -> np.ndarray:
    """The framing of each image, by number: int64 (N,), -1 where it is not known.

    ``framing_of`` gives it by absolute path. Raises :class:`BadInput` when none of the ``queries``,
    rows of the collection, makes a triplet.
    """
    number_of = {name: number for number, name in enumerate(sorted(set(framing_of.values())))}
    framings = np.array(
        [
            next(
                (number_of[framing_of[file.path]] for file in files if file.path in framing_of), -1
            )
            for files in collection.files
        ]
    )
    if not in_triplet(collection.classes, framings)[queries].any():
        raise BadInput(
            "the framings make no triplet of a photo, one of its class in another framing and one "
            "of another class in its framing"
        )
    return framings
