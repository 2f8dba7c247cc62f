"""The exact join of many hashes by Hamming distance: buckets of hashes that agree in a chunk.

Two hashes that differ in at most r bits differ in at most t_i bits of some chunk i, if the chunks
share no bit and the sum of t_i + 1 is r + 1: the pigeonhole principle of multi-index hashing
(Norouzi, Punjani and Fleet, "Fast Exact Search in Hamming Space with Multi-Index Hashing", 2014) in
its general form (Qin et al., "GPH: Similarity Search in Hamming Space", 2018). So hashes are
counting-sorted by each chunk in turn, and each bucket is compared with those whose chunks differ
from its own in at most t_i bits. A pair is emitted by the first chunk that brings it together; the
pairs of all chunks are sorted last, on all cores.

How many chunks, how wide and with which t_i is what costs least by how far apart some hashes are.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations, repeat
from math import comb
from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic

from embedkit.duplicates.pairs import DISTANCE_BITS, MOST_ROWS, ROW_BITS, Pairs

COMPARE, GATHER, RUN, SORT, BUCKET = 0.36, 1.5, 24.0, 60.0, 3.0
"""Nanoseconds for comparing a word, copying one to be compared, each bucket copied from, sorting a
hash, and looking at a bucket."""
WIDEST = 24
"""Bits of a chunk: the starts of its buckets take 64 MB."""
MOST_MASKS = 1 << 16
CONSTANT = 0.99
"""A bit is no use in a chunk when the square of the mean of its sign, ±1, is more than this."""
SAMPLE = 1024
"""Hashes on either side that are compared to learn how far apart they are."""
_SEED = 0
_TASKS = 64
"""Ranges of queries that each core takes in turn, as some take longer than others."""
_LEAST = 256
_BLOCK = 64
_ROWS = 32
_TILE = 32 * _BLOCK
"""Hashes that stay in the fastest cache while all queries of a bucket are compared with them."""
_RANGE = 1 << 14
"""Pairs that are sorted together, in a core's own cache."""
_MOST_RANGES = 1 << 10
"""Places that pairs are written to in turn, each in another page of memory."""


@dataclass(frozen=True)
class Chunk:
    """The bits of a chunk, word * 64 + bit, and in how many of them hashes may differ."""

    bits: np.ndarray
    within: int

    def masks(self) -> np.ndarray:
        """Every difference within the chunk, uint32 (M,)."""
        weights = range(self.within + 1)
        chosen = (c for weight in weights for c in combinations(range(len(self.bits)), weight))
        return np.array([sum(1 << bit for bit in bits) for bits in chosen], np.uint32)

    def words(self, count: int) -> np.ndarray:
        """The bits set in ``count`` words, uint64 (W,)."""
        words = np.zeros(count, np.uint64)
        np.bitwise_or.at(words, self.bits >> 6, np.uint64(1) << (self.bits & 63).astype(np.uint64))
        return words


def joined(
    queries: np.ndarray,
    hashes: np.ndarray,
    query_rows: np.ndarray,
    rows: np.ndarray,
    limit: int,
    same: bool,
) -> Pairs:
    """The pairs of a query and a hash at most ``limit`` bits apart, each once.

    ``queries`` and ``hashes`` are uint64 (Q, W) and (N, W), neither empty, and are called by
    their ``rows``, int32. If they are the ``same``, pairs are of different rows, the lower first.
    """
    words = hashes.shape[1]
    chunks = planned(queries, hashes, limit, same)
    masks = np.array([chunk.words(words) for chunk in chunks])
    withins = np.array([chunk.within for chunk in chunks])
    task = max(_LEAST, len(queries) // (_TASKS * threads()) + 1)
    found: list[np.ndarray] = []
    with ThreadPoolExecutor(threads()) as pool:
        for number, chunk in enumerate(chunks):
            right = _sorted(hashes, rows, chunk.bits)
            left = right if same else _sorted(queries, query_rows, chunk.bits)
            before = (masks[:number], withins[:number])
            given = (*left, *right, chunk.masks(), *before, limit, same, (0,) * words)
            found += pool.map(
                lambda start, given=given: _join(start, start + task, *given),
                range(0, len(queries), task),
            )
        return _in_order(found, int(query_rows.max()), pool)


def threads() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# -- the order ---------------------------------------------------------------------------------


def _in_order(found: list[np.ndarray], last: int, pool: ThreadPoolExecutor) -> Pairs:
    """The packed pairs of all tasks, whose first rows go up to ``last``.

    They are scattered by ranges of 2^r first rows, and each range is sorted.
    """
    count = sum(map(len, found))
    rows = max(1, last // min(_MOST_RANGES, count // _RANGE + 1)).bit_length()
    shift = np.uint64(rows + ROW_BITS + DISTANCE_BITS)
    counts = np.zeros((len(found), (last >> rows) + 1), np.int64)
    list(pool.map(_count, found, repeat(shift), counts))
    ends = counts.T.cumsum().reshape(counts.T.shape)
    free = np.ascontiguousarray(ends.T - counts)
    numbers = np.empty(count, np.uint64)
    list(pool.map(_scatter, found, repeat(shift), free, repeat(numbers)))
    found.clear()
    pairs = Pairs(np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.uint16))

    def finish(start: int, end: int) -> None:
        ordered = numbers[start:end]
        ordered.sort()
        pairs.first[start:end] = ordered >> np.uint64(ROW_BITS + DISTANCE_BITS)
        pairs.second[start:end] = ordered >> np.uint64(DISTANCE_BITS) & np.uint64(MOST_ROWS - 1)
        pairs.distance[start:end] = ordered & np.uint64((1 << DISTANCE_BITS) - 1)

    list(pool.map(finish, [0, *ends[:-1, -1]], ends[:, -1]))
    return pairs


# -- the plan ----------------------------------------------------------------------------------


def planned(queries: np.ndarray, hashes: np.ndarray, limit: int, same: bool) -> list[Chunk]:
    """The chunks by which pairs within ``limit`` bits are found in the least time."""
    left, right = _samples(queries, hashes, same)
    costs = _costs(_apart(left, right), len(queries), len(hashes), hashes.shape[1], same)
    together = _together(right)
    bits = int(np.count_nonzero(together.diagonal() < CONSTANT))
    kinds = list(costs)
    width, within = np.array(kinds).T
    cost = np.array(list(costs.values()))[:, None]
    used = np.arange(bits + 1) - width[:, None]
    # best[e, b]: the least cost of chunks of at most b bits with a sum of within + 1 of at least e
    best = np.zeros((limit + 2, bits + 1))
    choices = np.zeros(best.shape, int)
    for errors in range(1, limit + 2):
        rest = np.where(within < width, np.maximum(0, errors - within - 1), 0)
        total = cost + np.where(used < 0, np.inf, best[rest[:, None], np.maximum(used, 0)])
        choices[errors] = total.argmin(axis=0)
        best[errors] = total.min(axis=0)
    shapes = []
    errors, left_bits = limit + 1, bits
    while errors > 0:
        shapes.append(kinds[choices[errors, left_bits]])
        errors = 0 if shapes[-1][1] >= shapes[-1][0] else errors - shapes[-1][1] - 1
        left_bits -= shapes[-1][0]
    chosen = _spread(together, [width for width, _ in shapes])
    return [Chunk(bits, within) for bits, (_, within) in zip(chosen, shapes, strict=True)]


def _samples(queries: np.ndarray, hashes: np.ndarray, same: bool) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(_SEED)
    if same:
        rows = random.choice(len(hashes), min(2 * SAMPLE, len(hashes)), replace=False)
        return hashes[rows[: len(rows) // 2]], hashes[rows[len(rows) // 2 :]]
    left = random.choice(len(queries), min(SAMPLE, len(queries)), replace=False)
    right = random.choice(len(hashes), min(SAMPLE, len(hashes)), replace=False)
    return queries[left], hashes[right]


def _apart(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The share of pairs at each distance: float64 (bits + 1,)."""
    distance = np.zeros((len(left), len(right)), np.int64)
    for word in range(left.shape[1]):
        distance += np.bitwise_count(left[:, None, word] ^ right[None, :, word])
    return np.bincount(distance.ravel(), minlength=64 * left.shape[1] + 1) / max(1, distance.size)


def _costs(
    apart: np.ndarray, queries: int, hashes: int, words: int, same: bool
) -> dict[tuple[int, int], float]:
    """Nanoseconds that a chunk takes, by its width and in how many bits hashes may differ.

    Pairs d apart differ in x of w bits taken at random with the probability that x of w draws
    are among d of all bits.
    """
    bits = len(apart) - 1
    costs = {}
    distance = np.arange(bits + 1)[:, None]
    differ = np.arange(WIDEST + 1)
    probability = np.zeros((bits + 1, WIDEST + 1))
    probability[:, 0] = 1
    for width in range(WIDEST + 1):
        share = np.cumsum(apart @ probability)
        buckets = min(2.0**width, queries)
        for within in range(width + 1):
            masks = sum(comb(width, weight) for weight in range(within + 1))
            if masks > MOST_MASKS:
                break
            pairs = queries * hashes * share[within]
            visits = buckets * masks * RUN + pairs * words * (COMPARE + GATHER * buckets / queries)
            sorting = (queries + hashes) * SORT * words + 2**width * BUCKET
            costs[width, within] = visits * (0.5 if same else 1.0) + sorting
        drawn = probability * (distance - differ) / (bits - width)
        probability -= drawn
        probability[:, 1:] += drawn[:, :-1]
    return costs


def _together(hashes: np.ndarray) -> np.ndarray:
    """How often two bits are both as usual, or one bit is: float64 (bits, bits), in [0, 1].

    With signs for bits: the square of the mean product of two, and of the mean of one.
    """
    shifts = np.arange(64, dtype=np.uint64)
    ones = (hashes[:, :, None] >> shifts & np.uint64(1)).reshape(len(hashes), -1)
    signs = 2 * ones.astype(np.float64) - 1
    together: np.ndarray = (signs.T @ signs / len(signs)) ** 2
    np.fill_diagonal(together, np.mean(signs, axis=0) ** 2)
    return together


def _spread(together: np.ndarray, widths: list[int]) -> list[np.ndarray]:
    """Bits for chunks of some widths: int64 (width,) each.

    Two hashes agree in a chunk with the probability 2^-w sum over its sets S of bits of
    E[product of the signs of S]^2; the terms of one and two bits are kept small. Real hashes
    have bits that go together, and one, of the mean brightness, that is always set.
    """
    loads = [together.diagonal().copy() for _ in widths]
    chunks: list[list[int]] = [[] for _ in widths]
    taken = np.zeros(len(together), bool)
    for _ in range(sum(widths)):
        number = max(
            range(len(widths)), key=lambda n: (widths[n] - len(chunks[n])) / max(1, widths[n])
        )
        bit = int(np.argmin(np.where(taken, np.inf, loads[number])))
        chunks[number].append(bit)
        loads[number] += together[bit]
        taken[bit] = True
    return [np.array(sorted(chunk), np.int64) for chunk in chunks]


# -- compiled ----------------------------------------------------------------------------------


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled, and kept for the next process if there is a place for it."""
    try:
        return numba.njit(nogil=True, cache=True)(function)  # type: ignore[no-any-return]
    except RuntimeError:  # neither beside this file nor in the home can be written
        return numba.njit(nogil=True)(function)  # type: ignore[no-any-return]


def _count_ones(_context: Any, _word: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return numba.int64(numba.uint64), generate


_ones = intrinsic(_count_ones)


@_compiled
def _sorted(
    hashes: np.ndarray, rows: np.ndarray, bits: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and hashes sorted by the chunk of ``bits``, and where each bucket starts.

    The starts are int32 (2^w + 1,).
    """
    count, words = hashes.shape
    keys = np.zeros(count, np.uint32)
    starts = np.zeros((1 << len(bits)) + 1, np.int32)
    for row in range(count):
        chunk = np.uint64(0)
        for number in range(len(bits)):
            shift = np.uint64(bits[number] & 63)
            bit = (hashes[row, bits[number] >> 6] >> shift) & np.uint64(1)
            chunk |= bit << np.uint64(number)
        keys[row] = chunk
        starts[keys[row] + 1] += 1
    for key in range(1, len(starts)):
        starts[key] += starts[key - 1]
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
def _reached(starts: np.ndarray, masks: np.ndarray, key: int, low: int, same: bool) -> int:
    """How many hashes :func:`_gather` copies."""
    total = 0
    for mask in masks:
        other = key ^ np.int64(mask)
        if not same or other >= key:
            total += starts[other + 1] - starts[other]
    return total - (low - starts[key] if same else 0)


@_compiled
def _gather(
    hashes: np.ndarray,
    starts: np.ndarray,
    masks: np.ndarray,
    key: int,
    low: int,
    same: bool,
    near: np.ndarray,
    places: np.ndarray,
    words: tuple[int, ...],
) -> None:
    """Copy the hashes that queries of a bucket are compared with, and their places.

    Among the same hashes only those that come later, from ``low`` in the same bucket.
    """
    count = np.uint64(0)
    for mask in masks:
        other = key ^ np.int64(mask)
        if same and other < key:
            continue
        first = np.uint64(low if same and other == key else starts[other])
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
    """Note which of some of ``near`` are within the limit of which queries, a block at a time.

    Returns the number of blocks with any: ``hits`` has a bit for each of its hashes, ``blocks``
    the query and where it starts. The innermost loop is instructions that take several hashes at
    once: it assigns no array, as references to it would be counted in the loops, and indexes
    ``near`` by unsigned numbers, which need no look at whether they count from the end.
    """
    count = 0
    for query in range(low, high):
        for block in range(start, stop, _BLOCK):
            within = np.uint64(0)
            for n in range(_BLOCK):
                apart = 0
                for word in range(len(words)):
                    apart += _ones(queries[query, word] ^ near[word, np.uint64(block + n)])
                bit = np.uint64(1) << np.uint64(n)
                within |= bit if apart <= limit else np.uint64(0)
            hits[count] = within
            blocks[count, 0] = query
            blocks[count, 1] = block
            count += within != np.uint64(0)
    return count


@_compiled
def _packed(one: np.uint64, two: np.uint64, apart: np.uint64) -> np.uint64:
    """A pair as one number, see :data:`DISTANCE_BITS`."""
    return (one << np.uint64(ROW_BITS) | two) << np.uint64(DISTANCE_BITS) | apart


@_compiled
def _unpacked(pair: np.uint64) -> tuple[np.uint64, np.uint64, np.uint64]:
    one = pair >> np.uint64(ROW_BITS + DISTANCE_BITS)
    two = pair >> np.uint64(DISTANCE_BITS) & np.uint64(MOST_ROWS - 1)
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
    withins: np.ndarray,
    same: bool,
    words: tuple[int, ...],
    differ: np.ndarray,
    pairs: np.ndarray,
    new: np.ndarray,
    found: np.ndarray,
    count: int,
) -> int:
    """Append the hits that no earlier chunk has brought together to ``found``, which has room.

    Returns the new ``count``. ``differ``, ``pairs`` (of places) and ``new`` are room for as many
    hits as there may be. Where hashes clump most hits are not new, which none can foretell: so
    they are written and counted, or not, rather than branched on.
    """
    hit = np.uint64(0)
    for number in range(np.uint64(len(blocks))):
        query = np.uint64(blocks[number, 0])
        block = np.uint64(blocks[number, 1])
        within = hits[number]
        while within:
            lower = within - np.uint64(1)
            at = block + np.uint64(_ones(~within & lower))
            within &= lower
            apart = 0
            for word in range(len(words)):
                differ[word, hit] = queries[query, word] ^ near[word, at]
                apart += _ones(differ[word, hit])
            pairs[hit] = _packed(query, np.uint64(places[at]), np.uint64(apart))
            hit += np.uint64(places[at] > np.int64(query) if same else places[at] >= 0)
    new[:hit] = 1
    for chunk in range(len(withins)):
        for n in range(hit):
            apart = 0
            for word in range(len(words)):
                apart += _ones(differ[word, n] & earlier[chunk, word])
            new[n] &= np.uint64(apart > withins[chunk])
    kept = np.uint64(0)
    for n in range(hit):
        pairs[kept] = pairs[n]
        kept += new[n]
    for n in range(kept):
        query, place, bits = _unpacked(pairs[n])
        one, two = np.uint64(query_rows[query]), np.uint64(rows[place])
        if same:
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
    withins: np.ndarray,
    limit: int,
    same: bool,
    words: tuple[int, ...],
) -> np.ndarray:
    """Packed pairs of the sorted queries from ``start`` to ``stop``: uint64 (P,).

    ``earlier`` and ``withins`` are of the chunks that came before; the length of the tuple
    ``words`` is W, known to the compiler.
    """
    found = np.empty(2 * _ROWS * _TILE, np.uint64)
    count = 0
    near = np.zeros((len(words), _TILE), np.uint64)
    places = np.empty(_TILE, np.int32)
    blocks = np.empty((_ROWS * _TILE // _BLOCK + 1, 2), np.int32)
    hits = np.empty(len(blocks), np.uint64)
    differ = np.empty((len(words), _ROWS * _TILE + 1), np.uint64)
    pairs = np.empty(differ.shape[1], np.uint64)
    new = np.empty(differ.shape[1], np.uint64)
    stop = min(stop, len(queries))
    key = np.searchsorted(query_starts, start, side="right") - 1
    while key < len(query_starts) - 1 and query_starts[key] < stop:
        low, high = max(start, query_starts[key]), min(stop, query_starts[key + 1])
        total = _reached(starts, masks, key, low, same) if low < high else 0
        if total > len(places):
            near = np.zeros((len(words), 2 * total // _TILE * _TILE), np.uint64)
            places = np.empty(near.shape[1], np.int32)
        if total:
            _gather(hashes, starts, masks, key, low, same, near, places, words)
        for tile in range(0, total, _TILE):
            last = min(tile + _TILE, total)
            for first in range(low, high, _ROWS):
                if len(found) - count <= _ROWS * _TILE:
                    found = np.concatenate((found, np.empty_like(found)))
                past = min(first + _ROWS, high)
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
                        withins,
                        same,
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
def _count(numbers: np.ndarray, shift: np.uint64, counts: np.ndarray) -> None:
    """Count the packed pairs of each range of first rows."""
    for number in numbers:
        counts[number >> shift] += 1


@_compiled
def _scatter(
    numbers: np.ndarray, shift: np.uint64, free: np.ndarray, scattered: np.ndarray
) -> None:
    """Write each packed pair to the next ``free`` place of its range of first rows."""
    for number in numbers:
        scattered[free[number >> shift]] = number
        free[number >> shift] += 1
