"""Find rows of a dataset by a key, reading only the column of the key."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from embedkit.cluster.tables import Dataset

_ROWS = 1 << 19
"""Rows of the batches in which a column is read."""


def digest_array(digests: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return SHA-256 digests of a catalog with the type that they have in a store."""
    if isinstance(digests, pa.ChunkedArray):
        digests = digests.combine_chunks()
    return digests.cast(pa.binary(32))


def find_keys(
    dataset: Dataset, column: str, keys: pa.Array, where: str | None = None
) -> np.ndarray:
    """Return the id of the row with each of some keys, int64 (N,); -1 without a row.

    Only rows that meet the SQL condition ``where`` count.
    """
    encoded = keys.dictionary_encode()
    distinct = encoded.dictionary
    rows = np.full(len(distinct), -1, np.int64)
    for batch in dataset.batches([column], where, row_ids=True, rows=_ROWS):
        positions = pc.index_in(batch.column(0), value_set=distinct)
        found = pc.is_valid(positions)
        ids = batch.column("_rowid").filter(found).to_numpy()
        rows[positions.filter(found).to_numpy()] = ids.astype(np.int64)
    return np.asarray(rows[encoded.indices.to_numpy()])


def select_rows(
    dataset: Dataset,
    column: str,
    within: pa.Array | None,
    without: pa.Array | None = None,
    where: str | None = None,
) -> np.ndarray:
    """Return the ids of the rows whose key is among ``within``, and not among ``without``.

    The result is int64 (N,), in the order of the rows. Without ``within``, all keys count.
    """
    pieces = [np.empty(0, np.int64)]
    for batch in dataset.batches([column], where, row_ids=True, rows=_ROWS):
        keys = batch.column(0)
        chosen = pc.is_valid(keys)
        if within is not None:
            chosen = pc.and_(chosen, pc.is_in(keys, value_set=within))
        if without is not None:
            chosen = pc.and_not(chosen, pc.is_in(keys, value_set=without))
        pieces.append(batch.column("_rowid").filter(chosen).to_numpy().astype(np.int64))
    return np.concatenate(pieces)
