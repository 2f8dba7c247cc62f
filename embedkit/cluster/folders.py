"""List the photos in folders of any file system."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from embedkit._internal import paths
from embedkit.cluster.entries import Entry
from embedkit.cluster.location import Location, reason_of, scheme_of
from embedkit.errors import EmbedkitError
from embedkit.images.scan import SUFFIXES, FoundFile, scan, suffix_of
from embedkit.ingest.labels import FolderLabels, as_label
from embedkit.results import Failure

_TIMES = ("LastModified", "last_modified", "mtime", "modified", "updated", "created")
"""Names of the time of the last change in what file systems know of a file, the best first."""
PARQUET = ".parquet"


def photos_in(location: Location, labels_from_folders: bool) -> Iterator[Entry | Failure]:
    """Yield the photos below a folder, and the folders that cannot be listed.

    As in local folders, names that begin with a dot are ignored, and so are names without an image
    suffix. The order depends only on the names.
    """
    if location.is_local:
        yield from _local(location.place, labels_from_folders)
        return
    for item in _files(location):
        if isinstance(item, Failure):
            yield item
            continue
        parts = item["below"].split("/")
        if suffix_of(parts[-1]) in SUFFIXES:
            label = as_label(parts[0]) if labels_from_folders and len(parts) > 1 else None
            yield entry_of(location.url_of(item["name"]), item, label or None)


def tables_in(location: Location) -> Iterator[Location | Failure]:
    """Yield the Parquet files below a folder if it contains no other files.

    The folders that cannot be listed are yielded too. Names that begin with a dot or an underscore
    are ignored: programs that write such folders add files of their own.
    """
    found: list[Location | Failure] = []
    has_tables = False
    for item in _names(location):
        if isinstance(item, Failure):
            found.append(item)
            continue
        name = item.rsplit("/", 1)[-1]
        if name.startswith("_"):
            continue
        if suffix_of(name) != PARQUET:
            return
        found.append(Location(item))
        has_tables = True
    if has_tables:
        yield from found


def entry_of(url: str, info: dict[str, Any], folder_label: str | None = None) -> Entry:
    """Return the entry of a file that a file system has described."""
    return Entry(url, int(info.get("size") or 0), _mtime_ns(info), None, folder_label)


def _local(folder: str, labels_from_folders: bool) -> Iterator[Entry | Failure]:
    labels = FolderLabels([folder] if labels_from_folders else [])
    for item in scan(folder):
        if isinstance(item, Failure):
            yield item
        elif isinstance(item, FoundFile):
            path = paths.to_stored(item.path)
            yield Entry(path, item.bytes, item.mtime_ns, None, labels.of(item.path))


def _names(location: Location) -> Iterator[str | Failure]:
    """Yield the native paths or URLs of all files below a folder, and what cannot be listed."""
    if location.is_local:
        for item in scan(location.place):
            yield item if isinstance(item, Failure) else item.path
    else:
        for entry in _files(location):
            yield entry if isinstance(entry, Failure) else location.url_of(entry["name"])


# -- remote folders --------------------------------------------------------------------------------


def _files(location: Location) -> Iterator[dict[str, Any] | Failure]:
    """Yield what the file system knows of each file below a folder without a hidden name.

    ``below`` is its path below the folder.
    """
    filesystem, root = location.filesystem, location.path.rstrip("/")
    filesystem.invalidate_cache()
    walk = _objects if scheme_of(location.place) == "s3" else _walked
    for item in walk(location, root):
        if isinstance(item, Failure):
            yield item
            continue
        below = item["name"][len(root) + 1 :]
        if not any(part.startswith(".") for part in below.split("/")):
            yield item | {"below": below}


def _objects(location: Location, root: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of S3 below a prefix, page by page, in the order of their keys.

    A folder may contain millions of objects, and their keys may contain empty parts, which walking
    from folder to folder does not find.
    """
    filesystem = location.filesystem
    bucket, key, _ = filesystem.split_path(root)
    arguments = {"Bucket": bucket, "Prefix": f"{key}/" if key else ""}
    while True:
        with location.errors():
            page = filesystem.call_s3("list_objects_v2", **arguments)
        for item in page.get("Contents", ()):
            if not item["Key"].endswith("/"):
                name = f"{bucket}/{item['Key']}"
                yield {"name": name, "size": item["Size"], _TIMES[0]: item[_TIMES[0]]}
        if not page.get("IsTruncated"):
            return
        arguments["ContinuationToken"] = page["NextContinuationToken"]


def _walked(location: Location, root: str) -> Iterator[dict[str, Any] | Failure]:
    """Yield the files of a folder by name, then those of its folders, as local folders do."""
    filesystem = location.filesystem
    with location.errors():
        waiting = [(root, filesystem.ls(root, detail=True))]
    while waiting:
        folder, entries = waiting.pop()
        if entries is None:
            try:
                entries = filesystem.ls(folder, detail=True)
            except EmbedkitError:
                raise
            except Exception as error:  # the packages of file systems raise anything
                yield Failure(location.url_of(folder), "scan", reason_of(error))
                continue
        filesystem.invalidate_cache()  # the listings of all folders would fill the memory
        subfolders = []
        for entry in sorted(entries, key=lambda entry: str(entry["name"])):
            path = str(entry["name"]).rstrip("/")
            name = path[len(folder) + 1 :]
            if not path.startswith(f"{folder}/") or not name or name.startswith("."):
                continue
            if entry["type"] == "directory":
                subfolders.append((path, None))
            else:
                yield entry | {"name": path}
        waiting.extend(reversed(subfolders))


def _mtime_ns(info: dict[str, Any]) -> int:
    """Return when a file was changed, by what its file system knows; 0 if it does not."""
    found = next((info[name] for name in _TIMES if info.get(name)), 0)
    if isinstance(found, str):
        try:
            found = datetime.fromisoformat(found)
        except ValueError:
            return 0
    if isinstance(found, datetime):
        found = found.timestamp()
    return int(found * 1_000_000) * 1000 if isinstance(found, (int, float)) else 0
