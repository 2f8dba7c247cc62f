"""The pages with all photos and the search, in a real browser."""

import base64
import os
from pathlib import Path
from typing import Any

import pytest
from conftest import draw_photo
from scenery import scene
from webserver import LAYOUTS, Open, drawn_again, filled, opened, running, violations  # noqa: F401

from embedkit import Workspace
from embedkit._internal.artifacts import sha256_of

pytestmark = pytest.mark.slow


def active(page: Any) -> str:
    """Name of the photo that has the focus."""
    name: str = page.evaluate("document.activeElement.getAttribute('aria-label') ?? ''")
    return name.partition(",")[0]


def shown(page: Any) -> None:
    """Wait until all photos are there; they are in order of path."""
    page.wait_for_selector(".cell[data-index='0'][title='10.jpg']")
    page.wait_for_selector(".cell[data-index='11'][title='5.jpg'] .picture")


def labels_of(workspace: Workspace) -> dict[str, tuple[str, str | None]]:
    """The verdicts by name of the file."""
    return {
        os.path.basename(item.path or ""): (item.verdict, item.label)
        for item in workspace.verdicts.list()
    }


@pytest.mark.usefixtures("filled")
def test_the_link_signs_in_and_leaves_no_secret_in_the_address(opened: Open) -> None:
    page = opened()
    page.wait_for_selector(".cell .picture")
    assert page.url.endswith("/") and "#" not in page.url
    assert page.evaluate("document.cookie") == ""
    page.reload()
    page.wait_for_selector(".cell .picture")


@pytest.mark.usefixtures("filled")
def test_without_the_secret_the_page_asks_for_it(opened: Open) -> None:
    page = opened()
    page.wait_for_selector(".cell")
    page.context.clear_cookies()
    page.reload()
    page.wait_for_selector("text=Open the link that embedkit printed")
    assert page.locator(".cell").count() == 0


@pytest.mark.usefixtures("filled")
def test_the_grid_is_walked_by_keys(opened: Open) -> None:
    page = opened()
    shown(page)
    page.click(".cell[data-index='0']")
    assert active(page) == "10.jpg"
    page.wait_for_selector("aside >> text=10.jpg")
    for key, name in (
        ("ArrowRight", "11.jpg"),
        ("End", "5.jpg"),
        ("Home", "10.jpg"),
        ("ArrowLeft", "10.jpg"),
    ):
        page.keyboard.press(key)
        page.wait_for_selector(f".cell[title='{name}']:focus")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog.viewer img")
    page.keyboard.press("Escape")
    page.wait_for_selector(".cell[title='10.jpg']:focus")


def test_a_selection_is_relabelled_by_a_key_and_undone(filled: Workspace, opened: Open) -> None:
    page = opened()
    page.wait_for_selector(".rail kbd >> text=2")
    shown(page)
    page.click(".cell[data-index='6']")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_selector("text=3 selected")
    page.keyboard.press("1")  # blue, the first label
    page.wait_for_selector("text=3 photos labelled blue")
    assert labels_of(filled) == {f"{n}.jpg": ("relabel", "blue") for n in range(3)}
    page.keyboard.press("u")
    page.wait_for_selector(".toast >> text=Undone")
    assert labels_of(filled) == {}
    page.keyboard.press("Escape")
    page.keyboard.press("x")
    page.wait_for_selector("text=1 photo marked off-topic")
    assert labels_of(filled) == {"2.jpg": ("off-topic", None)}


@pytest.mark.usefixtures("filled")
def test_a_range_starts_where_the_last_move_without_shift_ended(opened: Open) -> None:
    page = opened()
    shown(page)
    page.click(".cell[data-index='0']")
    for key in ("ArrowRight", "Shift+ArrowRight", "End", "Shift+ArrowLeft", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    page.wait_for_selector(".summary >> text=3 selected")
    page.wait_for_selector("#status >> text=3 photos selected", state="attached")
    for key in ("Escape", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    page.wait_for_selector(".summary >> text=2 selected")
    page.click(".cell[data-index='2']", modifiers=["Shift"])
    page.wait_for_selector(".summary >> text=8 selected")


def test_after_enlarging_the_photo_in_view_has_the_focus(filled: Workspace, opened: Open) -> None:
    page = opened()
    shown(page)
    page.click(".cell[data-index='0']")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog.viewer img")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("dialog.viewer [role=status] >> text=6.jpg")
    page.keyboard.press("Escape")
    page.wait_for_selector(".cell[data-index='2']:focus")
    page.keyboard.press("x")
    page.wait_for_selector("text=1 photo marked off-topic")
    assert labels_of(filled) == {"6.jpg": ("off-topic", None)}


def test_undo_shows_what_another_program_stored_before_and_the_counts_follow(
    filled: Workspace, opened: Open, photos: Path
) -> None:
    page = opened()
    page.wait_for_selector(".rail button >> nth=2")
    shown(page)
    page.click(".cell[data-index='0']")
    filled.verdicts.set("relabel=緑", photos / "blue/10.jpg", new_label=True)
    page.keyboard.press("2")
    page.wait_for_selector(".rail button[aria-pressed] >> text=/red\\s*7/")
    page.keyboard.press("u")
    page.wait_for_selector(".inspector dd >> text=緑")
    page.wait_for_selector(".rail button[aria-pressed] >> text=/緑\\s*1/")
    assert labels_of(filled) == {"10.jpg": ("relabel", "緑")}


def test_a_removed_photo_of_a_selection_is_left_out_when_one_decides_again(
    filled: Workspace, opened: Open, photos: Path
) -> None:
    page = opened(messages=["a status of 404"])
    shown(page)
    page.click(".cell[data-index='0']")
    page.keyboard.press("Shift+ArrowRight")
    filled.remove(photos / "blue/10.jpg")
    page.keyboard.press("x")
    page.wait_for_selector(".toast >> text=has been removed")
    assert labels_of(filled) == {}
    page.keyboard.press("x")
    page.wait_for_selector("text=1 photo marked off-topic")
    assert labels_of(filled) == {"11.jpg": ("off-topic", None)}


def test_keys_move_before_any_click_and_a_key_that_is_held_decides_once(
    filled: Workspace, opened: Open
) -> None:
    page = opened()
    shown(page)
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(".cell[title='11.jpg']:focus")
    page.keyboard.down("x")
    page.keyboard.down("x")  # the browser repeats a key that is held
    page.keyboard.up("x")
    page.wait_for_selector(".cell[title='11.jpg'] .tag >> text=off-topic")
    page.reload()
    page.wait_for_selector(".cell[title='11.jpg'] .tag >> text=off-topic")
    assert labels_of(filled) == {"11.jpg": ("off-topic", None)}
    page.click(".cell[title='11.jpg']")
    page.click("button >> text=Off-topic")
    page.wait_for_selector("text=not off-topic any more")
    assert labels_of(filled) == {}


def test_a_wrong_secret_says_so(workspace: Workspace, opened: Open) -> None:
    page = opened("/")
    page.context.clear_cookies()
    page.goto(page.url + "#" + "w" * 43)
    page.reload()
    page.wait_for_selector("text=The server does not know this secret")
    assert not workspace.folder.exists()


def test_a_new_label_is_chosen_by_name(filled: Workspace, opened: Open) -> None:
    page = opened()
    page.wait_for_selector(".rail button >> nth=1")
    shown(page)
    page.click(".cell[data-index='0']")
    page.keyboard.press("l")
    page.keyboard.type("緑 1")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=1 photo labelled 緑 1")
    assert labels_of(filled) == {"10.jpg": ("relabel", "緑 1")}


def test_keys_do_nothing_while_a_person_types(filled: Workspace, opened: Open) -> None:
    page = opened()
    page.wait_for_selector(".rail button >> nth=1")
    page.click(".cell[data-index='0']")
    page.keyboard.press("/")
    page.keyboard.type("x1u?sl")
    assert page.input_value("#folder") == "x1u?sl"
    assert page.locator("dialog").count() == 0 and labels_of(filled) == {}


@pytest.mark.usefixtures("filled")
def test_a_label_and_a_folder_filter_the_grid(opened: Open, photos: Path) -> None:
    page = opened()
    page.click(".rail button >> text=red")
    page.wait_for_selector("text=6 photos")
    page.fill("#folder", str(photos / "blue"))
    page.press("#folder", "Enter")
    page.wait_for_selector("text=No photo here")
    page.click(".rail button >> text=All photos")
    page.wait_for_selector("text=6 photos")


@pytest.mark.usefixtures("filled")
def test_the_filter_that_was_chosen_last_counts_whatever_is_answered_last(opened: Open) -> None:
    page = opened()
    page.wait_for_selector("text=12 photos")
    waiting: list[Any] = []
    page.route("**/api/v1/lists", lambda route: waiting.append(route))
    for label in ("red", "All photos"):
        with page.expect_request("**/api/v1/lists"):
            page.click(f".rail button >> text={label}")
    for request in reversed(waiting):
        with page.expect_response("**/api/v1/lists"):
            request.continue_()
    drawn_again(page)
    page.wait_for_selector(".summary >> text=12 photos")


def test_a_read_only_server_says_so_and_stores_nothing(filled: Workspace, opened: Open) -> None:
    page = opened(read_only=True)
    page.wait_for_selector(".rail button >> nth=1")
    page.click(".cell[data-index='0']")
    page.keyboard.press("x")
    page.wait_for_selector(".toast >> text=--read-only")
    assert labels_of(filled) == {}


def test_an_empty_workspace_says_how_to_add_photos(workspace: Workspace, opened: Open) -> None:
    page = opened()
    page.wait_for_selector("text=embedkit add photos")
    assert not workspace.folder.exists()


# -- search ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("filled")
def test_a_photo_is_searched_by_upload_and_every_result_leads_on(
    opened: Open, tmp_path: Path
) -> None:
    draw_photo(3).resize((333, 250)).save(tmp_path / "<b>query.png")
    page = opened("/search")
    page.set_input_files("input[type=file]", tmp_path / "<b>query.png")
    page.wait_for_selector(".cell .picture")
    assert page.get_attribute(".cell[data-index='0']", "title") == "3.jpg"
    assert page.inner_text(".summary strong") == "12 matches"
    page.click(".cell[data-index='1']")
    second = page.wait_for_selector(".cell[data-index='0'] .tag >> text=0.000")
    assert second is not None and "sha256=" in page.url
    page.go_back()
    page.wait_for_selector("text=Find photos like this one")


@pytest.mark.usefixtures("filled")
def test_a_photo_is_dropped_and_another_pasted(opened: Open, photos: Path) -> None:
    page = opened("/search")
    page.wait_for_selector(".drop")
    for event, name in (
        ("new DragEvent('drop', { dataTransfer: files, bubbles: true })", "red/3.jpg"),
        ("new ClipboardEvent('paste', { clipboardData: files, bubbles: true })", "blue/9.jpg"),
    ):
        page.dispatch_event("body", "dragover")
        assert page.locator("body.is-dropping").count() == 1
        page.evaluate(
            f"""content => {{
                const files = new DataTransfer();
                const bytes = Uint8Array.from(atob(content), (one) => one.charCodeAt(0));
                files.items.add(new File([bytes], "query.jpg", {{ type: "image/jpeg" }}));
                document.body.dispatchEvent({event});
            }}""",
            base64.b64encode((photos / name).read_bytes()).decode(),
        )
        page.wait_for_selector(f".cell[data-index='0'][title='{Path(name).name}']")
        page.dispatch_event("body", "dragleave")
        assert page.locator("body.is-dropping").count() == 0


def test_the_page_of_a_photo_searches_from_it_and_verifies(
    filled: Workspace, opened: Open, photos: Path
) -> None:
    page = opened(f"/search?sha256={sha256_of(photos / 'red/2.jpg')}")
    page.wait_for_selector(".cell[title='2.jpg'] .picture")
    page.keyboard.press("v")
    page.wait_for_selector(".cell[data-index='0'] .tag >> text=same")
    page.select_option("select[aria-label=Label]", "blue")
    page.wait_for_selector("text=6 matches")
    page.select_option("select[aria-label=Label]", "")
    page.wait_for_selector("text=12 matches")
    page.fill("input[aria-label=Folder]", str(photos / "red"))
    page.press("input[aria-label=Folder]", "Enter")
    page.wait_for_selector("text=6 matches")
    assert filled.verdicts.list() == []


def test_a_match_is_compared_with_the_query_in_five_ways(
    workspace: Workspace, opened: Open, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    scene(1).save(tmp_path / "photos/1.png")
    scene(1).rotate(8).save(tmp_path / "photos/turned.png")
    scene(2).save(tmp_path / "photos/2.png")
    workspace.add(tmp_path / "photos")
    page = opened(f"/search?sha256={sha256_of(tmp_path / 'photos/1.png')}")
    page.wait_for_selector(".cell[data-index='2'] .picture")
    page.focus(".cell[data-index='0']")
    place = page.get_attribute(".cell[title='turned.png']", "data-index")
    for _ in range(int(place)):
        page.keyboard.press("ArrowRight")
    page.wait_for_selector(".cell[title='turned.png']:focus")
    page.keyboard.press("c")
    page.wait_for_selector("dialog >> text=The same object")
    for key, selector in (
        ("w", "dialog input[type=range]"),
        ("f", "dialog img.over"),
        ("o", "dialog img.over"),
        ("d", "dialog img[alt='Differences in red']"),
        ("s", "dialog figure >> nth=1"),
    ):
        page.keyboard.press(key)
        page.wait_for_selector(selector)
        assert violations(page) == []
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    page.click("text=Compare by click")
    page.click(".cell[title='2.png']")
    page.wait_for_selector("dialog >> text=No common surface was found")
    page.click("dialog >> text=Close")
    page.click("text=Compare by click")
    page.click(".cell[title='2.png']")
    page.wait_for_selector(".cell[data-index='0'][title='2.png']")


# -- accessibility -----------------------------------------------------------------------------


@pytest.mark.usefixtures("filled")
@LAYOUTS
def test_no_page_violates_a_rule_of_accessibility(
    opened: Open, photos: Path, scheme: str, width: int
) -> None:
    options = {"color_scheme": scheme, "viewport": {"width": width, "height": 820}}
    page = opened(**options)
    page.wait_for_selector(".cell .picture")
    page.wait_for_selector(".rail button >> nth=1", state="attached")
    page.click(".cell[data-index='0']")
    page.keyboard.press("Space")
    assert violations(page) == []
    page.keyboard.press("?")
    page.wait_for_selector("dialog")
    assert violations(page) == []
    base = page.url.rstrip("/")
    page.goto(f"{base}/search")
    page.wait_for_selector(".drop")
    assert violations(page) == []
    page.goto(f"{base}/search?sha256={sha256_of(photos / 'red/2.jpg')}")
    page.wait_for_selector(".cell .picture")
    assert violations(page) == []
    overflow = "document.documentElement.scrollWidth - innerWidth"
    assert page.evaluate(overflow) <= 0
