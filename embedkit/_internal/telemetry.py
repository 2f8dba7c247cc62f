"""Import OpenVINO without the package that reports its use to its vendor."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_PACKAGE = "openvino_telemetry"


@contextmanager
def no_telemetry() -> Iterator[None]:
    """Import OpenVINO in the block as if its telemetry were not installed.

    Otherwise each conversion of a network starts a forked process that sends data to a server, and
    a fork is unsafe beside the threads of Lance. A program that imported either before keeps its
    own setting.
    """
    if "openvino" in sys.modules or _PACKAGE in sys.modules:
        yield
        return
    sys.modules[_PACKAGE] = None  # type: ignore[assignment]  # its import fails
    try:
        yield
    finally:
        del sys.modules[_PACKAGE]
