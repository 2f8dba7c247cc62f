"""A connection to Ray, and how its cores and GPUs are divided between workers."""

import logging
import os
import socket
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from embedkit._internal.text import one_line
from embedkit.cluster.location import missing_extra
from embedkit.cluster.ray_workers import RayWorkers, Shares
from embedkit.errors import BadInput, StorageError

CORES_PER_WORKER = 4
"""Cores of a worker without a GPU; more than this decode no faster in one process."""
_ANSWER_SECONDS = 10.0
"""Maximum number of seconds until a cluster accepts a connection."""


@contextmanager
def ray_session(on: str, workers: int | None = None) -> Iterator[RayWorkers]:
    """Connect to Ray, yield its workers, and disconnect when the block ends.

    Parameters
    ----------
    on : str
        ``ray`` uses the cluster in ``RAY_ADDRESS``, or one that runs on this machine, or else
        starts Ray; ``ray://HOST:PORT`` connects to a running cluster.
    workers : int, optional
        Number of workers. Default: one for each GPU of the cluster, or for each four cores.

    Raises
    ------
    BadInput
        For another kind of place, and for more workers than cores.
    MissingExtra
        Ray is not installed.
    StorageError
        The cluster does not answer.
    """
    if on != "ray" and not on.startswith("ray://"):
        raise BadInput(f"cannot run on {on!r}; give 'ray', or 'ray://HOST:PORT' for a cluster")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise missing_extra("ray") from error
    ours = not ray.is_initialized()
    if ours:
        address = on if on != "ray" else os.environ.get("RAY_ADDRESS") or None
        options = {} if address else {"include_dashboard": False}
        try:
            _check_answers(address)
            with warnings.catch_warnings():
                # Ray starts other programs; no forked process uses Lance.
                warnings.filterwarnings("ignore", "lance is not fork-safe")
                ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
        except Exception as error:  # Ray raises it as it is when its processes start too slowly
            raise StorageError(
                f"Ray does not answer at {address or 'this machine'}: {one_line(error)}; check "
                "'ray status' on the cluster"
            ) from error
    try:
        alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        yield RayWorkers(_shares(alive, workers))
    finally:
        if ours:
            ray.shutdown()


def _check_answers(address: str | None) -> None:
    """Raise OSError when nothing listens at the address of a cluster: Ray itself tries for long."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS).close()


def _shares(nodes: Sequence[Mapping[str, float]], workers: int | None) -> Shares:
    """Return how the resources of some machines are divided.

    A worker runs on one machine, so that its cores are limited by those of each.
    """
    machines = [(int(node.get("CPU", 0)), int(node.get("GPU", 0))) for node in nodes]
    gpus = sum(gpu for cores, gpu in machines if cores)
    if gpus:
        machines = [(cores, gpu) for cores, gpu in machines if gpu]
    if workers is None:
        workers = gpus or sum(max(1, cores // CORES_PER_WORKER) for cores, _ in machines if cores)
    for share in range(max((cores for cores, _ in machines), default=0), 0, -1):
        places = (min(cores // share, gpu if gpus else cores) for cores, gpu in machines)
        if sum(places) >= max(workers, 1):
            return Shares(max(workers, 1), share, 1 if gpus else 0)
    found = f"{gpus} GPUs" if gpus else f"{sum(cores for cores, _ in machines)} cores"
    raise BadInput(f"the cluster has {found}, which are too few for {max(workers, 1)} workers")
