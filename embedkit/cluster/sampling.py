"""Draw a random sample of the images of a store."""

import numpy as np
import pyarrow as pa

from embedkit.cluster.store import digest_words
from embedkit.cluster.tables import Dataset
from embedkit.search.search import check_count

_ROWS = 1 << 19


def sample_images(files: Dataset, count: int, seed: int) -> pa.Array:
    """Return the SHA-256 of a sample of the images that have a file, binary(32), sorted.

    Each image has a random key, a function of its SHA-256 and the seed; those with the smallest
    keys are the sample. So a larger sample contains a smaller one, and renaming files changes
    nothing. Raises :class:`BadInput` for a count below 1 and for a negative seed.
    """
    check_count(count, name="sample")
    check_count(seed, 0, "seed")
    words = np.empty((0, 4), np.uint64)
    keys = np.empty(0, np.uint64)
    for batch in files.batches(["sha256"], "sha256 IS NOT NULL", rows=_ROWS):
        words = np.concatenate([words, digest_words(pa.chunked_array([batch.column(0)]))])
        keys = np.concatenate([keys, _keys(words[len(keys) :], seed)])
        _, distinct = np.unique(keys, return_index=True)  # in order of the key
        words, keys = words[distinct[:count]], keys[distinct[:count]]
    words = words[np.lexsort(words.T[::-1])]
    content = pa.py_buffer(words.astype(">u8").tobytes())
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(words), [None, content])


def _keys(words: np.ndarray, seed: int) -> np.ndarray:
    """Return the keys of images: uint64 (N,) for digests, uint64 (N, 4)."""
    salt = np.random.default_rng(seed).integers(1 << 63, size=1, dtype=np.uint64)
    mixed = (words[:, 0] ^ salt) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return np.asarray(mixed ^ (mixed >> np.uint64(29)))
