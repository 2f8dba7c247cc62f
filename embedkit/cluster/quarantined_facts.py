"""The facts of files that a plan has moved, which a store reserves for them.

Their rows in the store stay, because a store does not record which files are missing. But a known
copy does not take their facts, and when the store forgets them, their facts are kept. They return
to the path and the bytes to which they belong, or go to photos that are added again elsewhere.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from embedkit.cluster.kept_facts import FactKey, discard, keep_rows, kept_facts_of, key_of
from embedkit.cluster.merging import FileRow
from embedkit.cluster.moved_facts import replace_files
from embedkit.cluster.store import StoreContent


@dataclass
class QuarantinedFacts:
    """What changes when files were moved to quarantine, or are in their places again."""

    reserved: list[dict[str, Any]] = field(default_factory=list)
    """Facts of files that are not in their places: rows of
    :data:`embedkit.cluster.tables.KEPT_FACTS`."""
    receivers: dict[str, FileRow] = field(default_factory=dict)
    """Files in place that lack facts that were reserved for them, with these, by path."""
    returned: list[FactKey] = field(default_factory=list)
    """Facts of files in place, which need not be reserved any more."""

    @classmethod
    def of(cls, store: StoreContent, files: Mapping[str, FileRow]) -> "QuarantinedFacts":
        """Return what changes for known files, given by their absolute paths."""
        found = cls()
        in_place: dict[str, FileRow] = {}
        for path, file in files.items():
            if os.path.lexists(path):
                in_place[file.path] = file
            elif file.sha256 is not None:
                key = {"sha256": file.sha256, "place": file.path, "reserved": True}
                found.reserved += [
                    key | {"name": name, "value": value} for name, value in file.facts().items()
                ]
        digests = {file.sha256 for file in in_place.values() if file.sha256 is not None}
        for row in kept_facts_of(store, digests):
            known = found.receivers.get(row["place"], in_place.get(row["place"]))
            if known is None or known.sha256 != row["sha256"] or not row["reserved"]:
                continue
            found.returned.append(key_of(row))
            if row["name"] not in known.facts():
                found.receivers[known.path] = known.with_fact(row["name"], row["value"])
        return found

    def __bool__(self) -> bool:
        return bool(self.reserved or self.returned)

    def store(self, store: StoreContent) -> None:
        """Make the changes. The caller holds the lease; it can be repeated when it was killed."""
        keep_rows(store, self.reserved)
        replace_files(store, self.receivers.values())
        discard(store, self.returned)
