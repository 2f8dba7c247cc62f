"""Measure what embeddings of fewer dimensions and of float16 lose, and what they save.

    python scripts/bench_reduced_spec.py FOLDER [--fit-on OTHER] [--labelled] [--photos 10000]
                                         [--backbone efficientnet_lite0] [--sizes]

Embeds the photos below FOLDER, at most --photos of them, drawn at random. Projections are fitted on
one random half of them, or on those below OTHER, and measured on the other half, which they have
not seen: the queries are 1,000 of its photos, or all of a smaller half, and their neighbours are
searched among all of this half. A dimension that the fitted half has too few photos for is skipped.

For each reduction prints the share of the nearest and of the ten nearest photos that are kept, the
bytes that a photo takes in the embeddings of a store (on disk, with its SHA-256 and norm), and with
--labelled the test accuracy of a probe: the label is the name of the folder of a photo, the probe
is trained on the fitted half (C selected on a fifth of it) and tested on the other.

--sizes also prints how the share of the ten nearest that are kept depends on the number of photos
that a projection is fitted on, and on the number among which the nearest are searched.
"""

import argparse
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from embedkit import Workspace
from embedkit.backbones.projection import (
    MIN_PHOTOS_PER_DIM,
    Projection,
    fit_projection,
    neighbours_kept,
    project,
    top_directions,
)
from embedkit.classify.heads.examples import Examples
from embedkit.classify.heads.linear import Features
from embedkit.classify.heads.probe import Probe
from embedkit.cluster.location import Location
from embedkit.cluster.tables import Dataset, embeddings_schema
from embedkit.results import EmbeddingSpec

QUERIES = 1000
DIMS = (512, 256, 128, 64)
SIZES = (1, 1.5, 2, 3, 4, 8, 16)
"""Numbers of photos to fit on, in units of the dimension."""
AMONG = (250, 500, 1000, 2000, 5000)
"""Numbers of photos among which the nearest are searched."""


@dataclass(frozen=True)
class Photos:
    """Embedded photos in random order."""

    spec: EmbeddingSpec
    vectors: np.ndarray
    norms: np.ndarray
    folders: np.ndarray
    """Name of the folder of each photo."""

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, part: slice) -> "Photos":
        return replace(
            self,
            vectors=self.vectors[part],
            norms=self.norms[part],
            folders=self.folders[part],
        )


def embedded(folder: Path, count: int, backbone: str) -> Photos:
    """Embed photos below a folder: at most ``count``, drawn at random."""
    found = sorted(str(file) for file in folder.rglob("*") if file.is_file())
    found = [file for file in found if Path(file).suffix.lower() in (".jpg", ".jpeg", ".png")]
    drawn = np.random.default_rng(0).permutation(len(found))[:count]
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Workspace(Path(scratch) / "workspace")
        workspace.add([found[number] for number in drawn], backbones=backbone)
        spec = workspace._embeddings.select(None).spec
        workspace.embeddings.export(Path(scratch) / "export")
        vectors = np.load(Path(scratch) / "export/vectors.npy")
        table = parquet.read_table(Path(scratch) / "export/images.parquet")
    folders = np.array([Path(files[0]).parent.name for files in table["files"].to_pylist()])
    order = np.random.default_rng(1).permutation(len(vectors))
    norms = table["norm"].to_numpy()
    return Photos(spec, vectors[order], norms[order], folders[order])


def rounded(photos: Photos) -> Photos:
    return replace(photos, vectors=photos.vectors.astype(np.float16).astype(np.float32))


def projected(photos: Photos, projection: Projection) -> Photos:
    vectors, norms = projection(photos.vectors, photos.norms)
    return replace(photos, vectors=vectors, norms=norms)


def bytes_in_store(photos: Photos, dtype: str) -> float:
    """Return the bytes on disk of the embeddings of a photo in a store."""
    spec = replace(photos.spec, dim=photos.vectors.shape[1], dtype=dtype)
    schema = embeddings_schema(spec)
    flat = pa.array(photos.vectors.astype(dtype).ravel())
    digests = np.random.default_rng(2).bytes(32 * len(photos))
    columns = [
        pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(32), len(photos), [None, pa.py_buffer(digests)]
        ),
        pa.FixedSizeListArray.from_arrays(flat, spec.dim),
        pa.array(photos.norms, pa.float32()),
    ]
    with tempfile.TemporaryDirectory() as scratch:
        dataset = Dataset(Location(f"{scratch}/embeddings.lance"), schema)
        dataset.append(pa.Table.from_arrays(columns, schema=schema))
        files = Path(scratch, "embeddings.lance/data").rglob("*")
        return sum(file.stat().st_size for file in files if file.is_file()) / len(photos)


def accuracy(fitted: Photos, tested: Photos) -> float:
    """Return the test accuracy of a probe."""
    classes, numbers = np.unique(
        np.concatenate([fitted.folders, tested.folders]), return_inverse=True
    )
    labels, expected = numbers[: len(fitted)], numbers[len(fitted) :]
    examples = Examples(fitted.vectors, fitted.norms, labels)
    held_out = len(fitted) // 5

    def part(chosen: slice) -> Examples:
        return Examples(examples.vectors[chosen], examples.norms[chosen], examples.labels[chosen])

    probe = Probe().fit(part(slice(held_out, None)), part(slice(held_out)), tuple(classes))
    scores = probe.linear.scores(Features(tested.vectors, tested.norms))
    return float((scores.argmax(axis=1) == expected).mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--fit-on", type=Path)
    parser.add_argument("--labelled", action="store_true")
    parser.add_argument("--photos", type=int, default=10_000)
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--sizes", action="store_true")
    options = parser.parse_args()

    photos = embedded(options.folder, options.photos, options.backbone)
    half = len(photos) // 2
    fitted, tested = photos[:half], photos[half:]
    if options.fit_on is not None:
        fitted = embedded(options.fit_on, options.photos, options.backbone)
        tested = photos
    queries = np.arange(min(QUERIES, len(tested)))
    print(
        f"{os.path.basename(options.folder)}: fitted on {len(fitted)} photos, "
        f"{len(queries)} queries among {len(tested)} other photos"
    )

    def row(name: str, of_fitted: Photos, of_tested: Photos, dtype: str, share: float) -> None:
        kept = [neighbours_kept(tested.vectors, of_tested.vectors, queries, k) for k in (1, 10)]
        cells = [f"{100 * value:6.2f} %" for value in (share, *kept)]
        cells.append(f"{bytes_in_store(of_tested, dtype):5.0f} B")
        if options.labelled:
            cells.append(f"{100 * accuracy(of_fitted, of_tested):.1f} %")
        print(f"{name:<24}" + "  ".join(cells), flush=True)

    print(f"{'':<24}  norm²  nearest  ten nearest  bytes  probe")
    row("full", fitted, tested, "float32", 1.0)
    row("float16", rounded(fitted), rounded(tested), "float16", 1.0)
    for dims in DIMS:
        if len(fitted) < MIN_PHOTOS_PER_DIM * dims:
            continue
        projection = fit_projection(fitted.spec, fitted.vectors, dims)
        short = projected(fitted, projection), projected(tested, projection)
        row(f"dims={dims}", *short, "float32", projection.info.norm_kept)
        if dims == 256:
            both = rounded(short[0]), rounded(short[1])
            row(f"dims={dims}, float16", *both, "float16", projection.info.norm_kept)
        info = projection.info
        own = f"{100 * info.neighbours_kept:.1f} % of the ten nearest among {info.others} photos"
        print(f"{'':<24}fitted on {info.photos}; its own measurement: {own}")
    if options.sizes:
        for dims in DIMS:
            counts = [count for size in SIZES if (count := int(size * dims)) <= len(fitted)]
            for count in counts:
                short = project(tested.vectors, top_directions(fitted.vectors[:count], dims)[0])[0]
                kept = neighbours_kept(tested.vectors, short, queries)
                times = f"{count / dims:.1f} N"
                print(f"dims={dims} fitted on {count:>5} ({times}): {100 * kept:.1f} %")
            short = project(tested.vectors, top_directions(fitted.vectors, dims)[0])[0]
            for count in AMONG:
                if count <= len(tested):
                    some = np.arange(min(QUERIES, count))
                    kept = neighbours_kept(tested.vectors[:count], short[:count], some)
                    print(f"dims={dims} among {count:>5}: {100 * kept:.1f} %", flush=True)


if __name__ == "__main__":
    main()
