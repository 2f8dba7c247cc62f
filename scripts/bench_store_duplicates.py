"""Measure the search for duplicates in a store, on synthetic images with planted copies.

    python scripts/bench_store_duplicates.py FOLDER [--images 1000000] [--dim 128] [--workers 2]
        [--local] [--keep]

Writes a store with IMAGES synthetic images to FOLDER: lumas with the spectrum of photos, and
embeddings around centres. One image in a hundred is an altered copy of another one, of the kinds in
KINDS. The noise of its luma and of its embedding is that of altered copies of real photos
(plant_variants.py) under the default backbone. The files do not exist, so that all groups stay for
review.

Prints the seconds and the processor time of each phase, the peak memory, the recall of the planted
copies and the precision of the pairs, for all and for each kind. With --local, the search of one
machine is given the same rows, and the last line says how many pairs differ. The store is removed
at the end unless --keep is given.
"""

import argparse
import hashlib
import shutil
import sys
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import scipy.fft

from embedkit.cluster.duplicates.find import find_duplicates
from embedkit.cluster.duplicates.result import pairs_dataset
from embedkit.cluster.duplicates.tasks import Tasks
from embedkit.cluster.ray_workers import RayWorkers, Shares
from embedkit.cluster.store import StoreContent
from embedkit.cluster.tables import FILES, IMAGES, embeddings_schema
from embedkit.duplicates.evidence import Fingerprints
from embedkit.duplicates.orientations import orient_all, oriented_hashes
from embedkit.duplicates.pair_search import duplicate_options, find_pairs
from embedkit.index.rows import Rows
from embedkit.results import EmbeddingSpec, Progress, ResolvedName

SIDE = 32
COPIES = 0.01
BATCH = 50_000
NONE = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Kind:
    """A kind of altered copy, as measured on 60 real photos each."""

    name: str
    distance: tuple[float, float]
    """Median and 90th percentile of the distance, in units of the median distance."""
    noise: float = 0.0
    """Standard deviation of the luma's noise, in grey levels."""
    crop: float = 0.0
    """Share of width and height that is cut off."""
    gain: float = 1.0
    orientation: int = 0
    border: float = 0.0
    patch: bool = False


KINDS = (
    Kind("jpeg90", (0.005, 0.015), noise=0.5),
    Kind("jpeg60", (0.060, 0.123), noise=1.0),
    Kind("jpeg30", (0.107, 0.186), noise=1.5),
    Kind("webp", (0.037, 0.086), noise=0.7),
    Kind("resize50", (0.114, 0.206), noise=0.5),
    Kind("resize25", (0.396, 0.513), noise=0.7),
    Kind("brightness", (0.027, 0.070), noise=0.7, gain=0.75),
    Kind("grey", (0.188, 0.354)),
    Kind("flip", (0.042, 0.071), noise=0.3, orientation=1),
    Kind("rotate90", (0.401, 0.671), noise=0.3, orientation=5),
    Kind("crop5", (0.054, 0.084), noise=0.5, crop=0.05),
    Kind("crop10", (0.082, 0.112), noise=0.5, crop=0.10),
    Kind("border", (0.053, 0.097), noise=0.5, border=0.035),
    Kind("text", (0.019, 0.048), noise=0.5, patch=True),
)


class Synthetic:
    """The rows of a synthetic store, in batches that are the same every time."""

    def __init__(self, images: int, dim: int) -> None:
        self.images, self.dim = images, dim
        self.copies = int(images * COPIES)
        self.originals = images - self.copies
        random = np.random.default_rng(0)
        # As photos of a collection: the distance to other photos of a centre is .7 of the median.
        self.centres = random.standard_normal((max(16, images // 500), dim)).astype(np.float32)
        self.centres /= np.linalg.norm(self.centres, axis=1, keepdims=True)
        frequency = np.hypot(
            *np.meshgrid(np.fft.fftfreq(SIDE), np.fft.rfftfreq(SIDE), indexing="ij")
        )
        self.spectrum = (1 / np.maximum(frequency, 1 / SIDE) ** 1.4).astype(np.float32)
        self.of_original = random.permutation(self.originals)[: self.copies]
        self.kind = random.integers(0, len(KINDS), self.copies)
        self.width = random.choice([640, 800, 1024, 1280, 1600, 2048, 3000, 4000], images)
        self.height = random.choice([480, 600, 768, 960, 1200, 1536, 2000, 3000], images)
        self.bytes = random.integers(30_000, 4_000_000, images)

    def batch(self, start: int) -> tuple[np.ndarray, np.ndarray]:
        """Return lumas, uint8 (n, 32, 32), and vectors, float32 (n, dim), of originals."""
        count = min(BATCH, self.originals - start)
        random = np.random.default_rng([1, start])
        noise = random.standard_normal((count, SIDE, SIDE)).astype(np.float32)
        waves = scipy.fft.rfft2(noise, workers=-1) * self.spectrum
        fields = scipy.fft.irfft2(waves, s=(SIDE, SIDE), workers=-1)
        fields /= fields.std(axis=(1, 2), keepdims=True)
        fields *= random.uniform(25, 70, (count, 1, 1)).astype(np.float32)
        fields += random.uniform(80, 170, (count, 1, 1)).astype(np.float32)
        lumas = np.clip(fields, 0, 255, out=fields)
        vectors = self.centres[random.integers(0, len(self.centres), count)]
        vectors = vectors + random.standard_normal((count, self.dim)).astype(np.float32) * (
            1.2 / np.sqrt(self.dim)
        )
        return lumas.astype(np.uint8), _unit(vectors)

    def altered(
        self, lumas: np.ndarray, vectors: np.ndarray, numbers: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the altered copies ``numbers`` of originals."""
        made, moved = np.empty_like(lumas), np.empty_like(vectors)
        random = np.random.default_rng([2, int(numbers[0]) if len(numbers) else 0])
        for code, kind in enumerate(KINDS):
            rows = np.flatnonzero(self.kind[numbers] == code)
            if not len(rows):
                continue
            images = lumas[rows].astype(np.float32)
            if kind.crop:
                images = _cropped(images, kind.crop, random)
            if kind.border:
                images = _bordered(images, kind.border)
            if kind.patch:
                images[:, 26:29, 3:15] = random.choice([30.0, 230.0], (len(rows), 1, 1))
            images = kind.gain * images + kind.noise * random.standard_normal(images.shape)
            made[rows] = orient_all(np.clip(np.round(images), 0, 255), kind.orientation)
            # Log-normal distances with the measured median and 90th percentile.
            middle, upper = kind.distance
            spread = np.log(upper / middle) / 1.2816
            distance = middle * np.exp(spread * random.standard_normal((len(rows), 1)))
            moved[rows] = _at_distance(vectors[rows], np.minimum(distance, 0.98), random)
        return made, moved

    def rows(self):
        """Yield the first number, lumas and vectors of batches of all images."""
        by_original = np.argsort(self.of_original)
        done = 0
        for start in range(0, self.originals, BATCH):
            lumas, vectors = self.batch(start)
            yield np.arange(start, start + len(lumas)), lumas, vectors
            end = np.searchsorted(self.of_original, start + len(lumas), sorter=by_original)
            numbers = by_original[done:end]
            done = end
            own = self.of_original[numbers] - start
            made, moved = self.altered(lumas[own], vectors[own], numbers)
            yield self.originals + numbers, made, moved

    def is_planted(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Return which pairs of numbers are an original and its copy."""
        copy, other = np.maximum(first, second), np.minimum(first, second)
        rows = np.clip(copy - self.originals, 0, None)
        return (copy >= self.originals) & (self.of_original[rows] == other)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def _at_distance(
    vectors: np.ndarray, distance: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    across = random.standard_normal(vectors.shape)
    across -= (across * vectors).sum(axis=1, keepdims=True) * vectors
    cosine = 1 - distance
    return _unit(cosine * vectors + np.sqrt(1 - cosine**2) * _unit(across))


def _cropped(images: np.ndarray, share: float, random: np.random.Generator) -> np.ndarray:
    found = np.empty_like(images)
    target = (np.arange(SIDE) + 0.5) * (1 - share) - 0.5
    for number, image in enumerate(images):
        for axis in (0, 1):
            source = target + random.random() * share * SIDE
            low = np.clip(np.floor(source).astype(int), 0, SIDE - 2)
            part = np.expand_dims(np.clip(source - low, 0, 1), 1 - axis)
            image = image.take(low, axis) * (1 - part) + image.take(low + 1, axis) * part
        found[number] = image
    return found


def _bordered(images: np.ndarray, share: float) -> np.ndarray:
    source = np.clip((np.arange(SIDE) + 0.5) * (1 + 2 * share) - share * SIDE - 0.5, -1, SIDE)
    inside = (source >= -0.5) & (source <= SIDE - 0.5)
    nearest = np.clip(np.round(source), 0, SIDE - 1).astype(int)
    found = images[:, nearest][:, :, nearest]
    found[:, ~inside] = 255
    found[:, :, ~inside] = 255
    return found


def digests(numbers: np.ndarray) -> list[bytes]:
    return [hashlib.sha256(number.to_bytes(8, "big")).digest() for number in numbers.tolist()]


def write_store(place: Path, data: Synthetic) -> EmbeddingSpec:
    """Write the store of the synthetic rows."""
    spec = EmbeddingSpec(
        "bench/none", "0" * 64, data.dim, 1, "squash", 1.0, "bilinear", NONE, NONE, "native"
    )
    store = StoreContent(str(place))
    store.register([ResolvedName("bench", spec, "", 0, 0)])
    embeddings = store.embeddings(spec)
    fragments = defaultdict(list)
    for numbers, lumas, vectors in data.rows():
        sha = pa.array(digests(numbers), pa.binary(32))
        flat = lumas.reshape(len(lumas), -1)
        rows = {
            "sha256": sha,
            "md5": pa.nulls(len(numbers), pa.binary(16)),
            "bytes": data.bytes[numbers],
            "phash": oriented_hashes(flat)[:, 0, 0],
            "luma": pa.array(list(map(bytes, flat)), pa.binary(SIDE**2)),
            "format": np.full(len(numbers), "JPEG"),
            "width": data.width[numbers].astype(np.int32),
            "height": data.height[numbers].astype(np.int32),
            **{
                name: np.full(len(numbers), 0.5, np.float32) for name in ("sharpness", "brightness")
            },
            "share": np.ones(len(numbers)),
            "contrast": (flat.std(axis=1) / 255).astype(np.float32),
        }
        fragments["images"] += store.images.write_fragments(pa.table(rows, IMAGES))
        files = {
            "path": [f"/synthetic/{number:010d}.jpg" for number in numbers.tolist()],
            "bytes": data.bytes[numbers],
            "sha256": sha,
        }
        nulls = {name: pa.nulls(len(numbers), FILES.field(name).type) for name in FILES.names}
        table = pa.table(nulls | files).select(FILES.names).cast(FILES)
        fragments["files"] += store.files.write_fragments(table)
        values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), data.dim)
        table = pa.table([sha, values, np.ones(len(numbers), np.float32)], embeddings_schema(spec))
        fragments["embeddings"] += embeddings.write_fragments(table)
    embeddings.commit(fragments["embeddings"])
    store.images.commit(fragments["images"])
    store.files.commit(fragments["files"])
    return spec


def local_pairs(data: Synthetic) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of numbers that the search of one machine finds in the same rows."""
    order = np.lexsort(
        (np.arange(data.images), -data.bytes, -(data.width.astype(np.int64) * data.height))
    )
    place = np.empty(data.images, np.int64)
    place[order] = np.arange(data.images)
    luma = np.empty((data.images, SIDE**2), np.uint8)
    vectors = np.empty((data.images, data.dim), np.float32)
    for numbers, lumas, moved in data.rows():
        luma[place[numbers]] = lumas.reshape(len(lumas), -1)
        vectors[place[numbers]] = moved
    hashes = np.concatenate(
        [
            oriented_hashes(luma[start : start + BATCH])[:, 0, 0]
            for start in range(0, len(luma), BATCH)
        ]
    )
    fingerprints = Fingerprints(
        np.arange(data.images),
        hashes,
        luma,
        data.width[order].astype(np.int64),
        data.height[order].astype(np.int64),
        data.bytes[order],
        (luma.std(axis=1) / 255).astype(np.float32),
        np.full(data.images, "JPEG"),
    )
    found = find_pairs(
        fingerprints,
        MemoryIndex(vectors),
        duplicate_options(()),
        lambda ids: [None] * len(ids),
    )
    return order[found.pairs.first], order[found.pairs.second]


class MemoryIndex:
    """The embeddings of a collection in memory, as an index has them."""

    def __init__(self, vectors: np.ndarray) -> None:
        self._rows = Rows(np.arange(len(vectors)), vectors)

    def stored(self) -> Rows:
        return self._rows


def numbers_of_pairs(store: StoreContent, data: Synthetic) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs of numbers in the result of a search."""
    table = pairs_dataset(store).read(["first", "second"])
    number_of = {digest: number for number, digest in enumerate(digests(np.arange(data.images)))}
    first, second = (
        np.array([number_of[digest] for digest in table[name].to_pylist()], np.int64)
        for name in ("first", "second")
    )
    return first, second


def coded(pairs: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return np.unique(np.minimum(*pairs) << 32 | np.maximum(*pairs))


class Watch:
    """Memory and processor time of this process and its children, and seconds of each phase."""

    def __init__(self) -> None:
        self.peak = 0
        self.processors: dict[tuple[int, float], float] = {}
        self.phases: dict[str, tuple[float, float]] = {}
        """Seconds and processor seconds of each phase."""
        self._measure()
        self._before = sum(self.processors.values())
        self._phase, self._since = "", (time.monotonic(), self._before)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    @property
    def busy(self) -> float:
        """Processor seconds since the start."""
        return sum(self.processors.copy().values()) - self._before

    def _watch(self) -> None:
        while not self._ended.wait(0.5):
            self._measure()

    def _measure(self) -> None:
        import psutil

        me = psutil.Process()
        total = 0
        for process in [me, *me.children(recursive=True)]:
            try:
                total += process.memory_full_info().uss
                times = process.cpu_times()
                started = process.pid, process.create_time()
                self.processors[started] = times.user + times.system
            except psutil.Error:
                continue
        self.peak = max(self.peak, total)

    def __call__(self, progress: Progress) -> None:
        if progress.stage != self._phase:
            now = time.monotonic(), sum(self.processors.copy().values())
            if self._phase:
                before = self.phases.get(self._phase, (0.0, 0.0))
                parts = zip(before, now, self._since, strict=True)
                self.phases[self._phase] = tuple(old + end - start for old, end, start in parts)
            self._phase, self._since = progress.stage, now
            print(f"  {progress.stage}", file=sys.stderr)

    def end(self) -> None:
        self(Progress("", 0, 0))
        self._ended.set()
        self._thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--local", action="store_true", help="compare with one machine")
    parser.add_argument("--keep", action="store_true", help="keep the store")
    arguments = parser.parse_args()
    import ray

    data = Synthetic(arguments.images, arguments.dim)
    place = arguments.folder / f"store-{arguments.images}-{arguments.dim}"
    store = StoreContent(str(place))
    started = time.monotonic()
    if not store.images.count():
        write_store(place, data)
    spec = store.backbone(None).spec
    print(f"store of {arguments.images:,} images: {time.monotonic() - started:.0f} s")
    ray.init(
        num_cpus=arguments.workers,
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
    )
    watch = Watch()
    started = time.monotonic()
    workers = RayWorkers(Shares(arguments.workers, cores=1, gpus=0))
    found = find_duplicates(store, spec, duplicate_options(()), Tasks(workers, watch))
    seconds = time.monotonic() - started
    watch.end()
    ray.shutdown()
    print(found)
    for phase, (spent, busy) in watch.phases.items():
        print(f"{spent:8.1f} s  {busy:8.1f} s of processor time  {phase}")
    print(f"{seconds:8.1f} s  in total; {watch.busy:.0f} s of processor time in all processes")
    print(f"{watch.peak / 2**30:8.1f} GiB  peak memory of all processes")
    pairs = numbers_of_pairs(store, data)
    report(data, pairs)
    if arguments.local:
        started = time.monotonic()
        theirs = local_pairs(data)
        print(f"one machine: {time.monotonic() - started:.1f} s")
        report(data, theirs)
        ours, local = coded(pairs), coded(theirs)
        print(
            f"pairs only in the store {len(np.setdiff1d(ours, local))}, only of one machine "
            f"{len(np.setdiff1d(local, ours))}, in both {len(np.intersect1d(ours, local))}"
        )
    if not arguments.keep:
        shutil.rmtree(place)


def report(data: Synthetic, pairs: tuple[np.ndarray, np.ndarray]) -> None:
    """Print recall and precision. Two copies of one original are no planted pair, and not false."""
    planted = data.is_planted(*pairs)
    found = np.zeros(data.copies, bool)
    copy = np.maximum(*pairs)[planted] - data.originals
    found[copy] = True
    print(
        f"{len(planted)} pairs; recall {found.mean():.4f} of {data.copies} planted, precision "
        f"{planted.mean() if len(planted) else 1:.4f}"
    )
    by_kind = [
        f"{kind.name} {found[data.kind == code].mean():.3f}" for code, kind in enumerate(KINDS)
    ]
    print("recall by kind:", ", ".join(by_kind))


if __name__ == "__main__":
    main()
