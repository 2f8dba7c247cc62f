"""Find the image files below a folder in a deterministic order."""

import os
import stat
from collections.abc import Container, Iterator
from dataclasses import dataclass

from embedkit._internal.paths import shown, size_and_mtime
from embedkit.errors import BadInput
from embedkit.images.patterns import Patterns
from embedkit.results import Failure

SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".gif", ".bmp", ".dib", ".tif",
    ".tiff", ".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".avif", ".heic", ".heif",
    ".3fr", ".arw", ".cr2", ".cr3", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos", ".mrw",
    ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf", ".srw", ".x3f",
)  # fmt: skip
"""File name suffixes of images. The format is determined from the content of a file."""

_NOTHING = Patterns(())


@dataclass(frozen=True)
class FoundFile:
    """A candidate image file, as listed in its folder."""

    path: str
    bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Skipped:
    """A file or folder that is not read."""

    path: str
    patterns: tuple[str, ...] = ()
    """The patterns that exclude it; empty for a file without an image suffix."""


def scan(
    source: str,
    skip: str | None = None,
    exclude: Patterns = _NOTHING,
    named: Container[str] = (),
) -> Iterator[FoundFile | Failure | Skipped]:
    """Yield every candidate image file at or below ``source``, an absolute path.

    ``source`` itself may be a file with any suffix. In folders, names that begin with a dot and the
    folder ``skip`` are ignored. Paths that match ``exclude`` and files without an image suffix are
    yielded as :class:`Skipped`. The absolute paths ``named`` are never excluded; patterns apply to
    the path below the innermost of them.

    Links to folders are followed after all real folders. Each real folder is entered once, so loops
    end. A folder that cannot be listed, a broken link or a special file with an image suffix is
    yielded as a :class:`Failure`.

    Raises :class:`BadInput` when ``source`` does not exist.
    """
    try:
        status = os.stat(source)
    except OSError as error:
        raise BadInput(
            f"{shown(source)}: {error.strerror or error}; give a photo or a folder of photos"
        ) from error
    if not stat.S_ISDIR(status.st_mode):
        yield _candidate(source, status)
        return

    entered = {(status.st_dev, status.st_ino)}
    if skip is not None and os.path.isdir(skip):
        skipped = os.stat(skip)
        entered.add((skipped.st_dev, skipped.st_ino))
    real: list[str] = [source]
    linked: list[str] = []
    while real or linked:
        folder = real.pop() if real else linked.pop(0)
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            yield Failure(folder, "scan", error.strerror or str(error))
            continue
        subfolders = []
        start = len(os.path.join(_base(folder, source, named), ""))
        for entry in entries:
            if entry.name.startswith("."):
                continue
            is_image_name = suffix_of(entry.name) in SUFFIXES
            try:
                is_folder = entry.is_dir()
                below_source = entry.path[start:].replace(os.sep, "/")
                patterns = exclude.matching(below_source, is_folder=is_folder)
                if patterns and entry.path not in named:
                    yield Skipped(entry.path, patterns)
                elif is_folder:
                    status = entry.stat()
                    if (status.st_dev, status.st_ino) in entered:
                        continue
                    if entry.is_symlink():
                        linked.append(entry.path)
                    else:
                        entered.add((status.st_dev, status.st_ino))
                        subfolders.append(entry.path)
                elif is_image_name:
                    yield _candidate(entry.path, entry.stat())
                else:
                    yield Skipped(entry.path)
            except OSError as error:
                if is_image_name:
                    yield Failure(entry.path, "scan", error.strerror or str(error))
        real.extend(reversed(subfolders))
        while not real and linked and not _enter(linked[0], entered):
            linked.pop(0)


def suffix_of(name: str) -> str:
    """Return the suffix of a file name in lower case, with its dot; empty without one."""
    return os.path.splitext(name)[1].lower()


def _base(folder: str, source: str, named: Container[str]) -> str:
    """Return the folder below which patterns apply: the source or the innermost named folder."""
    while folder != source and folder not in named:
        folder = os.path.dirname(folder)
    return folder


def _enter(folder: str, entered: set[tuple[int, int]]) -> bool:
    """Mark a linked folder as entered; return False when its target was entered before."""
    try:
        status = os.stat(folder)
    except OSError:
        return True  # listing it reports the error
    identity = (status.st_dev, status.st_ino)
    if identity in entered:
        return False
    entered.add(identity)
    return True


def _candidate(path: str, status: os.stat_result) -> FoundFile | Failure:
    if not stat.S_ISREG(status.st_mode):
        return Failure(path, "scan", f"not a regular file ({_kind(status.st_mode)})")
    return FoundFile(path, *size_and_mtime(status))


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFIFO: "named pipe",
        stat.S_IFSOCK: "socket",
        stat.S_IFCHR: "character device",
        stat.S_IFBLK: "block device",
    }
    return kinds.get(stat.S_IFMT(mode), "special file")
