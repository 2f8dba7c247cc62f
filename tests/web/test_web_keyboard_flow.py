"""Whole flows with the keyboard alone, in a real browser: no test uses a pointer."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from classes import NEW, draw, heads_folder  # noqa: F401
from click.testing import CliRunner
from conftest import ToyBackbone, Toys
from PIL import Image
from scenery import scene
from webphotos import copies, mislabelled  # noqa: F401
from webserver import Open, filled, opened, record_status, running, spoken  # noqa: F401

from embedkit import Workspace
from embedkit._internal.artifacts import sha256_of
from embedkit.cli.app import embedkit
from embedkit.web.serve import Address

pytestmark = pytest.mark.slow

HAS_FOCUS = """(name) => {
    const { activeElement: element } = document;
    const content = (element.labels?.[0] ?? element).cloneNode(true);
    for (const hidden of content.querySelectorAll("[aria-hidden=true], kbd")) hidden.remove();
    const text = element.ariaLabel ?? content.textContent;
    const isSeen = [element, element.parentElement].some((one) => {
        const { outlineStyle, outlineWidth } = getComputedStyle(one);
        return outlineStyle !== "none" && outlineWidth !== "0px";
    });
    return [text.trim().startsWith(name), isSeen];
}"""
MOST_TABS = 60


def press(page: Any, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)


def tab_to(page: Any, name: str, key: str = "Tab") -> None:
    """Press Tab until the element with this name has the focus, which has to be visible."""
    assert name, "any element has the empty name"
    for _ in range(MOST_TABS):
        page.keyboard.press(key)
        has_focus, is_seen = page.evaluate(HAS_FOCUS, name)
        if has_focus:
            assert is_seen, f"the focus on {name} is not visible"
            return
    raise AssertionError(f"Tab does not lead to {name}")


def watch_choosers(page: Any) -> None:
    """Have the browser report dialogs for files from now on; it begins with some delay."""
    page.on("filechooser", lambda _: None)


def told(page: Any, text: str) -> None:
    """Wait for a message to screen readers."""
    page.wait_for_selector(f"#status:has-text('{text}')", state="attached")


def choose_files(page: Any, *paths: Path) -> None:
    """Open the dialog for files by its button, and choose some."""
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(paths)


def cli(workspace: Workspace, *arguments: object) -> dict[str, Any]:
    """What a command prints about the workspace as JSON."""
    command = [*map(str, arguments), "--json", "-w", str(workspace.folder)]
    done = CliRunner().invoke(embedkit, command)
    assert done.exit_code == 0, done.output
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def shown(page: Any) -> list[str]:
    """The names of the photos in the grid."""
    cells = page.query_selector_all(".cell")
    found = {int(cell.get_attribute("data-index")): cell.get_attribute("title") for cell in cells}
    return [found[index] for index in sorted(found)]


def found_by_cli(workspace: Workspace, photo: Path, *options: object) -> list[str]:
    """The names of the photos that a command finds."""
    matches = cli(workspace, "search", photo, "-k", 60, *options)["matches"]
    return [Path(match["path"]).name for match in matches]


def verdicts(workspace: Workspace) -> dict[str, str]:
    """The verdicts by name of the photo."""
    return {
        Path(item.path or "").name: item.verdict + (f"={item.label}" if item.label else "")
        for item in workspace.verdicts.list()
    }


# -- photos ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("filled")
def test_the_link_is_typed_and_shows_the_photos(
    browser: Any, running: Callable[..., Address]
) -> None:
    address = running()
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{address.port}/")
        page.wait_for_selector("text=Open the link that embedkit printed")
        tab_to(page, "Link or secret")
        page.keyboard.type(address.url)
        page.keyboard.press("Enter")
        page.wait_for_selector(".cell .picture")
        assert "#" not in page.url


def test_a_selection_is_relabelled_and_a_photo_is_off_topic(
    filled: Workspace, opened: Open
) -> None:
    page = opened()
    page.wait_for_selector(".cell[data-index='11'] .picture")
    page.wait_for_selector(".rail kbd >> text=2")
    press(page, "End ArrowLeft Space Shift+ArrowRight")
    page.wait_for_selector(".summary >> text=2 selected")
    names = shown(page)
    press(page, "l")
    page.keyboard.type("blue")
    press(page, "Enter")
    told(page, "2 photos labelled blue")
    assert verdicts(filled) == dict.fromkeys(names[-2:], "relabel=blue")
    assert cli(filled, "labels")["labels"] == {"blue": 8, "red": 4}
    press(page, "u")
    told(page, "Undone")
    assert cli(filled, "labels")["labels"] == {"blue": 6, "red": 6}
    press(page, "Escape Home x")
    told(page, "1 photo marked off-topic")
    assert verdicts(filled) == {names[0]: "off-topic"}


def test_a_label_that_contains_another_one_is_not_taken_for_it(
    filled: Workspace, opened: Open, photos: Path
) -> None:
    for number in range(3):
        filled.verdicts.set("relabel=dark red", photos / f"red/{number}.jpg", new_label=True)
    page = opened()
    page.wait_for_selector(".cell[data-index='11'] .picture")
    page.wait_for_selector(".rail button >> text=dark red")
    press(page, "Home l")
    page.keyboard.type("red")
    press(page, "Enter")
    told(page, "1 photo labelled red")
    assert verdicts(filled)[shown(page)[0]] == "relabel=red"


# -- search ------------------------------------------------------------------------------------


def test_a_stored_photo_is_searched_and_a_match_leads_on(
    filled: Workspace, opened: Open, photos: Path
) -> None:
    page = opened()
    page.wait_for_selector(".cell[data-index='11'] .picture")
    press(page, "ArrowRight s")
    page.wait_for_selector(".cell[data-index='11'] .picture")
    names = shown(page)
    assert names == found_by_cli(filled, photos / "blue/11.jpg")
    press(page, "ArrowRight")
    page.wait_for_selector(f".cell[title='{names[1]}']:focus")
    press(page, "s")
    page.wait_for_selector(f".cell[data-index='0'][title='{names[1]}']:focus")
    (path,) = photos.rglob(names[1])
    assert shown(page) == found_by_cli(filled, path)


def test_arrow_keys_move_among_the_matches_when_a_link_was_opened(
    filled: Workspace, opened: Open, photos: Path
) -> None:
    query = photos / "red/2.jpg"
    page = opened(f"/search?sha256={sha256_of(query)}")
    page.wait_for_selector(".cell[data-index='11'] .picture")
    page.evaluate("document.activeElement.blur()")  # as if the test were no action of a person
    press(page, "ArrowRight")
    page.wait_for_selector(f".cell[title='{found_by_cli(filled, query)[1]}']:focus")


def test_a_photo_is_uploaded_verified_and_laid_over_a_match(
    workspace: Workspace, opened: Open, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    scene(1).save(tmp_path / "photos/1.png")
    for number in range(2, 6):
        scene(number).save(tmp_path / f"photos/{number}.png")
    query = tmp_path / "turned.png"
    scene(1).rotate(8).save(query)
    workspace.add(tmp_path / "photos")
    page = opened("/search")
    watch_choosers(page)
    page.wait_for_selector(".drop")
    tab_to(page, "Choose a photo")
    choose_files(page, query)
    page.wait_for_selector(".cell[data-index='0']:focus")
    page.wait_for_selector(".cell[data-index='4'] .picture")
    assert shown(page) == found_by_cli(workspace, query)
    press(page, "v")
    page.wait_for_selector(".cell[data-index='0'] .tag >> text=same")
    page.wait_for_selector(".cell[data-index='0']:focus")
    assert shown(page) == found_by_cli(workspace, query, "--verify", 20)
    assert shown(page)[0] == "1.png"
    press(page, "c")
    page.wait_for_selector("dialog >> text=The same object")
    press(page, "o")
    page.wait_for_selector("dialog img.over")
    press(page, "w")
    tab_to(page, "Place of the slider")
    press(page, "Home ArrowRight")
    page.wait_for_selector("dialog img.over[style*='0.5%']")
    press(page, "Escape")
    page.wait_for_selector("dialog", state="detached")
    page.wait_for_selector(".cell[data-index='0']:focus")
    with page.expect_file_chooser():
        press(page, "o")


# -- duplicates --------------------------------------------------------------------------------


def test_duplicates_are_decided_moved_and_put_back(
    workspace: Workspace, opened: Open, copies: Path
) -> None:
    before = {path: path.read_bytes() for path in copies.rglob("*.jpg")}
    page = opened("/duplicates")
    page.wait_for_selector("text=Find duplicates")
    tab_to(page, "Search all photos")
    press(page, "Enter")
    page.wait_for_selector("text=Group 1 of 3", timeout=120_000)
    press(page, "2")  # keeps only the second file, whose label is right
    told(page, "The group is decided")
    press(page, "Enter")
    told(page, "Group 2 of 3")
    press(page, "Enter")
    told(page, "Group 3 of 3")
    press(page, "Enter")
    told(page, "All groups are decided")
    press(page, "a")
    page.wait_for_selector("dialog >> text=Nothing is deleted")
    press(page, "Enter")
    page.wait_for_selector("dialog >> text=3 files moved to quarantine")
    after = {path for path in before if path.exists()}
    assert {path.name for path in set(before) - after} == {
        "2 青い写真.jpg", "0 small.jpg", "1 copy.jpg",
    }  # fmt: skip
    (quarantine,) = cli(workspace, "quarantine", "list")["quarantines"]
    assert (quarantine["files"], quarantine["state"]) == (3, "applied")
    tab_to(page, "Undo", "Shift+Tab")
    press(page, "Enter")
    page.wait_for_selector("dialog >> text=3 files put back")
    assert {path: path.read_bytes() for path in copies.rglob("*.jpg")} == before
    (quarantine,) = cli(workspace, "quarantine", "list")["quarantines"]
    assert (quarantine["files"], quarantine["state"]) == (0, "undone")
    press(page, "Enter")
    page.wait_for_selector("text=0 of 3 groups decided")


@pytest.mark.usefixtures("copies")
def test_a_group_is_chosen_in_the_list_of_a_narrow_window(opened: Open) -> None:
    page = opened("/duplicates", viewport={"width": 390, "height": 820})
    page.wait_for_selector("text=Find duplicates")
    tab_to(page, "Search all photos")
    press(page, "Enter")
    page.wait_for_selector("text=Group 1 of 3", timeout=120_000)
    tab_to(page, "All groups")
    press(page, "Enter")
    page.wait_for_selector("dialog .cell[data-index='2'] .picture")
    press(page, "Shift+Tab")
    page.wait_for_selector("dialog .cell:focus")
    press(page, "End Enter")
    page.wait_for_selector(".place >> text=Group 3 of 3")
    assert page.locator("dialog").count() == 0


# -- review ------------------------------------------------------------------------------------


def test_an_off_topic_photo_and_the_photos_of_a_contact_sheet_are_decided(
    workspace: Workspace, opened: Open, mislabelled: Path
) -> None:
    draw(0, NEW).save(mislabelled.with_name("other.png"))
    workspace.add()
    page = opened("/review")
    page.wait_for_selector("text=Which photos are probably wrong?")
    tab_to(page, "Wrong labels")
    press(page, "ArrowDown")
    page.wait_for_selector("input[value=off-topic]:checked")
    tab_to(page, "Photos to list")
    press(page, "ArrowDown")
    tab_to(page, "Start")
    press(page, "Enter")
    page.wait_for_selector(".suspects:focus")
    first = page.inner_text(".suspect figcaption span[title]")
    press(page, "o")
    told(page, "decided: Off-topic.")
    assert verdicts(workspace) == {first: "off-topic"}
    tab_to(page, "Other review", "Shift+Tab")
    press(page, "Enter")
    page.wait_for_selector("input[value=labels]:checked")
    tab_to(page, "Wrong labels")
    press(page, "Enter")  # as in any form
    page.wait_for_selector(".suspects:focus")
    tab_to(page, "Classes", "Shift+Tab")
    press(page, "Enter")
    page.wait_for_selector(".cell[data-index='0']:focus")
    tab_to(page, "green", "Shift+Tab")
    with page.expect_response(lambda answer: "/lists/" in answer.url and "first=0" in answer.url):
        press(page, "Enter")  # its photos may be those that are shown already
    odd = {"wrong.png", "other.png"}
    selector = ", ".join(f".cell[data-index='0'][title='{name}']" for name in odd)
    tab_to(page, page.wait_for_selector(selector).get_attribute("title"))
    assert set(shown(page)[:2]) == odd
    press(page, "Space Shift+ArrowRight 1")
    told(page, "2 photos labelled blue")
    assert {name: verdicts(workspace)[name] for name in odd} == dict.fromkeys(odd, "relabel=blue")
    labels = cli(workspace, "labels")["labels"]
    assert (labels["blue"], labels["green"]) == (14, 12)


# -- map ---------------------------------------------------------------------------------------


def test_the_map_is_made_and_a_selection_relabelled(filled: Workspace, opened: Open) -> None:
    page = opened("/map")
    page.wait_for_selector("text=Make the map")
    tab_to(page, "Make the map")
    press(page, "Enter")
    page.wait_for_selector(".legend .swatch >> nth=1")
    tab_to(page, "red")
    press(page, "Enter")
    page.wait_for_selector(".legend button[aria-pressed=false] >> text=red")
    tab_to(page, "Map of 12 photos")
    press(page, "v")
    told(page, "6 photos selected")
    press(page, "Enter")
    page.wait_for_selector(".summary >> text=chosen on the map")
    page.wait_for_selector(".rail kbd >> text=2")
    press(page, "a 2")
    told(page, "6 photos labelled red")
    assert cli(filled, "labels")["labels"] == {"red": 12}


@pytest.mark.usefixtures("filled")
def test_a_photo_of_the_map_is_chosen_enlarged_and_searched(opened: Open) -> None:
    page = opened("/map")
    page.wait_for_selector("text=Make the map")
    tab_to(page, "Make the map")
    press(page, "Enter")
    page.wait_for_selector(".legend .swatch >> nth=1")
    press(page, "p")
    page.wait_for_selector(".card.is-pinned")
    name = page.inner_text(".card .name")
    told(page, name)
    press(page, "Enter")
    page.wait_for_selector(f"dialog.viewer img[alt='{name}']")
    press(page, "Escape")
    page.wait_for_selector("dialog", state="detached")
    press(page, "s")
    page.wait_for_selector(f".cell[data-index='0'][title='{name}']")


# -- classify ----------------------------------------------------------------------------------


@pytest.fixture
def trained(workspace: Workspace, heads_folder: Path) -> Workspace:
    """The workspace with three classes and three heads."""
    shutil.copytree(heads_folder / "workspace", workspace.folder)
    return workspace


def classes(page: Any, count: int) -> list[str]:
    """The answers from the top, when there are so many."""
    page.wait_for_selector(f".verdict strong >> nth={count - 1}")
    found: list[str] = page.locator(".verdict strong").all_inner_texts()
    return found


def test_a_photo_and_an_unknown_one_are_classified(
    trained: Workspace, opened: Open, tmp_path: Path
) -> None:
    known, strange = tmp_path / "blue.png", tmp_path / "strange.png"
    draw(1, NEW).save(known)
    Image.effect_noise((96, 72), 120).convert("RGB").save(strange)
    answers = [
        cli(trained, "classify", path, "--head", "probe")["predictions"][0]
        for path in (known, strange)
    ]
    assert [one["unknown"] for one in answers] == [False, True]
    page = opened("/classify")
    watch_choosers(page)
    page.wait_for_selector(".drop")
    tab_to(page, "probe")
    if page.get_attribute(":focus", "aria-pressed") == "false":
        press(page, "Enter")
    for name in ("knn", "both"):
        tab_to(page, name, "Shift+Tab")
        if page.get_attribute(":focus", "aria-pressed") == "true":
            press(page, "Space")
    tab_to(page, "Choose photos")
    choose_files(page, known, strange)
    page.wait_for_selector(".classified:focus")
    assert classes(page, 2) == [answers[0]["top"][0]["label"], "Unknown"]
    tab_to(page, "Compare with a training photo, blue")
    press(page, "Enter")
    page.wait_for_selector(".pair figure >> nth=1")
    press(page, "Escape")
    page.wait_for_selector("dialog", state="detached")
    press(page, "Delete")
    page.wait_for_selector("text=Which class is it?")
    with page.expect_file_chooser():
        press(page, "o")


def test_the_matrix_is_opened_and_a_stored_photo_classified(
    trained: Workspace, opened: Open
) -> None:
    page = opened("/classify")
    page.wait_for_selector(".drop")
    tab_to(page, "Confusions of the test set")
    press(page, "Enter")
    page.wait_for_selector(".matrix:focus")
    press(page, "Tab Enter")
    page.wait_for_selector(".cell[data-index='0']:focus")
    press(page, "x")
    told(page, "1 photo marked off-topic")
    assert list(verdicts(trained).values()) == ["off-topic"]
    press(page, "Escape")
    page.wait_for_selector(".matrix:focus")
    tab_to(page, "Photos", "Shift+Tab")
    press(page, "Enter")
    page.wait_for_selector(".cell[data-index='0'] .picture")
    name = shown(page)[0]
    press(page, "Home c")
    classes(page, 1)
    page.wait_for_selector(f".classification figcaption >> text={name}")


# -- overview ----------------------------------------------------------------------------------


class Waiting(ToyBackbone):
    """A toy whose second forward pass waits until a test lets it."""

    batch = 4
    goes_on = threading.Event()

    def embed_pixels(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self._passes:
            assert self.goes_on.wait(60)
        return super().embed_pixels(pixels)


def fill_in(page: Any, folder: Path) -> None:
    """Ask for a folder with labels to be added."""
    tab_to(page, "Folder on this machine")
    page.keyboard.type(str(folder))
    tab_to(page, "Its subfolders are labels")
    press(page, "Space")
    tab_to(page, "Add")
    press(page, "Enter")


def test_a_folder_is_added_and_the_overview_leads_on(
    workspace: Workspace, opened: Open, photos: Path
) -> None:
    page = opened()
    page.wait_for_selector("text=No photos yet")
    tab_to(page, "Overview")
    press(page, "Enter")
    page.wait_for_selector("text=Add your photos")
    record_status(page)
    fill_in(page, photos)
    page.wait_for_selector(".outcome:focus >> text=12 photos: 12 new")
    assert spoken(page) == [f"Add {photos}: started", f"Add {photos}: finished"]
    info = cli(workspace, "info")
    assert (info["images"], info["labels"]) == (12, {"blue": 6, "red": 6})
    page.wait_for_selector(".facts dd >> text=12")
    tab_to(page, "Review")
    press(page, "Enter")
    page.wait_for_selector("text=Which photos are probably wrong?")


def test_progress_is_shown_and_adding_is_stopped(
    workspace: Workspace, toys: Toys, opened: Open, photos: Path
) -> None:
    toys.kind = Waiting
    page = opened("/overview")
    page.wait_for_selector("text=Add your photos")
    fill_in(page, photos)
    page.wait_for_selector(".progress:focus-within progress[value]")
    tab_to(page, "Stop")
    press(page, "Enter")
    page.wait_for_selector(".progress >> text=stopping")
    Waiting.goes_on.set()
    page.wait_for_selector(".outcome:focus >> text=Stopped")
    images = cli(workspace, "info")["images"]
    assert images < 12
    fill_in(page, photos)
    page.wait_for_selector(".outcome:focus >> text=12 photos")
    assert cli(workspace, "info")["images"] == 12
