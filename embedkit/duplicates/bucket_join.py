"""The exact join of many hashes by Hamming distance, with buckets of hashes that agree in a chunk.

Two hashes that differ in at most r bits differ in at most t_i bits of some chunk i, if the chunks
are disjoint and the sum of t_i + 1 is r + 1: the pigeonhole principle of multi-index hashing
(Norouzi, Punjani and Fleet, "Fast Exact Search in Hamming Space with Multi-Index Hashing", 2014) in
its general form (Qin et al., "GPH: Similarity Search in Hamming Space", 2018). For each chunk in
turn, the hashes are counting-sorted by its bits, and each bucket is compared with all buckets that
differ from it in at most t_i bits. A pair that qualifies in
several chunks is emitted only by the first of them. Finally the pairs of all chunks are sorted, on
all cores.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic

from embedkit._internal.cores import usable_cores
from embedkit.duplicates.bucket_plan import plan_chunks
from embedkit.duplicates.hamming import DISTANCE_BITS, MAX_ROWS, ROW_BITS, Pairs

_TASKS = 64
"""Number of ranges of queries per core: several, because ranges take different times."""
_MIN_TASK = 256
"""Minimum number of queries in a range."""
_BLOCK = 64
"""Number of hashes compared in the innermost loop; each sets one bit of a word."""
_QUERIES = 32
"""Number of queries compared with a tile at a time."""
_TILE = 32 * _BLOCK
"""Number of hashes that stay in the fastest cache while all queries of a bucket are compared with
them."""
_RANGE_PAIRS = 1 << 14
"""Number of pairs that are sorted together, within a core's own cache."""
_MAX_RANGES = 1 << 10
"""Maximum number of such ranges; pairs are written to all of them in turn, each on another memory
page."""


def join(
    queries: np.ndarray,
    hashes: np.ndarray,
    query_rows: np.ndarray,
    rows: np.ndarray,
    limit: int,
    is_self_join: bool,
) -> Pairs:
    """Return the pairs of a query and a hash at most ``limit`` bits apart, each once.

    ``queries`` and ``hashes`` are uint64 (Q, W) and (N, W), neither empty; ``query_rows`` and
    ``rows``, int32, are the row numbers in the returned pairs. In a self-join, both are the same
    hashes: pairs are of different rows, the lower row first.
    """
    words = hashes.shape[1]
    chunks = plan_chunks(queries, hashes, limit, is_self_join)
    masks = np.array([chunk.words(words) for chunk in chunks])
    max_differing = np.array([chunk.max_differing for chunk in chunks])
    task_size = max(_MIN_TASK, len(queries) // (_TASKS * usable_cores()) + 1)
    found: list[np.ndarray] = []
    with ThreadPoolExecutor(usable_cores()) as pool:
        for number, chunk in enumerate(chunks):
            right = _sort_by_chunk(hashes, rows, chunk.bits)
            left = right if is_self_join else _sort_by_chunk(queries, query_rows, chunk.bits)
            earlier = (masks[:number], max_differing[:number])
            arguments = (*left, *right, chunk.masks(), *earlier, limit, is_self_join, (0,) * words)
            found += pool.map(
                lambda start, arguments=arguments: _join(start, start + task_size, *arguments),
                range(0, len(queries), task_size),
            )
        return _sort_pairs(found, int(query_rows.max()), pool)


# -- sorting the pairs ---------------------------------------------------------------------------


def _sort_pairs(found: list[np.ndarray], last: int, pool: ThreadPoolExecutor) -> Pairs:
    """Sort the packed pairs of all tasks; ``last`` is the largest first row.

    The pairs are scattered into ranges of 2^b first rows, and each range is sorted.
    """
    count = sum(map(len, found))
    bits = max(1, last // min(_MAX_RANGES, count // _RANGE_PAIRS + 1)).bit_length()
    shift = np.uint64(bits + ROW_BITS + DISTANCE_BITS)
    counts = np.zeros((len(found), (last >> bits) + 1), np.int64)
    list(pool.map(_count_by_range, found, repeat(shift), counts))
    ends = counts.T.cumsum().reshape(counts.T.shape)
    free = np.ascontiguousarray(ends.T - counts)
    scattered = np.empty(count, np.uint64)
    list(pool.map(_scatter_by_range, found, repeat(shift), free, repeat(scattered)))
    found.clear()
    pairs = Pairs(np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.uint16))

    def sort_range(start: int, end: int) -> None:
        ordered = scattered[start:end]
        ordered.sort()
        pairs.first[start:end] = ordered >> np.uint64(ROW_BITS + DISTANCE_BITS)
        pairs.second[start:end] = ordered >> np.uint64(DISTANCE_BITS) & np.uint64(MAX_ROWS - 1)
        pairs.distance[start:end] = ordered & np.uint64((1 << DISTANCE_BITS) - 1)

    list(pool.map(sort_range, [0, *ends[:-1, -1]], ends[:, -1]))
    return pairs


# -- compiled functions --------------------------------------------------------------------------


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function, and cache the result on disk if a cache folder is writable."""
    try:
        return numba.njit(nogil=True, cache=True)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # no cache folder is writable
        return numba.njit(nogil=True)(function)  # type: ignore[no-any-return]


def _popcount_intrinsic(_context: Any, _word: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return numba.int64(numba.uint64), generate


_popcount = intrinsic(_popcount_intrinsic)


@_compiled
def _sort_by_chunk(
    hashes: np.ndarray, rows: np.ndarray, bits: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows and hashes sorted by the bits of a chunk, and the start of each bucket.

    The starts are int32 (2^w + 1,).
    """
    count, words = hashes.shape
    keys = np.zeros(count, np.uint32)
    starts = np.zeros((1 << len(bits)) + 1, np.int32)
    for row in range(count):
        key = np.uint64(0)
        for number in range(len(bits)):
            shift = np.uint64(bits[number] & 63)
            bit = (hashes[row, bits[number] >> 6] >> shift) & np.uint64(1)
            key |= bit << np.uint64(number)
        keys[row] = key
        starts[keys[row] + 1] += 1
    for bucket in range(1, len(starts)):
        starts[bucket] += starts[bucket - 1]
    free = starts[:-1].copy()
    ordered_rows = np.empty_like(rows)
    ordered = np.empty_like(hashes)
    for row in range(count):
        place = free[keys[row]]
        free[keys[row]] += 1
        ordered_rows[place] = rows[row]
        for word in range(words):
            ordered[place, word] = hashes[row, word]
    return ordered_rows, ordered, starts


@_compiled
def _neighbour_count(
    starts: np.ndarray, masks: np.ndarray, key: int, low: int, is_self_join: bool
) -> int:
    """Return the number of hashes that :func:`_gather` copies."""
    total = 0
    for mask in masks:
        other = key ^ np.int64(mask)
        if not is_self_join or other >= key:
            total += starts[other + 1] - starts[other]
    return total - (low - starts[key] if is_self_join else 0)


@_compiled
def _gather(
    hashes: np.ndarray,
    starts: np.ndarray,
    masks: np.ndarray,
    key: int,
    low: int,
    is_self_join: bool,
    near: np.ndarray,
    places: np.ndarray,
    words: tuple[int, ...],
) -> None:
    """Copy the hashes that the queries of a bucket are compared with, and their places.

    In a self-join, copy only later hashes: from ``low`` on in the same bucket.
    """
    count = np.uint64(0)
    for mask in masks:
        other = key ^ np.int64(mask)
        if is_self_join and other < key:
            continue
        first = np.uint64(low if is_self_join and other == key else starts[other])
        for place in range(first, np.uint64(starts[other + 1])):
            for word in range(len(words)):
                near[word, count] = hashes[place, word]
            places[count] = place
            count += np.uint64(1)
    while count & np.uint64(_BLOCK - 1):
        places[count] = -1
        count += np.uint64(1)


@_compiled
def _compare(
    low: int,
    high: int,
    queries: np.ndarray,
    start: int,
    stop: int,
    near: np.ndarray,
    limit: int,
    words: tuple[int, ...],
    blocks: np.ndarray,
    hits: np.ndarray,
) -> int:
    """Compare queries with ``near`` in blocks, and record the pairs within the limit.

    Returns the number of blocks with any such pair: ``hits`` has one bit per hash of a block, and
    ``blocks`` the query and the start of the block. The innermost loop is written to be vectorised:
    it assigns no array, as that would count references in the loops, and indexes ``near`` by
    unsigned numbers, which need no check for negative indices.
    """
    count = 0
    for query in range(low, high):
        for block in range(start, stop, _BLOCK):
            within = np.uint64(0)
            for n in range(_BLOCK):
                distance = 0
                for word in range(len(words)):
                    distance += _popcount(queries[query, word] ^ near[word, np.uint64(block + n)])
                bit = np.uint64(1) << np.uint64(n)
                within |= bit if distance <= limit else np.uint64(0)
            hits[count] = within
            blocks[count, 0] = query
            blocks[count, 1] = block
            count += within != np.uint64(0)
    return count


@_compiled
def _packed(one: np.uint64, two: np.uint64, distance: np.uint64) -> np.uint64:
    """Pack a pair into one number, see :data:`~embedkit.duplicates.hamming.DISTANCE_BITS`."""
    return (one << np.uint64(ROW_BITS) | two) << np.uint64(DISTANCE_BITS) | distance


@_compiled
def _unpacked(pair: np.uint64) -> tuple[np.uint64, np.uint64, np.uint64]:
    one = pair >> np.uint64(ROW_BITS + DISTANCE_BITS)
    two = pair >> np.uint64(DISTANCE_BITS) & np.uint64(MAX_ROWS - 1)
    return one, two, pair & np.uint64((1 << DISTANCE_BITS) - 1)


@_compiled
def _emit(
    blocks: np.ndarray,
    hits: np.ndarray,
    query_rows: np.ndarray,
    queries: np.ndarray,
    near: np.ndarray,
    places: np.ndarray,
    rows: np.ndarray,
    earlier: np.ndarray,
    max_differing: np.ndarray,
    is_self_join: bool,
    words: tuple[int, ...],
    differ: np.ndarray,
    pairs: np.ndarray,
    new: np.ndarray,
    found: np.ndarray,
    count: int,
) -> int:
    """Append the hits that no earlier chunk emitted to ``found``, which must be large enough.

    Returns the new ``count``. ``differ``, ``pairs`` (of places) and ``new`` are buffers for the
    largest possible number of hits. Where hashes are clustered, most hits are not new, which branch
    prediction cannot foresee. So every hit is written, and counted only if it is new.
    """
    hit = np.uint64(0)
    for number in range(np.uint64(len(blocks))):
        query = np.uint64(blocks[number, 0])
        block = np.uint64(blocks[number, 1])
        within = hits[number]
        while within:
            lower = within - np.uint64(1)
            at = block + np.uint64(_popcount(~within & lower))
            within &= lower
            distance = 0
            for word in range(len(words)):
                differ[word, hit] = queries[query, word] ^ near[word, at]
                distance += _popcount(differ[word, hit])
            pairs[hit] = _packed(query, np.uint64(places[at]), np.uint64(distance))
            hit += np.uint64(places[at] > np.int64(query) if is_self_join else places[at] >= 0)
    new[:hit] = 1
    for chunk in range(len(max_differing)):
        for n in range(hit):
            distance = 0
            for word in range(len(words)):
                distance += _popcount(differ[word, n] & earlier[chunk, word])
            new[n] &= np.uint64(distance > max_differing[chunk])
    kept = np.uint64(0)
    for n in range(hit):
        pairs[kept] = pairs[n]
        kept += new[n]
    for n in range(kept):
        query, place, bits = _unpacked(pairs[n])
        one, two = np.uint64(query_rows[query]), np.uint64(rows[place])
        if is_self_join:
            one, two = min(one, two), max(one, two)
        found[np.uint64(count) + np.uint64(n)] = _packed(one, two, bits)
    return count + int(kept)


@_compiled
def _join(
    start: int,
    stop: int,
    query_rows: np.ndarray,
    queries: np.ndarray,
    query_starts: np.ndarray,
    rows: np.ndarray,
    hashes: np.ndarray,
    starts: np.ndarray,
    masks: np.ndarray,
    earlier: np.ndarray,
    max_differing: np.ndarray,
    limit: int,
    is_self_join: bool,
    words: tuple[int, ...],
) -> np.ndarray:
    """Return the packed pairs of the sorted queries from ``start`` to ``stop``: uint64 (P,).

    ``earlier`` and ``max_differing`` describe the chunks before this one. The length of the tuple
    ``words`` is W, so that the compiler knows it.
    """
    found = np.empty(2 * _QUERIES * _TILE, np.uint64)
    count = 0
    near = np.zeros((len(words), _TILE), np.uint64)
    places = np.empty(_TILE, np.int32)
    blocks = np.empty((_QUERIES * _TILE // _BLOCK + 1, 2), np.int32)
    hits = np.empty(len(blocks), np.uint64)
    differ = np.empty((len(words), _QUERIES * _TILE + 1), np.uint64)
    pairs = np.empty(differ.shape[1], np.uint64)
    new = np.empty(differ.shape[1], np.uint64)
    stop = min(stop, len(queries))
    key = np.searchsorted(query_starts, start, side="right") - 1
    while key < len(query_starts) - 1 and query_starts[key] < stop:
        low, high = max(start, query_starts[key]), min(stop, query_starts[key + 1])
        total = _neighbour_count(starts, masks, key, low, is_self_join) if low < high else 0
        if total > len(places):
            near = np.zeros((len(words), 2 * total // _TILE * _TILE), np.uint64)
            places = np.empty(near.shape[1], np.int32)
        if total:
            _gather(hashes, starts, masks, key, low, is_self_join, near, places, words)
        for tile in range(0, total, _TILE):
            last = min(tile + _TILE, total)
            for first in range(low, high, _QUERIES):
                if len(found) - count <= _QUERIES * _TILE:
                    found = np.concatenate((found, np.empty_like(found)))
                past = min(first + _QUERIES, high)
                hit = _compare(first, past, queries, tile, last, near, limit, words, blocks, hits)
                if hit:
                    count = _emit(
                        blocks[:hit],
                        hits,
                        query_rows,
                        queries,
                        near,
                        places,
                        rows,
                        earlier,
                        max_differing,
                        is_self_join,
                        words,
                        differ,
                        pairs,
                        new,
                        found,
                        count,
                    )
        key += 1
    return found[:count].copy()


@_compiled
def _count_by_range(numbers: np.ndarray, shift: np.uint64, counts: np.ndarray) -> None:
    """Count the packed pairs of each range of first rows."""
    for number in numbers:
        counts[number >> shift] += 1


@_compiled
def _scatter_by_range(
    numbers: np.ndarray, shift: np.uint64, free: np.ndarray, scattered: np.ndarray
) -> None:
    """Write each packed pair to the next ``free`` place of its range of first rows."""
    for number in numbers:
        scattered[free[number >> shift]] = number
        free[number >> shift] += 1
