"""Copy heads between a workspace and a store.

``heads/NAME/files.json`` in a store names the files of a head with their SHA-256, and is written
last: without it there is no head. In a workspace the manifest of the head is written last.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedkit._internal.artifacts import (
    DIGEST,
    atomic_write,
    sha256_of,
    storage_errors,
    with_digest,
    without_digest,
)
from embedkit._internal.locks import exclusive_lock
from embedkit._internal.paths import shown
from embedkit.classify.heads.embedding_head import ENSEMBLE
from embedkit.classify.heads.store import MANIFEST, check_name, load_head, names
from embedkit.cluster.location import Location
from embedkit.cluster.merging import Differences
from embedkit.cluster.store import StoreContent
from embedkit.errors import BadArtefact, BadInput, EmbedkitError, HeadBusy
from embedkit.results import Progress, ProgressCallback
from embedkit.results.store import Difference

FILES = "files.json"
_CHUNK = 8 << 20
_DIGEST = re.compile("[0-9a-f]{64}")

_TRAINING = re.compile(r"checkpoint\.safetensors|best-\d+\.safetensors")
"""Files of a fine-tuning that is not finished."""

Copied = tuple[tuple[str, ...], tuple[str, ...]]
"""Names of the heads that were copied, and warnings."""


def push_heads(
    folder: Path, store: StoreContent, found: Differences, progress: ProgressCallback
) -> Copied:
    """Copy the heads in a workspace's folder of heads to a store.

    Files of these heads that are damaged or missing in the store are copied again. A head that
    cannot be loaded is not copied, and a warning says so. Ensembles are copied after their members,
    and not if the store has another head of the name of a member.
    """
    copied: list[str] = []
    warnings: list[str] = []
    differing: set[str] = set()
    for name, members in _in_order(folder, warnings):
        progress(Progress(f"copying the head {shown(name)}"))
        with _locked(folder, name):
            mine = _digests(folder / name)
            try:
                stored = _StoredHead.read(store, name)
            except BadArtefact:
                stored = None  # its manifest is written again
            if stored is not None and stored.files != mine:
                differing.add(name)
                found.add(_difference(name, stored.files, mine))
            elif stored is None and differing & set(members):
                warnings.append(_without_member(name))
            else:
                head = _StoredHead(name, mine, members)
                if _push_head(folder / name, head, stored, store.location / f"heads/{name}"):
                    copied.append(name)
    return tuple(copied), tuple(warnings)


def pull_heads(
    folder: Path, store: StoreContent, found: Differences, progress: ProgressCallback
) -> Copied:
    """Copy the heads of a store to a workspace's folder of heads: see :func:`push_heads`.

    A head whose files are damaged or missing is not copied, and a warning says so.
    """
    copied: list[str] = []
    warnings: list[str] = []
    differing: set[str] = set()
    heads: list[_StoredHead] = []
    for name in _stored_names(store):
        try:
            stored = _StoredHead.read(store, name)
        except BadArtefact as error:
            differing.add(name)
            warnings.append(str(error))
            continue
        if stored is not None:
            heads.append(stored)
    for head in sorted(heads, key=lambda head: bool(head.members)):
        progress(Progress(f"copying the head {shown(head.name)}"))
        own_folder = folder / head.name
        with storage_errors(f"cannot write to {shown(str(own_folder))}"):
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(folder, head.name):
                mine = _digests(own_folder) if (own_folder / MANIFEST).is_file() else None
                if mine is not None and mine != head.files:
                    differing.add(head.name)
                    found.add(_difference(head.name, mine, head.files))
                elif mine is None and any(
                    member in differing or not (folder / member / MANIFEST).is_file()
                    for member in head.members
                ):
                    warnings.append(_without_member(head.name))
                elif mine is None:
                    try:
                        _pull_head(store.location / f"heads/{head.name}", head.files, own_folder)
                        copied.append(head.name)
                    except BadArtefact as error:
                        differing.add(head.name)
                        warnings.append(str(error))
    return tuple(copied), tuple(warnings)


def _in_order(folder: Path, warnings: list[str]) -> list[tuple[str, list[str]]]:
    """Return the heads with the names of their members, members first."""
    heads = []
    for name in names(folder):
        try:
            head = load_head(folder, name)
        except EmbedkitError as error:
            warnings.append(f"the head {shown(name)} was not copied: {error}")
            continue
        is_ensemble = head.kind == ENSEMBLE
        members = [item["name"] for item in head.settings["members"]] if is_ensemble else []
        heads.append((name, members))
    return sorted(heads, key=lambda item: bool(item[1]))


@contextmanager
def _locked(folder: Path, name: str) -> Iterator[None]:
    busy = HeadBusy(f"another process is training {shown(name)}; wait until it is done")
    with exclusive_lock(folder / f".{name}.lock", busy):
        yield


def _digests(head: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a head, by its path below the folder."""
    files = (file for file in head.rglob("*") if file.is_file())
    return {
        file.relative_to(head).as_posix(): sha256_of(file)
        for file in files
        if not any(part.startswith(".") for part in file.relative_to(head).parts)
        and not _TRAINING.fullmatch(file.name)
    }


def _without_member(name: str) -> str:
    return f"the ensemble {shown(name)} was not copied, because a head of a member was not"


def _difference(name: str, kept: dict[str, str], other: dict[str, str]) -> Difference:
    return Difference("head", name, *(str(files.get(MANIFEST)) for files in (kept, other)))


# -- a store ---------------------------------------------------------------------------------------


def _stored_names(store: StoreContent) -> list[str]:
    """Return the names of the folders of heads of a store, sorted."""
    place = store.location / "heads"
    with place.errors():
        place.filesystem.invalidate_cache()
        try:
            found = place.filesystem.ls(place.path, detail=False)
        except FileNotFoundError:
            return []
    listed = sorted(str(path).rstrip("/").rsplit("/", 1)[-1] for path in found)
    return [name for name in listed if name != "heads"]


@dataclass(frozen=True)
class _StoredHead:
    """The manifest of a head in a store."""

    name: str
    files: dict[str, str]
    """SHA-256 of each file, by its path below the folder of the head."""
    members: list[str]
    """Names of the members of an ensemble."""

    @classmethod
    def read(cls, store: StoreContent, name: str) -> "_StoredHead | None":
        """Return a head of a store; None if there is none, or not all of it yet.

        Raises :class:`BadArtefact` when its manifest is damaged.
        """
        place = store.location / f"heads/{name}/{FILES}"
        try:
            manifest = place.read_json()
            if manifest is None:
                return None
            if DIGEST in manifest:  # earlier versions wrote none
                manifest = without_digest(place, manifest)
            files, members = manifest.get("files"), manifest.get("members")
            if (
                not isinstance(files, dict)
                or not all(map(_is_entry, files.items()))
                or not isinstance(members, list)
                or not all(isinstance(member, str) for member in members)
                or check_name(name) != name
            ):
                raise BadArtefact("not the files of a head")
        except (BadArtefact, BadInput) as error:
            folder = store.location / f"heads/{name}"
            raise BadArtefact(
                f"{place} is damaged; push {shown(name)} again from a workspace that has it, or "
                f"delete {folder}"
            ) from error
        return cls(name, files, members)


def _is_entry(entry: tuple[str, Any]) -> bool:
    """Return whether an entry names a file below the folder of a head, with a SHA-256."""
    path, digest = entry
    parts = path.split("/")
    is_inside = all(part and not part.startswith(".") for part in parts) and "\\" not in path
    return is_inside and isinstance(digest, str) and _DIGEST.fullmatch(digest) is not None


def _push_head(
    folder: Path, head: _StoredHead, stored: _StoredHead | None, place: Location
) -> bool:
    """Copy what the store lacks of a head, its manifest last; return whether that was anything."""
    with place.errors():
        place.filesystem.invalidate_cache()
        place.filesystem.makedirs(place.path, exist_ok=True)
    is_copied = False
    for path, digest in head.files.items():
        target = place / digest
        if not _is_intact(target, digest):
            is_copied = True
            with target.errors():
                target.filesystem.put_file(str(folder / path), target.path)
    if stored is None:
        content = {"files": head.files, "members": head.members}
        (place / FILES).write_json(with_digest(content))
    return is_copied or stored is None


def _is_intact(source: Location, digest: str) -> bool:
    """Return whether a file in a store exists and has a SHA-256."""
    actual = hashlib.sha256()
    try:
        for chunk in _content(source):
            actual.update(chunk)
    except BadArtefact:
        return False
    return actual.hexdigest() == digest


def _pull_head(place: Location, digests: dict[str, str], head: Path) -> None:
    """Copy the files of a head, its manifest last.

    Raises :class:`BadArtefact` for a file that is missing or has another SHA-256.
    """
    for path in sorted(digests, key=lambda path: path == MANIFEST):
        source = place / digests[path]
        actual = hashlib.sha256()
        with atomic_write(head / path) as temporary, open(temporary, "wb") as file:
            for chunk in _content(source):
                actual.update(chunk)
                file.write(chunk)
            if actual.hexdigest() != digests[path]:
                raise BadArtefact(f"{source} is damaged; push {shown(head.name)} again")


def _content(source: Location) -> Iterator[bytes]:
    """Yield a file of a head. Raises :class:`BadArtefact` if it is missing."""
    with source.errors():
        try:
            with source.filesystem.open(source.path, "rb") as stream:
                while chunk := stream.read(_CHUNK):
                    yield chunk
        except FileNotFoundError as error:
            head = shown(source.path.split("/")[-2])
            raise BadArtefact(f"{source} is missing; push {head} again") from error
