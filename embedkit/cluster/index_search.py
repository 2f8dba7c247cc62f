"""Search the embeddings of a spec in a store.

Shards propose candidates, whose distances are computed from the stored vectors. Rows that no shard
contains, such as those added since the last build, are compared one by one; in a small store, these
are all rows. Deleted rows have no stored vector, and are never returned.
"""

import warnings
from collections.abc import Collection, Iterator

import numpy as np

from embedkit._internal.paths import as_argument, shown
from embedkit._internal.sealed import DamagedFile
from embedkit.cluster.index_files import ShardRecord, StoreIndexFiles, StoreManifest
from embedkit.cluster.index_plan import Ranges
from embedkit.cluster.index_sample import read_sample
from embedkit.cluster.store import StoreContent
from embedkit.cluster.vectors import Vectors
from embedkit.errors import BadArtefact, DamagedCache, StorageError
from embedkit.index.approximate import CANDIDATES_PER_MATCH, nearest_lists
from embedkit.index.exact import EXTRA_ROWS, NearestSoFar, Proposals, closest, merged
from embedkit.index.index import (
    GATHER_ROWS,
    MAX_COMPONENTS_AT_ONCE,
    MAX_TUNED_MATCHES,
    QUERIES_AT_ONCE,
)
from embedkit.index.shards import Shard, read_trained
from embedkit.results import EmbeddingSpec

_COMPARED_ROWS = 8
"""Rows of the sample that are compared when an index is opened."""
_PROPOSED_AT_ONCE = 1 << 22
"""Maximum number of candidates that the shards propose at once."""
_TAKEN_COMPONENTS = 1 << 24
"""Maximum number of vector components that are read at once for candidates."""


class DamagedShard(Exception):
    """A shard of an index is damaged."""

    def __init__(self, record: ShardRecord, reason: Exception) -> None:
        super().__init__(str(reason))
        self.record = record


class StoreIndex:
    """One version of the embeddings of a spec, with their index.

    Warns with :class:`DamagedCache` when files of the index are damaged. Their rows are compared
    one by one, so that the result is correct.
    """

    def __init__(self, store: StoreContent, spec: EmbeddingSpec) -> None:
        self._store, self._spec = store, spec
        self._files = StoreIndexFiles(store.location, spec.digest)
        self._embeddings = store.embeddings(spec)
        self.vectors = Vectors(self._embeddings)
        self._shards: list[tuple[ShardRecord, Shard]] = []
        self._manifest: StoreManifest | None = None
        self._open()

    def __len__(self) -> int:
        return len(self.vectors)

    def is_current(self) -> bool:
        """Return whether neither the embeddings nor the index have changed since."""
        return self.vectors.is_current() and self._usable_manifest() == self._manifest

    @property
    def indexed(self) -> int:
        """Number of rows in the index; the others are compared one by one."""
        return len(self) - self._loose

    # -- opening -----------------------------------------------------------------------------------

    def _usable_manifest(self) -> StoreManifest | None:
        try:
            return self._files.manifest()
        except BadArtefact:
            return None

    def _open(self) -> None:
        while True:
            manifest = None
            self._shards = []
            try:
                manifest = self._files.manifest()
                if manifest is not None:
                    self._open_files(manifest)
            except (BadArtefact, DamagedFile, OSError, StorageError) as error:
                if self._usable_manifest() != manifest:
                    continue  # another process has just replaced the files
                self._shards = []
                self._warn(error)
            break
        self._manifest = manifest
        self._find_loose_rows()

    def _open_files(self, manifest: StoreManifest) -> None:
        self._files.tidy_cache(manifest)
        self._centroids = read_trained(self._files.open(manifest.centroids))
        sample = read_sample(self._files.open(manifest.sample))
        if not sample.is_of(self.vectors, _COMPARED_ROWS):
            raise DamagedFile(f"{self._files.location} is the index of other embeddings")
        if not manifest.stamps <= self.vectors.stamps:
            self.vectors = Vectors(self._embeddings)  # the manifest may be of a later version
        mine = [record for record in manifest.shards if record.stamp in self.vectors.stamps]
        if len(mine) < len(manifest.shards):
            error = DamagedFile(f"{self._files.location} has photos that the store does not have")
            if self._usable_manifest() != manifest:
                raise error
            self._warn(error)
        for record in mine:
            try:
                self._shards.append((record, self._shard(record)))
            except (DamagedFile, OSError, StorageError) as error:
                if self._usable_manifest() != manifest:
                    raise
                self._warn(error)

    def _shard(self, record: ShardRecord) -> Shard:
        """Open a shard; one whose cached copy is damaged is fetched again."""
        try:
            return Shard(self._files.open(record.file), record.head, record.rows)
        except DamagedFile:
            if not self._files.forget(record.file):
                raise
            return Shard(self._files.open(record.file), record.head, record.rows)

    def _replace(self, damaged: ShardRecord, error: Exception) -> None:
        """Fetch a shard whose cached copy is damaged again, or do without it."""
        self._shards = [item for item in self._shards if item[0] is not damaged]
        try:
            if self._files.forget(damaged.file):
                self._shards.append((damaged, self._shard(damaged)))
                return
        except (DamagedFile, OSError, StorageError) as other:
            error = other
        self._warn(error)
        self._find_loose_rows()

    def _warn(self, error: Exception) -> None:
        names = [item.name for item in self._store.backbones() if item.spec == self._spec]
        command = f"embedkit index --store {self._store.argument}"
        command += "".join(f" --backbone {as_argument(name)}" for name in names[:1])
        warnings.warn(
            f"a part of an index cannot be used ({shown(str(error))}); its photos are compared one "
            f"by one until '{command}' builds the index again",
            DamagedCache,
            stacklevel=2,
        )

    def _find_loose_rows(self) -> None:
        """Find the fragments with rows that no shard contains, and count these rows.

        The fragments in the manifest have none, unless a shard is missing or they are those of
        another dataset.
        """
        self._covered = Ranges((record.first, record.stop) for record, _ in self._shards)
        self._entries = sum(record.rows for record, _ in self._shards)
        fragments = self.vectors.fragments()
        manifest = self._manifest
        if (
            manifest is not None
            and len(self._shards) == len(manifest.shards)
            and manifest.stamp in self.vectors.stamps
        ):
            known = set(manifest.fragments)
            fragments = [fragment for fragment in fragments if fragment not in known]
        self._loose, found = 0, set[int]()
        for ids, places in self.vectors.row_ids(fragments):
            outside = ~self._covered.contain(ids)
            self._loose += int(np.count_nonzero(outside))
            found |= set(np.unique(places[outside]).tolist())
        self._loose_fragments = found

    # -- searching ---------------------------------------------------------------------------------

    def search(
        self, queries: np.ndarray, k: int, among: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return row ids, int64 (Q, n), and distances, float64 (Q, n), of the nearest images.

        ``queries`` are embeddings, float32 (Q, dim); n is k, or the number of images if that is
        less. ``among``, row ids in ascending order, restricts the search to some images. Images at
        equal distances are in order of row id.
        """
        queries = np.ascontiguousarray(queries, np.float32)
        while True:
            try:
                return self._search(queries, k, among)
            except DamagedShard as error:
                self._replace(error.record, error)

    def _search(
        self, queries: np.ndarray, k: int, among: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        limit = len(self) if among is None else len(among)
        k = min(k, limit)
        if k == 0:
            return np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0))
        if among is not None and limit <= GATHER_ROWS:
            gathered = self._gathered(among)
            found = _nearest(queries, k + EXTRA_ROWS, gathered)
            return self._measured(queries, found, k)[:2]
        loose = np.empty((len(queries), 0), np.int64)
        if self._loose:
            chunks = self._chunks(self._loose_fragments, among, only_loose=True)
            loose = _nearest(queries, k + EXTRA_ROWS, chunks)
        covered = limit - self._loose
        if among is not None:
            covered = int(np.count_nonzero(self._covered.contain(among)))
        ids, measured = np.empty((len(queries), k), np.int64), np.empty((len(queries), k))
        pending = np.arange(len(queries))
        # As in an index of a workspace: enough candidates that about k pass, then more until k do.
        needed = min(k + EXTRA_ROWS, covered)
        wanted = int(np.ceil(needed * self._entries / max(covered, 1)))
        factor, requested = -(-wanted // MAX_TUNED_MATCHES), CANDIDATES_PER_MATCH * wanted
        while len(pending) and needed and 4 * requested < self._entries:
            proposed = self._propose(queries[pending], requested, factor)
            if among is not None:
                proposed = np.where(_among(proposed, among), proposed, -1)
            every = np.concatenate([proposed, loose[pending]], axis=1)
            ids[pending], measured[pending], live = self._measured(queries[pending], every, k)
            enough = np.count_nonzero(live[:, : proposed.shape[1]], axis=1) >= needed
            pending = pending[~enough]
            factor, requested = 4 * factor, 4 * requested
        if len(pending):
            rest = loose[pending]
            if needed:
                rest = _nearest(queries[pending], k + EXTRA_ROWS, self._chunks(None, among))
            ids[pending], measured[pending], _ = self._measured(queries[pending], rest, k)
        return ids, measured

    def _propose(self, queries: np.ndarray, count: int, effort_factor: int) -> np.ndarray:
        """Return at most ``count`` candidates of each query, the best of all shards."""
        assert self._manifest is not None
        nprobe = min(self._manifest.effort * effort_factor, self._centroids.nlist)
        at_once = max(1, _PROPOSED_AT_ONCE // (count * len(self._shards)))
        found = []
        for start in range(0, len(queries), at_once):
            some = queries[start : start + at_once]
            products, lists = nearest_lists(self._centroids, some, nprobe)
            proposals: list[Proposals] = []
            for record, shard in self._shards:
                try:
                    proposals.append(shard.search(some, count, products, lists))
                except DamagedFile as error:
                    raise DamagedShard(record, error) from error
            found.append(merged(proposals, count)[1])
        return np.concatenate(found)

    def _measured(
        self, queries: np.ndarray, ids: np.ndarray, k: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the nearest ``k`` candidates, their distances, and which candidates exist.

        The first two have the shape (Q, k); the last one that of the candidates ``ids``.
        """
        nearest, measured = np.full((len(queries), k), -1), np.full((len(queries), k), np.inf)
        exist = np.zeros(ids.shape, bool)
        components = max(1, ids.shape[1] * self.vectors.dim)
        taken = max(1, _TAKEN_COMPONENTS // components)
        at_once = min(QUERIES_AT_ONCE, max(1, MAX_COMPONENTS_AT_ONCE // components))
        for begin in range(0, len(queries), taken):
            some = ids[begin : begin + taken]
            found, vectors = self.vectors.at(np.unique(some[some >= 0]))
            if not len(found):
                continue
            rows = np.minimum(np.searchsorted(found, some), len(found) - 1)
            exist[begin : begin + taken] = found[rows] == some
            for start in range(0, len(some), at_once):
                part = slice(start, start + at_once)
                whole = slice(begin + start, begin + min(start + at_once, len(some)))
                live = np.where(exist[whole], some[part], -1)
                best, far = closest(queries[whole], live, vectors[rows[part]], k)
                nearest[whole, : best.shape[1]], measured[whole, : far.shape[1]] = best, far
        return nearest, measured, exist

    def _chunks(
        self,
        fragments: Collection[int] | None,
        among: np.ndarray | None,
        only_loose: bool = False,
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the row ids and vectors of fragments, as far as they are to be searched."""
        for ids, vectors in self.vectors.batches(fragments):
            chosen = np.ones(len(ids), bool) if among is None else _among(ids, among)
            if only_loose:
                chosen &= ~self._covered.contain(ids)
            if not chosen.all():
                ids, vectors = ids[chosen], vectors[chosen]
            yield ids, vectors

    def _gathered(self, row_ids: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield row ids and their vectors."""
        at_once = max(1, _TAKEN_COMPONENTS // self.vectors.dim)
        for start in range(0, len(row_ids), at_once):
            yield self.vectors.at(row_ids[start : start + at_once])


def _nearest(
    queries: np.ndarray, k: int, chunks: Iterator[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Return the row ids of the nearest vectors by comparing all, int64 (Q, min(k, N))."""
    nearest = NearestSoFar(queries, k)
    for ids, vectors in chunks:
        nearest.add(ids, vectors)
    return nearest.proposals[1]


def _among(ids: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return which ids are in an ascending, not empty array."""
    places = np.minimum(np.searchsorted(among, ids), len(among) - 1)
    return np.asarray(among[places] == ids)
