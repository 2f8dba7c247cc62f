"""The facts that a store keeps for the bytes of files: rows of :data:`KEPT_FACTS`.

Those of a file in quarantine are reserved. See :mod:`embedkit.catalog.kept_facts`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from embedkit.cluster.labels import rows_of_images
from embedkit.cluster.store import StoreContent
from embedkit.cluster.tables import KEPT_FACTS

FactKey = tuple[bytes, str, str]
"""SHA-256, place and name of a kept fact."""
_KEY = ("sha256", "place", "name")


def kept_facts_of(store: StoreContent, digests: Iterable[bytes]) -> list[dict[str, Any]]:
    """Return the facts that are kept for some bytes."""
    tables = rows_of_images(store.kept_facts, digests, KEPT_FACTS.names, "true")
    return [row for table in tables for row in table.to_pylist()]


def keep(store: StoreContent, facts: Mapping[FactKey, str]) -> None:
    """Keep facts for the bytes of files, in one commit."""
    rows = [
        dict(zip(KEPT_FACTS.names, (*key, value, False), strict=True))
        for key, value in facts.items()
    ]
    keep_rows(store, rows)


def keep_rows(store: StoreContent, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep facts for the bytes of files, in one commit, given as rows of :data:`KEPT_FACTS`.

    Those that are reserved for a file in quarantine stay so.
    """
    earlier = kept_facts_of(store, {row["sha256"] for row in rows})
    reserved = {key_of(row) for row in earlier if row["reserved"]}
    rows = [{**row, "reserved": row["reserved"] or key_of(row) in reserved} for row in rows]
    store.kept_facts.upsert(pa.Table.from_pylist(rows, KEPT_FACTS), *_KEY)


def key_of(row: Mapping[str, Any]) -> FactKey:
    """Return the key of a row of :data:`KEPT_FACTS`."""
    return row["sha256"], row["place"], row["name"]


def discard(store: StoreContent, facts: Sequence[FactKey]) -> None:
    """Remove kept facts that are those of a file now, in one commit."""
    rows = [dict(zip(_KEY, fact, strict=True)) for fact in facts]
    keys = pa.Table.from_pylist(rows, pa.schema([KEPT_FACTS.field(name) for name in _KEY]))
    store.kept_facts.delete_rows(keys)
