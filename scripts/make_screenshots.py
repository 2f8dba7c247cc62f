"""Take the screenshots of the documentation.

    python scripts/make_screenshots.py [--browser /usr/bin/chromium]

Builds the demo in a temporary folder, writes the pages that the documentation shows, opens them in
a browser and saves PNG files in docs/images. Only photos that embedkit draws itself are shown.
Needs Playwright (`pip install '.[test]'`) and Chromium.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from PIL import Image, ImageOps
from playwright.sync_api import Browser, sync_playwright

from embedkit import Workspace
from embedkit.demo import build_demo
from embedkit.reports.comparison_page import write_comparison_page
from embedkit.reports.plan_page import write_plan_page
from embedkit.reports.search_page import write_search_page

IMAGES = Path(__file__).parents[1] / "docs" / "images"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--browser", default="/usr/bin/chromium")
    arguments = parser.parse_args()
    IMAGES.mkdir(exist_ok=True)
    folder = Path(tempfile.gettempdir()) / "embedkit-demo"  # pages show the path
    folder.mkdir()
    try:
        pages = write_pages(folder)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=arguments.browser, args=["--no-sandbox"]
            )
            for name, page in pages.items():
                shoot(browser, page, IMAGES / f"{name}.png")
            browser.close()
    finally:
        shutil.rmtree(folder)


def write_pages(folder: Path) -> dict[str, Path]:
    """Write the pages to show; return their files by the name of the picture."""
    build_demo(folder / "indexes/demo", lambda _: None)
    workspace = Workspace(folder / "indexes/demo")
    calendar = folder / "indexes/demo/photos/calendar"
    query = calendar / "January/1.jpg"
    found = workspace.search(query, 18, folder=calendar, verify=18)
    write_search_page(folder / "search.html", [found], title="Search, verified")
    names = ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]
    comparison = workspace.compare(names, queries=[query])
    write_comparison_page(folder / "comparison.html", comparison)

    edited = folder / "photos"
    edited.mkdir()
    for number in (1, 12):
        month = "January" if number == 1 else "February"
        with Image.open(calendar / month / f"{number}.jpg") as photo:
            photo.save(edited / f"IMG_{number}.jpg", quality=95)
            photo.save(edited / f"IMG_{number} (1).jpg", quality=60)
            ImageOps.mirror(photo).save(edited / f"IMG_{number} mirrored.jpg", quality=90)
    workspace = Workspace(folder / "indexes/photos")
    workspace.add(edited)
    plan = workspace.clean()
    write_plan_page(folder / "plan.html", plan.rows)
    return {name: folder / f"{name}.html" for name in ("search", "comparison", "plan")}


def shoot(browser: Browser, page_file: Path, target: Path) -> None:
    """Save the first screen of a page."""
    page = browser.new_page(viewport={"width": 1200, "height": 720})
    page.goto(page_file.as_uri())
    page.screenshot(path=str(target))
    page.close()


if __name__ == "__main__":
    main()
