"""Searches in a real browser: words, errors, the focus, and what screen readers are told."""

import os
from pathlib import Path
from typing import Any

import pytest
from conftest import draw_photo
from webphotos import wordy  # noqa: F401
from webserver import (  # noqa: F401
    Open,
    filled,
    opened,
    record_status,
    running,
    spoken,
    violations,
)

from embedkit import Workspace
from embedkit._internal.artifacts import sha256_of

pytestmark = pytest.mark.slow


def upload(page: Any, path: Path) -> None:
    """Choose a photo in the dialog of the browser, and wait for the matches."""
    with page.expect_file_chooser() as chooser:
        page.click("label >> text=Choose a photo")
    chooser.value.set_files(path)
    page.wait_for_selector(".cell[data-index='0']:focus")


@pytest.fixture
def query(tmp_path: Path) -> Path:
    """A photo that is not in the workspace."""
    draw_photo(7).resize((200, 150)).save(tmp_path / "query.png")
    return tmp_path / "query.png"


@pytest.mark.usefixtures("filled")
def test_words_are_not_offered_if_no_backbone_embeds_text(opened: Open, query: Path) -> None:
    page = opened("/search")
    page.wait_for_selector(".drop")
    assert page.locator("#text").count() == 0
    upload(page, query)
    assert page.locator("#text").count() == 0
    page.keyboard.press("?")
    page.wait_for_selector("dialog >> text=Paste a photo")
    assert page.locator("dialog >> text=Search for words").count() == 0


@pytest.mark.usefixtures("filled")
def test_an_error_takes_the_place_of_the_matches(opened: Open) -> None:
    page = opened("/search?text=red", messages=["a status of 400"])
    page.wait_for_selector(".columns [role=alert] >> text=embeds images only")
    assert page.locator(".cell").count() == 0
    assert violations(page) == []


@pytest.mark.usefixtures("wordy")
def test_words_are_asked_of_the_backbones_that_embed_text(opened: Open, query: Path) -> None:
    page = opened("/search")
    upload(page, query)
    page.select_option("select[aria-label=Backbones]", "")
    page.wait_for_selector("section[aria-label=clip-vit-b-32] .cell")
    page.fill("#text", "a red photo")
    record_status(page)
    page.press("#text", "Enter")
    page.wait_for_selector(
        "section[aria-label=clip-vit-b-32] .cell[data-index='0'][title='3.jpg']:focus"
    )
    assert page.locator("section[aria-label=resnet50]").count() == 0
    assert page.input_value("#text") == "a red photo"
    assert spoken(page) == ["12 matches"]
    page.click(".cell[data-index='1']")
    page.wait_for_selector("section[aria-label=resnet50] .cell[data-index='0']:focus")
    page.wait_for_selector("section[aria-label=clip-vit-b-32] .cell")
    assert page.input_value("#text") == ""
    assert spoken(page)[-1] == "resnet50: 12 matches, clip-vit-b-32: 12 matches"


@pytest.mark.usefixtures("wordy")
def test_an_error_keeps_the_photo_that_was_uploaded_and_its_matches(
    opened: Open, query: Path
) -> None:
    page = opened("/search", messages=["a status of 400"])
    upload(page, query)
    address = page.url
    page.fill("#text", "nothing")
    page.press("#text", "Enter")
    page.wait_for_selector("[role=alert] >> text=the word nothing has no meaning")
    page.wait_for_selector(".cell[data-index='0'][title='7.jpg']:focus")
    page.wait_for_selector("img.asked[src^=blob]")
    assert page.url == address and page.input_value("#text") == "nothing"
    assert page.evaluate("document.querySelector('img.asked').naturalWidth") == 200
    assert violations(page) == []
    page.select_option("select[aria-label=Backbones]", "clip-vit-b-32")
    page.wait_for_selector("section[aria-label=clip-vit-b-32] .cell[title='7.jpg']")
    assert page.locator("[role=alert]").count() == 0


@pytest.mark.usefixtures("wordy")
def test_matches_of_another_query_are_gone_while_a_search_runs(opened: Open, query: Path) -> None:
    page = opened("/search")
    upload(page, query)
    waiting: list[Any] = []
    page.route("**/api/v1/search", lambda route: waiting.append(route))
    page.fill("#text", "a red photo")
    page.press("#text", "Enter")
    page.wait_for_selector(".columns:focus")
    page.wait_for_selector(".columns >> text=Searching…")
    assert page.locator(".cell").count() == 0
    top = page.locator(".columns").bounding_box()["y"]
    height = page.locator(".columns .summary").bounding_box()["height"]
    waiting[0].continue_()
    page.wait_for_selector(".cell[title='3.jpg']:focus")
    assert page.locator(".columns").bounding_box()["y"] == top
    assert page.locator(".columns .summary").bounding_box()["height"] == height


@pytest.mark.usefixtures("filled")
def test_filters_and_a_verification_say_their_result(opened: Open, photos: Path) -> None:
    page = opened(f"/search?sha256={sha256_of(photos / 'red/2.jpg')}")
    page.wait_for_selector(".cell[title='2.jpg']")
    record_status(page)
    page.fill("input[aria-label=Folder]", str(photos / "red"))
    page.press("input[aria-label=Folder]", "Enter")
    page.wait_for_selector("text=6 matches")
    page.wait_for_selector("input[aria-label=Folder]:focus")
    page.click("text=Verify")
    page.wait_for_selector(".cell[data-index='0']:focus")
    page.wait_for_selector(".cell[data-index='0'] .tag >> text=same")
    same = page.locator(".cell .tag >> text=same").count()
    noun = "match shows" if same == 1 else "matches show"
    assert spoken(page) == ["6 matches", "Verifying…", f"{same} {noun} the same object"]


@pytest.mark.usefixtures("filled")
def test_the_skip_link_leads_to_the_active_photo_and_keeps_an_upload(
    opened: Open, query: Path
) -> None:
    page = opened("/")
    page.wait_for_selector(".cell[data-index='1'] .picture")
    page.focus(".skip")
    page.keyboard.press("Enter")
    page.wait_for_selector(".cell[data-index='0']:focus")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".cell[data-index='1']:focus")
    page.click("nav >> text=Search")
    page.wait_for_selector(".drop")
    page.focus(".skip")
    page.keyboard.press("Enter")
    page.wait_for_selector("main:focus")
    upload(page, query)
    page.focus(".skip")
    page.keyboard.press("Enter")
    page.wait_for_selector(".cell[data-index='0']:focus")
    page.wait_for_selector("img.asked[src^=blob]")


def test_names_with_characters_that_do_not_print_are_shown_whole(
    workspace: Workspace, opened: Open, tmp_path: Path
) -> None:
    folder = os.fsencode(tmp_path / "photos")
    os.mkdir(folder)
    names = (b"a\xe2\x80\xaegpj.png", b"b\tc.png", b"d\xfe.png", b"e\\f.png")
    for number, name in enumerate(names):
        with open(os.path.join(folder, name), "wb") as file:
            draw_photo(number).save(file, "PNG")
    workspace.add(os.fsdecode(folder))
    page = opened("/")
    for index, name in enumerate((r"a\u202egpj.png", r"b\tc.png", r"d\xfe.png", r"e\f.png")):
        cell = page.wait_for_selector(f".cell[data-index='{index}'][title]:not([title=''])")
        assert cell.get_attribute("title") == name
    windows = "(await import('/static/ui.js')).nameOf(path)"
    for path, name in ((r"C:\photos\a.jpg", "a.jpg"), (r"\\server\b\c.jpg", "c.jpg")):
        assert page.evaluate(f"async (path) => {windows}", path) == name
