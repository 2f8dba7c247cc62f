"""Compare the CPU time of classifying photos with the app's API and offline.

    python scripts/bench_classify_server.py WORKSPACE HEAD PHOTOS [--count 600] [--clients 16]

Both classify the same files, which should not be in the workspace. Offline is one call of
``Head.classify`` in a process of its own; the server gets one photo in each request from concurrent
clients. Loading the head and the network is not measured, because both classify 32 photos first.
Prints the CPU time for each photo, the ratio, and the rates, for three rounds in turn.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

WARM_UP = 32
OFFLINE = """
import json, sys, time
from embedkit import Workspace
folder, head, *photos = sys.argv[1:]
workspace = Workspace(folder)
model = workspace.heads.load(head)
model.classify(photos[:32])
cpu, started = time.process_time(), time.perf_counter()
found = model.classify(photos[32:])
seconds = time.process_time() - cpu, time.perf_counter() - started
print(json.dumps([*seconds, len(found.predictions)]))
"""


def offline(workspace: Path, head: str, photos: list[Path]) -> tuple[float, float]:
    """Return CPU seconds and seconds for each photo."""
    command = [sys.executable, "-c", OFFLINE, str(workspace), head, *map(str, photos)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    cpu, seconds, count = json.loads(done.stdout)
    return cpu / count, seconds / count


def cpu_time(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def served(workspace: Path, head: str, photos: list[Path], clients: int) -> tuple[float, float]:
    """Return CPU seconds of the server and seconds for each photo."""
    command = [sys.executable, "-m", "embedkit", "serve", "--api-only", "--json", "--port", "0"]
    with (
        subprocess.Popen(
            [*command, "-w", str(workspace)], stdout=subprocess.PIPE, text=True
        ) as server,
        ExitStack() as stack,
    ):
        stack.callback(server.terminate)
        assert server.stdout is not None
        address: dict[str, Any] = json.loads(server.stdout.readline())
        contents = [photo.read_bytes() for photo in photos]

        def classify(some: list[bytes]) -> None:
            waiting = iter(some)
            lock = threading.Lock()

            def work() -> None:
                with httpx.Client(
                    base_url=f"http://127.0.0.1:{address['port']}/api/v1",
                    headers={"authorization": f"Bearer {address['token']}"},
                    timeout=120,
                ) as client:
                    while True:
                        with lock:
                            content = next(waiting, None)
                        if content is None:
                            return
                        client.post(
                            "/classify", files={"image": content}, data={"head": head}
                        ).raise_for_status()

            threads = [threading.Thread(target=work) for _ in range(clients)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        classify(contents[:WARM_UP])
        cpu, started = cpu_time(server.pid), time.perf_counter()
        classify(contents[WARM_UP:])
        count = len(contents) - WARM_UP
        return (cpu_time(server.pid) - cpu) / count, (time.perf_counter() - started) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("head")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--clients", type=int, default=16)
    options = parser.parse_args()
    every = (path for path in sorted(options.photos.rglob("*")) if path.is_file())
    photos = list(itertools.islice(every, WARM_UP + options.count))
    for _ in range(3):
        alone = offline(options.workspace, options.head, photos)
        server = served(options.workspace, options.head, photos, options.clients)
        print(
            f"CPU for each photo: offline {1000 * alone[0]:.1f} ms, server {1000 * server[0]:.1f} "
            f"ms, ratio {server[0] / alone[0]:.2f}; {1 / alone[1]:.0f} and {1 / server[1]:.0f} "
            "photos/s",
            flush=True,
        )


if __name__ == "__main__":
    main()
