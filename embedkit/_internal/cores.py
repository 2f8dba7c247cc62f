"""The number of processor cores."""

import os

_share: int | None = None


def usable_cores() -> int:
    """Return the number of cores that this process may use.

    A container may limit it, and :func:`limit_cores`.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, _share or cores or 1)


def limit_cores(share: int) -> None:
    """Let this process use at most ``share`` cores, as one of several workers of a machine."""
    global _share
    _share = share


def core_share() -> int | None:
    """Return the limit of :func:`limit_cores`; None without one."""
    return _share
