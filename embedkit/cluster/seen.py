"""The paths of a listing so far, with 16 bytes for each."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np


class SeenPaths:
    """A set of paths.

    It is a list of sorted arrays of digests. Each is at least twice as long as the next, so that
    few have to be searched and adding takes little time.
    """

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []

    def add(self, paths: Sequence[str]) -> np.ndarray:
        """Add paths; return for each whether it is new, bool (N,)."""
        every = np.array([_digest(path) for path in paths], "S16")
        digests, first = np.unique(every, return_index=True)
        is_new = np.ones(len(digests), bool)
        for run in self._runs:
            places = np.minimum(np.searchsorted(run, digests), len(run) - 1)
            is_new &= run[places] != digests
        added = digests[is_new]
        if len(added):
            while self._runs and len(self._runs[-1]) < 2 * len(added):
                added = np.sort(np.concatenate([self._runs.pop(), added]), kind="stable")
            self._runs.append(added)
        result = np.zeros(len(paths), bool)
        result[first[is_new]] = True
        return result


def _digest(path: str) -> bytes:
    return blake2b(path.encode(errors="surrogatepass"), digest_size=16).digest()
