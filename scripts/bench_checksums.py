"""Cost of verifying the checksums of an index's embeddings when they are read.

    python scripts/bench_checksums.py --folder /tmp/bench --vectors 1000000

Writes one sealed file of embeddings and reads it in separate processes, in turn: comparing a query
with every embedding, without and with a check of all of them, and computing the distances of the
candidates of an approximate search, without and with a check of their rows. The file is in the
system's cache. Prints medians in milliseconds.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

ROWS = 10_000
"""Embeddings written at once."""
CANDIDATES = 40
"""Embeddings whose distance a search for ten matches computes."""
WAYS = ("exact", "exact, checked", "candidates", "candidates, checked")


def write(file: Path, vectors: int, dim: int) -> float:
    """Write the file; seconds that sealing it took."""
    from embedkit._internal.sealed import sealed

    with sealed(file) as temporary:
        with open(temporary, "wb") as stream:
            for start in range(0, vectors, ROWS):
                random = np.random.default_rng(start)
                count = min(ROWS, vectors - start)
                stream.write(random.standard_normal((count, dim), np.float32).data)
        started = time.perf_counter()
    return time.perf_counter() - started


def read(file: Path, dim: int, way: str) -> float:
    """Seconds that a process which has just opened the file takes to read it in a way."""
    from embedkit._internal.sealed import SealedFile

    query = np.ones(dim, np.float32)
    started = time.perf_counter()
    opened = SealedFile(file)
    count = len(opened) // (4 * dim)
    vectors = opened.array("<f4", (count, dim))
    rows = np.random.default_rng(0).integers(0, count, CANDIDATES)
    is_checked, is_exact = way.endswith("checked"), way.startswith("exact")
    if is_checked and is_exact:
        opened.check()
    elif is_checked:
        opened.check_rows(rows, 4 * dim)
    (vectors if is_exact else vectors[rows]) @ query
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the file is written")
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    file = options.folder / "vectors.sealed"
    if options.way is not None:
        print(json.dumps(read(file, options.dim, options.way)))
        return
    seconds = write(file, options.vectors, options.dim)
    size = file.stat().st_size
    content = 4 * options.vectors * options.dim
    print(f"{options.vectors:,} embeddings of {options.dim} numbers, {content / 1e9:.2f} GB")
    print(f"checksums: {size - content:,} bytes; sealing and flushing to disk {seconds:.1f} s")
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(options.repeat + 1):
        for way in WAYS:
            done = subprocess.run(
                [sys.executable, *sys.argv, "--way", way], capture_output=True, check=True
            )
            found[way].append(json.loads(done.stdout))
    for way, times in found.items():
        print(f"{way:<22}{1000 * median(times[1:]):>9.1f}")
    file.unlink()


if __name__ == "__main__":
    main()
