"""Compare how soon the app and LightlyStudio show the same photos.

    python scripts/bench_app_peer.py WORKSPACE --peer-python PYTHON --peer-folder FOLDER
        [--add PHOTOS] [--rounds 3] [--seconds 60]

PYTHON is the Python of an environment with LightlyStudio, whose database is in FOLDER. With
``--add``, the photos of a folder are added to it first, without embeddings; WORKSPACE has the same
ones, added with ``--fingerprints-only``. Prints, for some rounds in turn, the seconds from the
start of the server to the first thumbnails in a browser, and then, for the app, those from the key
End to the thumbnail of the last photo. LightlyStudio loads more photos whenever one scrolls to the
last of those that it has loaded, so its grid is scrolled there in each frame, until the last photo
has its thumbnail or, at the latest, for ``--seconds``: how far it came, and the time to the last
photo at the speed so far.
"""

import argparse
import os
import socket
import subprocess
import time
from pathlib import Path

import httpx
from bench_app import server
from playwright.sync_api import ElementHandle, Page, sync_playwright

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
LOCAL = {"LIGHTLY_STUDIO_ANALYTICS_ENABLED": "false", "HF_HUB_OFFLINE": "1"}
LOADED = "grid => [...grid.querySelectorAll('img')].some(image => image.naturalWidth > 0)"
SCROLL = """async (grid, [count, seconds]) => {
    const started = performance.now();
    const passed = () => (performance.now() - started) / 1000;
    let shown = 0;
    while (shown < count && passed() < seconds) {
        grid.scrollTop = grid.scrollHeight;
        await new Promise(requestAnimationFrame);
        for (const image of grid.querySelectorAll("[data-index] img")) {
            if (image.naturalWidth === 0) continue;
            shown = Math.max(shown, Number(image.closest("[data-index]").dataset.index) + 1);
        }
    }
    return [shown, passed()];
}"""


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


def to_the_last(page: Page, grid: ElementHandle, seconds: float) -> str:
    """Scroll to the last loaded photo of LightlyStudio again and again."""
    for button in page.query_selector_all("[role=dialog] button >> text=Dismiss"):
        button.click()  # a tour, which it offers on some starts
    words = page.inner_text("text=/^Showing [0-9,]+ images$/")
    count = int(words.split()[1].replace(",", ""))
    shown, passed = grid.evaluate(SCROLL, [count, seconds])
    if shown == count:
        return f"last of {count} {passed:.2f} s later"
    estimate = passed * count / shown
    return f"{shown} of {count} {passed:.0f} s later, last at this speed {estimate:.0f} s"


def peer(page: Page, python: str, folder: Path, seconds: float) -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = time.perf_counter()
    command = [python, "-c", PEER, NAME, str(port), ""]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        command, cwd=folder, env={**os.environ, **LOCAL}, stdout=quiet, stderr=quiet
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
        last = to_the_last(page, grid, seconds)
        page.goto("about:blank")
        process.terminate()
    return f"first {first:.2f} s, {last}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--peer-folder", type=Path, required=True)
    parser.add_argument("--add", default="")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    options.peer_folder.mkdir(parents=True, exist_ok=True)
    if options.add:
        command = [options.peer_python, "-c", PEER, NAME, "0", str(Path(options.add).absolute())]
        subprocess.run(command, cwd=options.peer_folder, env={**os.environ, **LOCAL}, check=True)
    python, folder = options.peer_python, options.peer_folder
    for _ in range(options.rounds):
        for name, measure in (
            ("embedkit", lambda page: ours(page, options.workspace)),
            ("LightlyStudio", lambda page: peer(page, python, folder, options.seconds)),
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
