"""The plan of the bucket join: how the bits of hashes are divided into chunks.

A plan consists of the number of chunks, their widths, and the number of bits in which hashes may
differ within each. The one with the least estimated cost is chosen, given a sample of the distances
between hashes.
"""

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

COMPARE, GATHER, RUN, SORT, BUCKET = 0.36, 1.5, 24.0, 60.0, 3.0
"""Nanoseconds to compare a word, to copy a word for comparison, to start copying from a bucket, to
sort a word of a hash, and to visit a bucket."""
MAX_WIDTH = 24
"""Maximum width of a chunk, bits: the starts of its buckets then take 64 MB."""
MAX_MASKS = 1 << 16
"""Maximum number of neighbouring buckets that one bucket is compared with."""
MAX_BIAS = 0.99
"""Bits with a squared mean sign (±1) above this are not used, because they hardly vary."""
SAMPLE_SIZE = 1024
"""Number of hashes on either side that are compared to estimate the distances."""
_SEED = 0


@dataclass(frozen=True)
class Chunk:
    """Some bits of hashes that are compared together."""

    bits: np.ndarray
    """int64 (width,): the bits, each as word * 64 + bit."""
    max_differing: int
    """Maximum number of these bits in which two hashes may differ."""

    def masks(self) -> np.ndarray:
        """Return all allowed differences within the chunk: uint32 (M,)."""
        weights = range(self.max_differing + 1)
        chosen = (c for weight in weights for c in combinations(range(len(self.bits)), weight))
        return np.array([sum(1 << bit for bit in bits) for bits in chosen], np.uint32)

    def words(self, count: int) -> np.ndarray:
        """Return the bits of the chunk as a mask of ``count`` words: uint64 (W,)."""
        words = np.zeros(count, np.uint64)
        np.bitwise_or.at(words, self.bits >> 6, np.uint64(1) << (self.bits & 63).astype(np.uint64))
        return words


def plan_chunks(
    queries: np.ndarray, hashes: np.ndarray, limit: int, is_self_join: bool
) -> list[Chunk]:
    """Return the chunks with which pairs within ``limit`` bits are found in the least time."""
    left, right = _samples(queries, hashes, is_self_join)
    costs = _costs(
        _distance_shares(left, right), len(queries), len(hashes), hashes.shape[1], is_self_join
    )
    agreement = _agreement(right)
    bits = int(np.count_nonzero(agreement.diagonal() < MAX_BIAS))
    shapes = list(costs)
    width, max_differing = np.array(shapes).T
    cost = np.array(list(costs.values()))[:, None]
    used = np.arange(bits + 1) - width[:, None]
    # best[e, b]: the least cost of chunks with at most b bits in total for which max_differing + 1
    # sums to at least e
    best = np.zeros((limit + 2, bits + 1))
    choices = np.zeros(best.shape, int)
    for errors in range(1, limit + 2):
        rest = np.where(max_differing < width, np.maximum(0, errors - max_differing - 1), 0)
        total = cost + np.where(used < 0, np.inf, best[rest[:, None], np.maximum(used, 0)])
        choices[errors] = total.argmin(axis=0)
        best[errors] = total.min(axis=0)
    chosen = []
    errors, free_bits = limit + 1, bits
    while errors > 0:
        chosen.append(shapes[choices[errors, free_bits]])
        errors = 0 if chosen[-1][1] >= chosen[-1][0] else errors - chosen[-1][1] - 1
        free_bits -= chosen[-1][0]
    assigned = _assign_bits(agreement, [width for width, _ in chosen])
    return [Chunk(bits, differing) for bits, (_, differing) in zip(assigned, chosen, strict=True)]


def _samples(
    queries: np.ndarray, hashes: np.ndarray, is_self_join: bool
) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(_SEED)
    if is_self_join:
        rows = generator.choice(len(hashes), min(2 * SAMPLE_SIZE, len(hashes)), replace=False)
        return hashes[rows[: len(rows) // 2]], hashes[rows[len(rows) // 2 :]]
    left = generator.choice(len(queries), min(SAMPLE_SIZE, len(queries)), replace=False)
    right = generator.choice(len(hashes), min(SAMPLE_SIZE, len(hashes)), replace=False)
    return queries[left], hashes[right]


def _distance_shares(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the share of pairs at each distance: float64 (bits + 1,)."""
    distance = np.zeros((len(left), len(right)), np.int64)
    for word in range(left.shape[1]):
        distance += np.bitwise_count(left[:, None, word] ^ right[None, :, word])
    return np.bincount(distance.ravel(), minlength=64 * left.shape[1] + 1) / max(1, distance.size)


def _costs(
    shares: np.ndarray, queries: int, hashes: int, words: int, is_self_join: bool
) -> dict[tuple[int, int], float]:
    """Return the nanoseconds that a chunk takes, by width and number of bits that may differ.

    For pairs at distance d, the probability of differing in x of w randomly chosen bits is
    hypergeometric: x of w draws fall on the d differing bits.
    """
    bits = len(shares) - 1
    costs = {}
    distance = np.arange(bits + 1)[:, None]
    differ = np.arange(MAX_WIDTH + 1)
    probability = np.zeros((bits + 1, MAX_WIDTH + 1))
    probability[:, 0] = 1
    for width in range(MAX_WIDTH + 1):
        share = np.cumsum(shares @ probability)
        buckets = min(2.0**width, queries)
        for max_differing in range(width + 1):
            masks = sum(comb(width, weight) for weight in range(max_differing + 1))
            if masks > MAX_MASKS:
                break
            pairs = queries * hashes * share[max_differing]
            visits = buckets * masks * RUN + pairs * words * (COMPARE + GATHER * buckets / queries)
            sorting = (queries + hashes) * SORT * words + 2**width * BUCKET
            costs[width, max_differing] = visits * (0.5 if is_self_join else 1.0) + sorting
        drawn = probability * (distance - differ) / (bits - width)
        probability -= drawn
        probability[:, 1:] += drawn[:, :-1]
    return costs


def _agreement(hashes: np.ndarray) -> np.ndarray:
    """Return how predictable each bit and each pair of bits is: float64 (bits, bits), in [0, 1].

    With bits as signs: the squared mean of the product of two bits, and of one bit on the diagonal.
    """
    shifts = np.arange(64, dtype=np.uint64)
    ones = (hashes[:, :, None] >> shifts & np.uint64(1)).reshape(len(hashes), -1)
    signs = 2 * ones.astype(np.float64) - 1
    agreement: np.ndarray = (signs.T @ signs / len(signs)) ** 2
    np.fill_diagonal(agreement, np.mean(signs, axis=0) ** 2)
    return agreement


def _assign_bits(agreement: np.ndarray, widths: list[int]) -> list[np.ndarray]:
    """Assign bits to chunks of given widths: one int64 array (width,) per chunk.

    Two hashes agree in a chunk with the probability 2^-w sum over its sets S of bits of E[product
    of the signs of S]^2. The assignment keeps the terms of one and two bits small: real hashes have
    correlated bits, and one, the mean brightness, that is always set.
    """
    loads = [agreement.diagonal().copy() for _ in widths]
    chunks: list[list[int]] = [[] for _ in widths]
    taken = np.zeros(len(agreement), bool)
    for _ in range(sum(widths)):
        number = max(
            range(len(widths)), key=lambda n: (widths[n] - len(chunks[n])) / max(1, widths[n])
        )
        bit = int(np.argmin(np.where(taken, np.inf, loads[number])))
        chunks[number].append(bit)
        loads[number] += agreement[bit]
        taken[bit] = True
    return [np.array(sorted(chunk), np.int64) for chunk in chunks]
