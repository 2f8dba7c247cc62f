"""A table of numbers by SHA-256 that takes 40 bytes for each image."""

from collections.abc import Iterable, Sequence

import numpy as np

_RECENT = 1 << 20
"""Entries in a dict, which is faster to add to, before they are merged into the sorted arrays."""


class DigestTable:
    """Numbers, int64, by SHA-256. An entry is never changed or removed.

    Parameters
    ----------
    words : numpy.ndarray
        SHA-256 digests as big-endian words, uint64 (N, 4), rows sorted and distinct.
    numbers : numpy.ndarray
        int64 (N,).
    """

    def __init__(self, words: np.ndarray, numbers: np.ndarray) -> None:
        self._words = words
        self._numbers = numbers
        self._recent: dict[bytes, int] = {}

    @classmethod
    def numbered(cls, digests: Iterable[bytes]) -> "DigestTable":
        """Return a table of distinct digests that numbers them from 0, in order.

        They are given in parts: each part has several, one after the other.
        """
        words = np.concatenate([np.empty((0, 4), np.uint64), *map(_words, digests)])
        order = np.lexsort(words.T[::-1])
        return cls(words[order], order)

    def get(self, digests: Sequence[bytes]) -> list[int | None]:
        """Return the number of each digest; None where it has none."""
        found: list[int | None] = [self._recent.get(digest) for digest in digests]
        if not len(self._words) or not digests:
            return found
        wanted = _words(b"".join(digests))
        rows = np.searchsorted(self._words[:, 0], wanted[:, 0])
        for number, row in enumerate(rows.tolist()):
            # Digests with the same first word are as good as impossible, but cost nothing.
            while row < len(self._words) and self._words[row, 0] == wanted[number, 0]:
                if (self._words[row] == wanted[number]).all():
                    found[number] = int(self._numbers[row])
                row += 1
        return found

    def add(self, digests: Sequence[bytes], number: int) -> None:
        """Add digests that the table does not have yet, all with the same number."""
        self._recent.update(dict.fromkeys(digests, number))
        if len(self._recent) >= _RECENT:
            self._merge()

    def _merge(self) -> None:
        words = np.concatenate([self._words, _words(b"".join(self._recent))])
        numbers = np.concatenate([self._numbers, np.fromiter(self._recent.values(), np.int64)])
        order = np.lexsort(words.T[::-1])
        self._words, self._numbers = words[order], numbers[order]
        self._recent = {}


def empty_table() -> DigestTable:
    """Return a table without entries."""
    return DigestTable(np.empty((0, 4), np.uint64), np.empty(0, np.int64))


def _words(digests: bytes) -> np.ndarray:
    return np.frombuffer(digests, ">u8").astype(np.uint64).reshape(-1, 4)
