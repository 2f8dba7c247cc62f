"""The embeddings of a spec in a store, by row id.

Row ids are stable, and those of later rows are larger. All methods read the same version of the
dataset, whatever is added or deleted in the meantime.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from embedkit.cluster.store import digest_words
from embedkit.cluster.tables import Dataset, bytes_literal

_BATCH_BYTES = 8 << 20
"""Bytes of the vectors of a batch."""
_READAHEAD = 4
"""Batches that Lance reads in advance."""
_BUFFER_BYTES = 64 << 20
"""Bytes that Lance reads in advance of decoding them."""
_TAKEN_AT_ONCE = 1 << 16
_DIGESTS_AT_ONCE = 5_000
"""Digests in one SQL condition; more are compared in memory."""


class Vectors:
    """One version of a dataset of embeddings.

    Parameters
    ----------
    dataset : Dataset
        The dataset. One that does not exist has no rows.
    version : int, optional
        Its version. Default: the latest one.
    """

    def __init__(self, dataset: Dataset, version: int | None = None) -> None:
        self._dataset = dataset
        self._found: Any = dataset.open(version)
        self.dim = int(dataset.schema.field("vector").type.list_size)
        self.version = 0 if self._found is None else int(self._found.version)
        self._count = 0 if self._found is None else int(self._found.count_rows())
        self.stamps = dataset.stamps(self._found)
        """The stamps that builds of the index have left: see :meth:`Dataset.set_stamps`."""

    def __len__(self) -> int:
        return self._count

    def is_current(self) -> bool:
        """Return whether this is the latest version."""
        latest = self._dataset.open()
        return (0 if latest is None else int(latest.version)) == self.version

    def fragments(self) -> list[int]:
        """Return the numbers of the dataset's fragments. No number is used again."""
        if self._found is None:
            return []
        return [fragment.fragment_id for fragment in self._found.get_fragments()]

    def row_ids(
        self, fragments: Collection[int] | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield row ids, int64 (n,), and the fragment of each, int64 (n,)."""
        for batch in self._scan(fragments, [], with_row_id=True, with_row_address=True):
            addresses = batch["_rowaddr"].to_numpy().astype(np.int64)
            yield batch["_rowid"].to_numpy().astype(np.int64), addresses >> 32

    def batches(
        self, fragments: Collection[int] | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield row ids, int64 (n,), and vectors, float32 (n, dim), in batches of a few MB."""
        size = max(256, _BATCH_BYTES // (4 * self.dim))
        for batch in self._scan(fragments, ["vector"], with_row_id=True, batch_size=size):
            vectors = batch["vector"].flatten().to_numpy().reshape(-1, self.dim)
            rows = batch["_rowid"].to_numpy().astype(np.int64)
            yield rows, vectors.astype(np.float32, copy=False)

    def _scan(
        self, fragments: Collection[int] | None, columns: Sequence[str], **options: Any
    ) -> Iterator[pa.RecordBatch]:
        if self._found is None or (fragments is not None and not fragments):
            return
        if fragments is not None:
            chosen = set(fragments)
            options["fragments"] = [
                item for item in self._found.get_fragments() if item.fragment_id in chosen
            ]
        with self._dataset.errors():
            yield from self._found.scanner(
                columns=list(columns),
                batch_readahead=_READAHEAD,
                io_buffer_size=_BUFFER_BYTES,
                **options,
            ).to_batches()

    def at(self, row_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the vectors of rows, in order: their row ids, and float32 (n, dim).

        ``row_ids``, int64, are ascending. Rows that do not exist are left out.
        """
        found = np.empty(len(row_ids), np.int64)
        vectors = np.empty((len(row_ids), self.dim), np.float32)
        count = 0
        for table in self._take(row_ids, "vector"):
            part = slice(count, count + len(table))
            found[part] = table["_rowid"].to_numpy()
            flat = table["vector"].combine_chunks().flatten()
            vectors[part] = flat.to_numpy().reshape(-1, self.dim)
            count = part.stop
        return found[:count], vectors[:count]

    def at_offsets(self, offsets: np.ndarray) -> np.ndarray:
        """Return the row ids, int64 (n,), of rows that are given by their number, from 0."""
        offset, found = 0, [np.empty(0, np.int64)]
        for row_ids, _ in self.row_ids():
            first, last = np.searchsorted(offsets, [offset, offset + len(row_ids)])
            found.append(row_ids[offsets[first:last] - offset])
            offset += len(row_ids)
        return np.concatenate(found)

    def digests(self, row_ids: np.ndarray) -> dict[int, bytes]:
        """Return the SHA-256 of rows by row id; rows that do not exist are left out."""
        return {
            row_id: digest
            for table in self._take(row_ids, "sha256")
            for row_id, digest in zip(
                table["_rowid"].to_pylist(), table["sha256"].to_pylist(), strict=True
            )
        }

    def _take(self, row_ids: np.ndarray, column: str) -> Iterator[pa.Table]:
        for start in range(0, len(row_ids) if self._found is not None else 0, _TAKEN_AT_ONCE):
            with self._dataset.errors():
                yield self._found._take_rows(
                    pa.array(row_ids[start : start + _TAKEN_AT_ONCE], pa.uint64()),
                    columns=["_rowid", column],
                )

    def of_digests(self, digests: Sequence[bytes]) -> dict[bytes, int]:
        """Return the row ids of images by SHA-256; images without an embedding are left out."""
        found: dict[bytes, int] = {}
        if self._found is None:
            return found
        for start in range(0, len(digests), _DIGESTS_AT_ONCE):
            some = ",".join(map(bytes_literal, digests[start : start + _DIGESTS_AT_ONCE]))
            with self._dataset.errors():
                table = self._found.to_table(
                    columns=["sha256"], filter=f"sha256 IN ({some})", with_row_id=True
                )
            found |= zip(table["sha256"].to_pylist(), table["_rowid"].to_pylist(), strict=True)
        return found

    def of_digest_words(self, words: np.ndarray) -> np.ndarray:
        """Return the row ids, int64 (n,) ascending, of images given by digest.

        ``words`` are as :func:`embedkit.cluster.store.digest_words` returns them, in any order.
        """
        if len(words) <= _DIGESTS_AT_ONCE:
            digests = [row.astype(">u8").tobytes() for row in words]
            return np.sort(np.fromiter(self.of_digests(digests).values(), np.int64))
        wanted = np.sort(_as_text(words))
        found = [np.empty(0, np.int64)]
        for batch in self._scan(None, ["sha256"], with_row_id=True):
            here = _as_text(digest_words(pa.chunked_array([batch["sha256"]])))
            places = np.minimum(np.searchsorted(wanted, here), len(wanted) - 1)
            found.append(batch["_rowid"].to_numpy().astype(np.int64)[wanted[places] == here])
        return np.sort(np.concatenate(found))


def _as_text(words: np.ndarray) -> np.ndarray:
    """Return digests as byte strings of one width, which NumPy sorts."""
    return np.ascontiguousarray(words.astype(">u8")).view("S32").reshape(-1)
