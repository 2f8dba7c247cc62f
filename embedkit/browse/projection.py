"""The embeddings of a workspace as points of a plane, cached in the workspace.

UMAP computes the points from the nearest neighbours of each photo. For a small collection, the
index finds them exactly; otherwise they are the nearest of the candidates that an inverted file of
the principal components proposes. The same embeddings give the same points.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedkit._internal.artifacts import storage_errors
from embedkit._internal.sealed import DamagedFile, SealedFile, sealed
from embedkit.browse.layout import require_umap, umap_layout
from embedkit.browse.ordering import Ordering
from embedkit.catalog import Catalog, Revision
from embedkit.errors import EmptyWorkspace
from embedkit.index.index import Index
from embedkit.index.metric import distances
from embedkit.results import Progress, ProgressCallback

FOLDER = "map"
"""Subfolder of a workspace with the cached projections."""
NEIGHBOURS = 15
"""Number of neighbours of a photo, itself included."""
EXACT_UP_TO = 10_000
"""Maximum number of photos whose neighbours are found exactly."""

_VERSION = 1
_COMPONENTS = 96
_CANDIDATES = 48
_SAMPLE = 20_000
_PROBES = 16
_EPOCHS, _EPOCHS_LARGE, _LARGE = 200, 80, 200_000
_AT_ONCE = 256
_CURVE_BITS = 16
_HEADER = 16


@dataclass(frozen=True, eq=False)
class Projection:
    """Photos as points of a plane, ordered along a curve, so that near photos are near in order."""

    ids: np.ndarray
    """Image ids: int64 (N,)."""
    points: np.ndarray
    """float32 (N, 2), in [-1, 1]."""
    revision: Revision
    """Revision of the embeddings."""


@dataclass(frozen=True)
class LabelCount:
    """A label and its number of photos; None for the photos without a label."""

    label: str | None
    count: int


@dataclass(frozen=True, eq=False)
class PhotoMap:
    """The photos of a projection that still have a file, with their labels."""

    ordering: Ordering
    points: np.ndarray
    """float32 (N, 2), in [-1, 1]."""
    codes: np.ndarray
    """Position of the label of each photo among ``labels``: uint32 (N,)."""
    labels: tuple[LabelCount, ...]
    """The most frequent first; photos without a label are last."""


def project(index: Index, workspace: Path, progress: ProgressCallback) -> Projection:
    """Project all embeddings of an index, and store the result in the workspace.

    Raises :class:`MissingExtra` without umap-learn, :class:`EmptyWorkspace` without embeddings, and
    :class:`StorageError` when the result cannot be stored.
    """
    require_umap()
    stored = index.stored()
    if not len(stored):
        raise EmptyWorkspace("no photo is embedded with this backbone; run 'embedkit add'")
    progress(Progress("computing principal components"))
    reduced = _principal_components(stored.vectors)
    start = _spread_out(reduced[:, :2])
    if len(stored) <= NEIGHBOURS:
        points = start
    else:
        rows, measured = _neighbours(index, stored.ids, stored.vectors, reduced, progress)
        epochs = _EPOCHS if len(stored) <= _LARGE else _EPOCHS_LARGE
        points = _spread_out(umap_layout(start, rows, measured, epochs, progress))
    order = np.argsort(_along_curve(points), kind="stable")
    projection = Projection(stored.ids[order], points[order], index.revision)
    _write(_file(workspace, index.spec), projection)
    return projection


def read_projection(workspace: Path, spec: str) -> Projection | None:
    """Return the stored projection of a spec, given by digest; None if there is none."""
    try:
        file = SealedFile(_file(workspace, spec))
        file.check()
        serial, stamp = file.array("<u8", (2,)).tolist()
        count = (len(file) - _HEADER) // 16
        ids = file.array("<i8", (count,), _HEADER)
        points = file.array("<f4", (count, 2), _HEADER + 8 * count)
    except (OSError, DamagedFile):
        return None
    return Projection(ids, points, Revision(serial, stamp))


def photo_map(catalog: Catalog, projection: Projection) -> PhotoMap:
    """Return the photos of a projection that still have a file, with their current labels."""
    with catalog.read() as reader:
        ids, runs = reader.files.image_ids_by_label()
    frequent = sorted(range(len(runs)), key=lambda at: (runs[at][0] is None, -runs[at][1]))
    code_of_run = np.empty(len(runs), np.uint32)
    code_of_run[frequent] = np.arange(len(runs), dtype=np.uint32)
    codes = np.repeat(code_of_run, [count for _, count in runs])
    by_id = np.argsort(ids)
    ids, codes = ids[by_id], codes[by_id]
    is_live = np.isin(projection.ids, ids)
    chosen = projection.ids[is_live]
    codes = codes[np.searchsorted(ids, chosen)]
    counts = np.bincount(codes, minlength=len(runs)).tolist()
    return PhotoMap(
        Ordering.of(np.array(chosen)),
        projection.points[is_live],
        codes,
        tuple(LabelCount(runs[run][0], counts[code]) for code, run in enumerate(frequent)),
    )


def remove_all_except(workspace: Path, specs: Collection[str]) -> None:
    """Remove the stored projections of specs with other digests, and of earlier versions."""
    kept = {_file(workspace, spec).name for spec in specs}
    for file in (workspace / FOLDER).glob("*.sealed"):
        if file.name not in kept:
            file.unlink()


def _file(workspace: Path, spec: str) -> Path:
    return workspace / FOLDER / f"{spec}.{_VERSION}.sealed"


def _write(file: Path, projection: Projection) -> None:
    revision = projection.revision
    content = (
        np.array([revision.serial, revision.stamp], "<u8"),
        np.ascontiguousarray(projection.ids, "<i8"),
        np.ascontiguousarray(projection.points, "<f4"),
    )
    with storage_errors("cannot store the map"), sealed(file) as temporary:
        temporary.write_bytes(b"".join(part.tobytes() for part in content))


def _principal_components(vectors: np.ndarray) -> np.ndarray:
    """Return the first principal components of vectors, float32 (N, at least 2)."""
    count = len(vectors)
    sample = vectors[:: -(-count // _SAMPLE)]
    mean = sample.mean(axis=0)
    centred = sample - mean
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = np.ascontiguousarray(axes[:, ::-1][:, :_COMPONENTS])
    reduced = np.zeros((count, max(2, axes.shape[1])), np.float32)
    for first in range(0, count, _SAMPLE):
        part = slice(first, first + _SAMPLE)
        reduced[part, : axes.shape[1]] = (vectors[part] - mean) @ axes
    return reduced


def _neighbours(
    index: Index,
    ids: np.ndarray,
    vectors: np.ndarray,
    reduced: np.ndarray,
    progress: ProgressCallback,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows, int32 (N, k), and the distances, float32 (N, k), of near neighbours."""
    count = len(ids)
    rows = np.empty((count, NEIGHBOURS), np.int32)
    measured = np.empty((count, NEIGHBOURS), np.float32)
    candidates = None if count <= EXACT_UP_TO else _candidates(reduced, progress)
    by_id = np.argsort(ids)
    for first in range(0, count, _AT_ONCE):
        progress(Progress("finding neighbours", first, count))
        part = slice(first, first + _AT_ONCE)
        if candidates is None:
            found, exact = index.search(vectors[part], NEIGHBOURS)
            rows[part] = by_id[np.searchsorted(ids, found, sorter=by_id)]
            measured[part] = exact
            continue
        proposed = candidates[part]
        exact = distances(vectors[part][:, None], vectors[proposed])
        best = np.argsort(exact, axis=1, kind="stable")[:, :NEIGHBOURS]
        rows[part] = np.take_along_axis(proposed, best, axis=1)
        measured[part] = np.take_along_axis(exact, best, axis=1)
    return rows, measured


def _candidates(reduced: np.ndarray, progress: ProgressCallback) -> np.ndarray:
    """Return rows that are near each row in the principal components, int64 (N, n)."""
    import faiss

    progress(Progress("finding neighbours", 0, len(reduced)))
    dim = reduced.shape[1]
    quantizer = faiss.IndexFlatL2(dim)
    inverted = faiss.IndexIVFFlat(quantizer, dim, 2 * int(len(reduced) ** 0.5))
    inverted.cp.niter = 8
    inverted.nprobe = _PROBES
    inverted.train(reduced)
    inverted.add(reduced)
    found = []
    for first in range(0, len(reduced), _SAMPLE):
        progress(Progress("finding neighbours", 0, len(reduced)))
        found.append(inverted.search(reduced[first : first + _SAMPLE], _CANDIDATES)[1])
    rows = np.concatenate(found)
    own = np.arange(len(reduced))[:, None]
    return np.where(rows < 0, own, rows)  # -1 where the cells had fewer rows


def _spread_out(points: np.ndarray) -> np.ndarray:
    """Return points scaled to fit into [-1, 1], by the same factor in both directions."""
    lowest, highest = points.min(axis=0), points.max(axis=0)
    scale = max(float((highest - lowest).max()) / 2, np.finfo(np.float32).tiny)
    return np.ascontiguousarray((points - (lowest + highest) / 2) / scale, np.float32)


def _along_curve(points: np.ndarray) -> np.ndarray:
    """Return the place of points in [-1, 1] along a Hilbert curve, int64 (N,)."""
    side = 1 << _CURVE_BITS
    x, y = np.clip(((points + 1) / 2 * side).astype(np.int64), 0, side - 1).T.copy()
    place = np.zeros(len(points), np.int64)
    step = side >> 1
    while step:
        right, upper = (x & step) > 0, (y & step) > 0
        place += step * step * ((3 * right) ^ upper)
        mirrored = right & ~upper
        x[mirrored], y[mirrored] = side - 1 - x[mirrored], side - 1 - y[mirrored]
        swapped = ~upper
        x[swapped], y[swapped] = y[swapped], x[swapped]
        step >>= 1
    return place
