"""List the photos of sources: folders, tables of paths, and archives, on any file system."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from embedkit._internal import paths
from embedkit._internal.paths import shown
from embedkit.cluster.location import Location
from embedkit.cluster.tables import ATTRIBUTES
from embedkit.errors import BadInput
from embedkit.images.scan import SUFFIXES, FoundFile, scan, suffix_of
from embedkit.ingest.labels import FolderLabels, as_label
from embedkit.results import Failure

LISTED = pa.schema(
    [
        ("path", pa.string()),
        ("bytes", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("label", pa.string()),
        ("attributes", ATTRIBUTES),
    ]
)
"""Columns of a listing. ``path`` is the stored form of a path, or a URL. Bytes and time are 0 when
the source does not name them."""
_ROWS = 10_000


def listed(sources: Sequence[str], labels_from_folders: bool) -> Iterator[pa.Table | Failure]:
    """Yield tables of the photos at some sources, and the files and folders that cannot be listed.

    Raises :class:`BadInput` for a source that does not exist.
    """
    for source in sources:
        location = Location(source)
        if not location.exists():
            raise BadInput(f"{shown(source)} does not exist; give a photo, a folder or a listing")
        rows: list[dict[str, object]] = []
        entries = (
            _local(location, labels_from_folders)
            if location.is_local
            else _remote(location, labels_from_folders)
        )
        for entry in entries:
            if isinstance(entry, Failure):
                yield entry
                continue
            rows.append(entry)
            if len(rows) == _ROWS:
                yield pa.Table.from_pylist(rows, LISTED)
                rows = []
        yield pa.Table.from_pylist(rows, LISTED)


def _local(location: Location, labels_from_folders: bool) -> Iterator[dict[str, object] | Failure]:
    labels = FolderLabels([location.place] if labels_from_folders else [])
    for item in scan(location.place):
        if isinstance(item, Failure):
            yield item
        elif isinstance(item, FoundFile):
            yield {
                "path": paths.to_stored(item.path),
                "bytes": item.bytes,
                "mtime_ns": item.mtime_ns,
                "label": labels.of(item.path),
                "attributes": [],
            }


def _remote(location: Location, labels_from_folders: bool) -> Iterator[dict[str, object]]:
    filesystem = location.filesystem
    with location.errors():
        found = filesystem.find(location.path, detail=True)
    for path, entry in sorted(found.items()):
        if suffix_of(path) not in SUFFIXES:
            continue
        parts = path[len(location.path) :].strip("/").split("/")
        modified = entry.get("LastModified") or entry.get("mtime") or entry.get("last_modified")
        if hasattr(modified, "timestamp"):
            modified = modified.timestamp()
        yield {
            "path": filesystem.unstrip_protocol(path),
            "bytes": int(entry.get("size") or 0),
            "mtime_ns": int(1e9 * float(modified or 0)),
            "label": as_label(parts[0]) if labels_from_folders and len(parts) > 1 else None,
            "attributes": [],
        }
