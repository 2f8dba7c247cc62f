"""Compare how soon the app and LightlyStudio show the same photos.

    python scripts/bench_app_peer.py WORKSPACE --peer-python PYTHON --peer-folder FOLDER
        [--add PHOTOS]

PYTHON is the Python of an environment with LightlyStudio, whose database is in FOLDER. With
``--add``, the photos of a folder are added to it first, without embeddings; WORKSPACE has the same
ones. Prints, for three rounds in turn, the seconds from the start of the server to the first
thumbnails in a browser, and for the app the seconds from the key End to the last photo.
LightlyStudio has no such key: it loads some 100 photos whenever one scrolls to the last ones.
"""

import argparse
import os
import socket
import subprocess
import time
from pathlib import Path

import httpx
from bench_app import server
from playwright.sync_api import Page, sync_playwright

PEER = """
import sys
import lightly_studio
from lightly_studio import ImageDataset

name, port, folder = sys.argv[1:]
if folder:
    ImageDataset.create(name=name).add_images_from_path(path=folder, embed=False)
else:
    ImageDataset.load(name=name)
    lightly_studio.start_gui(host="127.0.0.1", port=int(port), open_browser=False)
"""
NAME = "photos"
LOADED = "grid => [...grid.querySelectorAll('img')].some(image => image.naturalWidth > 0)"


def ours(page: Page, workspace: Path) -> str:
    started = time.perf_counter()
    with server(workspace) as (address, _):
        page.goto(address["url"])
        page.wait_for_selector(".cell .picture")
        first = time.perf_counter() - started
        count = int(page.get_attribute(".cell", "aria-setsize") or 0)
        page.click(".cell >> nth=0")
        started = time.perf_counter()
        page.keyboard.press("End")
        page.wait_for_selector(f"[data-index='{count - 1}'] .picture")
        last = time.perf_counter() - started
        page.goto("about:blank")
    return f"first {first:.2f} s, last of {count} {last:.2f} s later"


def peer(page: Page, python: str, folder: Path) -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = time.perf_counter()
    command = [python, "-c", PEER, NAME, str(port), ""]
    quiet = subprocess.DEVNULL
    environment = {**os.environ, "DO_NOT_TRACK": "1"}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=quiet, stderr=quiet
    ) as process:
        url = f"http://127.0.0.1:{port}/"
        while True:
            try:
                httpx.get(url)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        page.goto(url)
        grid = page.wait_for_selector("[data-testid=images-grid]")
        assert grid is not None
        while not grid.evaluate(LOADED):
            page.wait_for_timeout(20)
        first = time.perf_counter() - started
        page.goto("about:blank")
        process.terminate()
    return f"first {first:.2f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--peer-folder", type=Path, required=True)
    parser.add_argument("--add", default="")
    options = parser.parse_args()
    options.peer_folder.mkdir(parents=True, exist_ok=True)
    if options.add:
        command = [options.peer_python, "-c", PEER, NAME, "0", str(Path(options.add).absolute())]
        subprocess.run(
            command, cwd=options.peer_folder, env={**os.environ, "DO_NOT_TRACK": "1"}, check=True
        )
    for _ in range(3):
        for name, measure in (
            ("embedkit", lambda page: ours(page, options.workspace)),
            ("LightlyStudio", lambda page: peer(page, options.peer_python, options.peer_folder)),
        ):
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path="/usr/bin/chromium", args=["--no-sandbox"]
                )
                page = browser.new_page(viewport={"width": 1280, "height": 820})
                print(name, measure(page), flush=True)
                browser.close()


if __name__ == "__main__":
    main()
