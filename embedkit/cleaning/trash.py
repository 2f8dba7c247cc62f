"""The system's trash: sending files there, and finding them again.

If the trash follows the FreeDesktop specification, a file is found by the info file that records
its original path. macOS and Windows do not report where a file is in their trash.
"""

import errno
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

from embedkit._internal.artifacts import DISK_FULL, sha256_of
from embedkit._internal.paths import shown
from embedkit.cleaning.file_moves import check_unchanged, same_file

IS_FREEDESKTOP = sys.platform not in ("darwin", "win32")

_ALTERNATIVE = "omit --trash to move it to quarantine"


def send(path: str, sha256: str, status: os.stat_result) -> str | None:
    """Move a file with the given content and status to the trash, and return its path there.

    Returns None if the system does not report it. Raises OSError, with the same text for the same
    cause, when the trash does not accept the file, which then stays in its place.
    """
    check_unchanged(path, status)
    if IS_FREEDESKTOP:
        _check_home()
    from send2trash import TrashPermissionError, send2trash

    try:
        send2trash(path)
    except TrashPermissionError as error:
        reason = f"its disk has no trash, and none can be made there; {_ALTERNATIVE}"
        raise OSError(errno.EACCES, reason) from error
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        cause = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(
            error.errno, f"the trash does not accept it ({cause}); {_ALTERNATIVE}"
        ) from error
    where = find(path, sha256, status)
    if where is not None and not os.path.samestat(os.lstat(where), status):
        with open(where, "rb") as copy:  # copied from another device, maybe not flushed yet
            os.fsync(copy.fileno())
    return where


def find(path: str, sha256: str, status: os.stat_result | None = None) -> str | None:
    """Return the path in the trash of a file that was at ``path`` and has the given content.

    ``status`` is its status before it was removed, if that is known: a file with that status need
    not be read. Returns None if there is no such file, or if the system does not report it.
    """
    if not IS_FREEDESKTOP:
        return None
    for trash, base in _trash_folders(path):
        for name in _candidate_names(trash, os.path.basename(path)):
            info_file = os.path.join(trash, "info", f"{name}.trashinfo")
            file = os.path.join(trash, "files", name)
            if _origin(info_file, base) == path and _has_content(file, sha256, status):
                return file
    return None


def _check_home() -> None:
    """Raise OSError if there can be no trash because there is no home folder."""
    home = os.path.expanduser("~")
    if not os.path.isdir(home):
        reason = f"there is no trash, as the home folder {shown(home)} is missing; {_ALTERNATIVE}"
        raise OSError(errno.ENOENT, reason)
    data = os.environ.get("XDG_DATA_HOME")
    if data is not None and not os.path.isabs(os.path.expanduser(data)):
        reason = f"there is no trash, as XDG_DATA_HOME is not an absolute path; {_ALTERNATIVE}"
        raise OSError(errno.EINVAL, reason)


def _trash_folders(path: str) -> Iterator[tuple[str, str]]:
    """Yield the trash folders that may contain a file, and the base folder of relative paths in
    them."""
    data = os.path.expanduser(os.environ.get("XDG_DATA_HOME") or "~/.local/share")
    yield os.path.join(data, "Trash"), data
    top = os.path.realpath(os.path.dirname(path))
    while not os.path.ismount(top):
        top = os.path.dirname(top)
    yield os.path.join(top, ".Trash", str(os.getuid())), top
    yield os.path.join(top, f".Trash-{os.getuid()}"), top


def _candidate_names(trash: str, name: str) -> Iterator[str]:
    """Yield names that a file called ``name`` may have in a trash: its own, and numbered ones."""
    yield name
    stem, ending = os.path.splitext(name)
    first, dot, rest = name.partition(".")
    numbered = re.compile(
        rf"{re.escape(stem)} \d+{re.escape(ending)}|{re.escape(first)}\.\d+{re.escape(dot + rest)}"
    )
    try:
        with os.scandir(os.path.join(trash, "files")) as listing:
            yield from [item.name for item in listing if numbered.fullmatch(item.name)]
    except OSError:
        return


def _origin(info_file: str, base: str) -> str | None:
    """Return the original path of a file in the trash, from its info file."""
    try:
        lines = Path(info_file).read_bytes().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(b"Path="):
            origin = os.fsdecode(unquote_to_bytes(line.removeprefix(b"Path=")))
            return os.path.normpath(os.path.join(base, origin))
    return None


def _has_content(file: str, sha256: str, status: os.stat_result | None) -> bool:
    try:
        if status is not None and same_file(os.lstat(file), status):
            return True
        return os.path.isfile(file) and sha256_of(Path(file)) == sha256
    except OSError:
        return False
