"""Measure the map of the app: its projection, the first paint, and the grid of a selection.

    python scripts/bench_map.py WORKSPACE

WORKSPACE has no map yet, such as one of ``make_large_workspace.py --photos 60000 --dim 1280``.
Prints the seconds of the projection; then, for three rounds, with a new server and browser each
time, the seconds from opening the page to the drawn points, and from the end of a lasso around the
middle of the map to the thumbnails of the selected photos.
"""

import argparse
import time
from pathlib import Path

from bench_app import api, server
from playwright.sync_api import Page, sync_playwright

CANVAS = ".plot canvas >> nth=0"
SHARE = 0.08
"""Half the side of the lasso, as a share of the canvas."""


def project(workspace: Path) -> str:
    with server(workspace) as (address, _), api(address) as client:
        started = time.perf_counter()
        run = client.post("/map", json={}).json()
        while run["state"] in ("waiting", "running"):
            time.sleep(0.2)
            run = client.get(f"/runs/{run['id']}").json()
        seconds = time.perf_counter() - started
    return f"projection of {run['result']['count']} photos: {seconds:.0f} s"


def look(page: Page, workspace: Path) -> str:
    with server(workspace) as (address, _):
        started = time.perf_counter()
        page.goto(f"http://127.0.0.1:{address['port']}/map#{address['token']}")
        page.wait_for_selector(CANVAS)
        page.wait_for_selector(".legend .swatch")
        paint = time.perf_counter() - started
        box = page.locator(CANVAS).bounding_box()
        assert box is not None
        page.keyboard.press("l")
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        reach = SHARE * box["width"], SHARE * box["height"]
        corners = [(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -0.9)]
        places = [(middle[0] + x * reach[0], middle[1] + y * reach[1]) for x, y in corners]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place, steps=3)
        page.mouse.up()
        page.wait_for_selector(".summary >> text=/[1-9][0-9,]* selected/")
        text = page.inner_text(".summary span")
        started = time.perf_counter()
        page.keyboard.press("Enter")
        page.wait_for_selector(".cell .picture")
        seconds = time.perf_counter() - started
        page.goto("about:blank")
    return f"first paint {paint:.2f} s; {text.strip()}, their grid {seconds:.2f} s later"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace", type=Path)
    workspace = parser.parse_args().workspace
    print(project(workspace), flush=True)
    for _ in range(3):
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=["--no-sandbox"]
            )
            page = browser.new_page(viewport={"width": 1280, "height": 820})
            print(look(page, workspace), flush=True)
            browser.close()


if __name__ == "__main__":
    main()
