"""Records that the catalog stores and returns."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from embedkit.results import Fingerprint, ResolvedName

ROWS_AT_A_TIME = 8192
"""Rows of the batches in which large results are read."""
StoredVerdict = tuple[bytes, bytes | None, str, str | None, datetime]
"""First SHA-256, second or None, verdict, label or None, and the time in UTC. The first SHA-256 of
a verdict on two images is the smaller one."""


@dataclass(frozen=True)
class Scope:
    """A part of a root: everything at or below ``prefix`` (stored form; empty for all of it)."""

    root_id: int
    prefix: str
    is_file: bool = False
    """Whether the prefix is the path of a file."""


@dataclass(frozen=True)
class PendingFile:
    """A file to read: new, changed, or without some of the requested results."""

    root_id: int
    path: str
    """Stored form, relative to the root."""
    bytes: int
    mtime_ns: int
    label: str | None


@dataclass(frozen=True)
class PendingFiles:
    """Files to read, as an Arrow table: millions of Python objects would not fit into memory."""

    table: Any

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def __iter__(self) -> Iterator[PendingFile]:
        for batch in self.table.to_batches(ROWS_AT_A_TIME):
            columns = [column.to_pylist() for column in batch.columns]
            yield from map(PendingFile, *columns)


@dataclass(frozen=True, slots=True)
class LiveFile:
    """A file that is not missing and contains a usable image."""

    path: str
    """Absolute, as the system names it."""
    label: str | None
    sha256: str
    """Hex digest of the image."""
    caption: str | None = None


@dataclass(frozen=True)
class FileFacts:
    """The label and other columns of one file."""

    sha256: str
    """Hex digest of the image that the file last contained."""
    label: str | None = None
    source: str | None = None
    """Source of the label: ``csv``, ``manifest``, ``folder`` or ``verdict``."""
    attributes: dict[str, str] = field(default_factory=dict)
    """Attributes: other columns of label tables, and those of a manifest; value by name."""
    from_manifest: set[str] = field(default_factory=set)
    """Names of the attributes that come from a manifest."""


@dataclass(frozen=True)
class Revision:
    """A point in the history of a spec's embeddings."""

    serial: int = 0
    """Serial number of the last event: embeddings stored and removed so far."""
    stamp: int = 0
    """64-bit digest of the history up to this revision. Different histories have different digests,
    except by chance."""


@dataclass(frozen=True)
class BackboneSnapshot:
    """The known backbones and the revision of each of their specs."""

    backbones: tuple[ResolvedName, ...] = ()
    added: tuple[str, ...] = ()
    """Names of the backbones that photos are added with; the others were only compared."""
    revisions: dict[str, Revision] = field(default_factory=dict)
    """By digest of the spec."""


@dataclass(frozen=True)
class KnownImages:
    """The images of the catalog, and which results are stored for each."""

    sha256: np.ndarray
    """Digests as big-endian words, uint64 (N, 4), rows sorted."""
    masks: np.ndarray
    """Bit masks, uint64 (N,): fingerprint, up to date, then one bit for each spec."""

    def mask(self, sha256: bytes) -> int | None:
        """Return the bit mask of an image, or None when the catalog does not contain it."""
        words = np.frombuffer(sha256, ">u8").astype(np.uint64)
        first = int(np.searchsorted(self.sha256[:, 0], words[0]))
        while first < len(self.sha256) and self.sha256[first, 0] == words[0]:
            if (self.sha256[first] == words).all():
                return int(self.masks[first])
            first += 1
        return None


@dataclass
class ImageRow:
    """An image and the results just computed for it."""

    sha256: bytes
    md5: bytes
    bytes: int
    fingerprint: Fingerprint | None = None
    embeddings: dict[str, tuple[np.ndarray, float]] = field(default_factory=dict)
    """Embedding, float32 (dim,), and its norm before normalising, by digest of the spec."""
    pixels_changed: bool = False
    """Whether the decoded pixels differ from those that the stored results were computed from."""
    share: float = 1.0
    """Share of the pixels that were decoded, 0 to 1; less than 1 for a truncated file."""


@dataclass
class Batch:
    """The results of an ingest that are stored in one transaction."""

    images: list[ImageRow] = field(default_factory=list)
    files: list[tuple[PendingFile, bytes]] = field(default_factory=list)
    """Files that were read, each with the SHA-256 of its content."""
    failures: list[tuple[PendingFile, str, str]] = field(default_factory=list)
    """Files that could not be used, each with the stage and the reason."""
    small: list[tuple[PendingFile, int, int]] = field(default_factory=list)
    """Files whose image is smaller than the minimum size, each with its width and height."""
    tolerates_truncated: bool = False
    """Whether truncated files were decoded as far as possible, or failed."""

    def __len__(self) -> int:
        return len(self.files) + len(self.failures) + len(self.small)
