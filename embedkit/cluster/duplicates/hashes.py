"""Candidates by perceptual hash: joins of all hashes in one orientation with all others.

Hashes of 64 bits within the radius of a search share too few bits for buckets that could be divided
between machines. But they are small: 100 million take 0.8 GB. So each task joins a block of hashes,
in one orientation, with a block of hashes as they are, by the bucket join of one machine.
"""

from dataclasses import dataclass
from math import ceil

import numpy as np
import pyarrow as pa

from embedkit.cluster.duplicates.exchange import divided, numbers
from embedkit.cluster.duplicates.place import HASHES
from embedkit.cluster.duplicates.run import Run
from embedkit.duplicates.candidates import expand_pairs
from embedkit.duplicates.hamming import near_pairs, near_pairs_between, representatives
from embedkit.duplicates.orientations import ORIENTATIONS

MAX_BLOCK = 1 << 24
"""Maximum number of hashes of a block."""
TASKS_PER_WORKER = 4
"""Number of joins per worker, if the blocks have a reasonable size."""
MIN_BLOCK = 1 << 21
"""Size below which blocks are not divided to keep more workers busy."""
CANDIDATES = pa.schema([("first", pa.int64()), ("second", pa.int64()), ("second_home", pa.int16())])
"""Candidate pairs, the smaller number first, in the part of the first image."""


@dataclass(frozen=True)
class Join:
    """One join of two blocks of distinct hashes."""

    orientation: int
    first: int
    second: int
    blocks: int
    bits: int
    """Maximum Hamming distance."""


def joins(count: int, bits: int, oriented_bits: int, workers: int) -> list[Join]:
    """Return the joins for ``count`` images, with the limits of a search; -1 compares nothing."""
    if bits < 0:
        return []
    blocks = max(1, ceil(count / MAX_BLOCK))
    while blocks**2 * ORIENTATIONS < TASKS_PER_WORKER * workers and count // blocks > MIN_BLOCK:
        blocks += 1
    found = [
        Join(0, first, second, blocks, bits)
        for first in range(blocks)
        for second in range(first, blocks)
    ]
    if oriented_bits >= 0:
        found += [
            Join(orientation, first, second, blocks, oriented_bits)
            for orientation in range(1, ORIENTATIONS)
            for first in range(blocks)
            for second in range(blocks)
        ]
    return sorted(found, key=lambda join: join.orientation == 0)  # the longest joins first


def join_hashes(run: Run, join: Join, hashed: list[str], parts: int) -> tuple[str, int]:
    """Write the pairs of a join; return the name of the file, and the number of pairs."""
    oriented = HASHES[join.orientation]
    columns = list(dict.fromkeys(["number", "home", "clear", HASHES[0], oriented]))
    table = run.exchange.read(hashed, 0, columns)
    clear = np.flatnonzero(numbers(table["clear"]))
    clear = clear[np.argsort(numbers(table["number"])[clear])]
    of_row, home, upright, queries = (
        numbers(table[name])[clear] for name in ("number", "home", HASHES[0], oriented)
    )
    del table
    representative = representatives(upright[:, None])
    distinct = np.flatnonzero(representative == np.arange(len(clear)))
    blocks = np.array_split(distinct, join.blocks)
    one, other = blocks[join.first], blocks[join.second]
    if join.orientation == 0 and join.first == join.second:
        found = near_pairs(upright[one], join.bits)
        # Images with equal hashes are pairs of a distinct hash with itself.
        first, second = np.r_[one[found.first], one], np.r_[one[found.second], one]
    else:
        found = near_pairs_between(queries[one], upright[other], join.bits)
        first, second = one[found.first], other[found.second]
    first, second = expand_pairs(first, second, representative)
    first, second = np.minimum(first, second), np.maximum(first, second)
    different = first < second
    first, second = first[different], second[different]
    pairs = pa.table(
        {"first": of_row[first], "second": of_row[second], "second_home": home[second]}, CANDIDATES
    )
    return (
        run.exchange.write("candidates", CANDIDATES, divided(pairs, home[first], parts)),
        len(pairs),
    )
