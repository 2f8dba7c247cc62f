"""The map in a real browser."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from webphotos import mislabelled  # noqa: F401
from webserver import LAYOUTS, Open, filled, opened, running, violations  # noqa: F401

from embedkit import Workspace
from embedkit.browse.projection import project, read_projection
from embedkit.results import no_progress

pytestmark = pytest.mark.slow

CANVAS = ".plot canvas[role=application]"


@pytest.fixture
def mapped(filled: Workspace) -> Workspace:
    """The workspace with twelve photos and their map."""
    project(filled._embeddings.index(None), filled.folder, no_progress)
    return filled


@pytest.fixture
def shown(mapped: Workspace, opened: Open) -> Callable[..., Any]:
    """Open the map, and wait for it."""

    def shown(**options: Any) -> Any:
        page = opened("/map", **options)
        page.wait_for_selector(CANVAS)
        page.wait_for_selector(".legend .swatch >> nth=1")
        return page

    del mapped
    return shown


def place_of(page: Any, workspace: Workspace, position: int) -> tuple[float, float]:
    """The pixels of a photo of the map when all are in view."""
    found = read_projection(workspace.folder, workspace._embeddings.index(None).spec)
    assert found is not None
    x, y = found.points[position].tolist()
    box = page.locator(CANVAS).bounding_box()
    reach = abs(found.points).max(axis=0).tolist()
    scale = 0.46 * min(box["width"] / reach[0], box["height"] / reach[1])
    return box["x"] + box["width"] / 2 + x * scale, box["y"] + box["height"] / 2 - y * scale


def lasso(page: Any, inset: float) -> None:
    """Drag around the canvas, some pixels from its edges."""
    box = page.locator(CANVAS).bounding_box()
    left, top = box["x"] + inset, box["y"] + inset
    right, bottom = box["x"] + box["width"] - inset, box["y"] + box["height"] - inset
    page.mouse.move(left, top)
    page.mouse.down()
    for place in ((right, top), (right, bottom), (left, bottom), (left, top + 5)):
        page.mouse.move(*place, steps=3)
    page.mouse.up()


@pytest.mark.usefixtures("filled")
def test_the_map_is_made_on_the_page(opened: Open) -> None:
    page = opened("/map")
    page.click("text=Make the map")
    page.wait_for_selector(CANVAS)
    assert page.get_attribute(CANVAS, "aria-label") == "Map of 12 photos"
    text = page.text_content("#map-text")
    assert "12 photos: 6 blue, 6 red" in text


def test_the_view_is_selected_by_key_and_relabelled_in_the_grid(
    mapped: Workspace, shown: Callable[..., Any]
) -> None:
    page = shown()
    page.click(".legend button >> text=red")
    page.wait_for_selector(".legend button[aria-pressed=false] >> text=red")
    page.locator(CANVAS).focus()
    page.keyboard.press("v")
    page.wait_for_selector(".summary >> text=6 selected")
    page.keyboard.press("Enter")
    page.wait_for_selector(".cell[data-index='5'] .picture")
    assert "/?list=" in page.url
    assert page.inner_text(".summary strong") == "6 photos"
    page.wait_for_selector(".rail kbd >> text=2")
    page.keyboard.press("a")
    page.wait_for_selector("text=6 selected")
    page.keyboard.press("2")
    page.wait_for_selector("text=6 photos labelled red")
    assert {(item.verdict, item.label) for item in mapped.verdicts.list()} == {("relabel", "red")}
    page.click(".summary >> text=All photos")
    page.wait_for_selector("text=12 photos")
    assert page.url.endswith("/")


@pytest.mark.parametrize("by_key", [True, False])
def test_a_lasso_selects_the_photos_inside(shown: Callable[..., Any], by_key: bool) -> None:
    page = shown()
    if by_key:
        page.keyboard.press("l")
        page.wait_for_selector(f"{CANVAS}.is-lasso")
    else:
        page.keyboard.down("Shift")
    lasso(page, 4)
    page.keyboard.up("Shift")
    page.wait_for_selector(".summary >> text=12 selected")
    page.keyboard.press("Escape")
    page.wait_for_selector(".summary >> text=Select what is in view")
    assert page.locator(f"{CANVAS}.is-lasso").count() == 0


def test_a_point_shows_its_photo_and_leads_to_similar_ones(
    mapped: Workspace, shown: Callable[..., Any]
) -> None:
    page = shown()
    page.mouse.move(*place_of(page, mapped, 3))
    page.wait_for_selector(".card img")
    page.mouse.click(*place_of(page, mapped, 3))
    page.wait_for_selector(".card.is-pinned")
    name = page.inner_text(".card .name")
    page.click(".card >> text=Find similar")
    page.wait_for_selector(f".cell[data-index='0'][title='{name}']")


def test_keys_and_buttons_move_the_view_and_it_is_restored(shown: Callable[..., Any]) -> None:
    page = shown()
    for _ in range(12):
        page.keyboard.press("+")
    for _ in range(8):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("v")
    page.wait_for_selector("text=No photo there.")
    page.click("nav >> text=Overview")
    page.wait_for_selector(".overview")
    page.go_back()
    page.wait_for_selector(CANVAS)
    page.wait_for_selector(".legend .swatch >> nth=1")
    page.keyboard.press("v")
    page.wait_for_selector("text=No photo there.")
    page.click("button[aria-label='Show all']")
    page.keyboard.press("v")
    page.wait_for_selector(".summary >> text=12 selected")


def test_photos_are_coloured_by_label_suspicion_and_group(
    workspace: Workspace, opened: Open, mislabelled: Path
) -> None:
    Image.open(mislabelled).save(mislabelled.with_name("copy.jpg"))
    workspace.add()
    project(workspace._embeddings.index(None), workspace.folder, no_progress)
    page = opened("/map")
    page.wait_for_selector(CANVAS)
    for name, words in (("Suspicion", "on the page Review"), ("Group", "on the page Duplicates")):
        button = page.get_by_role("button", name=name)
        assert button.get_attribute("aria-disabled") == "true"
        assert words in button.get_attribute("title")
        button.focus()
        page.keyboard.press("Enter")
        page.wait_for_selector(f".toast >> text={words}")
    page.click("nav >> text=Review")
    page.click("text=Start")
    page.wait_for_selector(".suspects [aria-current]")
    page.click("nav >> text=Duplicates")
    page.click("text=Search all photos")
    page.wait_for_selector("text=Group 1 of", timeout=120_000)
    page.click("nav[aria-label=Pages] >> text=Map")
    page.wait_for_selector(CANVAS)
    painted = {by: coloured(page, by) for by in ("Label", "Suspicion", "Group")}
    assert len(set(painted.values())) == 3
    assert names(page) == {"in a group": 2, "in no group": 36}
    page.click(".legend >> text=in no group")
    page.locator(CANVAS).focus()
    page.keyboard.press("v")
    page.wait_for_selector(".summary >> text=2 selected")
    page.keyboard.press("c")
    page.keyboard.press("c")
    page.wait_for_selector(".legend h2 >> text=Suspicion")
    found = names(page)
    assert found["label probably wrong"] == 2 and sum(found.values()) == 38
    page.wait_for_selector("#status >> text=2 label probably wrong", state="attached")
    assert "2 label probably wrong" in page.text_content("#map-text")
    assert violations(page) == []
    page.reload()
    page.wait_for_selector(".legend h2 >> text=Suspicion")


def coloured(page: Any, by: str) -> bytes:
    """The picture of the map, coloured by the value of a button."""
    page.get_by_role("button", name=by, exact=True).click()
    page.wait_for_selector(f".colour-by [aria-pressed=true] >> text={by}")
    picture: bytes = page.locator(CANVAS).screenshot()
    return picture


def names(page: Any) -> dict[str, int]:
    """The entries of the legend, and their numbers of photos."""
    return {
        row.query_selector(".name").inner_text(): int(row.query_selector(".count").inner_text())
        for row in page.query_selector_all(".legend button")[1:]
    }


def test_a_read_only_server_without_a_map_says_so(filled: Workspace, opened: Open) -> None:
    page = opened("/map", read_only=True)
    page.wait_for_selector("text=This server changes nothing")
    assert page.locator("text=Make the map").count() == 0
    assert not (filled.folder / "map").exists()


def test_without_webgl_the_page_says_so_and_counts_the_photos(shown: Callable[..., Any]) -> None:
    page = shown()
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page.reload()
    page.wait_for_selector("text=This browser cannot draw the map")
    page.wait_for_selector("text=12 photos: 6 blue, 6 red")


@LAYOUTS
def test_the_map_violates_no_rule_of_accessibility(
    mapped: Workspace, shown: Callable[..., Any], scheme: str, width: int
) -> None:
    page = shown(color_scheme=scheme, viewport={"width": width, "height": 820})
    page.keyboard.press("v")
    page.wait_for_selector(".summary >> text=12 selected")
    page.mouse.click(*place_of(page, mapped, 3))
    page.wait_for_selector(".card.is-pinned")
    assert violations(page) == []
    page.click(".legend button >> text=blue")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    page.keyboard.press("?")
    page.wait_for_selector("dialog")
    assert violations(page) == []
