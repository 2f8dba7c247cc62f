"""Doubtful pairs held against each other point for point."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from embedkit.catalog.reader import LiveFile
from embedkit.errors import UnreadableImage
from embedkit.records import Progress, ProgressCallback, silent
from embedkit.verify import are_copies
from embedkit.verify.cache import FeatureCache
from embedkit.verify.features import View
from embedkit.verify.photos import view_of

_VIEWS = 256
"""Images kept decoded, 0.7 MB each at most; pairs come in the order of their first images."""
_PART = 64


def confirmed(
    first: np.ndarray,
    second: np.ndarray,
    files: Mapping[int, list[LiveFile]],
    features: Path,
    progress: ProgressCallback = silent,
) -> tuple[list[bool | None], int]:
    """Which pairs of images, by id, are copies, None where that stays open; how many are unread.

    ``files`` are where the images lie, ``features`` the folder of their local features. Of a pair
    one of which cannot be read, nothing is said.
    """
    cache = FeatureCache(features)

    @lru_cache(_VIEWS)
    def view(image_id: int) -> View | None:
        if image_id not in files:
            return None
        held = files[image_id]
        found = view_of([file.path for file in held], held[0].sha256, cache)
        return found and replace(found, grey=lru_cache(1)(found.grey))

    def compared(one: int, other: int) -> tuple[bool | None, bool]:
        """Whether two are copies, and whether they could be read."""
        first, second = view(one), view(other)
        if first is None or second is None:
            return None, False
        try:
            return are_copies(first, second), True
        except UnreadableImage:
            return None, False

    found: list[tuple[bool | None, bool]] = []
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for start in range(0, len(first), _PART):
            progress(Progress("comparing doubtful pairs", start, len(first)))
            part = slice(start, start + _PART)
            found += threads.map(compared, first[part].tolist(), second[part].tolist())
    return [copies for copies, _ in found], sum(not read for _, read in found)
