"""Doubtful pairs confirmed point for point."""

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
from embedkit.verify import is_one_picture
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
) -> list[bool | None]:
    """Which pairs of images, by id, are one picture; None where one cannot be read.

    ``files`` are where the images lie, ``features`` the folder of their local features.
    """
    cache = FeatureCache(features)

    @lru_cache(_VIEWS)
    def view(image_id: int) -> View | None:
        if image_id not in files:
            return None
        held = files[image_id]
        found = view_of([file.path for file in held], held[0].sha256, cache)
        return found and replace(found, grey=lru_cache(1)(found.grey))

    def is_confirmed(one: int, other: int) -> bool | None:
        first, second = view(one), view(other)
        if first is None or second is None:
            return None
        try:
            return is_one_picture(first, second)
        except UnreadableImage:
            return None

    found: list[bool | None] = []
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for start in range(0, len(first), _PART):
            progress(Progress("confirming doubtful pairs", start, len(first)))
            part = slice(start, start + _PART)
            found += threads.map(is_confirmed, first[part].tolist(), second[part].tolist())
    return found
