"""Names of files: stored as text that DuckDB takes, shown as text that a terminal takes.

A POSIX file name is bytes and need not be UTF-8. Python carries the stray bytes as lone
surrogates, which databases, terminals and HTML refuse. Both forms here are total functions of
the name; the stored one is reversible.
"""

import os
import unicodedata

from embedkit.errors import BadInput

_STRAY = 0xF700  # a stray byte 0x80..0xff is stored as U+F780..U+F7FF (private use)


def to_stored(name: str) -> str:
    """The reversible UTF-8 form of a file name, with ``/`` between its parts.

    Ordinary names are stored as they are. A byte that is not UTF-8 becomes one private-use
    character; a name that already holds such a character has it spelled byte by byte, so that
    no two names share a stored form.
    """
    if os.sep != "/":
        name = name.replace(os.sep, "/")
    if name.isascii():
        return name
    return "".join(
        "".join(chr(_STRAY + byte) for byte in char.encode("utf-8"))
        if 0xF780 <= ord(char) <= 0xF7FF
        else chr(_STRAY + ord(char) - 0xDC00)
        if 0xDC80 <= ord(char) <= 0xDCFF
        else char
        for char in name
    )


def from_stored(text: str) -> str:
    """The file name whose stored form is ``text``: the inverse of :func:`to_stored`."""
    if text.isascii():
        return text
    raw = b"".join(
        bytes([ord(char) - _STRAY])
        if 0xF780 <= ord(char) <= 0xF7FF
        else char.encode("utf-8", "surrogatepass")
        for char in text
    )
    return raw.decode("utf-8", "surrogateescape")


def shown(name: str) -> str:
    """``name`` on one line of valid text: control characters and stray bytes are escaped.

    Spaces of any kind stay, such as the ideographic one.
    """
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


def absolute(path: str | os.PathLike[str]) -> str:
    """``path`` made absolute and normalised, ``~`` expanded, symbolic links left alone.

    Raises :class:`BadInput` for an empty path, which would otherwise mean the current folder.
    """
    if not os.fspath(path):
        raise BadInput("an empty path; '.' is the current folder")
    return os.path.abspath(os.path.expanduser(os.fspath(path)))


def join(root: str, relative: str) -> str:
    """The absolute path of a file stored as (root, relative path)."""
    return os.path.join(root, place(relative)) if relative else root


def place(stored: str) -> str:
    """The path whose stored form, with ``/`` between its parts, is ``stored``."""
    return from_stored(stored).replace("/", os.sep)


def stamp(status: os.stat_result) -> tuple[int, int]:
    """Return the size of a file in bytes and its modification time in nanoseconds.

    Some file systems store times beyond the 64 bits that the catalog has (years 1677 to 2262); such
    a time is cut off.
    """
    return status.st_size, min(max(status.st_mtime_ns, -(2**63)), 2**63 - 1)


def is_gone(path: str) -> bool:
    """Whether nothing is at a path; where that cannot be known, it is not gone."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False
