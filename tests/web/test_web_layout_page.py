"""Every page at 200 % zoom, on a phone and in forced colours, in a real browser."""

from pathlib import Path
from typing import Any

import pytest
from classes import heads_folder  # noqa: F401
from webphotos import copies, workspace_with_heads  # noqa: F401
from webserver import Open, filled, opened, running, violations  # noqa: F401

from embedkit import Workspace
from embedkit._internal.artifacts import sha256_of
from embedkit.browse.projection import project
from embedkit.results import no_progress

pytestmark = pytest.mark.slow

ZOOM = {"width": 640, "height": 410}
"""A viewport of 1280 x 820 pixels at 200 % zoom."""
PHONE = {"width": 390, "height": 844}


def chosen(page: Any) -> None:
    """Choose a photo of the grid."""
    page.click(".cell[data-index='1']")
    page.keyboard.press("Space")
    page.wait_for_selector(".summary >> text=1 selected")


def searched(page: Any) -> None:
    page.wait_for_selector(".cell .picture")


def mapped(page: Any) -> None:
    page.wait_for_selector(".legend .swatch >> nth=1")
    page.keyboard.press("v")
    page.wait_for_selector(".summary >> text=36 selected")


def duplicates(page: Any) -> None:
    page.click("text=Search all photos")
    page.wait_for_selector("text=No two files show the same picture")


def reviewed(page: Any) -> None:
    page.select_option(".begin select", "100")
    page.click("text=Start")
    page.wait_for_selector(".suspects [aria-current]")


def classified(page: Any) -> None:
    page.wait_for_selector(".verdict")


def overview(page: Any) -> None:
    page.wait_for_selector(".facts")


PAGES = {
    "/": chosen,
    "/search?sha256={}": searched,
    "/map": mapped,
    "/duplicates": duplicates,
    "/review": reviewed,
    "/classify?sha256={}": classified,
    "/overview": overview,
}


@pytest.mark.parametrize("path", PAGES)
def test_a_narrow_page_fits_and_is_accessible_in_forced_colours(
    workspace: Workspace,
    heads_folder: Path,
    opened: Open,
    path: str,
) -> None:
    if path == "/map":
        project(workspace._embeddings.index(None), workspace.folder, no_progress)
    place = path.format(sha256_of(heads_folder / "photos/green/3.png"))
    page = opened(place, viewport=ZOOM, forced_colors="active")
    PAGES[path](page)
    for viewport in (ZOOM, PHONE):
        page.set_viewport_size(viewport)
        assert beyond(page) == []
        assert violations(page) == []


def beyond(page: Any) -> list[str]:
    """The controls beside the page that no scrolling shows; the page itself if it is too wide."""
    found: list[str] = page.evaluate(
        """() => {
            const root = document.documentElement;
            const width = root.clientWidth;
            const scrolls = (node) => node !== root && node && (scrolls(node.parentElement)
                || ["auto", "scroll"].includes(getComputedStyle(node).overflowX));
            const isCut = (node) => {
                const box = node.getBoundingClientRect();
                return box.width > 1 && (box.left < -1 || box.right > width + 1) && !scrolls(node);
            };
            const cut = [...document.querySelectorAll("a, button, input, select")].filter(isCut);
            if (root.scrollWidth > width) cut.push(root);
            return cut.map((node) => node.outerHTML.slice(0, 120));
        }"""
    )
    return found


def test_at_200_percent_photos_are_selected_by_touch_and_their_details_are_reachable(
    opened: Open,
) -> None:
    page = opened("/", viewport=ZOOM, has_touch=True)
    page.wait_for_selector(".cell[data-index='1'] .picture")
    page.tap(".cell[data-index='1']")
    page.tap("text=Select")
    page.tap(".cell[data-index='2']")
    page.wait_for_selector(".summary >> text=2 selected")
    page.tap("text=Details")
    page.wait_for_selector("dialog dd >> text=3 of 36")
    assert violations(page) == []
    page.tap("dialog >> text=Enlarge")
    page.wait_for_selector(".viewer")
    page.tap(".viewer .close")
    page.tap(".summary >> text=Clear")
    page.wait_for_selector(".summary >> text=Select")


@pytest.mark.usefixtures("copies")
@pytest.mark.parametrize("viewport", [ZOOM, PHONE])
def test_on_a_narrow_page_every_group_of_duplicates_is_reachable(
    opened: Open, viewport: dict[str, int]
) -> None:
    page = opened("/duplicates", viewport=viewport, forced_colors="active")
    page.click("text=Search all photos")
    page.wait_for_selector(".compare img[data-loaded=true] >> nth=1")
    assert beyond(page) == []
    page.click("text=All groups")
    page.click("dialog .cell[data-index='2']")
    page.wait_for_selector(".place >> text=Group 3 of 3")
    assert page.locator("dialog").count() == 0
    assert violations(page) == []
    page.click("text=Search again")
    page.wait_for_selector(".place >> text=Group 1 of 3")
