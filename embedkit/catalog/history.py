"""Stamps: a digest of the ordered history of a spec's embeddings, one for each event.

An event is an embedding stored or removed. With ``h`` its hash, ``stamp = stamp * M + h`` modulo
2^64: a function of the events and their order alone, however they were committed, and worked out
for a million of them at once.
"""

import numpy as np

_M = 0x9E3779B97F4A7C15
_INVERSE = pow(_M, -1, 1 << 64)
_REMOVED = 0xD6E8FEB86659FD93


def stored(image_ids: np.ndarray, sha256s: np.ndarray) -> np.ndarray:
    """Hashes, uint64 (n,), of the storing of images: ids int64 (n,), digests uint8 (n, 32)."""
    return _mixed(image_ids, np.ascontiguousarray(sha256s[:, :8]).view("<u8")[:, 0])


def removed(image_ids: np.ndarray) -> np.ndarray:
    """Hashes, uint64 (n,), of the removal of images: ids int64 (n,)."""
    return _mixed(image_ids, np.full(len(image_ids), _REMOVED, np.uint64))


def stamps(before: int, events: np.ndarray) -> np.ndarray:
    """The stamp after each event, uint64 (n,), of a history whose last stamp was ``before``."""
    powers = np.multiply.accumulate(np.full(len(events), _M, np.uint64))
    inverses = np.multiply.accumulate(np.full(len(events), _INVERSE, np.uint64))
    return np.asarray(powers * (np.add.accumulate(events * inverses) + np.uint64(before)))


def _mixed(image_ids: np.ndarray, values: np.ndarray) -> np.ndarray:
    mixed = (image_ids.astype(np.uint64) * np.uint64(_M)) ^ values
    mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(_REMOVED)
    return np.asarray(mixed ^ (mixed >> np.uint64(29)))
