"""Measure the app: the first grid, scrolling, search, memory, and many clients at once.

    python scripts/bench_app.py WORKSPACE [--clients 50] [--seconds 30]

make_large_workspace.py makes a workspace of a million photos. First, the grid is measured three
times, each time with a new server and a new browser (Debian's chromium): seconds from opening the
link to the first thumbnails; seconds from the key End to the thumbnail of the last photo; and the
longest task of the page's main thread during scrolling with the wheel, ms. Then 200 searches by
stored photos are measured, and then clients that read random ranges and sheets, and search.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from playwright.sync_api import Page, sync_playwright

OBSERVE = """() => {
    window.longest = 0;
    const seen = (list) => {
        const durations = list.getEntries().map((entry) => entry.duration);
        window.longest = Math.max(window.longest, ...durations);
    };
    new PerformanceObserver(seen).observe({ type: "longtask" });
}"""
SEARCHES = 200


@contextmanager
def server(workspace: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Run a server; yield its address and its process id."""
    command = [sys.executable, "-m", "embedkit", "serve", "--json", "--port", "0", "-w", workspace]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline()), process.pid
        finally:
            process.terminate()


def memory(pid: int) -> str:
    """Describe the memory of a process: its own, and mapped files, which the system can reclaim."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    parts = (line.split() for line in lines if line.startswith("Rss"))
    found = {name: int(size) // 1000 for name, size, _ in parts}
    return f"server {found['RssAnon:']} MB and {found['RssFile:']} MB of mapped files"


def browse(page: Page, url: str) -> str:
    started = time.perf_counter()
    page.goto(url)
    page.wait_for_selector(".cell .picture")
    first = time.perf_counter() - started
    page.click(".cell >> nth=0")
    count = int(page.get_attribute(".cell", "aria-setsize") or 0)
    started = time.perf_counter()
    page.keyboard.press("End")
    page.wait_for_selector(f"[data-index='{count - 1}'] .picture")
    end = time.perf_counter() - started
    page.keyboard.press("Home")
    page.wait_for_selector("[data-index='0'] .picture")
    page.wait_for_timeout(1000)
    page.evaluate(OBSERVE)
    page.mouse.move(600, 500)
    for _ in range(150):
        page.mouse.wheel(0, 250)
        page.wait_for_timeout(16)
    page.wait_for_timeout(1000)
    longest = page.evaluate("window.longest")
    return (
        f"first grid {first:.2f} s, End {end:.2f} s, longest task while scrolling {longest:.0f} ms"
    )


def api(address: dict[str, Any]) -> httpx.Client:
    return httpx.Client(
        base_url=f"http://127.0.0.1:{address['port']}/api/v1",
        headers={"authorization": f"Bearer {address['token']}"},
        timeout=60,
    )


def some_digests(client: httpx.Client, listed: dict[str, Any], count: int) -> list[str]:
    chosen = random.Random(0)
    digests: list[str] = []
    while len(digests) < count:
        query = {"first": chosen.randrange(listed["count"]), "count": 10}
        photos = client.get(f"/lists/{listed['key']}", params=query).json()["photos"]
        digests += [photo["sha256"] for photo in photos if photo]
    return digests[:count]


def search(client: httpx.Client, listed: dict[str, Any]) -> str:
    seconds = []
    for digest in some_digests(client, listed, SEARCHES + 5):
        started = time.perf_counter()
        client.post("/search", json={"sha256": digest}).raise_for_status()
        seconds.append(time.perf_counter() - started)
    found = sorted(seconds[5:])
    return f"search: median {1000 * median(found):.0f} ms, 95 % {1000 * found[-10]:.0f} ms"


def hammer(address: dict[str, Any], listed: dict[str, Any], clients: int, seconds: float) -> str:
    errors: list[str] = []
    requests = [0] * clients
    until = time.monotonic() + seconds
    with api(address) as client:
        digests = some_digests(client, listed, 100)

    def work(number: int) -> None:
        chosen = random.Random(number)
        with api(address) as client:
            while time.monotonic() < until:
                kind = chosen.randrange(3)
                place = chosen.randrange(listed["count"])
                if kind == 0:
                    answer = client.get(f"/lists/{listed['key']}", params={"first": place})
                elif kind == 1:
                    sheet = place // listed["sheet_photos"]
                    answer = client.get(f"/lists/{listed['key']}/sheets/{sheet}")
                else:
                    answer = client.post("/search", json={"sha256": chosen.choice(digests)})
                requests[number] += 1
                if answer.status_code != 200:
                    errors.append(answer.text)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return f"{clients} clients: {sum(requests) / seconds:.0f} requests/s, {len(errors)} errors"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30)
    arguments = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} at the start")
    with sync_playwright() as playwright:
        for _ in range(3):
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=["--no-sandbox"]
            )
            with server(arguments.workspace) as (address, pid):
                page = browser.new_page(viewport={"width": 1280, "height": 820})
                print(f"{browse(page, address['url'])}; {memory(pid)}")
            browser.close()
    with server(arguments.workspace) as (address, pid), api(address) as client:
        listed = client.post("/lists", json={}).raise_for_status().json()
        print(f"{search(client, listed)}; {memory(pid)}")
        for _ in range(2):
            print(hammer(address, listed, arguments.clients, arguments.seconds), end="; ")
            print(memory(pid))


if __name__ == "__main__":
    main()
