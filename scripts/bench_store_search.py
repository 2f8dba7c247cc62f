"""Search a store of synthetic vectors: embedkit's index in shards beside Lance's own indexes.

    python scripts/bench_store_search.py [--vectors 2000000] [--dim 256] [--workers 2]

Draws vectors from Gaussian clusters as ``bench_search.py`` does, and stores them as the embeddings
of a store. Then builds, on the same rows, embedkit's index with Ray workers, and Lance's IVF_PQ
(dim / 8 bytes a vector) and IVF_RQ with the square root of the rows as partitions. Prints for each
the time of building, its size, the peak memory of all processes, recall@10 on 1,000 queries that
are not stored, and the time of these queries, and of one in a new process. Lance's ``nprobes`` and
``refine_factor`` are the cheapest that reach recall .98 on other queries. Each step is a separate
process, and they run in turn.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from bench_search import CLUSTER, NONE, batches, draw

QUERIES = 1000
TUNING_QUERIES = 200
TARGET = 0.98
K = 10
EFFORTS = [(probes, refine) for refine in (2, 5, 10) for probes in (4, 8, 16, 32, 64, 128)]
"""Values of ``nprobes`` and ``refine_factor`` to try."""


def memory_of(process: int) -> int:
    """Return the bytes of memory of a process that no file backs; 0 if it has ended."""
    try:
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return 1024 * int(line.split()[1])
    except OSError:
        pass
    return 0


def family(process: int) -> list[int]:
    """Return a process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(entry.name))
    found = [process]
    for item in found:
        found += children.get(item, [])
    return found


class Peak:
    """The largest memory of this process and its descendants while the block runs."""

    def __enter__(self) -> "Peak":
        self.total = self.largest = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.25):
            sizes = [memory_of(process) for process in family(os.getpid())]
            self.total = max(self.total, sum(sizes))
            self.largest = max(self.largest, *sizes)


def bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Bench:
    """One store in a scratch folder; each method is a step, and returns what it measured."""

    def __init__(self, folder: Path, vectors: int, dim: int, workers: int) -> None:
        from embedkit.cluster.store import StoreContent
        from embedkit.results import EmbeddingSpec, ResolvedName

        self.folder = folder
        self.vectors = vectors
        self.dim = dim
        self.workers = workers
        self.clusters = max(1, vectors // CLUSTER)
        self.spec = EmbeddingSpec(
            "bench/none", "0" * 64, dim, 1, "squash", 1.0, "bilinear", NONE, NONE, "native"
        )
        self.backbone = ResolvedName("bench", self.spec, "", 0, 0)
        self.store = StoreContent(str(folder / "store"))
        self.dataset = self.store.embeddings(self.spec)

    def drawn(self, start: int, count: int) -> np.ndarray:
        return draw(count, self.dim, self.clusters, seed=1 + start)[0]

    def queries(self, count: int = QUERIES, seed: int = 1_000_000_007) -> np.ndarray:
        """Vectors that are not stored: float32 (count, dim)."""
        return draw(count, self.dim, self.clusters, seed)[0]

    def fill(self) -> dict[str, Any]:
        import pyarrow as pa

        self.store.register([self.backbone])
        for start, count in batches(self.vectors):
            digests = [sha256(n.to_bytes(8, "big")).digest() for n in range(start, start + count)]
            flat = pa.array(self.drawn(start, count).ravel())
            columns = [
                pa.array(digests, pa.binary(32)),
                pa.FixedSizeListArray.from_arrays(flat, self.dim),
                pa.array(np.ones(count, np.float32)),
            ]
            self.dataset.append(pa.Table.from_arrays(columns, schema=self.dataset.schema))
        return {"bytes": bytes_below(Path(self.dataset.location.path))}

    def truth(self) -> dict[str, Any]:
        """Find the nearest rows of all queries by comparing all, and save them."""
        from embedkit.index.exact import NearestSoFar

        queries = np.concatenate([self.queries(), self.queries(TUNING_QUERIES, 1_000_000_009)])
        nearest = NearestSoFar(queries, K)
        for start, count in batches(self.vectors):
            nearest.add(np.arange(start, start + count), self.drawn(start, count))
        np.savez(self.folder / "truth.npz", ids=nearest.proposals[1])
        return {}

    def recall(self, found: np.ndarray, tuning: bool = False) -> float:
        truth = np.load(self.folder / "truth.npz")["ids"]
        truth = truth[QUERIES:] if tuning else truth[:QUERIES]
        pairs = zip(found, truth, strict=True)
        return float(np.mean([len(np.intersect1d(one, other)) / K for one, other in pairs]))

    # -- ours --------------------------------------------------------------------------------------

    def build(self) -> dict[str, Any]:
        import ray

        from embedkit.cluster.index_build import build_index

        stages: list[tuple[str, float]] = []

        def progress(state: Any) -> None:
            if not stages or stages[-1][0] != state.stage:
                stages.append((state.stage, time.perf_counter()))

        with Peak() as peak:
            ray.init(
                num_cpus=self.workers,
                num_gpus=0,
                include_dashboard=False,
                log_to_driver=False,
                object_store_memory=200_000_000,
            )
            started = time.perf_counter()
            report = build_index(self.store, self.backbone, progress)
            seconds = time.perf_counter() - started
            ray.shutdown()
        ends = [*(begin for _, begin in stages[1:]), started + seconds]
        return {
            "name": f"embedkit {report.factory}",
            "seconds": seconds,
            "stages": {
                stage: end - begin for (stage, begin), end in zip(stages, ends, strict=True)
            },
            "bytes": report.bytes,
            "total": peak.total,
            "largest": peak.largest,
            "parameters": f"nprobe {report.effort}, {report.shards} shards",
            "manifest": report.recall_at_10,
        }

    def search(self) -> dict[str, Any]:
        from embedkit.cluster.index_search import StoreIndex

        started = time.perf_counter()
        index = StoreIndex(self.store, self.spec)
        index.search(self.queries()[:1], K)
        first = time.perf_counter() - started
        return self.timed(lambda queries: index.search(queries, K)[0]) | {"first": first}

    def timed(self, search: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
        """Time all queries in a new process, and again with warm caches."""
        queries = self.queries()
        seconds = []
        with Peak() as peak:
            for _ in range(2):
                started = time.perf_counter()
                found = search(queries)
                seconds.append(time.perf_counter() - started)
        return {
            "queries": seconds[0],
            "again": seconds[1],
            "recall": self.recall(found),
            "searching": peak.total,
        }

    # -- Lance -------------------------------------------------------------------------------------

    def lance_build(self, kind: str) -> dict[str, Any]:
        dataset = self.dataset.open()
        before = bytes_below(Path(self.dataset.location.path))
        with Peak() as peak:
            started = time.perf_counter()
            dataset.create_index(
                "vector",
                kind,
                name="bench",
                metric="dot",
                num_partitions=round(np.sqrt(self.vectors)),
                **({"num_sub_vectors": self.dim // 8} if kind == "IVF_PQ" else {}),
            )
            seconds = time.perf_counter() - started
        return {
            "name": f"Lance {kind}",
            "seconds": seconds,
            "bytes": bytes_below(Path(self.dataset.location.path)) - before,
            "total": peak.total,
            "largest": peak.largest,
        }

    def lance_search(self) -> dict[str, Any]:
        dataset = self.dataset.open()

        def nearest(queries: np.ndarray, probes: int, refine: int) -> np.ndarray:
            def one(query: np.ndarray) -> np.ndarray:
                wanted = {"column": "vector", "q": query, "k": K}
                wanted |= {"nprobes": probes, "refine_factor": refine}
                table = dataset.to_table(columns=["_distance"], nearest=wanted, with_row_id=True)
                ids = np.full(K, -1)
                ids[: len(table)] = table["_rowid"].to_numpy()
                return ids

            with ThreadPoolExecutor(self.workers) as threads:
                return np.stack(list(threads.map(one, queries)))

        started = time.perf_counter()
        nearest(self.queries()[:1], *EFFORTS[0])
        first = time.perf_counter() - started
        tuning = self.queries(TUNING_QUERIES, 1_000_000_009)
        tried = []
        for probes, refine in EFFORTS:
            started = time.perf_counter()
            found = self.recall(nearest(tuning, probes, refine), tuning=True)
            tried.append((time.perf_counter() - started, found, probes, refine))
        good = [item for item in tried if item[1] >= TARGET]
        chosen = min(good) if good else max(tried, key=lambda item: item[1])
        _, _, probes, refine = chosen
        measured = self.timed(lambda queries: nearest(queries, probes, refine))
        parameters = f"nprobes {probes}, refine_factor {refine}"
        return measured | {"first": first, "parameters": parameters}

    def lance_drop(self) -> dict[str, Any]:
        self.dataset.open().drop_index("bench")
        return {}


def steps(kinds: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the steps: a method and its argument."""
    yield from (("fill", ""), ("truth", ""), ("build", ""), ("search", ""))
    for kind in kinds:
        yield from (("lance_build", kind), ("lance_search", ""), ("lance_drop", ""))


def show(row: dict[str, Any]) -> None:
    """Print what was measured of one index."""

    def gigabytes(name: str) -> str:
        return f"{row[name] / 1e9:.2f} GB"

    print(f"{row['name']}: {row['parameters']}")
    print(
        f"    built in {row['seconds']:.0f} s, {gigabytes('bytes')}; at most {gigabytes('total')} "
        f"of memory in all processes, {gigabytes('largest')} in one"
    )
    if "stages" in row:
        parts = ", ".join(f"{stage} {taken:.0f} s" for stage, taken in row["stages"].items())
        print(f"    {parts}; recall {row['manifest']:.3f} in the manifest")
    print(
        f"    recall@10 {row['recall']:.3f}; {QUERIES} queries in {row['queries']:.2f} s, again "
        f"{row['again']:.2f} s; opened, first query {row['first']:.2f} s; "
        f"{gigabytes('searching')} of memory",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=int, default=2_000_000)
    parser.add_argument("--dim", type=int, default=256)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only-ours", action="store_true", help="do not build Lance's indexes")
    parser.add_argument("--scratch", type=Path, help="where to work; else the system's choice")
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step is not None:
        bench = Bench(options.scratch, options.vectors, options.dim, options.workers)
        step, argument = options.step
        print(json.dumps(getattr(bench, step)(*[argument] if argument else [])))
        return
    kinds = [] if options.only_ours else ["IVF_PQ", "IVF_RQ"]
    print(f"{options.vectors} x {options.dim}", flush=True)
    row: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        for step, argument in steps(kinds):
            command = [sys.executable, __file__, *sys.argv[1:], "--scratch", folder]
            result = subprocess.run(
                [*command, "--step", step, argument], check=True, stdout=subprocess.PIPE
            )
            row |= json.loads(result.stdout.splitlines()[-1])
            print(f"    {step} {argument}: load {os.getloadavg()[0]:.1f}", flush=True)
            if step in ("search", "lance_search"):
                show(row)
                row = {}


if __name__ == "__main__":
    main()
