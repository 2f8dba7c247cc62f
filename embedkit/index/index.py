"""The index of one embedding spec: rows on disk, later changes, and the search over them.

An index is a cache of the catalog. Its **base** is rows on disk, mapped into memory, with FAISS
codes beside them when there are too many to compare one by one. The **delta** is the embeddings
that the catalog has gained since, in memory and saved in separate files; it is searched exactly.
Removed embeddings are masked. When delta and removals exceed a small share of the base, base and
delta are merged into a new base. Rows are always in the order of storing, so that the same history
gives the same files.

The manifest is written last. It names the spec, the revision of the catalog that the index has
followed, and every file. An index that is behind catches up; one that does not match is rebuilt.
Every part of a file is checked when a process first reads it, and a damaged index is rebuilt.
"""

import logging
import os
import warnings
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from embedkit._internal.paths import shown
from embedkit._internal.sealed import DamagedFile, SealedFile
from embedkit.catalog import Catalog, Revision
from embedkit.errors import BadArtefact, BadRecipe, DamagedCache
from embedkit.index import rows
from embedkit.index.exact import EXTRA_ROWS, PAIRS_IN_NUMPY, closest, nearest, nearest_among
from embedkit.index.manifest import Manifest, read_manifest, usable_manifest
from embedkit.index.storage import IndexFiles
from embedkit.results import Progress, ProgressCallback, no_progress

if TYPE_CHECKING:
    from embedkit.index.approximate import ApproximateIndex
    from embedkit.index.gpu import Propose

EXACT = "exact"
AUTO = "auto"
"""Kinds of index in a recipe; any other kind is a FAISS factory string."""
FLAT = "Flat"

EXACT_UP_TO = 250_000
"""Maximum number of images that ``auto`` searches exactly: with 512 dimensions one query then reads
0.5 GB, which takes as long as opening the catalog."""
MERGE_SHARE = 0.05
"""Share of the base above which delta and removals are merged into a new base."""
MERGE_ROWS = 10_000
"""Indexes up to this size are always written whole."""
RETRAIN_FACTOR = 4
"""FAISS is trained again when the number of vectors has grown by this factor since the last
training."""
SAVE_SHARE = 0.1
"""A search saves the index when it was behind by more than this share of its size."""
GATHER_ROWS = 100_000
"""Maximum number of rows passing a filter that are compared one by one."""
QUERIES_AT_ONCE = 16
"""Number of queries whose distances are computed at once; more would not fit into the processor's
cache."""
MAX_COMPONENTS_AT_ONCE = 1 << 22
"""Maximum number of vector components in one such computation for several queries."""
MAX_TUNED_MATCHES = 64
"""Maximum number of matches for which an approximate search uses the effort tuned for ten
matches."""


logger = logging.getLogger(__name__)

_Result = TypeVar("_Result")


class Index:
    """Embeddings of one spec, by image id.

    When its files turn out to be damaged, the index warns with :class:`DamagedCache`, empties
    itself and calls ``refill`` to fill it again.
    """

    def __init__(
        self, folder: Path, spec: str, dim: int, refill: "Callable[[Index], None]"
    ) -> None:
        self.folder = folder
        self.spec = spec
        self.dim = dim
        self._refill = refill
        self.saved: Revision | None = None
        """Revision of the index on disk when this one was loaded or saved."""
        self._clear()

    def _clear(self) -> None:
        self.revision = Revision()
        self.kind = ""
        self._files = IndexFiles(self.folder)
        self._set_base(rows.empty_rows(self.dim))
        self._codes: ApproximateIndex | None = None
        self._trained = 0
        self._delta = rows.empty_rows(self.dim)

    def _set_base(self, base: rows.Rows) -> None:
        self._base = base
        self._live: np.ndarray | None = None  # mask of the rows not removed; None for all
        self._gpu: Propose | None = None
        self._gpu_tried = False

    def __len__(self) -> int:
        return self._live_count() + len(self._delta)

    def _live_count(self) -> int:
        return len(self._base) if self._live is None else int(np.count_nonzero(self._live))

    @property
    def _description(self) -> str:
        recall = "" if self._codes is None else f", recall@10 {self.recall_at_10:.3f}"
        return f"{self.folder}: index {self.factory} of {len(self)} images{recall}"

    @property
    def factory(self) -> str:
        """FAISS factory string of the codes; ``Flat`` when the search is exact."""
        return FLAT if self._codes is None else self._codes.factory

    @property
    def recall_at_10(self) -> float:
        """Recall at 10 against exact search, measured on the codes; 1 when the search is exact."""
        return 1.0 if self._codes is None else self._codes.recall_at_10

    def stored_ids(self) -> np.ndarray:
        """Return the ids of all images in the index, int64 (N,), in order of storing."""
        base = self._base.ids if self._live is None else self._base.ids[self._live]
        return np.concatenate([base, self._delta.ids])

    def stored(self) -> rows.Rows:
        """Return all rows, in order of storing; mapped if they are one file, else in memory."""
        return self._rebuilding(self._stored)

    def _stored(self) -> rows.Rows:
        if self._live is None and not len(self._delta):
            return rows.Rows(self._base.ids, self._base.vectors)
        chunks = chain(self._base.chunks(self._live), self._delta.chunks())
        return rows.rows_from_chunks(chunks, len(self), self.dim)

    def _rebuilding(self, read: Callable[[], _Result]) -> _Result:
        """Return the result of ``read``; rebuild the index and read again if it is damaged."""
        try:
            return read()
        except DamagedFile as error:
            self._discard(error)
            self._refill(self)
            return read()

    def _discard(self, error: Exception) -> None:
        """Warn that the files cannot be used, and empty the index."""
        warnings.warn(
            f"an index cannot be used ({shown(str(error))}); it is rebuilt from the catalog",
            DamagedCache,
            stacklevel=2,
        )
        self._clear()

    # -- searching -----------------------------------------------------------------------------

    def search(
        self, queries: np.ndarray, k: int, among: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return ids, int64 (Q, n), and distances, float64 (Q, n), of the nearest images.

        ``queries`` are embeddings, float32 (Q, dim); n is k, or the number of images if that is
        less. ``among``, int64 ids, restricts the search to some images. Distances are computed from
        the stored vectors. Images at equal distances are in order of id. If several tie for the
        last position, it is undefined which is returned.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        return self._rebuilding(lambda: self._search(queries, k, among))

    def _search(
        self, queries: np.ndarray, k: int, among: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        allowed, delta_rows = self._live, np.arange(len(self._delta))
        if among is not None:
            inside = np.isin(self._base.ids, among)
            allowed = inside if allowed is None else inside & allowed
            delta_rows = np.flatnonzero(np.isin(self._delta.ids, among))
        count = len(self._base) if allowed is None else int(np.count_nonzero(allowed))
        k = min(k, count + len(delta_rows))
        found = self._nearest_in_base(queries, min(k + EXTRA_ROWS, count), allowed, count)
        if len(delta_rows) == len(self._delta):
            recent = nearest(queries, self._delta.vectors, k + EXTRA_ROWS)
        else:
            recent = nearest_among(queries, self._delta.vectors, delta_rows, k + EXTRA_ROWS)

        ids, measured = np.empty((len(queries), k), np.int64), np.empty((len(queries), k))
        widths = {len(rows) for rows in found}
        at_once = 1
        if len(widths) == 1:
            components = (max(widths) + recent.shape[1]) * self.dim
            at_once = min(QUERIES_AT_ONCE, max(1, MAX_COMPONENTS_AT_ONCE // max(1, components)))
        for start in range(0, len(queries), at_once):
            part = slice(start, start + at_once)
            ids[part], measured[part] = self._measured(
                queries[part], np.stack(found[part]), recent[part], k
            )
        if self._codes is not None:  # an exact search reads all rows each time
            self._base.release_pages()
        return ids, measured

    def _measured(
        self, queries: np.ndarray, base: np.ndarray, delta: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return ids and distances of the nearest ``k`` among rows of base and delta, (Q, n)."""
        ids, vectors = self._base.ids[base], self._base.checked(base)[base]
        if delta.size:
            ids = np.concatenate([ids, self._delta.ids[delta]], axis=1)
            vectors = np.concatenate([vectors, self._delta.vectors[delta]], axis=1)
        return closest(queries, ids, vectors, k)

    def _nearest_in_base(
        self, queries: np.ndarray, k: int, allowed: np.ndarray | None, count: int
    ) -> list[np.ndarray]:
        """Return at least ``k`` candidate rows of the base for each query.

        ``allowed`` is a mask of ``count`` rows of the base, or None for all; k is at most
        ``count``. The nearest rows are among the candidates, as far as the codes find them.
        """
        found = [np.empty(0, np.int64)] * len(queries)
        pending = np.arange(len(queries) if k else 0)
        # Request enough candidates that about k pass the filter, then more until k do.
        wanted = int(np.ceil(k * len(self._base) / max(count, 1)))
        effort_factor, requested = -(-wanted // MAX_TUNED_MATCHES), self._requested(wanted)
        few = GATHER_ROWS if self._codes is not None else 4 * requested
        while len(pending):
            if 4 * requested >= len(self._base) or (allowed is not None and count <= few):
                break
            proposals = self._propose(queries[pending], requested, effort_factor)
            for number, proposed in zip(pending, proposals, strict=True):
                proposed = proposed[proposed >= 0]
                found[number] = proposed if allowed is None else proposed[allowed[proposed]]
            pending = pending[[len(found[number]) < k for number in pending]]
            effort_factor, requested = 4 * effort_factor, 4 * requested
        if len(pending):
            if allowed is None:
                rest = nearest(queries[pending], self._base.vectors, k)
            else:
                passing = np.flatnonzero(allowed)
                rest = nearest_among(queries[pending], self._base.checked(passing), passing, k)
            for number, exact in zip(pending, rest, strict=True):
                found[number] = exact
        return found

    def _requested(self, k: int) -> int:
        """Return the number of candidates to request for ``k`` matches."""
        if self._codes is None:
            return k
        from embedkit.index.approximate import CANDIDATES_PER_MATCH

        return CANDIDATES_PER_MATCH * k

    def _propose(self, queries: np.ndarray, count: int, effort_factor: int) -> np.ndarray:
        """Return ``count`` candidate rows for each query."""
        if self._codes is not None:
            return self._codes.candidates(queries, count, effort_factor)
        if len(queries) * len(self._base) > PAIRS_IN_NUMPY:
            if not self._gpu_tried:
                from embedkit.index.gpu import vectors_on_gpu

                self._gpu, self._gpu_tried = vectors_on_gpu(self._base.vectors), True
            if self._gpu is not None and (found := self._gpu(queries, count, 0)) is not None:
                return found
        return nearest(queries, self._base.vectors, count)

    # -- following the catalog -----------------------------------------------------------------

    def catch_up(
        self,
        catalog: Catalog,
        revision: Revision,
        kind: str,
        *,
        save: bool = False,
        progress: ProgressCallback = no_progress,
    ) -> None:
        """Bring the index up to date with the catalog.

        An index that is at ``revision``, a recent revision of the spec, is left unchanged unless
        ``save`` is true. An index with another history than the catalog is rebuilt.

        With ``save`` the index is converted to ``kind``, merged when due, and saved. An index that
        was far behind is saved in any case, if the workspace is writable.

        Raises :class:`StorageError` when the index cannot be written and, with ``save``,
        :class:`BadRecipe` when ``kind`` does not suit these embeddings; without ``save`` they are
        then searched exactly. After an exception the index is unusable: load it again.
        """
        try:
            self._catch_up(catalog, revision, kind, save, progress)
        except DamagedFile as error:
            self._discard(error)
            self._catch_up(catalog, revision, kind, save, progress)

    def _catch_up(
        self,
        catalog: Catalog,
        revision: Revision,
        kind: str,
        save: bool,
        progress: ProgressCallback,
    ) -> None:
        save_requested = save
        if revision == self.revision and not save:
            return
        with catalog.read() as reader:
            embeddings = reader.embeddings
            revision = embeddings.revision(self.spec)
            if not embeddings.history_contains(self.spec, self.revision):
                self._clear()
            since = self.revision.serial
            behind = revision.serial - since > SAVE_SHARE * len(self)
            save = save or (behind and self._may_save(catalog))
            gained = embeddings.count(self.spec, since)
            fresh = embeddings.chunks(self.spec, since)
            self._drop(embeddings.removed_ids(self.spec, since))
            merge = save and self._is_merge_due(gained, kind)
            if merge:
                progress(Progress("building the index"))
                with self._files.errors():
                    kept = self._merge(fresh, gained, revision)
            elif gained:
                size = len(self._delta) + gained
                self._delta = rows.rows_from_chunks(
                    chain(self._delta.chunks(), fresh), size, self.dim
                )
            self.revision = revision
        if merge:
            try:
                with self._files.errors():
                    self._encode(kind, kept)
            except BadRecipe:  # an add reports it; a search works without the codes
                if save_requested:
                    raise
                save = False
        if save:
            self.kind = kind
            progress(Progress("writing the index"))
            with self._files.errors():
                self._save()

    def _may_save(self, catalog: Catalog) -> bool:
        """Return whether the workspace is writable and no other process has saved the index."""
        manifest = usable_manifest(self.folder)
        is_ours = manifest is None or manifest.revision == self.saved
        return is_ours and os.access(catalog.path.parent, os.W_OK)

    def _drop(self, removed: np.ndarray) -> None:
        """Drop the rows of images, given by id."""
        if not len(removed):
            return
        is_removed = np.isin(self._base.ids, removed)
        if is_removed.any():
            self._live = ~is_removed if self._live is None else self._live & ~is_removed
        kept = ~np.isin(self._delta.ids, removed)
        self._delta = rows.Rows(self._delta.ids[kept], self._delta.vectors[kept])

    def _is_merge_due(self, gained: int, kind: str) -> bool:
        changed = len(self._delta) + gained + len(self._base) - self._live_count()
        total = len(self) + gained
        if kind != self.kind or (changed and total <= MERGE_ROWS):
            return True
        if (
            kind == AUTO
            and self._codes is None
            and total > max(EXACT_UP_TO, RETRAIN_FACTOR * self._trained)
        ):
            return True
        return changed > MERGE_SHARE * len(self._base)

    def _merge(self, fresh: rows.Chunks, gained: int, revision: Revision) -> int:
        """Write a new base of all rows; return how many of its first rows are the old base."""
        old = len(self._base)
        is_whole = self._live is None
        if is_whole and not len(self._delta) and not gained and "vectors" in self._files:
            return old
        chunks = chain(self._base.chunks(self._live), self._delta.chunks(), fresh)
        self._set_base(self._files.write_rows(revision, "", chunks, self.dim))
        self._delta = rows.empty_rows(self.dim)
        return old if is_whole else 0

    def _encode(self, kind: str, kept: int) -> None:
        """Build or extend the codes of the base; they contain its first ``kept`` rows."""
        total = len(self._base)
        if kind in (EXACT, FLAT) or total < 2 or (kind == AUTO and total <= EXACT_UP_TO):
            self._codes, self._trained = None, 0
            self._files.forget("codes")
            return
        is_stale = kind != self.kind or total > RETRAIN_FACTOR * self._trained
        if kind == AUTO and self._codes is None and not is_stale:
            return  # codes were tried, and were not faster
        from embedkit.index import approximate  # imports FAISS, which small indexes do not need

        # The old codes do not fit the new base. If writing new ones fails, there are none.
        codes, self._codes = self._codes, None
        self._files.forget("codes")
        if is_stale or codes is None or codes.file is None or not codes.file.file.exists():
            factory = approximate.default_factory(total) if kind == AUTO else kind
            codes, self._trained = approximate.build(factory, self._base.vectors), total
        else:
            codes = approximate.extended(codes, self._base.vectors, kept)
        if codes is None:
            self._trained = 0
            return  # too few vectors to train on: search exactly
        approximate.tune(
            codes, self._base.vectors, approximate.MAX_LIST_SHARE if kind == AUTO else 1.0
        )
        if kind == AUTO and codes.recall_at_10 < approximate.TARGET_RECALL:
            return  # vectors without clusters: exact search is faster
        codes = approximate.write(self._files.path(self.revision, "codes"), codes)
        assert codes.file is not None
        self._files.add("codes", codes.file)
        self._codes = codes

    # -- on disk -------------------------------------------------------------------------------

    def _save(self) -> None:
        """Write the delta, the removed rows and, last, the manifest."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._files.forget("delta_ids", "delta_vectors", "removed")
        if len(self._delta):
            self._files.write_rows(self.revision, "delta_", self._delta.chunks(), self.dim)
        if self._live is not None:
            file = self._files.path(self.revision, "removed")
            rows.write_numbers(file, np.flatnonzero(~self._live))
            self._files.add("removed", SealedFile(file))
        codes = self._codes
        version = ""
        if codes is not None:
            import faiss

            version = faiss.__version__
        self._files.save(
            Manifest(
                kind=self.kind,
                factory=self.factory,
                spec=self.spec,
                dim=self.dim,
                count=len(self),
                generation=self.revision.serial,
                stamp=self.revision.stamp,
                trained=self._trained,
                head=codes.head if codes else 0,
                effort=codes.effort if codes else 0,
                recall_at_10=self.recall_at_10,
                faiss=version,
            )
        )
        self.saved = self.revision
        logger.debug("saved %s", self._description)

    def _open(self, manifest: Manifest) -> None:
        """Open the files of a manifest.

        Raises OSError, LookupError or ValueError when they are not as the manifest describes them.
        """
        if (manifest.spec, manifest.dim) != (self.spec, self.dim):
            raise DamagedFile(f"{self.folder} contains the index of another spec")
        files = self._files.open(manifest)
        if "vectors" in files:
            self._set_base(rows.read_rows(files["ids"], files["vectors"], self.dim))
        if "delta_vectors" in files:
            self._delta = rows.read_rows(files["delta_ids"], files["delta_vectors"], self.dim)
        if "removed" in files:
            self._live = np.ones(len(self._base), bool)
            self._live[rows.read_numbers(files["removed"])] = False
        if manifest.factory != FLAT:
            from embedkit.index.approximate import ApproximateIndex, read

            codes = ApproximateIndex(None, manifest.factory, manifest.effort, manifest.recall_at_10)
            self._codes = read(files["codes"], codes, len(self._base), self.dim, manifest.head)
        if len(self) != manifest.count:
            raise DamagedFile(f"{self.folder} does not contain {manifest.count} images")
        self.kind, self.revision = manifest.kind, manifest.revision
        self._trained = manifest.trained


def load_index(folder: Path, spec: str, dim: int, refill: Callable[[Index], None]) -> Index:
    """Load the index of a spec as it was last saved; an empty one if there is no usable one.

    Warns with :class:`DamagedCache` when the index on disk is damaged.
    """
    index = Index(folder, spec, dim, refill)
    while True:
        manifest = None
        try:
            manifest = read_manifest(folder)
            if manifest is not None:
                index.saved = manifest.revision
                index._open(manifest)
        except (BadArtefact, EOFError, LookupError, MemoryError, OSError, ValueError) as error:
            if usable_manifest(folder) != manifest:
                continue  # another process has just replaced the files
            index._discard(error)
        logger.debug("opened %s", index._description)
        return index
