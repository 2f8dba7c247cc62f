"""The rule for what a workspace and a store both have.

A copy adds what its destination lacks, and replaces nothing that a person has decided. Where both
sides have a label, a value, a split or a head, and they differ, the destination keeps its own, and
the report lists the difference. There are three cases in which the destination changes:

- A label from a table comes before one from a folder. The folder's label is kept beneath it.
- Of two contents of a file, the one with the later modification time is that of the file. The
  labels from tables and the columns of the earlier content are kept for its bytes. A label from a
  folder stays, since it belongs to the path.
- Of two verdicts on a subject, the later one counts. A store keeps all of them; a workspace
  replaces its own only if the store has it.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from embedkit._internal.paths import native_path
from embedkit.catalog.kept_facts import LABEL
from embedkit.results.store import Difference

CSV, FOLDER = "csv", "folder"
_EXAMPLES = 10
"""Maximum number of differences of a kind that a report lists."""


@dataclass(frozen=True)
class FileRow:
    """A file as a workspace or a store knows it."""

    path: str
    """Stored form of an absolute path, or a URL, as a store has it."""
    sha256: bytes | None
    """None for a file that could not be used."""
    bytes: int
    mtime_ns: int
    label: str | None
    """Label from a table."""
    folder_label: str | None
    attributes: Mapping[str, str]
    """Other columns of label tables."""
    stage: str | None
    reason: str | None
    decoder: str | None

    @classmethod
    def of_catalog(cls, row: Mapping[str, Any], path: str) -> "FileRow":
        """Return the file in a row of :meth:`embedkit.catalog.Reader.transfer.file_rows`.

        ``path`` is that in the store.
        """
        values = {name: value for name, value in row.items() if name not in ("place", "is_hidden")}
        return cls(path=path, **{**values, "attributes": dict(row["attributes"])})

    @classmethod
    def of_store(cls, row: Mapping[str, Any]) -> "FileRow":
        """Return the file in a row of :data:`embedkit.cluster.tables.FILES`."""
        is_folder = row["label_source"] == FOLDER
        return cls(
            path=row["path"],
            bytes=row["bytes"] or 0,
            mtime_ns=row["mtime_ns"] or 0,
            sha256=row["sha256"],
            label=None if is_folder else row["label"],
            folder_label=row["label"] if is_folder else row["folder_label"],
            attributes=dict(row["attributes"] or ()),
            stage=row["stage"],
            reason=row["reason"],
            decoder=row["decoder"],
        )

    def to_store(self) -> dict[str, Any]:
        """Return the row of a store."""
        from_table = self.label is not None
        return {
            "path": self.path,
            "bytes": self.bytes,
            "mtime_ns": self.mtime_ns,
            "sha256": self.sha256,
            "label": self.label if from_table else self.folder_label,
            "attributes": sorted(self.attributes.items()),
            "stage": self.stage,
            "reason": self.reason,
            "decoder": self.decoder,
            "label_source": CSV if from_table else None if self.folder_label is None else FOLDER,
            "folder_label": self.folder_label if from_table else None,
        }

    def facts(self) -> dict[str, str]:
        """Return the label from a table and the other columns, by name, as kept facts have them."""
        label = {} if self.label is None else {LABEL: self.label}
        return {**label, **self.attributes}

    def with_fact(self, name: str, value: str) -> "FileRow":
        """Return the file with a label from a table, or another column."""
        if name == LABEL:
            return replace(self, label=value)
        return replace(self, attributes={**self.attributes, name: value})

    def without_facts(self) -> "FileRow":
        """Return the file without a label from a table and other columns."""
        return replace(self, label=None, attributes={})


@dataclass
class Differences:
    """The differences that a copy has found."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: list[Difference] = field(default_factory=list)

    def add(self, difference: Difference) -> None:
        """Record a difference."""
        self.counts[difference.kind] += 1
        if self.counts[difference.kind] <= _EXAMPLES:
            self.examples.append(difference)


def merge_files(mine: FileRow, other: FileRow, found: Differences) -> FileRow:
    """Return the file at a path as a destination has it after a copy.

    ``mine`` is the file as the destination knows it now, and is returned if nothing changes.
    Differences are added to ``found``.
    """
    if other.sha256 is None:
        if mine.sha256 is not None:
            found.add(_difference("file", mine, "usable", f"{other.stage}: {other.reason}"))
        return mine
    if mine.sha256 is not None and mine.sha256 != other.sha256:
        if other.mtime_ns > mine.mtime_ns:
            label = _merged(mine, "label", mine.folder_label, other.folder_label, found)
            return replace(other, folder_label=label)
        found.add(_difference("file", mine, mine.sha256.hex(), other.sha256.hex()))
        return mine
    merged = replace(
        other if mine.sha256 is None else mine,
        label=_merged(mine, "label", mine.label, other.label, found),
        folder_label=_merged(mine, "label", mine.folder_label, other.folder_label, found),
        attributes={
            **mine.attributes,
            **{
                name: _merged(mine, "column", mine.attributes.get(name), value, found)
                for name, value in other.attributes.items()
            },
        },
    )
    return mine if merged == mine else merged


_Value = TypeVar("_Value", str, str | None)


def _merged(
    file: FileRow, kind: str, mine: str | None, other: _Value, found: Differences
) -> _Value:
    if mine is None:
        return other
    if other is not None and other != mine:
        found.add(_difference(kind, file, mine, other))
    return mine


def _difference(kind: Any, file: FileRow, kept: str, other: str) -> Difference:
    return Difference(kind, native_path(file.path), kept, other)
