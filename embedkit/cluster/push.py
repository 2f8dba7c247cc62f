"""Copy a workspace to a store.

Embeddings are committed before images, and images before files, as by an add: a row of a file
implies the rest. Every commit adds whole rows, and the next push finds what the store lacks, so
that a push that was killed continues.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from embedkit._internal.paths import FILE_URL
from embedkit.backbones.projection import Projections, projection_of
from embedkit.catalog import Catalog
from embedkit.cluster.decisions import push_decisions
from embedkit.cluster.elsewhere import Elsewhere
from embedkit.cluster.heads import push_heads
from embedkit.cluster.kept_facts import keep_rows
from embedkit.cluster.lookup import digest_array, find_keys
from embedkit.cluster.merging import Differences, FileRow, merge_files
from embedkit.cluster.store import StoreContent
from embedkit.cluster.tables import FILES, IMAGES, embeddings_schema, vector_array
from embedkit.results import Progress, ProgressCallback, ResolvedName
from embedkit.results.store import PushReport

ROWS = 16_384
"""Images or files that are read from the catalog at a time, and written in one commit."""
_VECTOR_BYTES = 128 << 20
"""Maximum size of the vectors of a commit."""


def push(
    catalog: Catalog,
    heads: Path,
    projections: Projections,
    store: StoreContent,
    backbones: Sequence[ResolvedName],
    progress: ProgressCallback,
) -> PushReport:
    """Copy the photos, the embeddings of ``backbones``, the decisions and the heads to a store.

    ``heads`` is the workspace's folder of heads, and ``projections`` are its projections. Raises
    :class:`EmptyWorkspace` for a workspace without a catalog, and :class:`BadInput` when the store
    has another spec of a backbone.
    """
    started = time.monotonic()
    with catalog.read() as reader:
        added = set(reader.backbones.added())
        incomplete = reader.transfer.incomplete()
    with store.writing("push"):
        known = [item.spec for item in store.backbones()]
        for item in backbones:
            if (own := projection_of(item, projections.find)) is not None:
                store.projections.copy(own, known)
        store.register(backbones, {item.name for item in backbones} - added)
        run = _Push(catalog, store, progress)
        embeddings = {item.name: run.embeddings(item) for item in backbones}
        images = run.images()
        files, updated, failures = run.files()
        decisions = push_decisions(catalog, store, run.found, progress)
        names, warnings = push_heads(heads, store, run.found, progress)
        for dataset in (
            *(store.embeddings(item.spec) for item in backbones),
            *(store.images, store.files, store.verdicts, store.kept_facts, store.quality),
        ):
            dataset.tidy()
    return PushReport(
        store=store.location.place,
        images=images,
        embeddings=embeddings,
        files=files,
        updated=updated,
        failures=failures,
        **decisions,
        heads=names,
        differences=dict(run.found.counts),
        examples=tuple(run.found.examples),
        warnings=warnings,
        incomplete=incomplete,
        seconds=time.monotonic() - started,
    )


class _Push:
    """A push while it runs."""

    def __init__(self, catalog: Catalog, store: StoreContent, progress: ProgressCallback) -> None:
        self._catalog = catalog
        self._store = store
        self._progress = progress
        self._images = pa.array([], pa.binary(32))
        self.found = Differences()

    def embeddings(self, backbone: ResolvedName) -> int:
        """Copy the embeddings of a backbone; return how many were new."""
        spec = backbone.spec
        dataset = self._store.embeddings(spec)
        dataset.ensure()
        with self._catalog.read() as reader:
            images = reader.transfer.embedded(spec.digest)
        digests = digest_array(images.column(1))
        new = images.column(0).filter(pa.array(find_keys(dataset, "sha256", digests) < 0))
        count = 0
        for ids in self._chunks(new, f"copying {backbone.name}", _VECTOR_BYTES // (4 * spec.dim)):
            with self._catalog.read() as reader:
                _, vectors, norms, sha256 = reader.embeddings.features(spec.digest, ids.to_numpy())
            columns = [
                pa.FixedSizeBinaryArray.from_buffers(
                    pa.binary(32), len(sha256), [None, pa.py_buffer(sha256)]
                ),
                vector_array(vectors, spec),
                pa.array(norms, pa.float32()),
            ]
            dataset.append(pa.Table.from_arrays(columns, schema=embeddings_schema(spec)))
            count += len(sha256)
        return count

    def images(self) -> int:
        """Copy the images with their fingerprints; return how many were new."""
        dataset = self._store.images
        dataset.ensure()
        with self._catalog.read() as reader:
            images = reader.transfer.images()
        digests = digest_array(images.column(1))
        new = images.column(0).filter(pa.array(find_keys(dataset, "sha256", digests) < 0))
        count = 0
        for ids in self._chunks(new, "copying images", ROWS):
            with self._catalog.read() as reader:
                rows = reader.transfer.image_rows(ids)
            dataset.append(rows.select(IMAGES.names).cast(IMAGES))
            count += len(rows)
        self._images = digests
        return count

    def files(self) -> tuple[int, int, int]:
        """Copy the files; return the numbers of new files, updated ones and new failures.

        Files of images that were added to the catalog after :meth:`images` are left out.
        """
        dataset = self._store.files
        dataset.ensure()
        with self._catalog.read() as reader:
            files = reader.transfer.files()
            elsewhere = Elsewhere(reader.folders.relocated_urls())
        here = files.column("place").combine_chunks().cast(pa.string())
        places, stored = self._in_store(here, elsewhere)
        chosen = _one_for_each(places, here)
        files, here, places = (column.take(chosen) for column in (files, here, places))
        stored = stored[chosen.to_numpy()]
        added = updated = failures = 0
        for first in self._starts(len(files), "copying files", ROWS):
            part = slice(first, first + ROWS)
            with self._catalog.read() as reader:
                rows = reader.transfer.file_rows(files.slice(first, ROWS))
            paths = places[part].to_pylist()
            path_of = dict(zip(here[part].to_pylist(), paths, strict=True))
            row_of = dict(zip(paths, stored[part].tolist(), strict=True))
            digests = digest_array(rows.column("sha256"))
            is_copied = pc.or_(pc.is_null(digests), pc.is_in(digests, value_set=self._images))
            is_copied = pc.and_not(is_copied, rows.column("is_hidden"))
            mine = {
                path_of[row["place"]]: FileRow.of_catalog(row, path_of[row["place"]])
                for row in rows.filter(is_copied).to_pylist()
            }
            new = [file for place, file in mine.items() if row_of[place] < 0]
            self._write(new)
            failed = sum(file.sha256 is None for file in new)
            added, failures = added + len(new) - failed, failures + failed
            updated += self._merge({place: row_of[place] for place in mine}, mine)
        return added, updated, failures

    def _in_store(self, places: pa.Array, elsewhere: Elsewhere) -> tuple[pa.Array, np.ndarray]:
        """Return the paths of files in the store, and the ids of their rows; -1 without a row.

        ``places`` are those in the workspace.
        """
        own = pc.replace_substring_regex(places, f"^{FILE_URL}", "")
        rows = find_keys(self._store.files, "path", own)
        if elsewhere.is_empty:
            return own, rows
        earlier = pa.array(map(elsewhere.before_relocation, places.to_pylist()), pa.string())
        found = find_keys(self._store.files, "path", earlier)
        return pc.if_else(pa.array(found >= 0), earlier, own), np.where(found >= 0, found, rows)

    def _merge(self, row_of: dict[str, int], mine: dict[str, FileRow]) -> int:
        """Update the files that the store has, by the ids of their rows; return how many."""
        ids = np.array([row for row in row_of.values() if row >= 0], np.int64)
        if not len(ids):
            return 0
        changed: list[FileRow] = []
        facts: list[dict[str, Any]] = []
        for row in self._store.files.take(ids, FILES.names).to_pylist():
            old = FileRow.of_store(row)
            merged = merge_files(old, mine[old.path], self.found)
            if merged is not old:
                changed.append(merged)
                if old.sha256 is not None and old.sha256 != merged.sha256:
                    facts += [
                        {"sha256": old.sha256, "place": old.path, "name": name, "value": value}
                        for name, value in old.facts().items()
                    ]
        keep_rows(self._store, [{**fact, "reserved": False} for fact in facts])
        rows = pa.Table.from_pylist([file.to_store() for file in changed], FILES)
        self._store.files.upsert(rows, "path")
        return len(changed)

    def _write(self, files: Sequence[FileRow]) -> None:
        self._store.files.append(pa.Table.from_pylist([file.to_store() for file in files], FILES))

    def _chunks(self, ids: pa.ChunkedArray, stage: str, rows: int) -> Iterator[pa.Array]:
        size = max(1, min(rows, ROWS))
        for first in self._starts(len(ids), stage, size):
            yield ids.slice(first, size).combine_chunks()

    def _starts(self, total: int, stage: str, size: int) -> Iterator[int]:
        for first in range(0, total, size):
            self._progress(Progress(stage, first, total))
            yield first


def _one_for_each(places: pa.Array, here: pa.Array) -> pa.Array:
    """Return the positions of files, in order, of which no two have the same path in the store.

    Of a file at a URL and one on this machine, the latter counts.
    """
    table = pa.table({"place": places, "is_url": pc.starts_with(here, FILE_URL)})
    table = table.append_column("position", pa.array(np.arange(len(places))))
    first = table.sort_by([("is_url", "ascending"), ("position", "ascending")])
    kept = first.group_by("place", use_threads=False).aggregate([("position", "first")])
    return kept.column("position_first").combine_chunks().sort()
