"""The system's trash: files sent there, and found there again.

Where the trash follows the FreeDesktop specification a file is found by the note beside it, which
names its place before. macOS and Windows do not say where a file is in their trash.
"""

import errno
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote_to_bytes

from embedkit._internal.artifacts import sha256_of
from embedkit._internal.paths import shown
from embedkit.cleaning.file_moves import check_unchanged, same_file

IS_FREEDESKTOP = sys.platform not in ("darwin", "win32")

_FULL = {errno.ENOSPC, errno.EDQUOT}
_INSTEAD = "without --trash it goes to quarantine"


def send(path: str, sha256: str, seen: os.stat_result) -> str | None:
    """Move a file, which has the given content and was ``seen``, to the trash; where it is there.

    None where a trash does not say. Raises OSError, whose text is the same for the same cause, when
    the trash does not take it; the file is at its place then.
    """
    check_unchanged(path, seen)
    if IS_FREEDESKTOP:
        _check_home()
    from send2trash import TrashPermissionError, send2trash

    try:
        send2trash(path)
    except TrashPermissionError as error:
        why = f"its disk has no trash, and none can be made there; {_INSTEAD}"
        raise OSError(errno.EACCES, why) from error
    except OSError as error:
        if error.errno in _FULL:
            raise
        cause = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(error.errno, f"the trash does not take it ({cause}); {_INSTEAD}") from error
    where = find(path, sha256, seen)
    if where is not None and not os.path.samestat(os.lstat(where), seen):
        with open(where, "rb") as copy:  # from another device, and maybe not on this one's disk yet
            os.fsync(copy.fileno())
    return where


def find(path: str, sha256: str, seen: os.stat_result | None = None) -> str | None:
    """Where in the trash a file is that was at ``path`` and has the given content.

    ``seen`` is its status before it went, if that is known: a file that has it need not be read.
    None when there is none, or where a trash does not say.
    """
    if not IS_FREEDESKTOP:
        return None
    for trash, base in _folders(path):
        for name in _candidates(trash, os.path.basename(path)):
            note = os.path.join(trash, "info", f"{name}.trashinfo")
            file = os.path.join(trash, "files", name)
            if _origin(note, base) == path and _holds(file, sha256, seen):
                return file
    return None


def _check_home() -> None:
    """Raise OSError where there can be no trash for want of a home folder."""
    home = os.path.expanduser("~")
    if not os.path.isdir(home):
        why = f"there is no trash: the home folder {shown(home)} does not exist; {_INSTEAD}"
        raise OSError(errno.ENOENT, why)
    data = os.environ.get("XDG_DATA_HOME")
    if data is not None and not os.path.isabs(os.path.expanduser(data)):
        why = f"there is no trash: XDG_DATA_HOME is not an absolute path; {_INSTEAD}"
        raise OSError(errno.EINVAL, why)


def _folders(path: str) -> Iterator[tuple[str, str]]:
    """The trash folders that may have a file, and the folder that paths in their notes start at."""
    data = os.path.expanduser(os.environ.get("XDG_DATA_HOME") or "~/.local/share")
    yield os.path.join(data, "Trash"), data
    top = os.path.realpath(os.path.dirname(path))
    while not os.path.ismount(top):
        top = os.path.dirname(top)
    yield os.path.join(top, ".Trash", str(os.getuid())), top
    yield os.path.join(top, f".Trash-{os.getuid()}"), top


def _candidates(trash: str, name: str) -> Iterator[str]:
    """Names in a trash that a file called ``name`` may have: its own, and numbered ones."""
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


def _origin(note: str, base: str) -> str | None:
    """The path at which a file in the trash was, from the note beside it."""
    try:
        lines = Path(note).read_bytes().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(b"Path="):
            origin = os.fsdecode(unquote_to_bytes(line.removeprefix(b"Path=")))
            return os.path.normpath(os.path.join(base, origin))
    return None


def _holds(file: str, sha256: str, seen: os.stat_result | None) -> bool:
    try:
        if seen is not None and same_file(os.lstat(file), seen):
            return True
        return os.path.isfile(file) and sha256_of(Path(file)) == sha256
    except OSError:
        return False
