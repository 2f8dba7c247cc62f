"""The files of the index of a spec, beside its embeddings: sealed files that a manifest lists.

The files are named after their content, so that a new index leaves the files of the old one as they
are. A manifest is written last and names every file with its digest. A build that has not ended has
a manifest of its own, from which the next one continues.

Row ids and numbers of fragments mean other rows in a dataset that was put back from a copy and
continued. So a build writes a stamp, a random text, into the dataset before it reads rows, and each
shard has the stamp of its build. A dataset with this stamp has the rows of the shard, unless they
were deleted since.

Searches map the files into memory. Those at a URL are copied to a cache folder first, once.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from platformdirs import user_cache_path

from embedkit._internal.artifacts import (
    DIGEST,
    storage_errors,
    sweep,
    sync_folder,
    temporary_beside,
    with_digest,
    without_digest,
)
from embedkit._internal.sealed import FOOTER_BYTES, DamagedFile, SealedFile, described, sealed
from embedkit.cluster.location import Location
from embedkit.errors import BadArtefact
from embedkit.index.manifest import FileRecord

FORMAT = 2
"""Version of the manifest and of the files."""
MANIFEST = "manifest.json"
UNFINISHED = "unfinished.json"
"""Manifest of a build that has not ended."""
ENDING = ".sealed"

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class ShardRecord:
    """The inverted lists of the rows whose ids are in a range."""

    file: FileRecord
    head: int
    """Bytes of the file before the lists."""
    rows: int
    """Number of rows when the shard was built."""
    first: int
    stop: int
    """The row ids are at least ``first`` and less than ``stop``."""
    stamp: str
    """Stamp of the dataset from which the shard was built."""


@dataclass(frozen=True)
class StoreManifest:
    """The description of an index. It contains all rows of one version of the embeddings."""

    spec: str
    """Digest of the embedding spec."""
    version: int
    """Version of the dataset."""
    fragments: tuple[int, ...]
    """Fragments of that version."""
    stamp: str
    """Stamp of that version."""
    factory: str
    """FAISS factory string."""
    trained: int
    """Number of rows when FAISS was trained."""
    centroids: FileRecord
    """The trained index without vectors."""
    sample: FileRecord
    """The queries that measure the recall, and what was found for them."""
    shards: tuple[ShardRecord, ...]
    effort: int = 0
    """``nprobe`` of a search for ten matches."""
    recall_at_10: float = 0.0
    """Measured recall with this effort."""
    faiss: str = ""
    """Version of FAISS that wrote the files."""
    format: int = FORMAT

    @property
    def files(self) -> list[FileRecord]:
        """All files."""
        return [self.centroids, self.sample, *(shard.file for shard in self.shards)]

    @property
    def stamps(self) -> set[str]:
        """The stamps of the version and of the shards."""
        return {self.stamp, *(shard.stamp for shard in self.shards)}


def _manifest(content: dict[str, object]) -> StoreManifest:
    fields = dict(content)
    shards = fields.pop("shards")
    assert isinstance(shards, list)
    for name in ("centroids", "sample"):
        fields[name] = FileRecord(**fields[name])  # type: ignore[arg-type]
    fields["fragments"] = tuple(fields["fragments"])  # type: ignore[arg-type]
    fields["shards"] = tuple(
        ShardRecord(**{**shard, "file": FileRecord(**shard["file"])}) for shard in shards
    )
    return StoreManifest(**fields)  # type: ignore[arg-type]


class StoreIndexFiles:
    """The folder of the index of a spec.

    Parameters
    ----------
    store : Location
        The store.
    spec : str
        Digest of the spec.
    """

    def __init__(self, store: Location, spec: str) -> None:
        self.location = store / f"index-{spec}"
        self._spec = spec

    @property
    def _folder(self) -> Path:
        """The folder of the files that are opened: that of the index, or a cache of it."""
        if self.location.is_local:
            return Path(self.location.path)
        place = sha256(self.location.place.encode()).hexdigest()[:32]
        return user_cache_path("embedkit") / "stores" / place

    # -- manifests ---------------------------------------------------------------------------------

    def manifest(self, name: str = MANIFEST) -> StoreManifest | None:
        """Return a manifest; None if there is none, or if it is of another version of embedkit.

        Raises :class:`BadArtefact` for one that is damaged, and :class:`StorageError`.
        """
        place = self.location / name
        content = place.read_json()
        if content is None:
            return None
        content = without_digest(place, content)
        if content.get("format") != FORMAT or content.get("spec") != self._spec:
            return None
        try:
            return _manifest(content)
        except (AssertionError, KeyError, TypeError) as error:
            raise BadArtefact(f"{place} is not the manifest of an index") from error

    def save(self, manifest: StoreManifest, name: str = MANIFEST) -> None:
        """Write a manifest whole. Raises :class:`StorageError`."""
        assert DIGEST not in asdict(manifest)
        (self.location / name).write_json(with_digest(asdict(manifest)))

    # -- files -------------------------------------------------------------------------------------

    def add(self, role: str, write: Callable[[Path], _Result]) -> tuple[FileRecord, _Result]:
        """Write a file whole; return its record and the result of ``write``.

        Raises :class:`StorageError`.
        """
        with storage_errors(f"cannot write the index {self.location}"):
            folder = self._folder
            folder.mkdir(parents=True, exist_ok=True)
            with temporary_beside(folder / role) as temporary:
                with sealed(temporary) as content:
                    result = write(content)
                digest = SealedFile(temporary).digest
                record = FileRecord(f"{role}-{digest[:16]}{ENDING}", digest)
                if not self.location.is_local:
                    remote = self.location / record.name
                    with remote.errors():
                        remote.filesystem.put_file(str(temporary), remote.path)
                os.replace(temporary, folder / record.name)
                if self.location.is_local:
                    sync_folder(folder)
            return record, result

    def open(self, record: FileRecord) -> SealedFile:
        """Return a file, mapped; one at a URL is fetched first, unless it is in the cache.

        Raises OSError, :class:`StorageError` and :class:`DamagedFile`.
        """
        path = self._folder / Path(record.name).name
        if self.location.is_local:
            return SealedFile(path, record.digest)
        with suppress(FileNotFoundError, DamagedFile):
            return SealedFile(path, record.digest)
        remote = self.location / path.name
        with storage_errors(f"cannot write to the cache {path.parent}"):
            path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_beside(path) as temporary:
            with remote.errors():
                remote.filesystem.invalidate_cache()
                remote.filesystem.get_file(remote.path, str(temporary))
            os.replace(temporary, path)
        return SealedFile(path, record.digest)

    def forget(self, record: FileRecord) -> bool:
        """Remove the cached copy of a file at a URL; return whether there was one."""
        if self.location.is_local:
            return False
        path = self._folder / Path(record.name).name
        is_cached = path.exists()
        path.unlink(missing_ok=True)
        return is_cached

    def is_intact(self, record: FileRecord) -> bool:
        """Return whether a file is complete and undamaged.

        The content of a file at a URL is left to its storage, which has checksums of its own.
        """
        try:
            if self.location.is_local:
                SealedFile(self._folder / Path(record.name).name, record.digest).check()
                return True
            remote = self.location / Path(record.name).name
            remote.filesystem.invalidate_cache()
            size = int(remote.filesystem.size(remote.path))
            footer = remote.filesystem.cat_file(remote.path, start=size - FOOTER_BYTES, end=size)
            return described(footer) == (size, record.digest)
        except (OSError, DamagedFile):
            return False

    def size(self, record: FileRecord) -> int:
        """Return the size of a file in bytes. Raises :class:`StorageError`."""
        file = self.location / Path(record.name).name
        with file.errors():
            return int(file.filesystem.size(file.path))

    def tidy(self, manifest: StoreManifest) -> None:
        """Remove the files that a manifest does not list. Raises :class:`StorageError`."""
        kept = {item.name for item in manifest.files}
        with self.location.errors():
            filesystem = self.location.filesystem
            filesystem.invalidate_cache()
            for path in filesystem.ls(self.location.path, detail=False):
                name = str(path).rsplit("/", 1)[-1]
                if name.endswith(ENDING) and name not in kept:
                    (self.location / name).remove()
        self.tidy_cache(manifest)

    def tidy_cache(self, manifest: StoreManifest) -> None:
        """Remove cached files that a manifest does not list."""
        if self.location.is_local or not self._folder.is_dir():
            return
        kept = {item.name for item in manifest.files}
        for path in self._folder.glob(f"*{ENDING}"):
            if path.name not in kept:
                with suppress(PermissionError):  # on Windows, while a process has it mapped
                    path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove the temporary files of builds that were killed."""
        sweep(self._folder)

    def remove(self) -> None:
        """Remove the index, if there is one. Raises :class:`StorageError`."""
        self.location.remove()
