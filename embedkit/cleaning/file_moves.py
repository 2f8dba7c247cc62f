"""Moves of files that never overwrite, lose or half-write one, on one device or across two.

A move has two steps: the content comes to be at its target, whole and under its own name at once;
then it goes from its source. After a crash between the two it is in both places, and the same
move, made again, finishes. :func:`replace_by_link` and :func:`restore_over` do the second step by a
rename, so that a path always exists, as the file or as the link.
"""

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from embedkit._internal.artifacts import sha256_of, sync_folder

PART = ".embedkit-*.part"
"""Names of copies that are not finished."""

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_OTHER_CONTENT = "other content lies where it should go"
_CHUNK = 1 << 20


def move(source: str, target: str, seen: os.stat_result) -> None:
    """Move a regular file, as ``os.lstat`` has ``seen`` it, to where nothing is yet.

    Where the same content is already, the source goes away. Content, times and mode are kept.
    Raises OSError, with everything as it was, when something else is at the target, when the
    source has changed meanwhile, or when the system refuses.
    """
    discard_part(source)  # of a killed move the other way
    discard_part(target)
    made = not os.path.lexists(target)
    if made:
        check_unchanged(source, seen)
        if _put(source, target):
            return
    elif not _same_content(source, target):
        raise FileExistsError(errno.EEXIST, _OTHER_CONTENT)
    try:
        _drop(source, seen)
    except OSError:
        if made:
            os.unlink(target)
        raise


def replace_by_link(
    source: str, target: str, seen: os.stat_result, make: Callable[[str], None]
) -> None:
    """Move a file as :func:`move` does, and put a link in its place by one rename.

    ``make`` makes the link under the name that it is given. The content is at ``target`` on disk
    before the rename. Raises OSError, with everything as it was.
    """
    discard_part(source)
    discard_part(target)
    made = not os.path.lexists(target)
    if made:
        check_unchanged(source, seen)
        if not _linked(source, target):
            _copy(source, target)
        sync_folder(Path(target).parent)
    elif not _same_content(source, target):
        raise FileExistsError(errno.EEXIST, _OTHER_CONTENT)
    try:
        make(_part(source))
        check_unchanged(source, seen)
        os.replace(_part(source), source)
    except OSError:
        discard_part(source)
        if made:
            os.unlink(target)
        raise


def restore_over(source: str, target: str, is_replaceable: Callable[[str], bool]) -> None:
    """Move a file over what lies at ``target``, by one rename.

    Raises OSError, with everything as it was, unless ``is_replaceable`` is true of ``target`` right
    before the rename, or when the system refuses.
    """
    discard_part(target)
    try:
        is_copy = not _linked(source, _part(target))
        if is_copy:
            _write(source, _part(target))
        if not is_replaceable(target):
            raise FileExistsError(errno.EEXIST, _OTHER_CONTENT)
        os.replace(_part(target), target)
    finally:
        discard_part(target)
    if is_copy:
        sync_folder(Path(target).parent)
    os.unlink(source)


def discard_part(target: str) -> None:
    """Remove what a killed move has left beside its target."""
    if os.path.lexists(part := _part(target)):
        os.unlink(part)


def same_file(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether two looks saw one file, unchanged between them."""
    return os.path.samestat(one, other) and (one.st_size, one.st_mtime_ns) == (
        other.st_size,
        other.st_mtime_ns,
    )


def check_unchanged(path: str, seen: os.stat_result) -> None:
    """Raise OSError unless a file is as it was ``seen``."""
    if not same_file(os.lstat(path), seen):
        raise OSError(errno.EBUSY, "it changed while it was being moved")


def _put(source: str, target: str) -> bool:
    """Bring a file to its target; whether it is gone from its source by that."""
    try:
        return _place(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, target)
        return False


def _place(source: str, target: str) -> bool:
    """Give a file the name ``target`` on its device; whether only that, for want of hard links."""
    try:
        os.link(source, target)
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        os.rename(source, target)
        return True


def _linked(source: str, target: str) -> bool:
    """Give a file the name ``target`` too; False where no hard link can do that."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV and error.errno not in _NO_LINKS:
            raise
        return False
    return True


def _copy(source: str, target: str) -> None:
    part = _part(target)
    try:
        _write(source, part)
        _place(part, target)
    finally:
        discard_part(target)
    sync_folder(Path(target).parent)


def _write(source: str, part: str) -> None:
    """Write a copy of a file, with its times and mode, to disk, and read it back."""
    digest = hashlib.sha256()
    with open(source, "rb") as reading, open(part, "xb") as writing:
        while chunk := reading.read(_CHUNK):
            digest.update(chunk)
            writing.write(chunk)
        writing.flush()
        _copy_status(source, part)
        os.fsync(writing.fileno())
    if sha256_of(Path(part)) != digest.hexdigest():
        raise OSError(errno.EIO, "the copy is not what was written; the disk may be failing")


def _copy_status(source: str, target: str) -> None:
    status = os.stat(source)
    if hasattr(os, "chown"):
        with suppress(PermissionError):  # only root may give files away
            os.chown(target, status.st_uid, status.st_gid)
    shutil.copystat(source, target)


def _drop(source: str, seen: os.stat_result) -> None:
    try:
        check_unchanged(source, seen)
        os.unlink(source)
    except FileNotFoundError:
        return  # what was asked for, by whomever


def _same_content(one: str, other: str) -> bool:
    first, second = os.lstat(one), os.lstat(other)
    if not (stat.S_ISREG(first.st_mode) and stat.S_ISREG(second.st_mode)):
        return False
    if os.path.samestat(first, second):
        return True
    return first.st_size == second.st_size and sha256_of(Path(one)) == sha256_of(Path(other))


def _part(target: str) -> str:
    """Where a copy grows until it is whole: beside its target, whatever that is called."""
    folder, name = os.path.split(target)
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return os.path.join(folder, PART.replace("*", digest))
