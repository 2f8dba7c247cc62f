"""Memory that every step on a CPU needs again, kept by the process instead of given back."""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

# The options of glibc's mallopt(3), and the values that it comes to by itself at the most.
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_OWN = {_TRIM_THRESHOLD: 64 << 20, _MMAP_THRESHOLD: 32 << 20, _MMAP_MAX: 65536}


@contextmanager
def kept() -> Iterator[None]:
    """Keep freed memory until the block ends, where the system's allocator is glibc's.

    A training step frees gigabytes of activations and asks for them again in the next. glibc hands
    blocks of more than 32 MB back to the kernel, which then has to clear every page of them anew:
    with that, a step of EfficientNet-Lite0 on two cores takes about twice as long.
    """
    if platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_MMAP_MAX, 0)
    libc.mallopt(_TRIM_THRESHOLD, -1)
    try:
        yield
    finally:
        for option, value in _OWN.items():
            libc.mallopt(option, value)
        libc.malloc_trim(0)
