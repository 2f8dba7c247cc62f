"""The index of one spec: what is on disk, what came since, what went, and the search over it.

An index is a cache of the catalog. Its **base** is rows on disk, mapped into memory, with FAISS
codes beside them once there are too many to compare with one by one. What the catalog gained since
is the **delta**, in memory and saved in files of its own; it is searched exactly beside the base.
What it lost is noted, and never returned. When the two have grown to more than a small share, base
and delta are merged into a new base. Rows are in order of storing throughout, so that the same
history makes the same files.

The manifest is written last. It names the spec, how far the index has followed the catalog, and
every file. An index that is behind catches up; one that does not match is built anew. No file is
believed: what is read of it is checked, once in a process, and damage has the index built anew.
"""

import os
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from embedkit._internal.artifacts import storage_errors
from embedkit._internal.paths import shown
from embedkit._internal.sealed import Damaged, Sealed
from embedkit.catalog import Catalog, Revision
from embedkit.errors import BadArtefact, BadRecipe, DamagedCache
from embedkit.index import rows
from embedkit.index.exact import EXTRA, PAIRS_IN_NUMPY, nearest, nearest_among
from embedkit.index.manifest import (
    FileRecord,
    Manifest,
    read_manifest,
    sound_manifest,
    write_manifest,
)
from embedkit.index.metric import distances
from embedkit.results import Progress, ProgressCallback, no_progress

if TYPE_CHECKING:
    from embedkit.index.approximate import Codes
    from embedkit.index.gpu import Propose

EXACT = "exact"
AUTO = "auto"
"""Kinds that a recipe may ask for; any other is a FAISS factory string."""
FLAT = "Flat"

EXACT_UP_TO = 250_000
"""Images up to which ``auto`` searches exactly: at 512 numbers one query reads 0.5 GB, which takes
as long as opening the catalog does."""
MERGE_SHARE = 0.05
"""Share of the base above which what came and went since is merged into it."""
MERGE_ROWS = 10_000
"""Indexes up to this size are written whole every time."""
STALE = 4
"""FAISS's index takes up to this many times the vectors that it was trained among."""
SAVE_SHARE = 0.1
"""An index that a search finds behind by more than this share of it is saved caught up."""
GATHER_ROWS = 100_000
"""Up to this many rows that a filter leaves are compared with one by one."""
TOGETHER = 16
"""Queries whose matches are measured at once; more would not stay in the processor's cache."""
MEASURED = 1 << 22
"""Numbers of vectors, at most, that are measured at once for several queries."""
TUNED_FOR = 64
"""Matches up to which a search of the codes tries no harder than for the ten it is tuned to."""


_Result = TypeVar("_Result")


class Index:
    """Embeddings of one spec, by image id.

    When its files turn out to be damaged it warns with :class:`DamagedCache`, empties itself and
    has ``refill`` fill it again.
    """

    def __init__(
        self, folder: Path, spec: str, dim: int, refill: "Callable[[Index], None]"
    ) -> None:
        self.folder = folder
        self.spec = spec
        self.dim = dim
        self._refill = refill
        self.saved: Revision | None = None
        """Revision of the index that was on disk when this one was loaded or saved."""
        self._forget()

    def _forget(self) -> None:
        self.revision = Revision()
        self.kind = ""
        self._files: dict[str, FileRecord] = {}
        self._set_base(rows.none(self.dim))
        self._codes: Codes | None = None
        self._trained = 0
        self._delta = rows.none(self.dim)

    def _set_base(self, base: rows.Rows) -> None:
        self._base = base
        self._live: np.ndarray | None = None  # mask of the base's rows; None for all of them
        self._gpu: Propose | None = None
        self._gpu_tried = False

    def __len__(self) -> int:
        return self._base_count() + len(self._delta)

    def _base_count(self) -> int:
        return len(self._base) if self._live is None else int(np.count_nonzero(self._live))

    @property
    def factory(self) -> str:
        """FAISS factory string of the codes; ``Flat`` when the search is exact."""
        return FLAT if self._codes is None else self._codes.factory

    @property
    def recall_at_10(self) -> float:
        """Measured against exact search when the codes were made; 1 when the search is exact."""
        return 1.0 if self._codes is None else self._codes.recall_at_10

    def stored_ids(self) -> np.ndarray:
        """Image ids of all that it holds, int64 (N,), in order of storing."""
        base = self._base.ids if self._live is None else self._base.ids[self._live]
        return np.concatenate([base, self._delta.ids])

    def stored(self) -> rows.Rows:
        """All that it holds, in order of storing; in memory only if it is more than one file."""
        return self._sound(self._stored)

    def _stored(self) -> rows.Rows:
        if self._live is None and not len(self._delta):
            return rows.Rows(self._base.ids, self._base.vectors)
        chunks = chain(self._base.chunks(self._live), self._delta.chunks())
        return rows.gather(chunks, len(self), self.dim)

    def _sound(self, read: Callable[[], _Result]) -> _Result:
        """What ``read`` gives, once the index is built anew if its files are damaged."""
        try:
            return read()
        except Damaged as error:
            self._give_up(error)
            self._refill(self)
            return read()

    def _give_up(self, error: Exception) -> None:
        """Warn that the files cannot be used, and be empty."""
        warnings.warn(
            f"an index cannot be used ({shown(str(error))}); it is built anew from the catalog",
            DamagedCache,
            stacklevel=2,
        )
        self._forget()

    # -- searching -----------------------------------------------------------------------------

    def search(
        self, queries: np.ndarray, k: int, among: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ids, int64 (Q, n), and distances, float64 (Q, n), of the images nearest to each query.

        ``queries`` is (Q, dim); n is k, or what there is. ``among`` (int64 ids) narrows the search
        to some images. Distances are worked out from the stored vectors; equal ones are in order
        of id, but which of them come in at the end is not said.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        return self._sound(lambda: self._search(queries, k, among))

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
        found = self._nearest_in_base(queries, min(k + EXTRA, count), allowed, count)
        if len(delta_rows) == len(self._delta):
            recent = nearest(queries, self._delta.vectors, k + EXTRA)
        else:
            recent = nearest_among(queries, self._delta.vectors, delta_rows, k + EXTRA)

        ids, measured = np.empty((len(queries), k), np.int64), np.empty((len(queries), k))
        widths = {len(rows) for rows in found}
        together = 1
        if len(widths) == 1:
            numbers = (max(widths) + recent.shape[1]) * self.dim
            together = min(TOGETHER, max(1, MEASURED // max(1, numbers)))
        for start in range(0, len(queries), together):
            some = slice(start, start + together)
            ids[some], measured[some] = self._measured(
                queries[some], np.stack(found[some]), recent[some], k
            )
        return ids, measured

    def _measured(
        self, queries: np.ndarray, base: np.ndarray, delta: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ids and distances of the nearest ``k`` of some rows of the base and the delta, (Q, n)."""
        each = np.arange(len(queries))[:, None]
        ids, vectors = self._base.ids[base], self._base.only(base)[base]
        if delta.size:
            ids = np.concatenate([ids, self._delta.ids[delta]], axis=1)
            vectors = np.concatenate([vectors, self._delta.vectors[delta]], axis=1)
        if ids.shape[1] > k + EXTRA:
            products = (vectors @ queries[:, :, None])[:, :, 0]
            likely = np.argpartition(products, -k - EXTRA, axis=1)[:, -k - EXTRA :]
            ids, vectors = ids[each, likely], vectors[each, likely]
        apart = distances(queries[:, None], vectors)
        best = np.lexsort((ids, apart))[:, :k]
        return ids[each, best], apart[each, best]

    def _nearest_in_base(
        self, queries: np.ndarray, k: int, allowed: np.ndarray | None, count: int
    ) -> list[np.ndarray]:
        """Rows of the base, at least ``k`` for each query, the nearest that there are among them.

        ``count`` rows are ``allowed``, which is a mask, or None for all; k is at most that.
        """
        found = [np.empty(0, np.int64)] * len(queries)
        pending = np.arange(len(queries) if k else 0)
        # So many that about k of them should be allowed; then more until there are.
        wanted = int(np.ceil(k * len(self._base) / max(count, 1)))
        times, asked = -(-wanted // TUNED_FOR), self._proposed(wanted)
        few = GATHER_ROWS if self._codes is not None else 4 * asked
        while len(pending):
            if 4 * asked >= len(self._base) or (allowed is not None and count <= few):
                break
            proposals = self._propose(queries[pending], asked, times)
            for number, proposed in zip(pending, proposals, strict=True):
                proposed = proposed[proposed >= 0]
                found[number] = proposed if allowed is None else proposed[allowed[proposed]]
            pending = pending[[len(found[number]) < k for number in pending]]
            times, asked = 4 * times, 4 * asked
        if len(pending):
            if allowed is None:
                rest = nearest(queries[pending], self._base.vectors, k)
            else:
                some = np.flatnonzero(allowed)
                rest = nearest_among(queries[pending], self._base.only(some), some, k)
            for number, exact in zip(pending, rest, strict=True):
                found[number] = exact
        return found

    def _proposed(self, k: int) -> int:
        if self._codes is None:
            return k
        from embedkit.index.approximate import REFINE

        return REFINE * k

    def _propose(self, queries: np.ndarray, count: int, times: int) -> np.ndarray:
        if self._codes is not None:
            return self._codes.candidates(queries, count, times)
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
        """Take over what the catalog gained and lost since.

        Nothing is done when the index has reached ``revision``, the catalog's own of late, unless
        it is to be saved. With ``save`` it is also made of ``kind``, merged when that is due, and
        written; one that was well behind is in any case, where the workspace can be written. An
        index whose past is not the catalog's is emptied and built anew.

        Raises :class:`StorageError` when it cannot be written and, with ``save``,
        :class:`BadRecipe` for a kind that these embeddings cannot be in; without, it is exact. When
        this has raised anything the index is of no use any more: load it again.
        """
        try:
            self._catch_up(catalog, revision, kind, save, progress)
        except Damaged as error:
            self._give_up(error)
            self._catch_up(catalog, revision, kind, save, progress)

    def _catch_up(
        self,
        catalog: Catalog,
        revision: Revision,
        kind: str,
        save: bool,
        progress: ProgressCallback,
    ) -> None:
        told_to_save = save
        if revision == self.revision and not save:
            return
        with catalog.read() as reader:
            revision = reader.embeddings.revision(self.spec)
            if not reader.embeddings.has_passed(self.spec, self.revision):
                self._forget()
            since = self.revision.generation
            behind = revision.generation - since > SAVE_SHARE * len(self)
            save = save or (behind and self._may_save(catalog))
            gained = reader.embeddings.count(self.spec, since)
            fresh = reader.embeddings.chunks(self.spec, since)
            self._drop(reader.embeddings.removed_ids(self.spec, since))
            merge = save and self._is_merge_due(gained, kind)
            if merge:
                progress(Progress("building the index"))
                with self._writing():
                    kept = self._merge(fresh, gained, revision)
            elif gained:
                size = len(self._delta) + gained
                self._delta = rows.gather(chain(self._delta.chunks(), fresh), size, self.dim)
            self.revision = revision
        if merge:
            try:
                with self._writing():
                    self._encode(kind, kept)
            except BadRecipe:  # whoever adds is told; who searches finds all the same
                if told_to_save:
                    raise
                save = False
        if save:
            self.kind = kind
            with self._writing():
                self._save()

    def _may_save(self, catalog: Catalog) -> bool:
        """Whether the files are this index's to replace: no other process has saved meanwhile."""
        there = sound_manifest(self.folder)
        ours = there is None or there.revision == self.saved
        return ours and os.access(catalog.path.parent, os.W_OK)

    def _drop(self, lost: np.ndarray) -> None:
        if not len(lost):
            return
        gone = np.isin(self._base.ids, lost)
        if gone.any():
            self._live = ~gone if self._live is None else self._live & ~gone
        kept = ~np.isin(self._delta.ids, lost)
        self._delta = rows.Rows(self._delta.ids[kept], self._delta.vectors[kept])

    def _is_merge_due(self, gained: int, kind: str) -> bool:
        changed = len(self._delta) + gained + len(self._base) - self._base_count()
        total = len(self) + gained
        if kind != self.kind or (changed and total <= MERGE_ROWS):
            return True
        if kind == AUTO and self._codes is None and total > max(EXACT_UP_TO, STALE * self._trained):
            return True
        return changed > MERGE_SHARE * len(self._base)

    def _merge(self, fresh: rows.Chunks, gained: int, revision: Revision) -> int:
        """Write a new base of all there is; how many of its rows are those of the old one."""
        old = len(self._base)
        whole = self._live is None
        if whole and not len(self._delta) and not gained and "vectors" in self._files:
            return old
        chunks = chain(self._base.chunks(self._live), self._delta.chunks(), fresh)
        self._set_base(self._written(revision, "", chunks))
        self._delta = rows.none(self.dim)
        return old if whole else 0

    def _written(self, revision: Revision, kind: str, chunks: rows.Chunks) -> rows.Rows:
        """Rows in files of their own, which are noted; ``kind`` is ``delta_`` or nothing."""
        names = [f"{kind}{role}" for role in ("ids", "vectors")]
        ids_file, vectors_file = (self.folder / self._name(revision, name) for name in names)
        rows.write(ids_file, vectors_file, chunks)
        ids, vectors = Sealed(ids_file), Sealed(vectors_file)
        self._files.update(zip(names, (_record(ids), _record(vectors)), strict=True))
        return rows.read(ids, vectors, self.dim)

    def _encode(self, kind: str, kept: int) -> None:
        """Make the codes for the base, whose first ``kept`` rows the ones that there are have."""
        from embedkit.index import approximate

        total = len(self._base)
        if kind in (EXACT, FLAT) or total < 2 or (kind == AUTO and total <= EXACT_UP_TO):
            self._codes, self._trained = None, 0
            self._files.pop("codes", None)
            return
        stale = kind != self.kind or total > STALE * self._trained
        if kind == AUTO and self._codes is None and not stale:
            return  # codes were tried and not worth it

        # Until they fit the new base there are none, whatever goes wrong on the way.
        made, self._codes = self._codes, None
        self._files.pop("codes", None)
        if stale or made is None or made.file is None or not made.file.file.exists():
            factory = approximate.default_factory(total) if kind == AUTO else kind
            made, self._trained = approximate.build(factory, self._base.vectors), total
        else:
            made = approximate.extended(made, self._base.vectors, kept)
        if made is None:
            self._trained = 0
            return  # too few to train on so far: exact search
        approximate.tune(made, self._base.vectors, approximate.WORTHWHILE if kind == AUTO else 1.0)
        if kind == AUTO and made.recall_at_10 < approximate.RECALL:
            return  # vectors without clusters: comparing with all of them is faster
        made = approximate.write(self.folder / self._name(self.revision, "codes"), made)
        assert made.file is not None
        self._files["codes"] = _record(made.file)
        self._codes = made

    # -- on disk -------------------------------------------------------------------------------

    def _writing(self) -> AbstractContextManager[None]:
        return storage_errors(f"cannot write the index in {shown(str(self.folder))}")

    @staticmethod
    def _name(revision: Revision, what: str) -> str:
        return f"{revision.generation}.{what}.sealed"

    def _save(self) -> None:
        """Write the delta, what was removed and, last, the manifest; then remove older files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for role in ("delta_ids", "delta_vectors", "removed"):
            self._files.pop(role, None)
        if len(self._delta):
            self._written(self.revision, "delta_", self._delta.chunks())
        if self._live is not None:
            file = self.folder / self._name(self.revision, "removed")
            rows.write_numbers(file, np.flatnonzero(~self._live))
            self._files["removed"] = _record(Sealed(file))
        made = self._codes
        version = ""
        if made is not None:
            import faiss

            version = faiss.__version__
        write_manifest(
            self.folder,
            Manifest(
                kind=self.kind,
                factory=self.factory,
                spec=self.spec,
                dim=self.dim,
                count=len(self),
                generation=self.revision.generation,
                stamp=self.revision.stamp,
                trained=self._trained,
                head=made.head if made else 0,
                effort=made.effort if made else 0,
                recall_at_10=self.recall_at_10,
                files=self._files,
                faiss=version,
            ),
        )
        self.saved = self.revision
        kept = {item.name for item in self._files.values()}
        for old in self.folder.glob("[0-9]*.*"):
            generation = old.name.partition(".")[0]
            newer = generation.isdigit() and int(generation) > self.revision.generation
            if old.name not in kept and not newer:  # newer ones another process is about to name
                with suppress(PermissionError):  # Windows, while a process has it mapped
                    old.unlink(missing_ok=True)

    def _open(self, manifest: Manifest) -> None:
        """Take over what a manifest describes.

        Raises OSError, KeyError, IndexError or ValueError when it is not there as described.
        """
        if (manifest.spec, manifest.dim) != (self.spec, self.dim):
            raise Damaged(f"{self.folder} holds the index of another spec")
        self._files = dict(manifest.files)
        files = {
            role: Sealed(self.folder / Path(item.name).name, item.digest)
            for role, item in self._files.items()
        }
        if "vectors" in files:
            self._set_base(rows.read(files["ids"], files["vectors"], self.dim))
        if "delta_vectors" in files:
            self._delta = rows.read(files["delta_ids"], files["delta_vectors"], self.dim)
        if "removed" in files:
            self._live = np.ones(len(self._base), bool)
            self._live[rows.read_numbers(files["removed"])] = False
        if manifest.factory != FLAT:
            from embedkit.index.approximate import Codes, read

            told = Codes(None, manifest.factory, manifest.effort, manifest.recall_at_10)
            self._codes = read(files["codes"], told, len(self._base), self.dim, manifest.head)
        if len(self) != manifest.count:
            raise Damaged(f"{self.folder} does not hold {manifest.count} images")
        self.kind, self.revision = manifest.kind, manifest.revision
        self._trained = manifest.trained


def _record(file: Sealed) -> FileRecord:
    return FileRecord(file.file.name, file.digest)


def load_index(folder: Path, spec: str, dim: int, refill: Callable[[Index], None]) -> Index:
    """The index of a spec as it was last saved; an empty one when none is there, or none sound.

    It warns with :class:`DamagedCache` of one that is damaged.
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
            if sound_manifest(folder) != manifest:
                continue  # another process has replaced both just now
            index._give_up(error)
        return index
