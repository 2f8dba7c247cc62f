"""List the photos of sources: folders, tables of paths, and archives, on any file system."""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

import pyarrow as pa

from embedkit.cluster.entries import Entry
from embedkit.cluster.folders import PARQUET, entry_of, photos_in, tables_in
from embedkit.cluster.location import Location
from embedkit.cluster.path_tables import photos_of_csv, photos_of_lance, photos_of_parquet
from embedkit.cluster.patterns import expanded, is_pattern
from embedkit.cluster.seen import SeenPaths
from embedkit.cluster.shards import SHARD, photos_of
from embedkit.cluster.tables import ATTRIBUTES
from embedkit.errors import BadInput, StorageError
from embedkit.ingest.stages import OrderedMap
from embedkit.results import Failure

LISTED = pa.schema(
    [
        ("path", pa.string()),
        ("bytes", pa.int64()),
        ("mtime_ns", pa.int64()),
        ("label", pa.string()),  # from a table or an archive
        ("folder_label", pa.string()),
        ("attributes", ATTRIBUTES),
    ]
)
"""Columns of a listing. ``path`` is the stored form of an absolute path, a URL, or a member of a
shard: see :mod:`embedkit.cluster.shards`. Bytes and time are 0 when the source does not name
them."""
_ROWS = 10_000
_PLACES_AHEAD = 16
"""Places of a pattern that are opened at a time."""
_COMPRESSED = (".gz", ".tgz", ".bz2", ".xz", ".zst", ".zip")


def listed(sources: Sequence[str], labels_from_folders: bool) -> Iterator[pa.Table | Failure]:
    """Yield tables of the photos at some sources, and what cannot be used there.

    A source is a photo; a folder; a table of paths (Parquet, Lance or CSV: see
    :mod:`embedkit.cluster.path_tables`), or a folder with nothing but Parquet files; a WebDataset
    shard; or a pattern for several of them. Each path is listed once.

    Raises :class:`BadInput` for a source that does not exist, before anything is listed, and for a
    table without paths; :class:`StorageError` when a folder cannot be listed. What a pattern stands
    for and cannot be read is a failure.
    """
    found = [_entries(source, labels_from_folders) for source in sources]
    seen = SeenPaths()
    for items in _batches(chain.from_iterable(found)):
        is_new = seen.add([_key(item) for item in items])
        items = [item for item, new in zip(items, is_new.tolist(), strict=True) if new]
        yield from (item for item in items if isinstance(item, Failure))
        rows = [item for item in items if isinstance(item, Entry)]
        if rows:
            yield pa.table([list(column) for column in zip(*rows, strict=True)], schema=LISTED)


def _key(item: Entry | Failure) -> str:
    """Return what an item has in common only with itself; stored paths contain no NUL."""
    return item.path if isinstance(item, Entry) else f"{item.path}\0{item.reason}"


def _batches(items: Iterable[Entry | Failure]) -> Iterator[list[Entry | Failure]]:
    batch: list[Entry | Failure] = []
    for item in items:
        batch.append(item)
        if len(batch) == _ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def _entries(source: str, labels_from_folders: bool) -> Iterator[Entry | Failure]:
    """Return the photos of a source; raise :class:`BadInput` if it does not exist."""
    location = Location(source)
    # The name of a file may look like a pattern.
    found = None
    if not (is_pattern(source) and location.is_http):
        found = _entries_at(location, labels_from_folders)
    if found is not None:
        return found
    if is_pattern(source):
        return _of_pattern(source, labels_from_folders)
    raise BadInput(f"{location} does not exist; give a photo, a folder or a listing")


def _of_pattern(source: str, labels_from_folders: bool) -> Iterator[Entry | Failure]:
    """Yield the photos at the places of a pattern, of which several are opened at a time."""

    def items_at(place: str) -> Iterable[Entry | Failure]:
        location = Location(place)
        try:
            found = _entries_at(location, labels_from_folders)
        except StorageError as error:
            return [Failure(location.place, "scan", str(error))]
        if found is None:
            return [Failure(location.place, "scan", "it does not exist")]
        # A shard on a server is read to its end, which takes longer than all else.
        is_remote_shard = location.suffix == SHARD and not location.is_local
        return list(found) if is_remote_shard else found

    ahead = OrderedMap(
        items_at,
        expanded(source),
        threads=_PLACES_AHEAD,
        weight=lambda _: 1,
        limit=_PLACES_AHEAD,
    )
    try:
        yield from chain.from_iterable(ahead)
    finally:
        ahead.stop()
        ahead.join()


def _entries_at(location: Location, labels_from_folders: bool) -> Iterator[Entry | Failure] | None:
    """Return the photos at a place; None if there is nothing."""
    info: dict[str, object] | None = {}
    if location.is_local:
        is_folder = os.path.isdir(location.place)
        info = {} if os.path.lexists(location.place) else None
    elif location.is_http:  # each question would be a request that the server may refuse
        location.check_readable()
        is_folder = False
    else:
        info = location.info()
        is_folder = info is not None and info.get("type") == "directory"
    if info is None:
        return None
    if is_folder:
        if location.suffix == ".lance":
            return photos_of_lance(location)
        return _of_folder(location, labels_from_folders)
    if location.suffix in _COMPRESSED:
        raise BadInput(f"{location} is compressed; unpack it, as its parts cannot be read alone")
    if location.suffix == SHARD:
        return photos_of(location, labels_from_folders)
    if location.suffix == PARQUET:
        return photos_of_parquet(location)
    if location.suffix == ".csv":
        return photos_of_csv(location)
    if location.is_local:
        return photos_in(location, labels_from_folders=False)
    return iter([entry_of(location.place, info)])


def _of_folder(location: Location, labels_from_folders: bool) -> Iterator[Entry | Failure]:
    tables = list(tables_in(location))
    if not tables:
        yield from photos_in(location, labels_from_folders)
    for table in tables:
        if isinstance(table, Failure):
            yield table
        else:
            yield from photos_of_parquet(table)
