"""File names as text: a reversible form for the catalog, and a readable form for messages.

A POSIX file name is bytes and need not be UTF-8. Python represents the other bytes as lone
surrogates, which databases, terminals and HTML reject. Both forms exist for every name.
"""

import os
import re
import shlex
import unicodedata
from pathlib import PurePath

from embedkit.errors import BadInput

_PRIVATE_USE = 0xF700
"""A byte 0x80..0xff that is not UTF-8 is stored as U+F780..U+F7FF (private use)."""


_URL = re.compile("[A-Za-z][A-Za-z0-9+.-]+://")  # the drive of a Windows path has one letter
_SHORTENED_URL = re.compile(
    r"^((?:tar\+)?(?:s3|s3a|gs|gcs|az|abfs|abfss|hdfs|hf|https?)):/(?!/)", re.I
)
_SHORTENED_FILE_URL = re.compile(r"^((?:tar\+)?file):/(?!/)", re.I)
"""The start of a URL with its slashes made one, as pathlib does."""
_WEB = re.compile("(tar[+])?https?://", re.I)

FILE_URL = "file://"
"""The start of the URL of a file on another machine; the rest is its path there, not quoted."""
DEFAULT_WORKSPACE = "indexes/default"
"""Folder of the workspace that is used unless another one is named."""


def to_stored(name: str) -> str:
    """Return the reversible UTF-8 form of a file name, with ``/`` between its parts.

    Ordinary names are unchanged. A byte that is not UTF-8 becomes one private-use character. If a
    name already contains such a character, each of its bytes becomes one, so that no two names
    share a stored form.
    """
    if os.sep != "/":
        name = name.replace(os.sep, "/")
    if name.isascii():
        return name
    return "".join(
        "".join(chr(_PRIVATE_USE + byte) for byte in char.encode("utf-8"))
        if 0xF780 <= ord(char) <= 0xF7FF
        else chr(_PRIVATE_USE + ord(char) - 0xDC00)
        if 0xDC80 <= ord(char) <= 0xDCFF
        else char
        for char in name
    )


def from_stored(text: str) -> str:
    """Return the file name of a stored form: the inverse of :func:`to_stored`."""
    if text.isascii():
        return text
    raw = b"".join(
        bytes([ord(char) - _PRIVATE_USE])
        if 0xF780 <= ord(char) <= 0xF7FF
        else char.encode("utf-8", "surrogatepass")
        for char in text
    )
    return raw.decode("utf-8", "surrogateescape")


def shown(name: str) -> str:
    """Return ``name`` on one line of valid text for a message.

    Control characters and bytes that are not UTF-8 are escaped; spaces of any kind, such as the
    ideographic one, are kept. The parameters of a web address, which may be secret, are left out.
    """
    if _WEB.match(name):
        name = re.sub(r"\?[^#]*", "", name, count=1)  # "#" is the start of a member of a shard
    if name.isprintable():
        return name
    return "".join(
        char
        if char.isprintable() or unicodedata.category(char) == "Zs"
        else f"\\x{ord(char) - 0xDC00:02x}"
        if 0xDC80 <= ord(char) <= 0xDCFF
        else char.encode("unicode_escape").decode("ascii")
        for char in name
    )


def as_argument(name: str) -> str:
    """Return a path, a URL or another word for a command in a message, quoted for a shell."""
    return shlex.quote(shown(name))


def absolute(path: str | os.PathLike[str]) -> str:
    """Return ``path`` absolute and normalised, with ``~`` expanded; symbolic links are kept.

    A URL, which is the path of a photo that a store has listed, stays as it is. Raises
    :class:`BadInput` for an empty path, which would otherwise mean the current folder.
    """
    if not os.fspath(path):
        raise BadInput("an empty path; '.' is the current folder")
    text = _SHORTENED_URL.sub(r"\1://", os.fspath(path), count=1)
    text = _SHORTENED_FILE_URL.sub(r"\1:///", text, count=1)
    if is_url(text):
        return text.rstrip("/")
    return os.path.abspath(os.path.expanduser(text))


def is_url(path: str) -> bool:
    """Return whether a path is a URL, such as ``s3://bucket/1.jpg``, and not that of a file."""
    return _URL.match(path) is not None


def joined(folder: str, path: str) -> str:
    """Return a path that starts at ``folder`` if it is relative; a URL stays as it is."""
    return path if is_url(path) else os.path.join(folder, path)


def address(path: str) -> str:
    """Return the URL of an absolute path; a URL stays as it is."""
    return path if is_url(path) else PurePath(path).as_uri()


def absolute_path(root: str, relative: str) -> str:
    """Return the absolute path of a file stored as (root, relative path)."""
    return os.path.join(root, native_path(relative)) if relative else root


def native_path(stored: str) -> str:
    """Return the system path of a stored form, with native separators."""
    return from_stored(stored).replace("/", os.sep)


def is_within(path: str, place: str) -> bool:
    """Return whether a path is ``place``, or below it if that is a folder; both are absolute."""
    return path == place or path.startswith(os.path.join(place, ""))


def size_and_mtime(status: os.stat_result) -> tuple[int, int]:
    """Return the size of a file in bytes and its modification time in nanoseconds.

    Some file systems store times that do not fit into the catalog's 64 bits (years 1677 to 2262).
    Such a time is replaced by the nearest one that fits.
    """
    return status.st_size, min(max(status.st_mtime_ns, -(2**63)), 2**63 - 1)


def is_missing(path: str) -> bool:
    """Return whether nothing exists at a path; False if that cannot be determined.

    It cannot for a URL, which no command opens.
    """
    if is_url(path):
        return False
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
