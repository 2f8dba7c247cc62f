"""Pairs of hashes within a Hamming distance, compiled and in numpy, compared with brute force."""

import subprocess
import sys
from math import comb

import numpy as np
import pytest

from embedkit.duplicates import bucket_join, bucket_plan, hamming
from embedkit.duplicates.hamming import (
    Pairs,
    chance_pairs,
    distinct_near_pairs,
    near_pairs,
    near_pairs_between,
)

IMPLEMENTATIONS = pytest.mark.parametrize("words_in_numpy", [0, 1 << 40], ids=["compiled", "numpy"])


def uniform(count: int, words: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1 << 64, (count, words), np.uint64)


def clustered(count: int, words: int = 1, seed: int = 0) -> np.ndarray:
    """Return hashes of few pictures, with correlated bits, up to six of which are flipped."""
    random = np.random.default_rng(seed)
    skewed = random.random((max(1, count // 20), 64 * words)) < random.uniform(0, 1, 64 * words)
    ones = skewed[random.integers(0, len(skewed), count)]
    for _ in range(6):
        ones[np.arange(count), random.integers(0, 64 * words, count)] ^= random.random(count) < 0.5
    return np.packbits(ones, axis=1, bitorder="little").view("<u8").astype(np.uint64)


def table(pairs: Pairs) -> np.ndarray:
    """Return first row, second row and distance: (P, 3)."""
    return np.stack([pairs.first, pairs.second, pairs.distance], axis=1)


def brute_force(queries: np.ndarray, hashes: np.ndarray, limit: int) -> np.ndarray:
    apart = np.bitwise_count(queries[:, None] ^ hashes[None]).sum(axis=2, dtype=int)
    return np.column_stack([np.argwhere(apart <= limit), apart[apart <= limit]])


def brute_force_among(hashes: np.ndarray, limit: int) -> np.ndarray:
    pairs = brute_force(hashes, hashes, limit)
    return pairs[pairs[:, 0] < pairs[:, 1]]


@pytest.mark.slow
@IMPLEMENTATIONS
@pytest.mark.parametrize(
    ("count", "limit", "words"),
    [
        *((count, limit, 1) for count in (0, 1, 2, 3) for limit in (0, 10, 64)),
        *((300, limit, 1) for limit in (0, 1, 2, 3, 5, 8, 10, 11, 16, 22, 64, 100)),
        (2500, 16, 1),
        *((300, limit, 4) for limit in (0, 4, 40, 100, 256, 300)),
    ],
)
def test_pairs_match_brute_force_in_order(
    monkeypatch: pytest.MonkeyPatch, words_in_numpy: int, count: int, limit: int, words: int
) -> None:
    monkeypatch.setattr(hamming, "MAX_WORDS_IN_NUMPY", words_in_numpy)
    for hashes in (uniform(count, words), clustered(count, words)):
        pairs = near_pairs(hashes[:, 0] if words == 1 else hashes, limit)
        assert np.array_equal(table(pairs), brute_force_among(hashes, limit))


@IMPLEMENTATIONS
@pytest.mark.parametrize(("limit", "words"), [(0, 1), (10, 1), (64, 1), (40, 4)])
def test_pairs_between_two_sets_match_brute_force(
    monkeypatch: pytest.MonkeyPatch, words_in_numpy: int, limit: int, words: int
) -> None:
    monkeypatch.setattr(hamming, "MAX_WORDS_IN_NUMPY", words_in_numpy)
    hashes = clustered(400, words)
    for queries in (hashes[:0], hashes[:1], hashes[100:300], clustered(900, words, seed=1)):
        pairs = near_pairs_between(queries, hashes, limit)
        assert np.array_equal(table(pairs), brute_force(queries, hashes, limit))
        pairs = near_pairs_between(hashes, queries, limit)
        assert np.array_equal(table(pairs), brute_force(hashes, queries, limit))


@pytest.mark.parametrize(
    "shapes",
    [
        [(16, 2), (16, 2), (16, 2), (16, 1)],
        [(20, 3), (20, 3), (20, 2)],
        [(22, 4), (20, 3), (20, 1)],
        [(8, 1)] * 5 + [(8, 0)],
        [(2, 2)],
        [(0, 0)],
    ],
)
def test_any_chunks_find_the_same_pairs(
    monkeypatch: pytest.MonkeyPatch, shapes: list[tuple[int, int]]
) -> None:
    bits = np.random.default_rng(0).permutation(64)
    chunks = []
    for width, within in shapes:
        chunks.append(bucket_plan.Chunk(np.sort(bits[:width]), within))
        bits = bits[width:]
    monkeypatch.setattr(hamming, "MAX_WORDS_IN_NUMPY", 0)
    monkeypatch.setattr(bucket_join, "plan_chunks", lambda *_: chunks)
    hashes = clustered(700)
    assert np.array_equal(table(near_pairs(hashes, 10)), brute_force_among(hashes, 10))
    between = table(near_pairs_between(hashes[:200], hashes, 10))
    assert np.array_equal(between, brute_force(hashes[:200], hashes, 10))


@pytest.mark.parametrize("words", [1, 4])
@pytest.mark.parametrize("limit", [0, 1, 7, 10, 31, 60, 64])
@pytest.mark.parametrize("count", [2, 1000, 1_000_000])
def test_chunks_cover_every_pair_within_the_limit(count: int, limit: int, words: int) -> None:
    hashes = np.broadcast_to(clustered(1000, words)[:, None], (1000, max(1, count // 1000), words))
    hashes = hashes.reshape(-1, words)[:count]
    chunks = bucket_plan.plan_chunks(hashes, hashes, limit, True)
    bits = np.concatenate([chunk.bits for chunk in chunks])
    assert len(set(bits.tolist())) == len(bits)
    assert all(0 <= bit < 64 * words for bit in bits.tolist())
    whole = any(chunk.max_differing >= len(chunk.bits) for chunk in chunks)
    assert whole or sum(chunk.max_differing + 1 for chunk in chunks) >= limit + 1


def test_the_order_does_not_depend_on_the_number_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hamming, "MAX_WORDS_IN_NUMPY", 0)
    hashes = clustered(5000)
    found = []
    for threads in (1, 2, 7):
        monkeypatch.setattr(bucket_join, "usable_cores", lambda threads=threads: threads)
        found.append(table(near_pairs(hashes, 10)))
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])
    assert np.array_equal(found[0], np.unique(found[0], axis=0))
    assert len(found[0]) > 5000


@pytest.mark.parametrize("most_ranges", [1, 3, 1 << 10])
def test_pairs_are_in_order_whatever_the_ranges(
    monkeypatch: pytest.MonkeyPatch, most_ranges: int
) -> None:
    monkeypatch.setattr(hamming, "MAX_WORDS_IN_NUMPY", 0)
    monkeypatch.setattr(bucket_join, "_RANGE_PAIRS", 1)
    monkeypatch.setattr(bucket_join, "_MAX_RANGES", most_ranges)
    hashes = clustered(700)
    assert np.array_equal(table(near_pairs(hashes, 10)), brute_force_among(hashes, 10))
    between = table(near_pairs_between(hashes[:1], hashes, 64))
    assert np.array_equal(between, brute_force(hashes[:1], hashes, 64))


@IMPLEMENTATIONS
def test_rows_with_equal_hashes_have_one_representative_and_make_no_pairs(
    monkeypatch: pytest.MonkeyPatch, words_in_numpy: int
) -> None:
    monkeypatch.setattr(hamming, "MAX_WORDS_IN_NUMPY", words_in_numpy)
    flat, near = 0x8000000000000000, 0x8000000000000003
    hashes = np.array([near, flat, *[flat] * 100_000, 0x00FF, near, flat], np.uint64)
    found = distinct_near_pairs(hashes, 10)
    assert found.representative.dtype == np.int32
    assert found.representative.tolist() == [0, *[1] * 100_001, 100_002, 0, 1]
    expected = [[0, 1, 2], [0, 100_002, 7], [1, 100_002, 9]]
    assert table(found.pairs).tolist() == expected


def test_equal_hashes_make_every_pair() -> None:
    hashes = np.repeat(np.array([7, 6, 0], np.uint64), [200, 10, 1])
    random = np.random.default_rng(0)
    pairs = near_pairs(random.permutation(hashes), 1)
    assert len(pairs) == comb(200, 2) + comb(10, 2) + 200 * 10
    assert np.count_nonzero(pairs.distance) == 200 * 10
    assert (pairs.first < pairs.second).all()


def test_pairs_are_arrays_of_small_integers() -> None:
    pairs = near_pairs(clustered(100), 10)
    assert (pairs.first.dtype, pairs.second.dtype) == (np.int32, np.int32)
    assert pairs.distance.dtype == np.uint16


def test_few_hashes_are_compared_without_the_compiler() -> None:
    code = """if True:
        import sys
        import numpy as np
        from embedkit.duplicates.hamming import near_pairs, near_pairs_between
        hashes = np.random.default_rng(0).integers(0, 1 << 64, 3000, np.uint64)
        near_pairs(hashes, 10)
        near_pairs_between(hashes[:1], hashes, 10)
        assert not {"numba", "llvmlite", "torch", "faiss"} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_functions_are_compiled_without_a_writable_cache() -> None:
    space: dict[str, object] = {}
    exec("def twice(number):\n    return 2 * number", space)  # noqa: S102
    assert bucket_join._compiled(space["twice"])(21) == 42  # type: ignore[arg-type]


def test_invalid_hashes_and_limits_raise_errors() -> None:
    hashes = uniform(3)
    with pytest.raises(ValueError, match="uint64"):
        near_pairs(hashes.astype(np.int64), 1)
    with pytest.raises(ValueError, match="uint64"):
        near_pairs(hashes[None], 1)
    with pytest.raises(ValueError, match="limit"):
        near_pairs(hashes, -1)
    with pytest.raises(ValueError, match="bits"):
        near_pairs_between(hashes, uniform(3, words=4), 1)


# -- chance ------------------------------------------------------------------------------------


def test_chance_pairs_match_unrelated_hashes_with_half_their_bits_set() -> None:
    random = np.random.default_rng(0)
    ones = random.permuted(np.tile(np.arange(64) < 32, (4000, 1)), axis=1)
    hashes = np.packbits(ones, axis=1).view(np.uint64)
    pairs = near_pairs(hashes, 20)
    for limit in (16, 18, 20):
        found = np.count_nonzero(pairs.distance <= limit)
        expected = chance_pairs(4000, limit)
        assert abs(found - expected) < 4 * expected**0.5
        assert chance_pairs(4000, limit + 1) == expected


def test_chance_pairs_are_all_pairs_from_some_limit_on() -> None:
    assert chance_pairs(1000, 64) == chance_pairs(1000, 500) == comb(1000, 2)
    assert chance_pairs(1000, 256, bits=256) == comb(1000, 2)
    assert chance_pairs(1, 10) == chance_pairs(0, 10) == 0


def test_a_million_unrelated_photos_have_eleven_thousand_pairs_within_ten() -> None:
    assert chance_pairs(1_000_000, 10) == pytest.approx(11_400, rel=0.01)
