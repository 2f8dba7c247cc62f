"""The page of duplicates in a real browser: decided by keys, applied and undone."""

import os
from pathlib import Path
from typing import Any

import pytest
from conftest import draw_photo
from PIL import Image
from scenery import saved, scene
from webphotos import copies  # noqa: F401
from webserver import LAYOUTS, Open, opened, running, violations  # noqa: F401

from embedkit import Workspace

pytestmark = pytest.mark.slow


def search(page: Any) -> None:
    """Search for duplicates, and wait for the first group."""
    page.click("main .button.primary")
    page.wait_for_selector("text=Group 1 of", timeout=120_000)


def press(page: Any, keys: str) -> None:
    for key in keys.split():
        page.keyboard.press(key)


def at_group(page: Any, number: int) -> None:
    page.wait_for_selector(f".place >> text=Group {number} of")


def actions(page: Any) -> dict[str, str]:
    """The action of each file of the group in view, by name."""
    return {
        item.query_selector("b").inner_text(): item.query_selector(".badge").inner_text()[2:]
        for item in page.query_selector_all(".compare figcaption")
    }


def verdicts(workspace: Workspace) -> dict[frozenset[str], str]:
    return {
        frozenset((os.path.basename(str(one.path)), os.path.basename(str(one.other_path)))): (
            one.verdict
        )
        for one in workspace.verdicts.list()
    }


@pytest.mark.usefixtures("copies")
def test_a_conflict_is_first_and_waits_for_a_decision(opened: Open) -> None:
    page = opened("/duplicates")
    search(page)
    page.wait_for_selector(".mark >> text=labels differ")
    page.wait_for_selector(".facts td >> text=blue")
    assert page.locator(".badge.is-review").count() == 4  # below the photos and in the strip
    press(page, "Enter")
    at_group(page, 2)
    page.wait_for_selector("text=2 files left for review")
    assert "0 files to move" in page.inner_text(".totals p")


def test_all_decisions_by_keys_then_files_move_and_come_back(
    workspace: Workspace, opened: Open, copies: Path
) -> None:
    before = {path: path.read_bytes() for path in copies.rglob("*.jpg")}
    page = opened("/duplicates")
    search(page)
    press(page, "2 Enter")  # keeps only the second file, whose label is right
    at_group(page, 2)
    press(page, "Enter")
    at_group(page, 3)
    press(page, "Enter")
    page.wait_for_selector(".toast >> text=All groups are decided")
    page.wait_for_selector("text=3 files to move")
    press(page, "a")
    page.wait_for_selector("dialog >> text=Nothing is deleted")
    assert violations(page) == []
    page.click("dialog .primary")
    page.wait_for_selector("dialog >> text=3 files moved to quarantine")
    after = {path: path.read_bytes() for path in copies.rglob("*.jpg")}
    assert after.items() < before.items() and len(after) == len(before) - 3
    assert (copies / "red/2.jpg").exists() and not (copies / "red/0 small.jpg").exists()
    page.click("dialog >> text=Undo: put them back")
    page.wait_for_selector("dialog >> text=3 files put back")
    assert {path: path.read_bytes() for path in copies.rglob("*.jpg")} == before
    page.click("dialog .primary")
    page.wait_for_selector("text=0 of 3 groups decided")
    assert workspace.info().files == len(before)


def test_the_files_of_every_quarantine_can_be_put_back(opened: Open, copies: Path) -> None:
    before = {path: path.read_bytes() for path in copies.rglob("*.jpg")}
    page = opened("/duplicates")
    search(page)
    for number in (2, 3):
        press(page, "ArrowDown")
        at_group(page, number)
        press(page, "r")
        page.wait_for_selector("text=1 file to move")
        press(page, "a")
        page.click("dialog .primary")
        page.wait_for_selector("dialog >> text=1 file moved to quarantine")
        page.click("dialog .primary")
        page.wait_for_selector("figcaption .badge >> text=Moved")
    for number in (2, 1):
        page.click("text=Put files back…")
        page.wait_for_selector("dialog >> text=Put 1 file back")
        assert page.locator("dialog li").count() == number
        assert violations(page) == []
        page.click("dialog li .button >> nth=-1")  # the oldest one
        page.wait_for_selector("dialog >> text=1 file put back")
        page.click("dialog .primary")
        page.wait_for_selector(f"text={number - 1} of 3 groups decided")
    assert page.locator("text=Put files back…").count() == 0
    assert {path: path.read_bytes() for path in copies.rglob("*.jpg")} == before


@pytest.mark.parametrize("event", ["visibilitychange", "focus"])
def test_a_quarantine_that_another_process_undoes_is_gone_when_the_page_is_seen_again(
    workspace: Workspace, opened: Open, copies: Path, event: str
) -> None:
    page = opened("/duplicates")
    search(page)
    for key, number in (("ArrowDown", 2), ("ArrowDown", 3), ("ArrowUp", 2)):
        press(page, key)
        at_group(page, number)
        page.wait_for_selector(".compare img[data-loaded=true] >> nth=1")
    page.click("text=Accept 2 sure")
    page.wait_for_selector("text=2 files to move")
    press(page, "a")
    page.click("dialog .primary")
    page.wait_for_selector("dialog >> text=2 files moved to quarantine")
    page.click("dialog .primary")
    page.wait_for_selector("text=2 of 3 groups decided")
    page.wait_for_selector("figcaption .badge >> text=Moved")
    (quarantine,) = workspace.quarantine.list()
    workspace.undo(quarantine.id)
    target = "document" if event == "visibilitychange" else "window"
    page.evaluate(f"() => {target}.dispatchEvent(new Event('{event}'))")
    page.wait_for_selector("text=0 of 3 groups decided")
    at_group(page, 2)
    page.wait_for_selector("figcaption .badge >> text=Remove")
    assert page.locator("text=Put files back…").count() == 0
    assert page.locator(".badge >> text=Moved").count() == 0
    assert (copies / "red/1 copy.jpg").exists()


def second_tab(page: Any, number: int) -> Any:
    """Another tab of the browser, at a group."""
    other = page.context.new_page()
    other.goto(page.url)
    at_group(other, 1)
    for place in range(2, number + 1):
        press(other, "ArrowDown")
        at_group(other, place)
    other.wait_for_selector(".compare img[data-loaded=true] >> nth=1")
    return other


def wait_for_status(page: Any, text: str) -> None:
    """Wait for a text that is read out."""
    page.wait_for_selector(f"#status:has-text('{text}')", state="attached")


CHANGED = "another tab or program has changed the decisions"


def test_two_tabs_do_not_overwrite_each_others_decisions(opened: Open, copies: Path) -> None:
    page = opened("/duplicates", messages=["a status of 409"])
    search(page)
    other = second_tab(page, 1)
    press(page, "1")
    page.wait_for_selector("text=1 of 3 groups decided")
    first = actions(page)
    press(other, "2")
    other.wait_for_selector(f".toast >> text={CHANGED}")
    assert actions(other) == first
    press(other, "2")  # decides again
    (removed,) = (name for name, action in first.items() if action == "Keep")
    other.wait_for_selector(f"figcaption:has-text('{removed}') .is-remove")
    wait_for_status(other, "The group is decided")
    second = actions(other)
    assert second != first
    press(page, "a")
    page.click("dialog .primary")
    page.wait_for_selector(f".toast >> text={CHANGED}")
    assert actions(page) == second
    assert (copies / "red/2.jpg").exists() and (copies / "blue/2 青い写真.jpg").exists()
    press(page, "n")
    at_group(page, 2)
    press(other, "u")
    other.wait_for_selector(f".toast >> text={CHANGED}")
    other.wait_for_selector(".mark >> text=Not duplicates")
    press(page, "Enter")
    at_group(page, 3)
    other.click("text=Accept 2 sure")
    other.wait_for_selector(f".toast >> text={CHANGED}")
    other.wait_for_selector("text=Accept 1 sure")
    press(page, "a")
    page.click("dialog .primary")
    page.wait_for_selector("dialog >> text=1 file moved to quarantine")


@pytest.mark.usefixtures("copies")
def test_a_decision_of_another_tab_with_the_same_numbers_is_shown_on_focus(opened: Open) -> None:
    page = opened("/duplicates")
    search(page)
    press(page, "ArrowDown")
    at_group(page, 2)
    press(page, "1")
    page.wait_for_selector("text=1 of 3 groups decided")
    first, totals = actions(page), page.inner_text(".totals p")
    other = second_tab(page, 2)
    assert actions(other) == first
    for keys in ("2", "u", "2"):
        press(other, keys)
        wait_for_status(other, "Undone: group 2" if keys == "u" else "Keep")
    page.evaluate("() => window.dispatchEvent(new Event('focus'))")
    page.wait_for_selector(".toast >> text=Another tab or program has changed the decisions")
    assert actions(page) == actions(other) != first
    assert page.inner_text(".totals p").split("(")[0] == totals.split("(")[0]


@pytest.mark.usefixtures("copies")
def test_the_list_of_groups_shows_decisions_and_is_never_blank(opened: Open) -> None:
    page = opened("/duplicates")
    search(page)
    page.wait_for_selector(".groups [data-index='0'] .tag >> text=conflict")
    press(page, "1")
    page.wait_for_selector(".groups [data-index='0'] .tag >> text=✓ decided")
    press(page, "u")
    page.wait_for_selector(".groups [data-index='0'] .tag >> text=conflict")
    assert page.locator(".groups [aria-label=loading]").count() == 0
    page.click("text=Accept 2 sure")
    page.wait_for_selector(".groups [data-index='2'] .tag >> text=✓ decided")
    press(page, "u")
    page.wait_for_selector(".groups [data-index='2'] .tag >> text=✓ decided", state="detached")
    assert page.locator(".groups [aria-label=loading]").count() == 0


@pytest.mark.usefixtures("copies")
def test_decisions_moves_and_searches_are_read_out_and_keep_the_focus(opened: Open) -> None:
    page = opened("/duplicates")

    def wait_for_focus(selector: str) -> None:
        page.wait_for_selector(f"{selector}:focus")

    page.click("main .button.primary")
    wait_for_status(page, "The search has ended. Group 1 of 3, 2 files, labels differ.")
    wait_for_focus(".place")
    name, another = actions(page)
    press(page, "1")
    wait_for_status(page, f"Keep {name}, Remove {another}. The group is decided.")
    press(page, "ArrowRight")
    wait_for_status(page, f"{another}: Remove.")
    press(page, "l")
    wait_for_status(page, f"Review {another}.")
    press(page, "n")
    wait_for_status(page, "Not duplicates. Group 2 of 3, 2 files.")
    press(page, "Enter")
    wait_for_status(page, "Accepted. Group 3 of 3, 2 files.")
    press(page, "ArrowUp")
    wait_for_status(page, "Group 2 of 3, 2 files, decided.")
    press(page, "a")
    page.click("dialog .primary")
    page.wait_for_selector("dialog[aria-label='1 file moved to quarantine']")
    wait_for_status(page, "1 file moved to quarantine.")
    page.click("dialog .primary")
    wait_for_focus(".place")
    page.click("text=Search again")
    wait_for_status(page, "The search has ended.")
    wait_for_focus("#place")
    assert violations(page) == []


@pytest.mark.usefixtures("copies")
def test_the_move_that_is_asked_for_waits_for_a_decision_on_its_way(opened: Open) -> None:
    page = opened("/duplicates")
    search(page)

    def press_meanwhile(route: Any) -> None:
        if route.request.method == "POST":  # the page also reads the next groups
            press(page, "a")
        route.continue_()

    page.route("**/api/v1/duplicates/*/groups/*", press_meanwhile)
    press(page, "1")
    page.wait_for_selector("dialog >> text=1 file")


def test_a_file_that_has_changed_stays_and_the_result_says_why(opened: Open, copies: Path) -> None:
    page = opened("/duplicates")
    search(page)
    page.click("text=Accept 2 sure")
    page.wait_for_selector("text=2 files to move")
    draw_photo(99).save(copies / "red/0 small.jpg")
    press(page, "a")
    page.click("dialog .primary")
    page.wait_for_selector("dialog >> text=1 file not moved")
    assert "0 small.jpg: " in page.inner_text(".failures")
    assert (copies / "red/0 small.jpg").exists() and not (copies / "red/1 copy.jpg").exists()


def test_decisions_are_undone_and_survive_a_reload(
    workspace: Workspace, opened: Open, copies: Path
) -> None:
    page = opened("/duplicates")
    search(page)
    press(page, "ArrowDown ArrowDown")
    at_group(page, 3)
    assert actions(page) == {"0.jpg": "Keep", "0 small.jpg": "Remove"}
    press(page, "n")
    at_group(page, 1)  # the first one without a decision
    page.wait_for_selector("text=1 of 3 groups decided")
    assert verdicts(workspace) == {frozenset(("0.jpg", "0 small.jpg")): "different"}
    page.reload()
    at_group(page, 1)
    page.wait_for_selector("text=1 of 3 groups decided")
    press(page, "u")
    at_group(page, 3)
    page.wait_for_selector("text=0 of 3 groups decided")
    assert verdicts(workspace) == {}
    press(page, "r")  # the copy: as proposed
    page.wait_for_selector(".mark >> text=Decided")
    press(page, "ArrowLeft r")  # the other one instead
    page.wait_for_selector("figcaption:has-text('0 small.jpg') .is-keep")
    assert actions(page) == {"0 small.jpg": "Keep", "0.jpg": "Remove"}
    page.wait_for_selector("text=1 of 3 groups decided")
    assert verdicts(workspace) == {frozenset(("0.jpg", "0 small.jpg")): "duplicate"}
    assert (copies / "red/0.jpg").exists()


@pytest.mark.usefixtures("copies")
def test_two_photos_are_compared_in_four_ways(opened: Open) -> None:
    page = opened("/duplicates")
    search(page)
    press(page, "ArrowDown")
    at_group(page, 2)
    page.wait_for_selector(".compare.is-side img[data-loaded=true] >> nth=1")
    press(page, "w")
    page.fill(".is-slider input[type=range]", "20")
    page.wait_for_selector(".edge[style*='20%']")
    page.click("text=Difference")
    page.wait_for_selector(".is-difference .brighter", state="attached")
    press(page, "f")
    page.wait_for_selector(".is-swap .layer-left[aria-hidden=true]", state="attached")
    press(page, "f")
    page.wait_for_selector(".is-swap .layer-right[aria-hidden=true]", state="attached")
    press(page, "s")
    page.wait_for_selector(".is-side")


@pytest.mark.usefixtures("copies")
def test_without_permission_to_write_the_page_says_so(opened: Open) -> None:
    page = opened("/duplicates", read_only=True)
    page.wait_for_selector("text=it cannot search")
    assert page.locator("main button").count() == 0


@pytest.mark.usefixtures("copies")
@LAYOUTS
def test_the_page_violates_no_rule_of_accessibility(opened: Open, scheme: str, width: int) -> None:
    page = opened("/duplicates", color_scheme=scheme, viewport={"width": width, "height": 844})
    page.wait_for_selector("main .button.primary")
    assert violations(page) == []
    search(page)
    page.wait_for_selector(".compare img[data-loaded=true] >> nth=1")
    assert violations(page) == []
    for key in ("w", "d", "f", "n", "?"):
        press(page, key)
        assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_a_hundred_groups_are_decided_by_keys_with_the_right_verdicts(
    workspace: Workspace, tmp_path: Path, opened: Open
) -> None:
    expected = {}
    for number in range(100):
        original = saved(scene(number, (240, 180)), tmp_path / f"set/{number:03}.jpg", quality=92)
        Image.open(original).save(original.with_name(f"{number:03} small.jpg"), quality=60)
        pair = frozenset((original.name, f"{number:03} small.jpg"))
        expected[pair] = "different" if number % 10 == 3 else "duplicate"
    workspace.add([tmp_path / "set"])
    page = opened("/duplicates")
    search(page)
    for number in range(1, 101):
        at_group(page, number)
        name = page.inner_text(".compare figcaption b >> nth=0")
        copy = page.inner_text(".compare figcaption b >> nth=1")
        page.keyboard.press("n" if expected[frozenset((name, copy))] == "different" else "Enter")
    page.wait_for_selector(".toast >> text=All groups are decided")
    page.wait_for_selector("text=100 of 100 groups decided")
    assert verdicts(workspace) == expected
    assert "90 files to move" in page.inner_text(".totals p")
