"""What the workers of a run agree on: which block computes which image, and deadly files."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from embedkit.cluster.digests import DigestTable, empty_table
from embedkit.ingest.pipeline import ALL_RESULTS

MAX_DEATHS = 2
"""Number of workers that may end while they process a file alone, before it counts as unusable."""


class Registry:
    """The state that the workers of a run share.

    A block that is processed again, because its worker has died, gets its earlier claims. If the
    registry itself dies, it starts again without claims, so that two blocks may compute the same
    image: the driver of the run detects it.

    Parameters
    ----------
    words, masks : numpy.ndarray
        The images in the store before the run: see :class:`embedkit.catalog.KnownImages`.
    claiming : bool
        Whether an image that a block has claimed is left to it by the other blocks.
    """

    def __init__(self, words: np.ndarray, masks: np.ndarray, claiming: bool) -> None:
        self._known = DigestTable(words, masks)
        self._claimed = empty_table()
        self._claiming = claiming
        self._starts: Counter[int] = Counter()
        self._alone: dict[int, str] = {}
        self._deaths: Counter[str] = Counter()

    def claim(self, block: int, digests: Sequence[bytes]) -> list[int | None]:
        """Return the mask of the results that each image has; claim the others for a block.

        The results of an image that another block has claimed count as present.
        """
        masks = self._known.get(digests)
        if not self._claiming:
            return masks
        owners = self._claimed.get(digests)
        new = [digest for digest, owner in zip(digests, owners, strict=True) if owner is None]
        self._claimed.add(new, block)
        return [
            mask if owner in (None, block) else ALL_RESULTS
            for mask, owner in zip(masks, owners, strict=True)
        ]

    def start(self, block: int) -> int:
        """Record that a worker starts a block; return how many workers have started it."""
        self._starts[block] += 1
        if (path := self._alone.pop(block, None)) is not None:
            self._deaths[path] += 1
        return self._starts[block]

    def start_alone(self, block: int, path: str) -> bool:
        """Record that a worker starts a file alone; return whether it may still process it."""
        self._alone[block] = path
        return self._deaths[path] < MAX_DEATHS

    def finish_alone(self, block: int) -> None:
        """Record that the worker of a block has survived its file."""
        self._alone.pop(block, None)
