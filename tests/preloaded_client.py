"""The program that stands for ``embedkit`` in tests: see :mod:`preloaded`.

It passes its arguments, folder, environment and standard streams to the process that listens at the
socket of the first argument, and exits as the command did. It starts in a few milliseconds, because
it runs as ``python -I -S`` and imports little.
"""

import json
import os
import socket
import sys


def main() -> None:
    """Ask for the command, and wait for its end."""
    path, *words = sys.argv[1:]
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        socket.send_fds(connection, [b"\n"], [0, 1, 2])
        request = {"words": words, "folder": os.getcwd(), "environment": dict(os.environ)}
        connection.sendall(json.dumps(request).encode())
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(16)
    if not answer:
        sys.exit("the process that runs the command ended without a status")
    status = int(answer)
    sys.exit(status if status >= 0 else 128 - status)  # a signal: what shells return


if __name__ == "__main__":
    main()
