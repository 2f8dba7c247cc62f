"""Moves of files that never overwrite, lose or truncate one, on one device or across two.

A move has two steps: first the complete content appears under its target name at once, then the
source is removed. After a crash between the two, it is in both places, and repeating the move
finishes it. :func:`replace_by_link` and :func:`restore_over` do the second step by a rename, so
that the path always exists, as the file or as the link.
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

PARTIAL_PATTERN = ".embedkit-*.part"
"""Pattern of the names of unfinished copies."""

_NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_OTHER_CONTENT = "its place is taken by other content"
_CHUNK = 1 << 20


def move(source: str, target: str, status: os.stat_result) -> None:
    """Move a regular file with the given ``status`` to a path where nothing exists.

    If the same content is already there, the source is removed. Content, times and mode are kept.
    Raises OSError, with everything as before, when something else is at the target, when the source
    has changed, or when the system refuses.
    """
    remove_partial_copy(source)  # left by a killed move in the other direction
    remove_partial_copy(target)
    is_new = not os.path.lexists(target)
    if is_new:
        check_unchanged(source, status)
        if _copy_to_target(source, target):
            return
    elif not _same_content(source, target):
        raise FileExistsError(errno.EEXIST, _OTHER_CONTENT)
    try:
        _remove_source(source, status)
    except OSError:
        if is_new:
            os.unlink(target)
        raise


def replace_by_link(
    source: str, target: str, status: os.stat_result, make_link: Callable[[str], None]
) -> None:
    """Move a file as :func:`move` does, and put a link in its place by one rename.

    ``make_link`` creates the link at a given path. The content is on disk at ``target`` before the
    rename. Raises OSError as :func:`move` does, with everything as before.
    """
    remove_partial_copy(source)
    remove_partial_copy(target)
    is_new = not os.path.lexists(target)
    if is_new:
        check_unchanged(source, status)
        if not _try_hard_link(source, target):
            _copy(source, target)
        sync_folder(Path(target).parent)
    elif not _same_content(source, target):
        raise FileExistsError(errno.EEXIST, _OTHER_CONTENT)
    try:
        make_link(_partial_path(source))
        check_unchanged(source, status)
        os.replace(_partial_path(source), source)
    except OSError:
        remove_partial_copy(source)
        if is_new:
            os.unlink(target)
        raise


def restore_over(source: str, target: str, is_replaceable: Callable[[str], bool]) -> None:
    """Move a file to ``target``, replacing what is there, by one rename.

    Raises OSError, with everything as before, unless ``is_replaceable`` accepts ``target`` right
    before the rename, or when the system refuses.
    """
    remove_partial_copy(target)
    try:
        is_copy = not _try_hard_link(source, _partial_path(target))
        if is_copy:
            _write(source, _partial_path(target))
        if not is_replaceable(target):
            raise FileExistsError(errno.EEXIST, _OTHER_CONTENT)
        os.replace(_partial_path(target), target)
    finally:
        remove_partial_copy(target)
    if is_copy:
        sync_folder(Path(target).parent)
    os.unlink(source)


def remove_partial_copy(target: str) -> None:
    """Remove the unfinished copy that a killed move left beside its target."""
    if os.path.lexists(partial := _partial_path(target)):
        os.unlink(partial)


def same_file(one: os.stat_result, other: os.stat_result) -> bool:
    """Return whether two statuses are of one file, unchanged between them."""
    return os.path.samestat(one, other) and (one.st_size, one.st_mtime_ns) == (
        other.st_size,
        other.st_mtime_ns,
    )


def check_unchanged(path: str, status: os.stat_result) -> None:
    """Raise OSError unless a file still has a status."""
    if not same_file(os.lstat(path), status):
        raise OSError(errno.EBUSY, "it changed while it was being moved")


def _copy_to_target(source: str, target: str) -> bool:
    """Make the content of a file appear at its target. Returns whether the source was removed."""
    try:
        return _link_or_rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _copy(source, target)
        return False


def _link_or_rename(source: str, target: str) -> bool:
    """Link a file to ``target`` on its device, or rename it where hard links are not possible.
    Returns whether it was renamed."""
    try:
        os.link(source, target)
        return False
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
        os.rename(source, target)
        return True


def _try_hard_link(source: str, target: str) -> bool:
    """Create a hard link at ``target``; return whether that was possible."""
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV and error.errno not in _NO_HARD_LINKS:
            raise
        return False
    return True


def _copy(source: str, target: str) -> None:
    partial = _partial_path(target)
    try:
        _write(source, partial)
        _link_or_rename(partial, target)
    finally:
        remove_partial_copy(target)
    sync_folder(Path(target).parent)


def _write(source: str, partial: str) -> None:
    """Write a copy of a file, with its times and mode, to disk, and verify it."""
    digest = hashlib.sha256()
    with open(source, "rb") as reader, open(partial, "xb") as writer:
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
        writer.flush()
        _copy_status(source, partial)
        os.fsync(writer.fileno())
    if sha256_of(Path(partial)) != digest.hexdigest():
        raise OSError(errno.EIO, "the copy differs from what was written; the disk may be failing")


def _copy_status(source: str, target: str) -> None:
    status = os.stat(source)
    if hasattr(os, "chown"):
        with suppress(PermissionError):  # only root may change the owner
            os.chown(target, status.st_uid, status.st_gid)
    shutil.copystat(source, target)


def _remove_source(source: str, status: os.stat_result) -> None:
    try:
        check_unchanged(source, status)
        os.unlink(source)
    except FileNotFoundError:
        return  # another program removed it


def _same_content(one: str, other: str) -> bool:
    first, second = os.lstat(one), os.lstat(other)
    if not (stat.S_ISREG(first.st_mode) and stat.S_ISREG(second.st_mode)):
        return False
    if os.path.samestat(first, second):
        return True
    return first.st_size == second.st_size and sha256_of(Path(one)) == sha256_of(Path(other))


def _partial_path(target: str) -> str:
    """Return the path of the unfinished copy beside a target: short, whatever the target's name."""
    folder, name = os.path.split(target)
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:16]
    return os.path.join(folder, PARTIAL_PATTERN.replace("*", digest))
