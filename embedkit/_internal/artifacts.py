"""Read and write embedkit's own files: atomic writes, and digests that are checked when reading."""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from embedkit._internal.paths import shown
from embedkit.errors import BadArtefact, StorageError

DIGEST = "digest"
"""Key of the digest in a JSON object."""
MAX_JSON_BYTES = 64 << 20
"""Maximum size of a JSON file to read, bytes; embedkit's own files have a few kilobytes."""
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""Numbers of the errors of a full disk."""

_CHUNK = 1 << 20
_ENDINGS = ("", ".wal")
_TEMPORARY = re.compile(r"(\..+\.(\d+)\.tmp)(?:\.wal)?")
_in_use: set[str] = set()
"""Names of the temporary files that this process is using."""


@contextmanager
def temporary_beside(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target``, for a file or folder that is removed afterwards.

    Its name ends with the process id and ``.tmp``. A file of the same name with ``.wal``, which
    DuckDB writes, is removed too. :func:`sweep` removes the files of killed processes.
    """
    name = f".{target.name}.{secrets.token_hex(4)}.{os.getpid()}.tmp"
    _in_use.add(name)
    try:
        yield target.with_name(name)
    finally:
        for ending in _ENDINGS:
            _remove(target.with_name(name + ending))
        _in_use.discard(name)


@contextmanager
def atomic_write(target: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``target`` that replaces it when the block ends.

    The file is flushed to disk before the rename and the folder after it, so that after a crash
    ``target`` has either its old or its new content. After an exception the temporary file is
    removed. Without ``durable`` nothing is flushed: a power failure may lose or damage the file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with temporary_beside(target) as temporary:
        yield temporary
        if durable:
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, target)
    if durable:
        sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk, where the system supports it."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sweep(folder: Path, trees: Sequence[str] = ()) -> None:
    """Remove the temporary files that killed processes have left in ``folder``.

    Its subfolders ``trees`` are searched recursively. Files that cannot be removed are skipped.
    """
    _sweep(folder, os.listdir(folder) if folder.is_dir() else ())
    for tree in trees:
        for place, folders, files in os.walk(folder / tree):
            _sweep(Path(place), [*folders, *files])


def _sweep(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        owner = _TEMPORARY.fullmatch(name)
        if owner is None or owner[1] in _in_use:
            continue
        process = int(owner[2])
        # A name with this process id that is not in use is from an earlier process.
        if process == os.getpid() or not _is_running(process):
            _remove(folder / name)


def _remove(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _is_running(process: int) -> bool:
    if os.name != "posix":
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OverflowError, PermissionError):
        return True
    return True


def storage_error(action: str, error: Exception, unaffected: str = "") -> StorageError:
    """Return the error for a failed disk access: the action, its cause and a remedy.

    ``unaffected`` says what the failure leaves intact, as a clause.
    """
    cause = getattr(error, "strerror", None) or next(iter(str(error).strip().splitlines()), "")
    cause = shown(cause or type(error).__name__)
    full = any(os.strerror(number) in cause for number in DISK_FULL)
    remedy = "free some space" if full else "fix the problem"
    parts = (f"{action}: {cause}", unaffected, f"{remedy}, then run the same command again")
    return StorageError("; ".join(filter(None, parts)))


@contextmanager
def storage_errors(action: str, unaffected: str = "") -> Iterator[None]:
    """Convert an OSError in the block with :func:`storage_error`."""
    try:
        yield
    except OSError as error:
        raise storage_error(action, error, unaffected) from error


def write_file(target: Path, content: bytes) -> None:
    """Write a file atomically; raises :class:`StorageError` when that fails."""
    with storage_errors(f"cannot write {shown(str(target))}"), atomic_write(target) as temporary:
        temporary.write_bytes(content)


def write_json(target: Path, content: dict[str, Any]) -> None:
    """Write a JSON object to ``target`` atomically.

    Raises ValueError for NaN and infinities, which JSON does not have.
    """
    text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n"
    with atomic_write(target) as temporary:
        temporary.write_text(text, "utf-8")


def read_json(source: Path) -> dict[str, Any]:
    """Read the JSON object in ``source``.

    Raises OSError for a file that cannot be read, and :class:`BadArtefact` for anything other than
    a JSON object, and for one that is nested too deeply or larger than :data:`MAX_JSON_BYTES`.
    """
    if regular_file_size(source) > MAX_JSON_BYTES:
        raise BadArtefact(f"{source} is damaged (more than {MAX_JSON_BYTES >> 20} MB)")
    try:
        content = json.loads(source.read_text("utf-8"), parse_constant=_reject_constant)
    except RecursionError as error:
        raise BadArtefact(f"{source} is damaged (nested too deeply)") from error
    except ValueError as error:
        raise BadArtefact(f"{source} is damaged ({error})") from error
    if not isinstance(content, dict):
        raise BadArtefact(f"{source} is damaged (not an object)")
    return content


def _reject_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")


def with_digest(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object with a digest of its content added."""
    return {**content, DIGEST: _digest(content)}


def without_digest(source: object, content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON object read from ``source``, a path or another place, without its digest.

    Raises :class:`BadArtefact` when the digest is not that of the content.
    """
    rest = {name: value for name, value in content.items() if name != DIGEST}
    try:
        is_valid = content.get(DIGEST) == _digest(rest)
    except RecursionError:
        is_valid = False
    if not is_valid:
        raise BadArtefact(f"{source} is damaged or was edited")
    return rest


def _digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256, hex, of an object as JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def regular_file_size(source: str | os.PathLike[str]) -> int:
    """Return the size of a regular file in bytes, following links.

    Raises OSError for a missing file and for anything else, such as a device, which has no end.
    """
    status = os.stat(source)
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(source))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "Not a regular file", os.fspath(source))
    return status.st_size


def sha256_of(source: Path) -> str:
    """Return the SHA-256 of a file's content, hex."""
    digest = hashlib.sha256()
    with open(source, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
