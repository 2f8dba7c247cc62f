"""Photos in WebDataset shards: tar archives whose members with one name belong together.

The path of such a photo is ``tar+URL#NAME``, with the URL of the archive, in which ``%`` and ``#``
are escaped, and the name of the member. No file system has such a scheme, so it is the path of
nothing else. A member is read by its place in the archive; each process reads the headers of an
archive once.
"""

import json
import re
import tarfile
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import BinaryIO, NamedTuple

import numpy as np

from embedkit._internal.paths import from_stored, is_url, to_stored
from embedkit._internal.text import one_line
from embedkit.cluster.entries import Entry
from embedkit.cluster.folders import entry_of
from embedkit.cluster.location import Location
from embedkit.cluster.reading import opened, read_part
from embedkit.cluster.tables import text_literal
from embedkit.errors import StorageError, UnreadableImage
from embedkit.images.scan import SUFFIXES, suffix_of
from embedkit.ingest.labels import LABEL, as_label
from embedkit.results import Failure

SHARD = ".tar"
"""Suffix of archives."""
_SCHEME = "tar+"
_LOCAL = "file://"
_KEY = re.compile(r"((?:.*/)?[^/.]*)\.([^/]*)", re.DOTALL)
"""Key of a sample and suffix of a member, as WebDataset divides names."""
_CLASS, _JSON = "cls", "json"
"""Suffixes of the members with the label of a sample."""
_MAX_SIDECAR_BYTES = 1_000_000
_KEPT_SHARDS = 1024
"""Number of archives whose members each process remembers.

A search for duplicates reads from all of them in any order, and an archive on a server is read to
its end to list its members.
"""


class Member(NamedTuple):
    """A file in an archive."""

    name: str
    """As in the archive; bytes that are not UTF-8 are lone surrogates."""
    start: int
    """Place of its content in the archive."""
    size: int
    is_regular: bool


def is_member(path: str) -> bool:
    """Return whether a stored path is that of a member of a shard."""
    return path.startswith(_SCHEME)


def member_path(shard: Location, name: str) -> str:
    """Return the stored path of a member."""
    place = _LOCAL + to_stored(shard.place) if shard.is_local else shard.place
    place = place.replace("%", "%25").replace("#", "%23")
    return f"{_SCHEME}{place}#{to_stored(name)}"


def member_of(path: str) -> tuple[Location, str]:
    """Return the archive and the name of a member: the inverse of :func:`member_path`."""
    place, _, name = path.removeprefix(_SCHEME).partition("#")
    place = place.replace("%23", "#").replace("%25", "%")
    if place.startswith(_LOCAL):
        place = from_stored(place.removeprefix(_LOCAL))
    return Location(place), from_stored(name)


def at_or_below(path: str) -> str:
    """Return the SQL condition of the files at or below a path or URL, in archives too."""
    place = path if is_url(path) else to_stored(path)
    starts = [place.rstrip("/") + "/"]
    if not is_member(place):
        inside = member_path(Location(path), "").removesuffix("#")
        starts += [f"{inside}#", f"{inside.rstrip('/')}/"]
    conditions = [f"path = {text_literal(place)}"]
    conditions += [f"starts_with(path, {text_literal(start)})" for start in starts]
    return f"({' OR '.join(conditions)})"


# -- reading ---------------------------------------------------------------------------------------


class Shards:
    """The members of archives by path, for several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._members: dict[str, _Places] = {}

    def read(self, path: str) -> bytes:
        """Return the content of a member. Raises :class:`UnreadableImage` (stage ``read``)."""
        shard, name = member_of(path)
        with self._lock:
            if shard.place not in self._members:
                self._members[shard.place] = self._index(shard)
            found = self._members[shard.place].get(name)
        if found is None:
            raise UnreadableImage("read", "the archive does not contain it")
        return read_part(shard, *found)

    def _index(self, shard: Location) -> "_Places":
        try:
            info = shard.info()
            if info is None:
                raise UnreadableImage("read", "the archive does not exist")
            entry = entry_of(shard.place, info)
            return _index(shard.place, entry.bytes, entry.mtime_ns)
        except StorageError as error:
            raise UnreadableImage("read", str(error)) from error


class _Places:
    """Start and size of the members of an archive by name, in 24 bytes each.

    Of several members with one name, the first counts. Names are kept as hashes of 64 bits, which
    are as good as never equal for two names.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        keys = np.array([hash(member.name) for member in members], np.int64)
        self._keys, first = np.unique(keys, return_index=True)
        places = [(member.start, member.size) for member in members]
        self._places = np.array(places, np.int64).reshape(-1, 2)[first]

    def get(self, name: str) -> tuple[int, int] | None:
        """Return the start and the size of a member; None if there is none of this name."""
        row = int(np.searchsorted(self._keys, hash(name)))
        if row == len(self._keys) or self._keys[row] != hash(name):
            return None
        start, size = self._places[row].tolist()
        return start, size


@lru_cache(_KEPT_SHARDS)
def _index(place: str, size: int, mtime_ns: int) -> _Places:
    """Return the members of an archive with this size and time."""
    del size, mtime_ns  # another version of the archive
    shard = Location(place)
    with opened(shard) as file:
        found = (item for item in _members(shard, file) if isinstance(item, Member))
        return _Places([item for item in found if item.is_regular])


def _members(shard: Location, file: BinaryIO) -> Iterator[Member | Failure]:
    """Yield the members of an open archive in order, and where it is damaged.

    The caller may move the position in the file.
    """
    try:
        archive = tarfile.open(  # noqa: SIM115
            fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape"
        )
        while (item := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # it would remember all
            if archive.offset <= item.offset:  # some versions of the module would loop
                raise tarfile.ReadError(f"a member with a negative size at byte {item.offset}")
            is_regular = item.isreg() and not item.issparse()
            yield Member(item.name, item.offset_data, item.size, is_regular)
        # The module takes a damaged header for the end.
        file.seek(archive.offset)
        if any(file.read(tarfile.BLOCKSIZE)):
            raise tarfile.ReadError(f"no valid header at byte {archive.offset}")
    except tarfile.TarError as error:
        reason = f"a damaged tar archive: {one_line(error)}; what follows was not read"
        yield Failure(shard.place, "scan", reason)


# -- listing ---------------------------------------------------------------------------------------


def photos_of(shard: Location, labels_from_folders: bool) -> Iterator[Entry | Failure]:
    """Yield the photos of a shard, each with its sample, and what cannot be used in it.

    The label of a sample is the text of its member ``.cls``, or ``label`` in its ``.json``, whose
    other texts and numbers are attributes; otherwise the first folder of its name, if asked for.
    Other members are ignored.
    """
    try:
        mtime_ns = entry_of(shard.place, shard.info() or {}).mtime_ns
        with opened(shard) as file:
            sample = _Sample(shard, file, mtime_ns, labels_from_folders)
            for item in _members(shard, file):
                if isinstance(item, Failure):
                    yield item
                else:
                    yield from sample.add(item)
            yield from sample.photos()
    except (StorageError, UnreadableImage) as error:
        yield Failure(shard.place, "scan", str(error))


class _Sample:
    """The members of a sample, which follow each other in the archive."""

    def __init__(
        self, shard: Location, file: BinaryIO, mtime_ns: int, labels_from_folders: bool
    ) -> None:
        self._shard = shard
        self._file = file
        self._mtime_ns = mtime_ns
        self._labels_from_folders = labels_from_folders
        self._names: set[str] = set()
        self._start("")

    def _start(self, key: str) -> None:
        self._key = key
        self._photos: list[Member] = []
        self._label: str | None = None
        self._attributes: dict[str, str] = {}

    def add(self, member: Member) -> Iterator[Entry | Failure]:
        """Add a member; yield the photos of the sample before if this one begins another."""
        found = _KEY.fullmatch(member.name)
        if found is None or _is_hidden(member.name):
            return
        key, suffix = found[1], found[2].lower()
        if key != self._key:
            yield from self.photos()
            self._start(key)
        problem = None
        if suffix_of(member.name) in SUFFIXES:
            problem = self._add_photo(member)
        elif suffix in (_CLASS, _JSON):
            problem = self._add_sidecar(member, suffix)
        if problem is not None:
            yield Failure(member_path(self._shard, member.name), "scan", problem)

    def _add_photo(self, member: Member) -> str | None:
        """Add a photo; return why it cannot be used."""
        if not member.is_regular:
            return "not a regular file of the archive"
        if member.name in self._names:
            return "the archive has this name twice; the first is used"
        self._names.add(member.name)
        self._photos.append(member)
        return None

    def _add_sidecar(self, member: Member, suffix: str) -> str | None:
        """Add a label or attributes; return why they cannot be used."""
        if member.size > _MAX_SIDECAR_BYTES:
            return f"larger than {_MAX_SIDECAR_BYTES / 1e6:.0f} MB"
        self._file.seek(member.start)
        try:
            content = self._file.read(member.size).decode("utf-8-sig")
            if suffix == _CLASS:
                self._label = as_label(content)
            else:
                self._attributes = scalars(json.loads(content))
        except (ValueError, RecursionError) as error:
            return f"not a label: {one_line(error)}"
        return None

    def photos(self) -> Iterator[Entry | Failure]:
        """Yield the photos of the sample, with its label and attributes."""
        named = self._attributes.pop(LABEL, None)
        for photo in self._photos:
            folder, slash, _ = photo.name.removeprefix("./").partition("/")
            by_folder = as_label(folder) if slash and self._labels_from_folders else None
            yield Entry(
                member_path(self._shard, photo.name),
                photo.size,
                self._mtime_ns,
                self._label or named or None,
                by_folder or None,
                tuple(self._attributes.items()),
            )


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.removeprefix("./").split("/"))


def scalars(values: object) -> dict[str, str]:
    """Return the texts and whole numbers of a JSON object in the form of labels.

    Raises :class:`ValueError` for anything but an object.
    """
    if not isinstance(values, dict):
        raise ValueError("not a JSON object")
    return {
        as_label(name): text
        for name, value in values.items()
        if isinstance(value, (str, int)) and (text := as_label(_text(value))) and as_label(name)
    }


def _text(value: str | int) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
