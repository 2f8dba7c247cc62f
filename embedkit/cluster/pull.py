"""Copy a store to a workspace, or a sample of it.

Images are stored before their embeddings and files, each chunk in one transaction, and every chunk
contains only what the workspace lacks: a pull that was killed continues. The files are known with
the paths, sizes and times that the store has: the next add reads only those that have changed. Of a
folder that this machine does not have, they are known by URLs: see
:mod:`embedkit.cluster.elsewhere`.
"""

import os
import time
from collections.abc import Collection, Iterator, Sequence
from itertools import takewhile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from embedkit._internal.paths import FILE_URL, is_missing, is_url, native_path
from embedkit.backbones.projection import Projections, projection_of
from embedkit.catalog import Catalog, ImageRow, PendingFile
from embedkit.catalog.writer import Writer
from embedkit.cluster.decisions import pull_decisions
from embedkit.cluster.elsewhere import Elsewhere
from embedkit.cluster.heads import pull_heads
from embedkit.cluster.lookup import digest_array, select_rows
from embedkit.cluster.merging import CSV, FOLDER, Differences, FileRow, merge_files
from embedkit.cluster.sampling import sample_images
from embedkit.cluster.store import StoreContent
from embedkit.cluster.tables import FILES, IMAGES, Dataset
from embedkit.errors import BadInput, EmptyWorkspace
from embedkit.results import Fingerprint, Progress, ProgressCallback, ResolvedName
from embedkit.results.store import PullReport

ROWS = 16_384
"""Rows that are read from the store at a time, and stored in one transaction."""
_VECTOR_BYTES = 64 << 20
"""Maximum size of the vectors of a transaction."""


def pull(
    store: StoreContent,
    catalog: Catalog,
    heads: Path,
    projections: Projections,
    progress: ProgressCallback,
    *,
    sample: int | None = None,
    seed: int = 0,
) -> PullReport:
    """Copy all photos of a store, or a random ``sample`` of its images, to a catalog.

    ``heads`` is the workspace's folder of heads, and ``projections`` are its projections. The
    sample depends only on the images and the seed. Failures are copied only with all photos;
    decisions, with the images that they are about. Raises :class:`EmptyWorkspace` for a store
    without photos, and :class:`BadInput` when the catalog has another spec of a backbone.
    """
    started = time.monotonic()
    backbones = store.backbones()
    if not store.files.count():
        raise EmptyWorkspace(
            f"{store.location} has no photos; run 'embedkit push --store {store.argument}' in a "
            f"workspace, or 'embedkit add PHOTOS --store {store.argument}'"
        )
    run = _Pull(catalog, store, progress)
    if sample is not None:
        run.select(sample, seed)
    known = [item.spec for item in catalog.backbone_snapshot().backbones] if catalog.exists else []
    for item in backbones:
        if (stored := projection_of(item, store.projections.find)) is not None:
            projections.copy(stored, known)
    _register(catalog, store, backbones)
    copied, selected = run.images()
    embeddings = {item.name: run.embeddings(item) for item in backbones}
    run.files()
    decisions = pull_decisions(catalog, store, run.selection, run.elsewhere, run.found, progress)
    names, warnings = pull_heads(heads, store, run.found, progress)
    return PullReport(
        store=store.location.place,
        images=copied,
        embeddings=embeddings,
        files=run.added,
        updated=run.updated,
        failures=run.failures,
        **decisions,
        heads=names,
        differences=dict(run.found.counts),
        examples=tuple(run.found.examples),
        warnings=warnings,
        selected=selected,
        unreachable=run.unreachable,
        seconds=time.monotonic() - started,
    )


def _register(catalog: Catalog, store: StoreContent, backbones: Sequence[ResolvedName]) -> None:
    """Add the backbones of a store to a catalog. Raises :class:`BadInput` for another spec."""
    compared = store.compared()
    with catalog.write() as writer:
        known = {item.name: item for item in writer.reader.backbones.all()}
        for item in backbones:
            if item.name in known and known[item.name].spec != item.spec:
                raise BadInput(
                    f"{store.location} has {item.name} with "
                    f"{known[item.name].spec.difference(item.spec)} than this workspace; pull into "
                    "a workspace of its own"
                )
            mine = known.get(item.name, item)
            writer.backbones.register(mine, added=item.name not in compared)


class _Pull:
    """A pull while it runs."""

    def __init__(self, catalog: Catalog, store: StoreContent, progress: ProgressCallback) -> None:
        self._catalog = catalog
        self._store = store
        self._progress = progress
        # The images of a file are in the store before it, so its row is read before theirs.
        self._files = store.files.at_present()
        self._images = store.images.at_present()
        self.selection: pa.Array | None = None
        """SHA-256 of the images to copy; None for all."""
        self.elsewhere = Elsewhere({})
        self.found = Differences()
        self.added = 0
        self.updated = 0
        self.failures = 0
        self.unreachable = 0

    def select(self, sample: int, seed: int) -> None:
        """Copy only a sample of the images."""
        self.selection = sample_images(self._files, sample, seed)

    def images(self) -> tuple[int, int]:
        """Copy images with their fingerprints; return how many were new, and how many there are."""
        with self._catalog.read() as reader:
            known = digest_array(reader.transfer.known())
        new = select_rows(self._images, "sha256", self.selection, known)
        for rows in self._chunks(self._images, new, IMAGES.names, "copying images", ROWS):
            images = [
                ImageRow(
                    sha256=row.pop("sha256"),
                    md5=row.pop("md5"),
                    bytes=row.pop("bytes"),
                    share=1.0 if (share := row.pop("share")) is None else share,
                    fingerprint=Fingerprint(**row),
                )
                for row in rows.to_pylist()
            ]
            with self._catalog.write() as writer:
                writer.images.store(images)
        selected = self._images.count() if self.selection is None else len(self.selection)
        return len(new), selected

    def embeddings(self, backbone: ResolvedName) -> int:
        """Copy the embeddings of a backbone; return how many were new."""
        spec = backbone.spec
        dataset = self._store.embeddings(spec).at_present()
        with self._catalog.read() as reader:
            known = digest_array(reader.transfer.known(spec.digest))
        new = select_rows(dataset, "sha256", self._copied(), known)
        size = min(ROWS, _VECTOR_BYTES // (4 * spec.dim))
        columns = ("sha256", "vector", "norm")
        count = 0
        stage = f"copying {backbone.name}"
        for rows in self._chunks(dataset, new, columns, stage, size):
            vectors = rows["vector"].combine_chunks().flatten().to_numpy().astype(np.float32)
            with self._catalog.write() as writer:
                count += writer.embeddings.store_vectors(
                    spec.digest,
                    rows["sha256"].to_pylist(),
                    vectors.reshape(len(rows), spec.dim),
                    rows["norm"].to_numpy(),
                )
        return count

    def files(self) -> None:
        """Copy the files, with their labels and other columns, and the failures."""
        rows = select_rows(self._files, "sha256", self._copied())
        if self.selection is None:
            failed = select_rows(self._files, "path", None, where="sha256 IS NULL")
            rows = np.sort(np.concatenate([rows, failed]))
        with self._catalog.read() as reader:
            self.elsewhere = Elsewhere(reader.folders.relocated_urls())
        self._make_roots(rows)
        for part in self._chunks(self._files, rows, FILES.names, "copying files", ROWS):
            files = [FileRow.of_store(row) for row in part.to_pylist()]
            with self._catalog.write() as writer, writer.files.settled():
                self._store_files(writer, files)

    def _copied(self) -> pa.Array:
        """Return the SHA-256 of the images of the catalog, as far as they are selected."""
        with self._catalog.read() as reader:
            known = digest_array(reader.transfer.known())
        if self.selection is None:
            return known
        return self.selection.filter(pc.is_in(self.selection, value_set=known))

    def _make_roots(self, rows: np.ndarray) -> None:
        """Make a root for the files of each file system, at their deepest common folder.

        A folder that this machine does not have has a URL, unless files in it were added here.
        """
        folders: set[str] = set()
        for part in self._chunks(self._files, rows, ["path"], "listing files", 1 << 18):
            folders.update(place.rpartition("/")[0] for place in part["path"].to_pylist())
        with self._catalog.write() as writer:
            known = writer.reader.files.folders()
            ends: dict[str, tuple[str, str]] = {}
            for folder in sorted(folders):
                if not is_url(folder):
                    self.elsewhere.add(folder, _is_elsewhere(folder, known))
                place = self.elsewhere.in_workspace(f"{folder}/")
                if place == f"{FILE_URL}{folder}/":
                    start = FILE_URL + _start(f"{folder}/")
                else:
                    start = _start(place)
                first, last = ends.get(start, (place, place))
                ends[start] = min(first, place), max(last, place)
            for start, found in ends.items():
                writer.folders.scope(native_path(_common_folder(start, *found)))

    def _store_files(self, writer: Writer, files: Sequence[FileRow]) -> None:
        """Store the files of a chunk, as far as the catalog lacks them."""
        places = [native_path(self.elsewhere.in_workspace(file.path)) for file in files]
        wanted = writer.reader.folders.locate(places)
        located = {
            files[number].path: (root_id, path)
            for number, root_id, path in zip(
                *(column.to_pylist() for column in wanted.columns), strict=True
            )
        }
        found = writer.reader.transfer.file_rows(wanted).to_pylist()
        known = {native_path(row["place"]): row for row in found}
        changed = []
        for place, file in zip(places, files, strict=True):
            row = known.get(place)
            if row is None:
                changed.append(file)
                self.failures += file.sha256 is None
                self.added += file.sha256 is not None
                self.unreachable += file.sha256 is not None and (is_url(place) or is_missing(place))
            elif not row["is_hidden"]:
                mine = FileRow.of_catalog(row, file.path)
                merged = merge_files(mine, file, self.found)
                if merged is not mine:
                    changed.append(merged)
                    self.updated += 1
        _write_files(writer, changed, located)

    def _chunks(
        self,
        dataset: Dataset,
        rows: np.ndarray,
        columns: Sequence[str],
        stage: str,
        size: int,
    ) -> Iterator[pa.Table]:
        for first in range(0, len(rows), max(1, size)):
            self._progress(Progress(stage, first, len(rows)))
            yield dataset.take(rows[first : first + max(1, size)], columns)


def _write_files(
    writer: Writer, files: Sequence[FileRow], located: dict[str, tuple[int, str]]
) -> None:
    """Store files in a catalog, whose paths have a root."""
    entries = [
        (file, PendingFile(*located[file.path], file.bytes, file.mtime_ns, None)) for file in files
    ]
    writer.files.store([(item, file.sha256) for file, item in entries if file.sha256 is not None])
    for decoder in sorted({file.decoder or "" for file in files if file.stage is not None}):
        writer.failures.store(
            [
                (item, file.stage, file.reason or "")
                for file, item in entries
                if file.stage is not None and (file.decoder or "") == decoder
            ],
            decoder,
        )
    labels = [
        (item.root_id, item.path, label, source)
        for file, item in entries
        for source, label in ((CSV, file.label), (FOLDER, file.folder_label))
        if label is not None
    ]
    writer.transfer.set_labels(labels)
    writer.transfer.set_values(
        [
            (item.root_id, item.path, name, value)
            for file, item in entries
            for name, value in sorted(file.attributes.items())
        ]
    )


def _is_elsewhere(folder: str, known: Collection[str]) -> bool:
    """Return whether a catalog with files in some folders has a URL for a folder of a store."""
    if FILE_URL + folder in known:
        return True
    return folder not in known and not os.path.isdir(native_path(folder or "/"))


def _start(place: str) -> str:
    """Return the scheme and the host or bucket of a URL, or the first folder of a path."""
    if is_url(place):
        return "/".join(place.split("/", 3)[:3])
    parts = place.split("/", 2)
    return "/".join(parts[:2]) if len(parts) > 2 else "/"


def _common_folder(start: str, first: str, last: str) -> str:
    """Return the deepest common folder of sorted folders, given the first and the last of them.

    All end with a slash, and are below ``start``.
    """
    folders = [path.split("/")[:-1] for path in (first, last)]
    pairs = takewhile(lambda pair: pair[0] == pair[1], zip(*folders, strict=False))
    common = "/".join(name for name, _ in pairs)
    return common if len(common) >= len(start) else start
