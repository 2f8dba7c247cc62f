"""Rates at which the catalog stores and reads embeddings, compared with plain Arrow.

    python scripts/bench_catalog.py [--vectors 1000000] [--dim 512] [--repeat 3]

Stores vectors with ``store_vectors`` and with one plain ``INSERT ... SELECT`` of the same Arrow
table, and reads them into a preallocated array, through the catalog and through a plain Arrow
reader. Both have the same memory limit. Each run is a separate process, and the two alternate. The
vectors are mapped from a file, because DuckDB's memory is limited.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from statistics import median

import duckdb
import numpy as np
import pyarrow as pa

from embedkit.catalog import Catalog, ImageRow
from embedkit.results import EmbeddingSpec, ResolvedName

BATCH = 8192
NONE = (0.0, 0.0, 0.0)
TABLE = """image_id BIGINT NOT NULL, serial BIGINT NOT NULL, stamp UBIGINT NOT NULL,
           norm FLOAT NOT NULL, embedding FLOAT[{dim}] NOT NULL"""


def spec_of(dim: int) -> EmbeddingSpec:
    return EmbeddingSpec(
        "bench/none", "0" * 64, dim, 1, "squash", 1.0, "bilinear", NONE, NONE, "native"
    )


def write_vectors(file: Path, count: int, dim: int) -> None:
    vectors = np.lib.format.open_memmap(file, "w+", np.float32, (count, dim))
    random = np.random.default_rng(0)
    for start in range(0, count, BATCH):
        some = random.standard_normal((min(BATCH, count - start), dim), np.float32)
        vectors[start : start + BATCH] = some / np.linalg.norm(some, axis=1, keepdims=True)
    vectors.flush()


def digests(count: int) -> list[bytes]:
    return [sha256(number.to_bytes(8, "big")).digest() for number in range(count)]


def prepare(folder: Path, vectors: np.ndarray) -> None:
    """Create a catalog with the images, without embeddings."""
    with Catalog(folder).write() as writer:
        writer.backbones.register(ResolvedName("bench", spec_of(vectors.shape[1]), "", 0, 0))
        writer.images.store([ImageRow(item, item[:16], 1) for item in digests(len(vectors))])


@contextmanager
def bare(folder: Path, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    folder.mkdir(exist_ok=True)
    config: dict[str, str | bool | int | float | list[str]] = {"memory_limit": "1GB"}
    with duckdb.connect(str(folder / "bare.duckdb"), read_only, config=config) as connection:
        yield connection


def store(folder: Path, vectors: np.ndarray) -> float:
    sha256s, norms = digests(len(vectors)), np.ones(len(vectors), np.float32)
    started = time.perf_counter()
    with Catalog(folder).write() as writer:
        writer.embeddings.store_vectors(spec_of(vectors.shape[1]).digest, sha256s, vectors, norms)
    return time.perf_counter() - started


def store_bare(folder: Path, vectors: np.ndarray) -> float:
    count, dim = vectors.shape
    serials = np.arange(1, count + 1)
    rows = pa.table(
        {
            "image_id": serials,
            "serial": serials,
            "stamp": np.random.default_rng(0).integers(0, 1 << 63, count).astype(np.uint64),
            "norm": np.ones(count, np.float32),
            "embedding": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), dim),
        }
    )
    with bare(folder, read_only=False) as connection:
        connection.execute(f"CREATE TABLE embeddings ({TABLE.format(dim=dim)})").fetchall()
    started = time.perf_counter()
    with bare(folder, read_only=False) as connection:
        connection.register("rows", rows)
        connection.execute("INSERT INTO embeddings SELECT * FROM rows").fetchall()
    return time.perf_counter() - started


def read(folder: Path, vectors: np.ndarray) -> float:
    target, done = np.zeros_like(vectors), 0
    started = time.perf_counter()
    with Catalog(folder).read() as reader:
        for _, some in reader.embeddings.chunks(spec_of(vectors.shape[1]).digest):
            target[done : done + len(some)] = some
            done += len(some)
    seconds = time.perf_counter() - started
    assert np.array_equal(target, vectors)
    return seconds


def read_bare(folder: Path, vectors: np.ndarray) -> float:
    target, done = np.zeros_like(vectors), 0
    started = time.perf_counter()
    with bare(folder, read_only=True) as connection:
        rows = connection.sql("SELECT image_id, embedding FROM embeddings")
        for chunk in rows.to_arrow_reader(BATCH):
            some = chunk.column(1).flatten().to_numpy().reshape(len(chunk), -1)
            target[done : done + len(some)] = some
            done += len(some)
    seconds = time.perf_counter() - started
    assert np.array_equal(target, vectors)
    return seconds


STEPS = {"store": store, "store_bare": store_bare, "read": read, "read_bare": read_bare}


def in_turn(folder: Path, repeat: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in STEPS}
    for _ in range(repeat):
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            prepare(Path(scratch) / "catalog", np.load(folder / "vectors.npy", mmap_mode="r"))
            for name in STEPS:
                command = [sys.executable, __file__, "--step", name, "--scratch", scratch]
                result = subprocess.run(command, check=True, capture_output=True, text=True)
                seconds[name].append(json.loads(result.stdout))
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--scratch", type=Path, help="where to work; else the system's choice")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step is not None:
        vectors = np.load(options.scratch.parent / "vectors.npy", mmap_mode="r").view(np.ndarray)
        print(json.dumps(STEPS[options.step](options.scratch / "catalog", vectors)))
        return
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        write_vectors(Path(folder) / "vectors.npy", options.vectors, options.dim)
        seconds = in_turn(Path(folder), options.repeat)
    print(f"{options.vectors} x {options.dim}, median of {options.repeat}, vectors a second")
    print(f"{'':8}{'catalog':>12}{'bare Arrow':>12}{'ratio':>8}")
    for what in ("store", "read"):
        ours, theirs = (options.vectors / median(seconds[name]) for name in (what, f"{what}_bare"))
        print(f"{what:8}{ours:12.0f}{theirs:12.0f}{ours / theirs:8.2f}")


if __name__ == "__main__":
    main()
