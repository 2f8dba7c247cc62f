"""The content of a store: its manifest and its datasets."""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from embedkit._internal.paths import as_argument, from_stored, shown, to_stored
from embedkit.backbones.projection import FOLDER, Projections, projection_of
from embedkit.catalog import KnownImages
from embedkit.cluster.files import file_name
from embedkit.cluster.labels import LabelCounts, label_counts
from embedkit.cluster.lease import Lease, is_lease, writing
from embedkit.cluster.location import Location, scheme_of, store_location
from embedkit.cluster.tables import (
    FILES,
    IMAGES,
    KEPT_FACTS,
    QUALITY,
    VERDICTS,
    Dataset,
    embeddings_schema,
)
from embedkit.cluster.verdicts import CurrentVerdicts
from embedkit.errors import BadArtefact, BadInput, EmptyWorkspace, NotInWorkspace
from embedkit.ingest.pipeline import FINGERPRINT, FIRST_EMBEDDING, UP_TO_DATE
from embedkit.results import (
    EmbeddingSpec,
    Failure,
    Progress,
    ProgressCallback,
    ResolvedName,
    StoreInfo,
    no_progress,
)

MANIFEST = "store.json"
FORMAT = 1
"""Version of the layout of a store."""
SCHEMES = ("s3", "gs", "az", "abfss", "oss", "cos", "tos")
"""Schemes of the object storage that both Lance and fsspec can write."""
_FAILURES = 1000
"""Maximum number of failures in the description of a store."""


class StoreContent:
    """The manifest and the datasets of a store.

    Nothing is read or created before it is needed.
    """

    def __init__(self, place: str, progress: ProgressCallback = no_progress) -> None:
        self.location = store_location(place)
        _check_scheme(self.location)
        self._progress = progress
        self._lease: Lease | None = None
        self.files = self.dataset(self.location / "files.lance", FILES)
        self.images = self.dataset(self.location / "images.lance", IMAGES)
        self.verdicts = self.dataset(self.location / "verdicts.lance", VERDICTS)
        self.kept_facts = self.dataset(self.location / "kept-facts.lance", KEPT_FACTS)
        self.quality = self.dataset(self.location / "quality.lance", QUALITY)

    @property
    def argument(self) -> str:
        """The place of the store as the argument of a command in a message."""
        return as_argument(str(self.location))

    def embeddings(self, spec: EmbeddingSpec) -> Dataset:
        """Return the dataset of the embeddings of a spec."""
        place = self.location / f"embeddings-{spec.digest}.lance"
        return self.dataset(place, embeddings_schema(spec))

    @cached_property
    def projections(self) -> Projections:
        """The projections of the store. A change needs the right to write."""
        return Projections(lambda name: _Checked(self.location / FOLDER / name, self.check))

    def dataset(self, location: Location, schema: pa.Schema) -> Dataset:
        """Return a dataset of the store. It is not changed when the right to write was lost."""
        return Dataset(location, schema, self.check, lambda: self._is_listed(location))

    def check(self) -> None:
        """Raise :class:`StoreBusy` in a block of :meth:`writing` that has lost the right."""
        if self._lease is not None:
            self._lease.check()

    @contextmanager
    def writing(self, task: str) -> Iterator[None]:
        """Hold the right to write to the store: see :func:`embedkit.cluster.lease.writing`.

        A block within another one has the right of the outer one.
        """
        if self._lease is not None:
            self.check()
            yield
            return
        _check_folder(self.location)
        with writing(self.location, task, lambda text: self._progress(Progress(text))) as lease:
            self._lease = lease
            try:
                yield
            finally:
                self._lease = None

    # -- the manifest ------------------------------------------------------------------------------

    def backbones(self) -> tuple[ResolvedName, ...]:
        """Return the backbones of the store, in order; none for a new store.

        Raises :class:`BadInput` when the place is not a store, and :class:`BadArtefact` when the
        manifest is damaged or newer than this version of embedkit.
        """
        return tuple(item for item, _ in self._backbones())

    def compared(self) -> frozenset[str]:
        """Return the names of the backbones that photos were only compared with."""
        return frozenset(item.name for item, is_compared in self._backbones() if is_compared)

    def _backbones(self) -> list[tuple[ResolvedName, bool]]:
        """Return the backbones, each with whether it was only compared."""
        _check_folder(self.location)
        manifest = (self.location / MANIFEST).read_json()
        if manifest is None:
            if self._is_foreign():
                raise BadInput(f"{self.location} is not a store, and not empty; give another place")
            return []
        if manifest.get("format") != FORMAT:
            raise BadArtefact(
                f"{self.location} has format {manifest.get('format')!r}, and this embedkit knows "
                f"{FORMAT}; run 'pip install --upgrade embedkit'"
            )
        try:
            return [
                (
                    ResolvedName(
                        from_stored(item["name"]),
                        EmbeddingSpec.from_json(json.dumps(item["spec"])),
                        "",
                        0,
                        0,
                    ),
                    bool(item.get("compared", False)),
                )
                for item in manifest["backbones"]
            ]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BadArtefact(f"{self.location / MANIFEST} is damaged: {error}") from error

    def _is_foreign(self) -> bool:
        """Return whether the place contains something else than a new store."""
        known = {"runs", FOLDER, self.location.path.rsplit("/", 1)[-1]}
        return any(name not in known and not is_lease(name) for name in self.location.names())

    def register(self, backbones: Sequence[ResolvedName], compared: Collection[str] = ()) -> None:
        """Add backbones to the manifest, and create what is missing of the store.

        ``compared`` are the names of those that photos are only compared with. Raises
        :class:`BadInput` when the store has another spec of such a name.
        """
        found = self._backbones()
        known = {item.name: item for item, _ in found}
        only = {item.name: is_compared for item, is_compared in found}
        for item in backbones:
            old = known.setdefault(item.name, item)
            only[item.name] = only.get(item.name, True) and item.name in compared
            if old.spec != item.spec:
                raise BadInput(
                    f"{self.location} has {item.name} with {item.spec.difference(old.spec)}; use "
                    "the same, or another store"
                )
        content = [
            {
                "name": to_stored(item.name),
                "spec": json.loads(item.spec.canonical_json),
                "compared": only[item.name],
            }
            for item in known.values()
        ]
        place = self.location / MANIFEST
        if place.read_json() is None:  # other places are refused if they are not empty
            place.write_json({"format": FORMAT, "backbones": [], "datasets": []})
        datasets = self._datasets(list(known.values()))
        for dataset in datasets:
            dataset.ensure()
        # The manifest lists what exists, so that what is listed and missing was lost.
        names = sorted(map(_name_of, (dataset.location for dataset in datasets)))
        manifest = {"format": FORMAT, "backbones": content, "datasets": names}
        if place.read_json() != json.loads(json.dumps(manifest)):
            place.write_json(manifest)

    def _datasets(self, backbones: Sequence[ResolvedName]) -> list[Dataset]:
        """Return the datasets that a store with some backbones has."""
        embeddings = [self.embeddings(item.spec) for item in backbones]
        return [
            *(self.files, self.images, self.verdicts, self.kept_facts, self.quality),
            *embeddings,
        ]

    def _is_listed(self, location: Location) -> bool:
        """Return whether the manifest lists the dataset at a place."""
        manifest = (self.location / MANIFEST).read_json() or {}
        listed = manifest.get("datasets", [])
        return isinstance(listed, list) and _name_of(location) in listed

    def recreate_missing(self) -> list[str]:
        """Create the listed datasets that are missing, without rows; return warnings."""
        warnings = []
        for dataset in self._datasets(self.backbones()):
            if dataset.is_missing():
                dataset.create()
                warnings.append(
                    f"{dataset.location} was missing and was made again without its earlier rows; "
                    "add all photos of the store again, and push what workspaces have"
                )
        return warnings

    def backbone(self, name: str | None) -> ResolvedName:
        """Return a backbone of the store, by default the first one.

        Raises :class:`EmptyWorkspace` for a store without embeddings and :class:`NotInWorkspace`
        for an unknown name.
        """
        known = self.backbones()
        if not known:
            raise EmptyWorkspace(
                f"{self.location} has no embeddings; run 'embedkit add PHOTOS --store "
                f"{self.argument} --on ray'"
            )
        if name is None:
            return known[0]
        for item in known:
            if item.name == name:
                return item
        names = ", ".join(item.name for item in known)
        raise NotInWorkspace(f"{name} is not in {self.location}, which has {names}")

    def require(self) -> None:
        """Raise :class:`EmptyWorkspace` if there is no store."""
        if not self.backbones() and self.files.open() is None:
            raise EmptyWorkspace(
                f"there is no store at {self.location}; 'embedkit add PHOTOS --store "
                f"{self.argument} --on ray' makes one"
            )

    def info(self) -> StoreInfo:
        """Return the content of the store. Raises :class:`EmptyWorkspace` if there is none."""
        self.require()
        backbones = self.backbones()
        failed = self.files.read(["path", "stage", "reason"], "stage IS NOT NULL")
        first = failed.sort_by("path").slice(0, _FAILURES).to_pylist()
        counts = self.label_counts()
        return StoreInfo(
            store=self.location.place,
            files=counts.files,
            images=self.images.count(),
            failed=len(failed),
            failures=tuple(
                Failure(file_name(row["path"]), row["stage"], row["reason"]) for row in first
            ),
            labels=counts.labels,
            embedded={item.name: self.embeddings(item.spec).count() for item in backbones},
            relabelled=counts.relabelled,
            projections={
                item.name: projection.info
                for item in backbones
                if (projection := projection_of(item, self.projections.find)) is not None
            },
        )

    def current_verdicts(self) -> CurrentVerdicts:
        """Return the verdicts that count."""
        return CurrentVerdicts.of(self.verdicts)

    def label_counts(self) -> LabelCounts:
        """Return the number of usable files by the label that counts."""
        return label_counts(self.files.at_present(), self.current_verdicts().new_labels)

    # -- known results -----------------------------------------------------------------------------

    def known_images(self, specs: Sequence[EmbeddingSpec]) -> KnownImages:
        """Return the images of the store, and which results are stored for each."""
        parts = [(self.images, FINGERPRINT | UP_TO_DATE)]
        parts += [
            (self.embeddings(spec), (FIRST_EMBEDDING << number) | UP_TO_DATE)
            for number, spec in enumerate(specs)
        ]
        words, bits = [np.empty((0, 4), np.uint64)], [np.empty(0, np.uint64)]
        for dataset, bit in parts:
            found = digest_words(dataset.read(["sha256"])["sha256"])
            words.append(found)
            bits.append(np.full(len(found), bit, np.uint64))
        every, mask = np.concatenate(words), np.concatenate(bits)
        order = np.lexsort(every.T[::-1])
        every, mask = every[order], mask[order]
        if not len(every):
            return KnownImages(every, mask)
        starts = np.flatnonzero(np.r_[True, (every[1:] != every[:-1]).any(axis=1)])
        return KnownImages(every[starts], np.bitwise_or.reduceat(mask, starts))


class _Checked:
    """A file of a store that only the holder of its lease changes."""

    def __init__(self, location: Location, check: Callable[[], None]) -> None:
        self._location = location
        self._check = check

    def __str__(self) -> str:
        return str(self._location)

    def read(self) -> bytes | None:
        return self._location.read()

    def write(self, content: bytes) -> None:
        self._check()
        self._location.write(content)

    def remove(self) -> None:
        self._check()
        self._location.remove()


def _name_of(location: Location) -> str:
    return location.place.rsplit("/", 1)[-1]


def _check_scheme(location: Location) -> None:
    """Raise :class:`BadInput` for a URL to which Lance cannot write."""
    if not location.is_local and scheme_of(location.place) not in SCHEMES:
        schemes = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise BadInput(
            f"{location}: a store can be a folder or a URL that begins with one of {schemes}"
        )


def _check_folder(location: Location) -> None:
    """Raise :class:`BadInput` for a path at or below a file."""
    if not location.is_local:
        return
    path = Path(location.path)
    for place in (path, *path.parents):
        if place.is_dir():
            return
        if place.exists():
            raise BadInput(f"{shown(str(place))} is a file, and a store is a folder; give another")


def common_rows(datasets: Sequence[Dataset]) -> pa.Table:
    """Return the row ids of the images that all of some datasets contain.

    There is one column, uint64, for each dataset; images are in the order of the first one.
    """
    found = [dataset.read(["sha256"], with_row_id=True) for dataset in datasets]
    columns = [found[0]["_rowid"].to_numpy()]
    words = digest_words(found[0]["sha256"])
    for other in found[1:]:
        others = digest_words(other["sha256"])
        order = np.lexsort(others.T[::-1])
        places = positions(others[order], words)
        is_common = places >= 0
        words, columns = words[is_common], [column[is_common] for column in columns]
        columns.append(other["_rowid"].to_numpy()[order[places[is_common]]])
    return pa.table({str(number): column for number, column in enumerate(columns)})


def positions(known: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Return the row of each digest among known ones, int64 (N,); -1 for those that are not there.

    ``known`` (M, 4) and ``words`` (N, 4) are digests as big-endian words; ``known`` is sorted and
    distinct.
    """
    order = np.lexsort(np.concatenate([known, words]).T[::-1])  # stable: known ones come first
    ordered = np.concatenate([known, words])[order]
    starts = np.r_[True, (ordered[1:] != ordered[:-1]).any(axis=1)][: len(order)]
    first = np.maximum.accumulate(np.where(starts, np.arange(len(order)), 0))
    found = np.empty(len(order), np.int64)
    found[order] = order[first]
    found[found >= len(known)] = -1
    return found[len(known) :]


def digest_words(digests: pa.ChunkedArray) -> np.ndarray:
    """Return SHA-256 digests, binary(32) without nulls, as big-endian words, uint64 (N, 4)."""
    pieces = [np.empty((0, 4), np.uint64)]
    for chunk in digests.chunks:
        start = 32 * chunk.offset
        content = np.frombuffer(chunk.buffers()[1], np.uint8)[start : start + 32 * len(chunk)]
        pieces.append(content.view(">u8").astype(np.uint64).reshape(-1, 4))
    return np.concatenate(pieces)
