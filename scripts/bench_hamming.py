"""Time the search for near-duplicates among perceptual hashes, against FAISS and brute force.

    python scripts/bench_hamming.py [--hashes 1000000] [--large 10000000] [--slice 200000]
                                    [--limit 10] [--photos FOLDER] [--crops 100]

Prints the time, the number of pairs and the peak memory for random 64-bit hashes with planted
pairs, in three sizes, and for random 256-bit hashes at four times the limit; how much longer
FAISS's IndexBinaryFlat takes, estimated from some of the queries; whether both find the same pairs
among some of the hashes; and how much more time clustered hashes take than random ones, per pair
found: synthetic clusters and, if a folder of photos is given, hashes of random crops of these
photos, each saved and cut in several ways. Each step runs in its own process, which loads the
compiled code before the clock starts.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PLANTED = 1 / 100
"""Share of random hashes that are a copy of another one with a few bits flipped."""
QUERIES = 2000
"""Number of queries from which the time of FAISS is estimated."""
CLUMP = 4
"""Average number of hashes in a cluster."""
FLIPPED = 6
"""Largest number of bits flipped in a hash of a cluster."""


def uniform(count: int, words: int = 1) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 1 << 64, (count, words), np.uint64)


def flip(hashes: np.ndarray, bits: int, random: np.random.Generator) -> None:
    """Flip up to ``bits`` bits of each hash."""
    rows = np.arange(len(hashes))
    for _ in range(bits):
        word = random.integers(0, hashes.shape[1], len(hashes))
        flipped = np.uint64(1) << random.integers(0, 64, len(hashes), np.uint64)
        hashes[rows, word] ^= np.where(random.random(len(hashes)) < 0.7, flipped, np.uint64(0))


def planted(count: int, words: int, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random hashes, and the pairs of rows, (P, 2), of which one was made from the other."""
    hashes = uniform(count, words)
    random = np.random.default_rng(1)
    chosen = random.permutation(count)[: 2 * int(count * PLANTED)].reshape(2, -1)
    copies = hashes[chosen[0]]
    flip(copies, limit, random)
    hashes[chosen[1]] = copies
    return hashes, np.sort(chosen.T, axis=1)


def clumps(count: int) -> np.ndarray:
    """Return hashes in clusters of very different sizes.

    Their bits are set as often as those of photos: the first always, the others with a probability
    of 0.5 and a standard deviation of 0.03.
    """
    random = np.random.default_rng(2)
    often = np.append(1.0, random.normal(0.5, 0.03, 63))
    centres = (random.random((count // CLUMP, 64)) < often).astype(np.uint8)
    centres = np.packbits(centres, axis=1).view(np.uint64)
    sizes = random.pareto(2.5, len(centres)) + 0.1
    hashes = centres[np.sort(random.choice(len(centres), count, p=sizes / sizes.sum()))]
    flip(hashes, FLIPPED, random)
    return hashes[random.permutation(count)]


def photo_hashes(folder: Path, crops: int) -> np.ndarray:
    """Return hashes of crops of photos, and of altered versions of each crop."""
    import imagehash

    random = np.random.default_rng(3)
    hashes = []
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            photo = Image.open(file).convert("L")
        except OSError:
            continue
        photo.thumbnail((512, 512))
        for _ in range(crops):
            side = random.uniform(0.4, 0.9) * np.array(photo.size)
            left, top = random.uniform(0, 1, 2) * (photo.size - side)
            crop = photo.crop((int(left), int(top), int(left + side[0]), int(top + side[1])))
            saved = BytesIO()
            crop.save(saved, "JPEG", quality=int(random.integers(20, 80)))
            width, height = crop.size
            trimmed = (int(0.02 * width), 0, width, int(0.98 * height))
            for variant in (crop, Image.open(saved), crop.resize((96, 64)), crop.crop(trimmed)):
                bits = imagehash.phash(variant).hash
                hashes.append(int.from_bytes(np.packbits(bits).tobytes(), "big"))
    return np.array(hashes, np.uint64)[:, None]


def timed(hashes: np.ndarray, limit: int) -> dict[str, Any]:
    from embedkit.duplicates.hamming import near_pairs

    started = time.perf_counter()
    pairs = near_pairs(hashes, limit)
    seconds = time.perf_counter() - started
    return {
        "hashes": len(hashes),
        "seconds": seconds,
        "pairs": len(pairs),
        "first": pairs.first,
        "second": pairs.second,
    }


class Bench:
    """The steps: each method returns its measurements."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.limit: int = options.limit

    def compile(self) -> dict[str, float]:
        return {"seconds": load(self.limit)}

    def small(self) -> dict[str, Any]:
        return self.random(min(60_000, self.options.hashes))

    def many(self) -> dict[str, Any]:
        return self.random(self.options.hashes)

    def large(self) -> dict[str, Any]:
        return self.random(self.options.large)

    def wide(self) -> dict[str, Any]:
        return self.random(self.options.hashes, words=4)

    def random(self, count: int, words: int = 1) -> dict[str, Any]:
        limit = self.limit * words
        hashes, made = planted(count, words, limit)
        result = timed(hashes, limit)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        found = result.pop("first").astype(np.int64) * count + result.pop("second")
        missed = np.setdiff1d(made[:, 0] * count + made[:, 1], found)
        return {**result, "planted": len(made), "missed": len(missed), "memory": memory}

    def clumped(self) -> dict[str, Any]:
        return self.beyond_random(clumps(self.options.hashes))

    def photos(self) -> dict[str, Any]:
        return self.beyond_random(photo_hashes(self.options.photos, self.options.crops))

    def beyond_random(self, hashes: np.ndarray) -> dict[str, Any]:
        uniform_seconds = min(timed(uniform(len(hashes)), self.limit)["seconds"] for _ in range(3))
        results = [timed(hashes, self.limit) for _ in range(3)]
        seconds = min(result["seconds"] for result in results)
        pairs = results[0]["pairs"]
        return {
            "hashes": len(hashes),
            "random": uniform_seconds,
            "seconds": seconds,
            "pairs": pairs,
            "beyond": 1e9 * (seconds - uniform_seconds) / max(1, pairs),
        }

    def faiss(self) -> dict[str, float]:
        hashes = planted(self.options.hashes, 1, self.limit)[0]
        index = binary_index(hashes)
        queries = hashes[: min(QUERIES, len(hashes))]
        started = time.perf_counter()
        index.range_search(queries.view(np.uint8), self.limit + 1)
        seconds = time.perf_counter() - started
        return {"seconds": seconds * len(hashes) / len(queries)}

    def check(self) -> dict[str, Any]:
        """Compare the pairs with those of FAISS, whose radius is exclusive and which finds both
        orders."""
        hashes = planted(self.options.slice, 1, self.limit)[0]
        ours = timed(hashes, self.limit)
        found = binary_index(hashes).range_search(hashes.view(np.uint8), self.limit + 1)
        limits, apart, second = found
        first = np.repeat(np.arange(len(hashes)), np.diff(limits.astype(np.int64)))
        once = first < second
        theirs = np.sort(first[once] * len(hashes) + second[once])
        same = np.array_equal(ours["first"].astype(np.int64) * len(hashes) + ours["second"], theirs)
        return {"pairs": ours["pairs"], "same": bool(same), "farthest": int(apart.max())}


def binary_index(hashes: np.ndarray) -> Any:
    import faiss

    index = faiss.IndexBinaryFlat(64)
    index.add(hashes.view(np.uint8))
    return index


def load(limit: int) -> float:
    """Return the seconds that compiling the code takes, or loading it from the cache."""
    started = time.perf_counter()
    from embedkit.duplicates.bucket_join import join

    for words in (1, 4):
        hashes = uniform(100, words)
        rows = np.arange(100, dtype=np.int32)
        join(hashes, hashes, rows, rows, limit, True)
    return time.perf_counter() - started


STEPS = ("compile", "small", "many", "faiss", "check", "wide", "large", "clumped", "photos")


def row(name: str, value: str, beside: str = "") -> None:
    print(f"{name:34}{value:>12}  {beside}", flush=True)


def show_random(name: str, result: dict[str, Any]) -> None:
    planted = f"{result['missed']} of {result['planted']} planted missed"
    memory = f"{result['memory']:.2f} GB of memory at most"
    row(name, f"{result['seconds']:.2f} s", f"{result['pairs']} pairs, {planted}, {memory}")


def show_beyond(name: str, result: dict[str, Any]) -> None:
    beside = (
        f"random {result['random']:.2f} s, {result['pairs']} pairs, {result['beyond']:+.0f} ns each"
    )
    row(f"{result['hashes']} {name}", f"{result['seconds']:.2f} s", beside)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hashes", type=int, default=1_000_000)
    parser.add_argument("--large", type=int, default=10_000_000)
    parser.add_argument("--slice", type=int, default=200_000)
    parser.add_argument("--limit", type=int, default=10)
    parser.add_argument("--photos", type=Path, help="a folder of photos to take hashes of")
    parser.add_argument("--crops", type=int, default=100, help="crops of each photo")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step is not None:
        if options.step != "compile":
            load(options.limit)
        print(json.dumps(getattr(Bench(options), options.step)()))
        return

    with tempfile.TemporaryDirectory() as cache:

        def step(name: str) -> dict[str, Any]:
            command = [sys.executable, __file__, *sys.argv[1:], "--step", name]
            environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
            result = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
            return dict(json.loads(result.stdout))

        show(step, options)


def show(step: Callable[[str], dict[str, Any]], options: argparse.Namespace) -> None:
    first, second = step("compile")["seconds"], step("compile")["seconds"]
    row("compiled, for 64 and 256 bits", f"{first:.1f} s", f"loaded in {second:.1f} s from then on")
    show_random("60k random at most", step("small"))
    many = step("many")
    show_random(f"{options.hashes} random", many)
    seconds = step("faiss")["seconds"]
    row("the same by IndexBinaryFlat", f"{seconds:.0f} s", f"x {seconds / many['seconds']:.0f}")
    check = step("check")
    row(
        f"{options.slice} by IndexBinaryFlat",
        "same" if check["same"] else "NOT THE SAME",
        f"{check['pairs']} pairs, {check['farthest']} bits apart at most",
    )
    show_random(f"{options.hashes} random of 256 bits", step("wide"))
    show_random(f"{options.large} random", step("large"))
    show_beyond("in clumps", step("clumped"))
    if options.photos is not None:
        show_beyond("of photos", step("photos"))


if __name__ == "__main__":
    main()
