"""Memory that was freed, back to the system."""

import ctypes
from collections.abc import Callable
from functools import cache


def give_back() -> None:
    """Give memory that was freed back to the system, where it does not go back by itself.

    Pillow takes an image in blocks of 16 MB, and glibc keeps those that a thread has freed for that
    thread: without this, every thread that ever held a large image goes on taking its memory.
    """
    _trim()(0)


@cache
def _trim() -> Callable[[int], int]:
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # another C library, another system
        return lambda _: 0
    trim.argtypes, trim.restype = [ctypes.c_size_t], ctypes.c_int
    return trim
