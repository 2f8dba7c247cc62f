"""Compare the CPU time of classifying photos with the app's API and offline.

    python scripts/bench_classify_server.py WORKSPACE HEAD PHOTOS [--count 600] [--clients 16]
        [--peer-python PYTHON]

Both classify the same files, which should not be in the workspace. Offline is one call of
``Head.classify`` in a process of its own; the server gets one photo a request from concurrent
clients. Loading the head and the network is not measured: both classify 32 photos before. Prints
the CPU time for each photo, the ratio, and the rates, for three rounds in turn. PYTHON is the
Python of an environment with embedkit and LitServe, which then serves the same head, in batches of
at most 16 photos.
"""

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
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


LITSERVE = """
import socket, sys
from dataclasses import asdict
import litserve
from embedkit import Workspace
folder, name = sys.argv[1:]

class Classify(litserve.LitAPI):
    def setup(self, device):
        self.head = Workspace(folder).heads.load(name)
    def decode_request(self, request):
        return request["image"].file.read()
    def predict(self, photos):
        return self.head.classify(photos).predictions
    def encode_response(self, prediction):
        return {"top": [asdict(one) for one in prediction.top]}

if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    api = Classify(max_batch_size=16, batch_timeout=0.01, api_path="/api/v1/classify")
    print('{"token": "none", "port": %d}' % port, flush=True)
    litserve.LitServer(api, accelerator="cpu").run(
        host="127.0.0.1", port=port, generate_client_file=False, log_level="error"
    )
"""


def cpu_time(pid: int) -> float:
    """Return the CPU seconds of a process and of the processes that it has started."""
    seconds: dict[int, float] = {}
    parents: dict[int, int] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = file.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        process = int(file.parent.name)
        parents[process] = int(fields[1])
        seconds[process] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def of(process: int) -> float:
        return seconds[process] + sum(of(one) for one in parents if parents[one] == process)

    return of(pid)


def served(command: list[str], head: str, photos: list[Path], clients: int) -> tuple[float, float]:
    """Return CPU seconds of the server and seconds for each photo."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        address: dict[str, Any] = json.loads(server.stdout.readline())
        wait_for(address["port"])
        contents = [photo.read_bytes() for photo in photos]

        def classify(content: bytes) -> None:
            client.post(
                "/classify", files={"image": content}, data={"head": head}
            ).raise_for_status()

        with (
            httpx.Client(
                base_url=f"http://127.0.0.1:{address['port']}/api/v1",
                headers={"authorization": f"Bearer {address['token']}"},
                limits=httpx.Limits(max_connections=clients),
                timeout=120,
            ) as client,
            ThreadPoolExecutor(clients) as threads,
        ):
            list(threads.map(classify, contents[:WARM_UP]))
            cpu, started = cpu_time(server.pid), time.perf_counter()
            list(threads.map(classify, contents[WARM_UP:]))
            count = len(contents) - WARM_UP
            found = (
                (cpu_time(server.pid) - cpu) / count,
                (time.perf_counter() - started) / count,
            )
        os.kill(server.pid, signal.SIGINT)
        server.stdout.read()
    return found


def wait_for(port: int) -> None:
    """Return when a server answers on a port."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            httpx.get(f"http://127.0.0.1:{port}/health").close()
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"nothing answers on port {port}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("head")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--peer-python", metavar="PYTHON")
    options = parser.parse_args()
    every = (path for path in sorted(options.photos.rglob("*")) if path.is_file())
    photos = list(itertools.islice(every, WARM_UP + options.count))
    ours = [sys.executable, "-m", "embedkit", "serve", "--api-only", "--json", "--port", "0"]
    servers = {"server": [*ours, "-w", str(options.workspace)]}
    peer = options.peer_python
    with tempfile.NamedTemporaryFile("w", suffix=".py") as program:
        program.write(LITSERVE)
        program.flush()
        if peer is not None:
            servers["LitServe"] = [peer, program.name, str(options.workspace), options.head]
        for _ in range(3):
            cpu, seconds = offline(options.workspace, options.head, photos)
            print(f"offline {1000 * cpu:.1f} ms CPU for each photo, {1 / seconds:.0f} photos/s")
            for name, command in servers.items():
                own_cpu, own_seconds = served(command, options.head, photos, options.clients)
                print(
                    f"  {name} {1000 * own_cpu:.1f} ms, {own_cpu / cpu:.2f} times offline, "
                    f"{1 / own_seconds:.0f} photos/s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
