"""What a search has found in the files that it opened, by SHA-256.

The groups of a search can be formed again with other verdicts, without opening the files again.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

import pyarrow as pa

from embedkit.duplicates.examiner import examination_of, metadata_of
from embedkit.results import Examination, FileMetadata

FINDINGS = pa.schema(
    [
        ("first", pa.binary(32)),
        ("second", pa.binary(32)),  # null for the metadata in the file of one image
        ("report", pa.string()),  # JSON
    ]
)
"""A row for each pair of images whose files were compared, and for each file's metadata."""


@dataclass(frozen=True)
class Findings:
    """The examinations of pairs of images, and the metadata in files."""

    pairs: dict[tuple[bytes, bytes], Examination] = field(default_factory=dict)
    """Examinations of the first image of a pair against the second."""
    headers: dict[bytes, FileMetadata] = field(default_factory=dict)

    @classmethod
    def of_tables(cls, tables: Iterable[pa.Table]) -> "Findings":
        """Return the findings in tables with rows of :data:`FINDINGS`."""
        found = cls()
        for row in (row for table in tables for row in table.to_pylist()):
            if row["second"] is None:
                found.headers[row["first"]] = metadata_of(row["report"])
            else:
                found.pairs[row["first"], row["second"]] = examination_of(row["report"])
        return found

    def to_table(self) -> pa.Table:
        """Return the rows."""
        items = [(one, other, asdict(item)) for (one, other), item in self.pairs.items()]
        rows = [
            {
                "first": first,
                "second": second,
                "report": json.dumps(values, ensure_ascii=False),
            }
            for first, second, values in [
                *items,
                *((digest, None, asdict(item)) for digest, item in self.headers.items()),
            ]
        ]
        return pa.Table.from_pylist(rows, FINDINGS)
