"""What a person can do about an error of the storage of a store or of photos."""

import errno
import os

from embedkit._internal.artifacts import DISK_FULL

_BY_NUMBER = (
    ((errno.EACCES, errno.EPERM), "allow this user to read and write it"),
    ((errno.EROFS,), "mount it for writing"),
    (DISK_FULL, "free some space"),
    ((errno.ENOTDIR,), "a part of this path is a file; give a folder"),
)
REPEAT = "run the same command again"
REMOTE = f"check the address, the credentials and the connection, then {REPEAT}"
"""Advice on any other error of object storage."""


def known_advice(error: BaseException) -> str | None:
    """Return what to do about an error of the system, which Lance may only quote; None if unknown.

    Storage at a URL that denies access names no number of the system's errors.
    """
    number, text = getattr(error, "errno", None), str(error)
    for numbers, advice in _BY_NUMBER:
        if number in numbers or any(os.strerror(one) in text for one in numbers):
            return f"{advice}, then {REPEAT}"
    return None
