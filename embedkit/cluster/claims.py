"""Which block of files computes the results of which image."""

from collections.abc import Sequence

import numpy as np

from embedkit.cluster.digests import DigestTable, empty_table
from embedkit.ingest.pipeline import ALL_RESULTS


class ClaimRegistry:
    """Claims of the blocks that workers process at the same time.

    A block that is processed again, because its worker has died, gets its earlier claims. If the
    registry itself dies, it starts again without claims, so that two blocks may compute the same
    image: the driver of the run detects it.

    Parameters
    ----------
    words, masks : numpy.ndarray
        The images in the store before the run: see :class:`embedkit.catalog.KnownImages`.
    """

    def __init__(self, words: np.ndarray, masks: np.ndarray) -> None:
        self._known = DigestTable(words, masks)
        self._claimed = empty_table()

    def claim(self, block: int, digests: Sequence[bytes]) -> list[int | None]:
        """Return the mask of the results that each image has; claim the others for a block.

        The results of an image that another block has claimed count as present.
        """
        owners = self._claimed.get(digests)
        new = [digest for digest, owner in zip(digests, owners, strict=True) if owner is None]
        self._claimed.add(new, block)
        return [
            mask if owner in (None, block) else ALL_RESULTS
            for mask, owner in zip(self._known.get(digests), owners, strict=True)
        ]
