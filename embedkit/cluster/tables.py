"""The Lance datasets of a store: their columns, and how rows are added.

``files`` has a row for each path or URL, with its label, or with the reason why it cannot be used.
``images`` has a row for each distinct image, by SHA-256, with its fingerprint. ``embeddings`` of a
spec has a row for each embedded image. What workspaces have pushed besides is in ``verdicts``,
``kept_facts`` and ``quality``. Row ids are stable: they stay when files of a dataset are
merged, so that an index can name rows.
"""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from embedkit.cluster.failures import store_errors
from embedkit.cluster.location import Location, missing_extra
from embedkit.errors import BadArtefact, StorageError
from embedkit.results import EmbeddingSpec
from embedkit.results.fingerprint import LUMA_SIDE

try:
    import lance
    from lance.fragment import write_fragments
except ModuleNotFoundError as error:
    raise missing_extra("pylance") from error

SHA256 = pa.field("sha256", pa.binary(32), nullable=False)
ATTRIBUTES = pa.map_(pa.string(), pa.string())

FILES = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),  # stored form of a path, or a URL
        ("bytes", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("sha256", pa.binary(32)),  # null if the file could not be read
        ("label", pa.string()),
        ("attributes", ATTRIBUTES),  # other columns of the listing, such as groups
        ("stage", pa.string()),  # the step that failed; null for a usable image
        ("reason", pa.string()),
        ("decoder", pa.string()),  # version of the decoder that failed
        ("label_source", pa.string()),  # folder, or csv: from a table; null counts as csv
        ("folder_label", pa.string()),  # the folder's label, if another one comes from a table
    ]
)
IMAGES = pa.schema(
    [
        SHA256,
        ("md5", pa.binary(16)),
        ("bytes", pa.int64()),
        ("phash", pa.uint64()),
        ("luma", pa.binary(LUMA_SIDE**2)),
        ("format", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("sharpness", pa.float32()),
        ("brightness", pa.float32()),
        ("contrast", pa.float32()),
        ("share", pa.float64()),  # of the pixels that were decoded; below 1 for a truncated image
    ]
)
VERDICTS = pa.schema(
    [
        # All decisions ever made: of those on one subject, the latest counts.
        pa.field("first_sha256", pa.binary(32), nullable=False),
        ("second_sha256", pa.binary(32)),
        pa.field("verdict", pa.string(), nullable=False),
        ("label", pa.string()),
        pa.field("decided_at", pa.timestamp("us"), nullable=False),  # UTC
    ]
)
KEPT_FACTS = pa.schema(
    [
        # Labels from tables and other columns of files that moved or changed, by content.
        SHA256,
        pa.field("place", pa.string(), nullable=False),  # the path at which the file had them
        pa.field("name", pa.string(), nullable=False),
        pa.field("value", pa.string(), nullable=False),
        pa.field("reserved", pa.bool_(), nullable=False),  # of a file in quarantine
    ]
)
QUALITY = pa.schema(
    [
        SHA256,
        pa.field("version", pa.string(), nullable=False),
        pa.field("measures", pa.string(), nullable=False),  # JSON
    ]
)
_KINDS = {"float32": pa.float32(), "float16": pa.float16()}
SPEC_KEY = b"embedkit.spec"
"""Key of the spec, canonical JSON, in the metadata of the embeddings' schema."""
_LATEST = "_versions/latest_version_hint.json"
"""File in which Lance notes the latest version of a dataset."""
_STAMPS = "embedkit.stamps"
"""Key of the stamps, a list as JSON, in the configuration of a dataset."""
_STORAGE_VERSION = "2.2"
_FRAGMENT_ROWS = 1 << 20
"""Rows of a file of a dataset after small ones have been merged."""
_KEPT_VERSIONS = timedelta(days=1)
"""Age up to which versions of a dataset are kept, for those who read them."""
_MANY_FRAGMENTS = 64
"""Number of small files of a dataset from which they are merged."""


def embeddings_schema(spec: EmbeddingSpec) -> pa.Schema:
    """Return the columns of the embeddings of a spec."""
    return pa.schema(
        [
            SHA256,
            pa.field("vector", pa.list_(_KINDS[spec.dtype], spec.dim), nullable=False),
            pa.field("norm", pa.float32(), nullable=False),
        ],
        metadata={SPEC_KEY: spec.canonical_json.encode()},
    )


def vector_array(vectors: np.ndarray, spec: EmbeddingSpec) -> pa.FixedSizeListArray:
    """Return embeddings of a spec, float32 (n, dim), as a column of its dataset."""
    flat = pa.array(vectors.astype(spec.dtype, copy=False).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, spec.dim)


class Dataset:
    """One Lance dataset of a store.

    Parameters
    ----------
    location : Location
        Its folder.
    schema : pyarrow.Schema
        Its columns.
    check : callable, optional
        Called before each change; raises an error if this process must not make it.
    is_listed : callable, optional
        Returns whether the store lists the dataset, so that it has to exist.
    """

    def __init__(
        self,
        location: Location,
        schema: pa.Schema,
        check: Callable[[], None] = lambda: None,
        is_listed: Callable[[], bool] = lambda: False,
    ) -> None:
        self.location = location
        self.schema = schema
        self._check = check
        self._is_listed = is_listed
        self._pinned: tuple[Any] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Dataset, (self.location, self.schema)  # another process has no right to lose

    @property
    def _options(self) -> dict[str, str] | None:
        return self.location.lance_options

    def open(self, version: int | None = None) -> Any:
        """Return the ``lance.LanceDataset``; None if it does not exist yet.

        Raises :class:`StorageError`, and :class:`BadArtefact` when it, or its latest version, is
        missing from the storage.
        """
        if self._pinned is not None:
            return self._pinned[0]
        found = self._opened(version)
        if version is not None:
            return found
        if found is None:
            if self._is_listed():
                raise BadArtefact(
                    f"{self.location} is missing; restore it from a copy of the store. Without "
                    "one, 'embedkit add PHOTOS --store STORE --on ray' makes it again"
                )
            return None
        if found.version == 0:  # Lance takes a file of zeros for an empty version
            raise BadArtefact(
                f"{self.location} is damaged (its latest version is empty); restore it from a copy "
                "of the store"
            )
        latest = self._latest_version()
        if latest is None or latest <= found.version:
            return found
        newer = self._opened(latest)  # it may have been committed just now
        if newer is None:
            raise BadArtefact(
                f"{self.location} has lost its version {latest}; restore it from a copy of the "
                f"store. Without one, delete {self.location / _LATEST}, which goes back to version "
                f"{found.version}, and add or push the photos again"
            )
        return newer

    def is_missing(self) -> bool:
        """Return whether the store lists the dataset, and the storage does not have it."""
        return self._opened(None) is None and self._is_listed()

    def _opened(self, version: int | None) -> Any:
        with self.errors():
            try:
                return lance.dataset(
                    self.location.place, version=version, storage_options=self._options
                )
            except (ValueError, OSError) as error:
                if "was not found" in str(error) or "Not found" in str(error):
                    return None
                raise

    def _latest_version(self) -> int | None:
        """Return the version that Lance has noted as the latest one; None without a note.

        Files on object storage are not lost one by one, so that the note is not read there.
        """
        if not self.location.is_local:
            return None
        with suppress(OSError, ValueError, LookupError, TypeError):
            return int(json.loads((self.location / _LATEST).read() or b"{}")["version"])
        return None

    def at_present(self) -> "Dataset":
        """Return the dataset as it is now, for reading: later changes are not seen."""
        return self._pinned_at(self.open())

    def at_version(self, version: int) -> "Dataset":
        """Return a version of the dataset, for reading. Raises :class:`StorageError`."""
        found = self.open(version)
        if found is None:
            raise StorageError(
                f"{self.location} has no version {version}, which another dataset of the store "
                "refers to; repeat the command that wrote it"
            )
        return self._pinned_at(found)

    def _pinned_at(self, opened: Any) -> "Dataset":
        found = Dataset(self.location, self.schema)
        found._pinned = (opened,)
        return found

    def ensure(self) -> Any:
        """Return the dataset; create an empty one if it does not exist."""
        found = self.open()
        return self.create() if found is None else found

    def create(self) -> Any:
        """Return a new and empty dataset."""
        self._check()
        with self.errors():
            return lance.write_dataset(
                self.schema.empty_table(),
                self.location.place,
                storage_options=self._options,
                enable_stable_row_ids=True,
                data_storage_version=_STORAGE_VERSION,
            )

    def read(self, columns: Sequence[str], where: str | None = None, **options: Any) -> pa.Table:
        """Return some columns of all rows, or of those that meet an SQL condition."""
        found = self.open()
        if found is None:
            return pa.schema([self.schema.field(name) for name in columns]).empty_table()
        with self.errors():
            return found.to_table(columns=list(columns), filter=where, **options)

    def batches(
        self,
        columns: Sequence[str],
        where: str | None = None,
        *,
        row_ids: bool = False,
        rows: int = 1 << 16,
    ) -> Iterator[pa.RecordBatch]:
        """Yield some columns of all rows, or of those that meet an SQL condition, in batches.

        With ``row_ids``, the last column ``_rowid`` has the ids for :meth:`take`.
        """
        found = self.open()
        if found is None:
            return
        with self.errors():
            yield from found.to_batches(
                columns=list(columns),
                filter=where,
                with_row_id=row_ids,
                batch_size=rows,
                batch_readahead=2,
            )

    def stream(self, columns: Sequence[str], where: str | None = None) -> pa.RecordBatchReader:
        """Return a reader of the same rows as :meth:`batches`, for another library.

        Errors while it reads are those of Lance: see :meth:`errors`.
        """
        found = self.open()
        if found is None:
            schema = pa.schema([self.schema.field(name) for name in columns])
            return schema.empty_table().to_reader()
        with self.errors():
            scanner = found.scanner(columns=list(columns), filter=where, batch_readahead=2)
            return scanner.to_reader()

    def upsert(self, rows: pa.Table, *keys: str) -> None:
        """Replace the rows with the same keys, all or none; rows with other keys are added."""
        self._check()
        if not rows.num_rows:
            return
        with self.errors():
            merge = self.ensure().merge_insert(list(keys))
            merge.when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def delete(self, where: str) -> None:
        """Remove the rows that meet an SQL condition, at once."""
        self._check()
        dataset = self.open()
        if dataset is None:
            return
        with self.errors():
            dataset.delete(where)

    def delete_rows(self, keys: pa.Table) -> None:
        """Remove the rows with the same values in the columns of ``keys``, at once."""
        self._check()
        dataset = self.open()
        if dataset is None or not keys.num_rows:
            return
        with self.errors():
            distinct = keys.group_by(keys.schema.names).aggregate([])
            merge = dataset.merge_insert(keys.schema.names)
            merge.when_matched_delete().execute(distinct)

    def count(self, where: str | None = None) -> int:
        """Return the number of rows, or of those that meet an SQL condition."""
        found = self.open()
        return 0 if found is None else int(found.count_rows(filter=where))

    def write_fragments(self, rows: pa.Table, *, replacing: bool = False) -> list[str]:
        """Write rows to files that no version of the dataset contains yet; return their metadata.

        :meth:`commit` adds them, or, if ``replacing``, :meth:`replace` puts them in the place of
        all rows, which may have had other columns. Files that are never committed are removed by
        :meth:`tidy`.
        """
        if not rows.num_rows:
            return []
        mode = "append"
        if replacing:  # Lance would warn about a new dataset
            mode = "create" if self.open() is None else "overwrite"
        with self.errors():
            fragments = write_fragments(
                rows,
                self.location.place,
                schema=self.schema,
                mode=mode,
                storage_options=self._options,
                data_storage_version=_STORAGE_VERSION,
            )
        return [json.dumps(fragment.to_json()) for fragment in fragments]

    def commit(self, fragments: Sequence[str]) -> None:
        """Add the rows in written files, all or none. Raises :class:`StorageError`."""
        self._check()
        if not fragments:
            return
        with self.errors():
            dataset = self.ensure()
            lance.LanceDataset.commit(
                self.location.place,
                lance.LanceOperation.Append(
                    [lance.FragmentMetadata.from_json(text) for text in fragments]
                ),
                read_version=dataset.version,
                storage_options=self._options,
            )

    def replace(self, fragments: Sequence[str]) -> int:
        """Replace all rows by those in written files, at once; return the new version.

        Raises :class:`StorageError`.
        """
        self._check()
        with self.errors():
            replaced = lance.LanceDataset.commit(
                self.location.place,
                lance.LanceOperation.Overwrite(
                    self.schema, [lance.FragmentMetadata.from_json(text) for text in fragments]
                ),
                storage_options=self._options,
            )
        return int(replaced.version)

    def take(self, rows: np.ndarray, columns: Sequence[str] | None = None) -> pa.Table:
        """Return rows, given by their row ids, in this order."""
        found = self.open()
        if found is None:
            raise StorageError(f"{self.location} has been removed; run the same command again")
        with self.errors():
            return found._take_rows(rows.tolist(), columns=list(columns or self.schema.names))

    def append(self, rows: pa.Table) -> None:
        """Add rows. Raises :class:`StorageError`."""
        if rows.num_rows:
            self.ensure()  # Lance would warn about a new dataset
        self.commit(self.write_fragments(rows))

    def tidy(self) -> None:
        """Merge small files of the dataset, and remove its versions of earlier days.

        Files that were written but never committed are removed after a week.
        """
        dataset = self.open()
        if dataset is None:
            return
        with self.errors():
            small = sum(
                fragment.count_rows() < _FRAGMENT_ROWS for fragment in dataset.get_fragments()
            )
            if small >= _MANY_FRAGMENTS:
                dataset.optimize.compact_files(target_rows_per_fragment=_FRAGMENT_ROWS)
        self.remove_old_versions()

    def remove_old_versions(self) -> None:
        """Remove the versions of earlier days, except the latest one.

        Files that were written but never committed are removed after a week.
        """
        dataset = self.open()
        if dataset is None:
            return
        with self.errors():
            dataset.cleanup_old_versions(older_than=_KEPT_VERSIONS)

    def index(self, column: str) -> None:
        """Build or extend the index that finds rows by the values of a column."""
        dataset = self.open()
        if dataset is None:
            return
        with self.errors():
            known = [item for item in dataset.describe_indices() if item.field_names == [column]]
            if known:
                dataset.optimize.optimize_indices(index_names=[known[0].name])
            else:
                dataset.create_scalar_index(column, "BTREE")

    def set_stamps(self, stamps: Collection[str]) -> None:
        """Leave texts in the dataset, which its later versions have too.

        They replace earlier ones. A copy that was made before does not have them.
        """
        self._check()
        with self.errors():
            self.ensure().update_config({_STAMPS: json.dumps(sorted(stamps))})

    def stamps(self, opened: Any) -> frozenset[str]:
        """Return the stamps of a version that :meth:`open` has returned."""
        if opened is None:
            return frozenset()
        with self.errors():
            return frozenset(json.loads(opened.config().get(_STAMPS, "[]")))

    def errors(self) -> AbstractContextManager[None]:
        """Raise :class:`StorageError` or :class:`BadArtefact` for the errors of Lance."""
        return store_errors(self.location)


USABLE = "sha256 IS NOT NULL AND (stage IS NULL OR stage = 'embed')"
"""SQL condition of the files with a usable image, which some backbone may not embed."""


def text_literal(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def bytes_literal(content: bytes) -> str:
    """Return bytes as an SQL literal."""
    return f"X'{content.hex()}'"
