"""Search among many synthetic vectors, compared with plain FAISS and usearch.

    python scripts/bench_search.py [--vectors 1000000] [--dim 512] [--repeat 5] [--usearch]

Draws vectors from Gaussian clusters, stores them with one file each (one folder per cluster) and
builds the index. Prints the times of building; of opening and the first query in a new process; of
100 queries by the index and by the workspace, compared with FAISS on the same codes with the same
effort and, with ``--usearch``, with usearch's own index, which takes longest to build; of adding
10,000 vectors; and of removing the clusters nearest to queries; and recall@10 on queries that are
not stored. Each step is a separate process.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

CLUSTER = 250
"""Vectors a cluster."""
SPREAD = 1.0
"""Length of the noise beside that of a cluster's centre, which is 1."""
QUERIES = 100
ADDED = 10_000
REMOVED = 1_000
BATCH = 50_000
K = 10
NONE = (0.0, 0.0, 0.0)


def _refuse(_: Any) -> None:
    raise SystemExit("the index that was just written is damaged")


def draw(count: int, dim: int, clusters: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors, float32 (count, dim), and the cluster of each."""
    centres = np.random.default_rng(0).standard_normal((clusters, dim), np.float32)
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    random = np.random.default_rng(seed)
    chosen = random.integers(0, clusters, count)
    vectors = random.standard_normal((count, dim), np.float32)
    vectors *= np.float32(SPREAD / np.sqrt(dim))
    vectors += centres[chosen]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors, chosen


def batches(count: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, BATCH):
        yield start, min(BATCH, count - start)


class Bench:
    """One collection in a scratch folder; each method is a step, and returns what it measured."""

    def __init__(self, folder: Path, vectors: int, dim: int, repeat: int) -> None:
        from embedkit.results import EmbeddingSpec

        self.folder = folder
        self.vectors = vectors
        self.dim = dim
        self.repeat = repeat
        self.clusters = max(1, vectors // CLUSTER)
        self.spec = EmbeddingSpec(
            "bench/none", "0" * 64, dim, 1, "squash", 1.0, "bilinear", NONE, NONE, "native"
        )
        self.index_folder = folder / "index" / self.spec.digest

    def queries(self, seed: int = 1_000_000) -> np.ndarray:
        """Vectors that are not stored: float32 (QUERIES, dim)."""
        return draw(QUERIES, self.dim, self.clusters, seed)[0]

    def batch(self, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        return draw(count, self.dim, self.clusters, seed=1 + start)

    def store(self, writer: Any, start: int, count: int) -> None:
        from embedkit.catalog import Batch, ImageRow, PendingFile

        vectors, clusters = self.batch(start, count)
        root = writer.folders.scope("/photos").root_id
        sha256s = [sha256(n.to_bytes(8, "big")).digest() for n in range(start, start + count)]
        paths = [f"{c}/{n}.jpg" for n, c in enumerate(clusters.tolist(), start)]
        batch = Batch([ImageRow(item, item[:16], 1) for item in sha256s])
        batch.files = [
            (PendingFile(root, path, 1, 1, None), item)
            for path, item in zip(paths, sha256s, strict=True)
        ]
        writer.commit(batch)
        writer.embeddings.store_vectors(self.spec.digest, sha256s, vectors, [1.0] * count)

    def catch_up(self, save: bool) -> Any:
        from embedkit.catalog import Catalog
        from embedkit.index.index import load_index

        catalog = Catalog(self.folder)
        with catalog.read() as reader:
            revision = reader.embeddings.revision(self.spec.digest)
        index = load_index(self.index_folder, self.spec.digest, self.dim, _refuse)
        index.catch_up(catalog, revision, "auto", save=save)
        return index

    def fill(self) -> dict[str, float]:
        from embedkit.catalog import Catalog
        from embedkit.results import ResolvedName

        with Catalog(self.folder).write() as writer:
            writer.backbones.register(ResolvedName("bench", self.spec, "", 0, 0))
        for start, count in batches(self.vectors):
            with Catalog(self.folder).write() as writer:
                self.store(writer, start, count)
        return {}

    def build(self) -> dict[str, Any]:
        started = time.perf_counter()
        index = self.catch_up(save=True)
        seconds = time.perf_counter() - started
        manifest = json.loads((self.index_folder / "manifest.json").read_text())
        return {
            "factory": index.factory,
            "effort": manifest["effort"],
            "recall": manifest["recall_at_10"],
            "seconds": seconds,
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        }

    def first(self) -> dict[str, float]:
        started = time.perf_counter()
        from embedkit import Workspace

        (matches,) = Workspace(self.folder).search_many(self.queries()[:1], K)
        assert len(matches) == K
        return {"seconds": time.perf_counter() - started}

    def many(self) -> dict[str, float]:
        import faiss

        from embedkit import Workspace

        queries = self.queries()
        index = self.catch_up(save=False)
        manifest = json.loads((self.index_folder / "manifest.json").read_text())
        if "codes" in manifest["files"]:
            flags = faiss.IO_FLAG_MMAP if "IVF" in index.factory else faiss.IO_FLAG_MMAP_IFC
            file = self.index_folder / manifest["files"]["codes"]["name"]
            raw = faiss.read_index(str(file), flags)
            raw.nprobe = manifest["effort"]
        else:
            raw = faiss.IndexFlatIP(self.dim)
            for start, count in batches(self.vectors):
                raw.add(self.batch(start, count)[0])
        workspace = Workspace(self.folder)
        found = index.search(queries, K)[0]
        ways: dict[str, Callable[[], Any]] = {
            "faiss": lambda: raw.search(queries, K),
            "index": lambda: index.search(queries, K),
            "workspace": lambda: workspace.search_many(queries, K),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(self.repeat + 1):
            for name, way in ways.items():
                started = time.perf_counter()
                way()
                seconds[name].append(time.perf_counter() - started)
        own = faiss_recall = 0.0
        truth = self.truth(queries)
        for number in range(QUERIES):
            own += len(np.intersect1d(found[number], truth[number])) / K / QUERIES
        raw_rows = raw.search(queries, K)[1]
        for number in range(QUERIES):
            faiss_recall += len(np.intersect1d(raw_rows[number] + 1, truth[number])) / K / QUERIES
        return {
            **{name: median(values[1:]) for name, values in seconds.items()},
            "recall": own,
            "faiss_recall": faiss_recall,
        }

    def truth(self, queries: np.ndarray) -> np.ndarray:
        """Image ids, which count from 1 in order of storing, of the ten nearest."""
        products, ids = np.empty((QUERIES, 0), np.float32), np.empty((QUERIES, 0), np.int64)
        for start, count in batches(self.vectors):
            some = queries @ self.batch(start, count)[0].T
            best = np.argpartition(some, count - K, axis=1)[:, count - K :]
            products = np.hstack([products, np.take_along_axis(some, best, 1)])
            ids = np.hstack([ids, best + start + 1])
        return np.take_along_axis(ids, np.argsort(-products, axis=1)[:, :K], 1)

    def usearch(self) -> dict[str, Any]:
        try:
            from usearch.index import Index
        except ImportError:
            return {"missing": "pip install usearch"}
        index = Index(ndim=self.dim, metric="ip", dtype="i8")
        started = time.perf_counter()
        for start, count in batches(self.vectors):
            index.add(np.arange(start, start + count) + 1, self.batch(start, count)[0])
        built = time.perf_counter() - started
        queries = self.queries()
        seconds = []
        for _ in range(self.repeat + 1):
            started = time.perf_counter()
            keys = index.search(queries, K).keys
            seconds.append(time.perf_counter() - started)
        truth = self.truth(queries)
        recall = [len(np.intersect1d(keys[n], truth[n])) / K for n in range(QUERIES)]
        return {"built": built, "seconds": median(seconds[1:]), "recall": float(np.mean(recall))}

    def add(self) -> dict[str, Any]:
        from embedkit.catalog import Catalog

        before = {file.name: file.stat().st_mtime_ns for file in self.index_folder.iterdir()}
        with Catalog(self.folder).write() as writer:
            self.store(writer, self.vectors, ADDED)
        started = time.perf_counter()
        index = self.catch_up(save=True)
        seconds = time.perf_counter() - started
        after = {file.name: file.stat().st_mtime_ns for file in self.index_folder.iterdir()}
        base = [name for name in before if name != "manifest.json"]
        new = self.batch(self.vectors, ADDED)[0][:QUERIES]
        found = index.search(new, 1)[0][:, 0]
        return {
            "seconds": seconds,
            "untouched": all(after.get(name) == before[name] for name in base),
            "found": bool((found == np.arange(self.vectors, self.vectors + QUERIES) + 1).all()),
        }

    def remove(self) -> dict[str, Any]:
        from embedkit import Workspace

        workspace = Workspace(self.folder)
        queries, near = draw(QUERIES, self.dim, self.clusters, seed=2_000_000)
        gone: set[str] = set()
        for cluster in dict.fromkeys(near.tolist()):
            if len(gone) >= REMOVED:
                break
            matches = workspace.search_many(queries[near == cluster], CLUSTER)
            gone |= {
                match.path for some in matches for match in some if f"/{cluster}/" in match.path
            }
            workspace.remove(f"/photos/{cluster}")
        started = time.perf_counter()
        self.catch_up(save=True)
        seconds = time.perf_counter() - started
        back = 0
        for opened in (workspace, Workspace(self.folder)):
            for matches in opened.search_many(queries, 100):
                back += sum(match.path in gone for match in matches)
        return {"removed": len(gone), "returned": back, "seconds": seconds}


STEPS = ("fill", "build", "first", "many", "add", "remove", "usearch")


def row(name: str, value: str, beside: str = "") -> None:
    print(f"{name:34}{value:>14}  {beside}")


def show(results: dict[str, dict[str, Any]]) -> None:
    build, many, other = results["build"], results["many"], results.get("usearch")
    row("index", build["factory"], f"effort {build['effort']}")
    row("built in", f"{build['seconds']:.0f} s", f"{build['memory']:.1f} GB of memory at most")
    row("opened, first query answered", f"{results['first']['seconds']:.2f} s", "in a new process")
    raw = many["faiss"]
    row(
        f"{QUERIES} queries, raw FAISS", f"{1e3 * raw:.0f} ms", f"recall {many['faiss_recall']:.3f}"
    )
    for name in ("index", "workspace"):
        more = 1e3 * (many[name] - raw)
        row(
            f"{QUERIES} queries, {name}",
            f"{1e3 * many[name]:.0f} ms",
            f"raw FAISS {more:+.0f} ms, x {many[name] / raw:.2f}",
        )
    if other is not None and "missing" in other:
        row(f"{QUERIES} queries, usearch", "-", other["missing"])
    elif other is not None:
        row(
            f"{QUERIES} queries, usearch",
            f"{1e3 * other['seconds']:.0f} ms",
            f"recall {other['recall']:.3f}, built in {other['built']:.0f} s",
        )
    row("recall@10", f"{many['recall']:.3f}", f"{build['recall']:.3f} in the manifest")
    add, remove = results["add"], results["remove"]
    sound = "base untouched" if add["untouched"] else "merged into the base"
    row(f"{ADDED} added", f"{add['seconds']:.1f} s", f"{sound}, found: {add['found']}")
    row(
        f"{remove['removed']} removed",
        f"{remove['seconds']:.1f} s",
        f"{remove['returned']} of them returned",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--usearch", action="store_true", help="build usearch's index as well")
    parser.add_argument("--scratch", type=Path, help="where to work; else the system's choice")
    parser.add_argument("--step", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step is not None:
        bench = Bench(options.scratch, options.vectors, options.dim, options.repeat)
        print(json.dumps(getattr(bench, options.step)()))
        return
    results = {}
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        for step in STEPS if options.usearch else STEPS[:-1]:
            command = [sys.executable, __file__, *sys.argv[1:], "--scratch", folder]
            result = subprocess.run([*command, "--step", step], check=True, stdout=subprocess.PIPE)
            results[step] = json.loads(result.stdout)
    print(f"{options.vectors} x {options.dim}")
    show(results)


if __name__ == "__main__":
    main()
