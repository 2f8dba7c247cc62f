"""The process that forks a child for each command: see :mod:`preloaded`.

``python preloaded_server.py SOCKET`` prints a line when it listens, and ends when its stdin ends.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import socket
import sys
from pathlib import Path
from typing import Any

LEFT_OUT = (
    "embedkit.__main__",
    "embedkit.backbones.openvino_runtime",  # OpenVINO starts threads when it is imported
    "embedkit.cluster",  # Ray and Lance refuse to work in a forked process
    "embedkit.estimators",  # no command imports it, and it imports scikit-learn
    "embedkit.web",  # no command of a test serves
)
"""Modules of embedkit that children import themselves."""

ALSO = (
    "pandas",
    "scipy.fft",
    "scipy.optimize",
    "scipy.sparse.csgraph",
    "scipy.stats",
    "torch._dynamo",
)
"""What functions of embedkit import when they are called."""


def load() -> None:
    """Import what commands import, and check that this process can be forked."""
    embedkit = importlib.import_module("embedkit")
    names = [module.name for module in pkgutil.walk_packages(embedkit.__path__, "embedkit.")]
    for name in (*ALSO, *names):
        if not name.startswith(LEFT_OUT):
            importlib.import_module(name)
    threads = Path("/proc/self/task")  # only Linux has it
    if threads.exists() and len(list(threads.iterdir())) != 1:
        sys.exit("a library started threads, so this process cannot be forked")
    gc.collect()
    gc.freeze()  # children do not copy the memory of what is imported


def listen(path: str) -> tuple[dict[str, Any], list[int]] | None:
    """Return in the child of each request: the request and its standard streams.

    Returns None in this process, at the end of its stdin.
    """
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        print("listening", flush=True)
        running = 0
        while True:
            ready, _, _ = select.select([listener, 0], [], [])
            if 0 in ready:
                return None
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    return receive(connection)
            running += 1
            while running and os.waitpid(-1, os.WNOHANG)[0]:
                running -= 1


def receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Receive a request, and return in a child; this process reports its status and ends."""
    _, streams, _, _ = socket.recv_fds(connection, 1, 3)
    with connection.makefile("rb") as file:
        request = json.load(file)
    child = os.fork()
    if child == 0:
        return request, streams
    for stream in streams:
        os.close(stream)
    _, status = os.waitpid(child, 0)
    connection.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def run(request: dict[str, Any], streams: list[int], status: list[int]) -> None:
    """Become ``python -m embedkit``, with the arguments and the surroundings of the client.

    The exit status is added to ``status``, unless the command ends with an exception.
    """
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.path[0] = request["folder"]
    sys.argv[1:] = request["words"]
    try:
        runpy.run_module("embedkit", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, int):
            status.append(end.code)
        raise


def end_quickly(status: list[int]) -> None:
    """End without the destruction of all modules, which takes longer than most commands."""
    if status:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status[0])


if __name__ == "__main__":
    status: list[int] = []
    atexit.register(end_quickly, status)  # the first one is called last
    load()
    asked = listen(sys.argv[1])
    if asked is not None:
        run(*asked, status)
