"""Facts about files of a store that are gone: they follow the bytes, as in a workspace.

A fact is a label from a table, or the value of another column. When a file is gone, its facts go to
another file with the same bytes that has no such fact; if there is none, they are kept for the
bytes. :mod:`embedkit.catalog.kept_facts` decides which file takes which fact. The facts of a file
in quarantine are reserved for it, and for photos that are added again at another path: see
:mod:`embedkit.cluster.quarantined_facts`.
"""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import pyarrow as pa

from embedkit._internal.paths import is_missing, is_url, is_within, native_path
from embedkit.catalog.kept_facts import KeptFact, Receiver, ambiguity, assign
from embedkit.cluster.kept_facts import FactKey, discard, keep, kept_facts_of, key_of
from embedkit.cluster.labels import rows_of_images
from embedkit.cluster.location import Location
from embedkit.cluster.merging import FileRow
from embedkit.cluster.shards import is_member, member_of
from embedkit.cluster.store import StoreContent
from embedkit.cluster.tables import FILES
from embedkit.errors import BadInput, StorageError

_CHECKED_AT_ONCE = 32
"""Files whose existence is checked at the same time: on object storage each takes milliseconds."""


@dataclass
class Followed:
    """What changes when facts follow the bytes of files that are gone."""

    receivers: dict[str, FileRow] = field(default_factory=dict)
    """Files with the facts that they take, by path."""
    kept: dict[FactKey, str] = field(default_factory=dict)
    """Values that are kept for the bytes."""
    used: list[FactKey] = field(default_factory=list)
    """Facts that were kept, and are those of a file now."""
    ambiguous: list[str] = field(default_factory=list)
    """Paths of files for whose facts several values are possible."""


def follow(
    files: Iterable[FileRow],
    gone: Collection[str],
    kept: Iterable[Mapping[str, Any]],
    new: Collection[str] = (),
    *,
    keep_repeated: bool,
) -> Followed:
    """Return what changes, given all usable files with some bytes.

    Parameters
    ----------
    files : iterable of FileRow
        The files, those that are gone too.
    gone : collection of str
        Paths of the files that are gone.
    kept : iterable of mapping
        Rows of :data:`embedkit.cluster.tables.KEPT_FACTS` for these bytes.
    new : collection of str
        Paths of the files that the store did not know before. Only these, and the file at the path
        to which it belongs, take a reserved fact.
    keep_repeated : bool
        Whether to keep facts that another file with the same bytes has too, for a copy that may
        have moved as well. Reserved ones are always kept.
    """
    found = Followed()
    facts: dict[tuple[bytes, str], dict[str, KeptFact]] = {}
    was_kept = set()
    for row in kept:
        was_kept.add(key_of(row))
        fact = KeptFact(row["value"], row["reserved"])
        facts.setdefault((row["sha256"], row["name"]), {})[row["place"]] = fact
    present: dict[bytes, list[FileRow]] = {}
    for file in files:
        assert file.sha256 is not None
        if file.path not in gone:
            present.setdefault(file.sha256, []).append(file)
            continue
        for name, value in file.facts().items():
            of_bytes = facts.setdefault((file.sha256, name), {})
            earlier = of_bytes.get(file.path)
            fact = KeptFact(value, reserved=earlier is not None and earlier.reserved)
            of_bytes[file.path] = fact
            found.kept[file.sha256, file.path, name] = value
    for (digest, name), of_bytes in facts.items():
        others = present.get(digest, [])
        receivers = [
            Receiver(number, file.path, file.path in new, folder_label=file.folder_label)
            for number, file in enumerate(others)
            if name not in file.facts()
        ]
        taken = set()
        for receiver, place in assign(name, of_bytes, receivers):
            if place is None:
                found.ambiguous.append(receiver.stored_path)
                continue
            file = found.receivers.get(receiver.stored_path, others[receiver.file_id])
            fact = of_bytes[place]
            found.receivers[file.path] = file.with_fact(name, fact.value)
            if place == file.path or not fact.reserved:
                taken.add(place)
        now = [found.receivers.get(file.path, file).facts().get(name) for file in others]
        for place, fact in of_bytes.items():
            key = digest, place, name
            if place in taken:
                found.kept.pop(key, None)
                found.used += [key] if key in was_kept else []
            elif fact.value in now and not (keep_repeated or fact.reserved):
                found.kept.pop(key, None)
    return found


def follow_moves(
    store: StoreContent,
    digests: Collection[bytes],
    may_be_gone: Sequence[str],
    sources: Sequence[str],
    new: Collection[str] = (),
) -> list[str]:
    """Give the facts of files that are gone to the files at which their bytes are now.

    Parameters
    ----------
    store : StoreContent
        The store; the caller holds its lease.
    digests : collection of bytes
        SHA-256 of images.
    may_be_gone : sequence of str
        The paths of their files that were not listed. This machine checks whether they are there. A
        file counts as gone only if it is below a source, or if other files are in its folder: else
        a disk may not be mounted.
    sources : sequence of str
        The paths and URLs that were listed.
    new : collection of str
        As for :func:`follow`.

    Returns
    -------
    list of str
        Warnings.
    """
    files = files_with(store, digests)
    kept = kept_facts_of(store, digests)
    is_missing = dict(zip(may_be_gone, missing_files(may_be_gone), strict=True))
    here = {file.path: file for file in files if not is_missing.get(file.path)}
    gone = {
        file.path: file
        for file in files
        if file.path not in here and file.facts() and _is_reached(file.path, sources)
    }
    concerned = {file.sha256 for file in gone.values()} | {row["sha256"] for row in kept}
    found = follow(  # other files that are missing take no facts
        (file for file in (*here.values(), *gone.values()) if file.sha256 in concerned),
        gone,
        (row for row in kept if row["sha256"] in concerned),
        new,
        keep_repeated=True,
    )
    emptied = [file.without_facts() for file in gone.values()]
    # A file that a person has put back has its facts, which are reserved no more.
    returned = [
        key_of(row)
        for row in kept
        if row["reserved"]
        and (file := here.get(row["place"])) is not None
        and file.sha256 == row["sha256"]
        and row["name"] in file.facts()
    ]
    keep(store, found.kept)
    replace_files(store, [*found.receivers.values(), *emptied])
    discard(store, [*found.used, *returned])
    return [ambiguity(sorted(set(found.ambiguous)))] if found.ambiguous else []


def files_with(store: StoreContent, digests: Iterable[bytes]) -> list[FileRow]:
    """Return all usable files with some bytes."""
    tables = rows_of_images(store.files, digests, FILES.names)
    return [FileRow.of_store(row) for table in tables for row in table.to_pylist()]


def replace_files(store: StoreContent, files: Iterable[FileRow]) -> None:
    """Replace the rows of files, in one commit."""
    rows = [file.to_store() for file in files]
    store.files.upsert(pa.Table.from_pylist(rows, FILES), "path")


def missing_files(paths: Sequence[str]) -> list[bool]:
    """Return for each stored path or URL whether nothing is there; False if that is not known.

    A member of an archive is there while the archive is.
    """
    archive_is_missing = lru_cache(_place_is_missing)

    def check(path: str) -> bool:
        if is_member(path):
            return archive_is_missing(member_of(path)[0].place)
        return _place_is_missing(path) if is_url(path) else is_missing(native_path(path))

    with ThreadPoolExecutor(_CHECKED_AT_ONCE) as threads:
        return list(threads.map(check, paths))


def _is_reached(path: str, sources: Sequence[str]) -> bool:
    """Return whether this machine would see a file at a stored path or URL if it were there."""
    place = member_of(path)[0].place if is_member(path) else path
    if is_url(place):
        return True  # the storage has answered
    place = native_path(place)
    if any(is_within(place, source) for source in sources):
        return True
    try:
        return bool(os.listdir(os.path.dirname(place)))
    except OSError:
        return False


def _place_is_missing(place: str) -> bool:
    if not is_url(place):
        return is_missing(place)
    try:
        return Location(place).info() is None
    except (BadInput, StorageError):
        return False
