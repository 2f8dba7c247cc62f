"""Values by which the photos of a map are coloured: scores of a review, groups of duplicates."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from embedkit.catalog import Catalog


@dataclass(frozen=True, eq=False)
class PhotoScores:
    """The scores of a review."""

    what: str
    """What the review looked for: ``labels`` or ``off-topic``."""
    ids: np.ndarray
    """Image ids of the reviewed photos: int64 (n,), each once."""
    scores: np.ndarray
    """float64 (n,); NaN for a photo without a score or with a verdict."""

    def of(self, ids: np.ndarray) -> np.ndarray:
        """Return the scores of images, float32 (N,); NaN for an image without one."""
        found = np.full(len(ids), np.nan, np.float32)
        _, here, there = np.intersect1d(ids, self.ids, assume_unique=True, return_indices=True)
        found[here] = self.scores[there]
        return found


def group_numbers(
    catalog: Catalog, groups: Sequence[Collection[str]], ids: np.ndarray
) -> np.ndarray:
    """Return the number of the group of each image, uint32 (N,), from 1; 0 without a group.

    ``groups`` are the SHA-256, hex, of the photos of each group; an image has the last group that
    contains it.
    """
    number_of = {
        bytes.fromhex(digest): number
        for number, digests in enumerate(groups, 1)
        for digest in digests
    }
    with catalog.read() as reader:
        images = reader.images.ids(list(number_of))
    by_id = {image: number_of[digest] for digest, image in images.items()}
    return np.array([by_id.get(image, 0) for image in ids.tolist()], np.uint32)
