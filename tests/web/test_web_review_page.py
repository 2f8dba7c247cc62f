"""The review page in a real browser."""

from pathlib import Path
from typing import Any

import pytest
from classes import NEW, draw
from conftest import draw_photo
from PIL import ImageFilter
from webphotos import mislabelled  # noqa: F401
from webserver import LAYOUTS, Open, drawn_again, opened, record_status, running, spoken, violations  # noqa: F401

from embedkit import Workspace

pytestmark = pytest.mark.slow


@pytest.fixture
def reviewed(workspace: Workspace, mislabelled: Path) -> Workspace:
    """A workspace of three classes; two photos labelled green look like those of other classes."""
    draw(0, NEW).save(mislabelled.with_name("other.png"))
    workspace.add()
    return workspace


def begin(page: Any, what: str = "labels") -> None:
    """Start a review of the first 100 photos, and wait for its suspects."""
    page.check(f"input[value={what}]")
    page.select_option(".begin select", "100")
    page.click("text=Start")
    page.wait_for_selector(".suspects [aria-current]")


def current(page: Any) -> str:
    """The name of the photo to decide about."""
    name: str = page.inner_text(".suspect figcaption span[title]")
    return name


def decided(page: Any, count: int) -> None:
    """Wait until so many suspects are decided, and stored."""
    page.wait_for_selector(f".meter >> text=/^{count} of/")


def verdicts(workspace: Workspace) -> dict[str, str]:
    """The verdicts by name of the photo."""
    return {
        Path(item.path or "").name: item.verdict + (f"={item.label}" if item.label else "")
        for item in workspace.verdicts.list()
    }


def told(page: Any, text: str) -> None:
    """Wait for a message to screen readers, which follows what is stored."""
    page.wait_for_selector(f"#status >> text={text}", state="attached")


def test_each_key_decides_and_leads_to_the_next_suspect(reviewed: Workspace, opened: Open) -> None:
    page = opened("/review")
    begin(page)
    names = []
    for key, words in (
        ("s", "Suggestion is right"),
        ("l", "Label is right"),
        ("b", "Both are right"),
        ("n", "Not sure"),
        ("o", "Off-topic"),
    ):
        names.append(current(page))
        page.keyboard.press(key)
        told(page, f"decided: {words}.")
    assert len(set(names)) == 5 and set(names[:2]) == {"wrong.png", "other.png"}
    found = verdicts(reviewed)
    assert [found[name].partition("=")[0] for name in names] == [
        "relabel", "right", "both", "unsure", "off-topic",
    ]  # fmt: skip
    page.wait_for_selector(".summary strong:text-is('2')")
    decided(page, 5)


@pytest.mark.usefixtures("reviewed")
def test_a_review_says_when_it_starts_and_ends_and_takes_the_focus_along(opened: Open) -> None:
    page = opened("/review")
    page.wait_for_selector("text=Start")
    record_status(page)
    begin(page)
    page.wait_for_selector(".suspects:focus")
    assert spoken(page) == ["Review: labels: started", "Review: labels: finished"]


def test_a_decision_is_undone_and_replaced(reviewed: Workspace, opened: Open) -> None:
    page = opened("/review")
    begin(page)
    first = current(page)
    page.keyboard.press("o")
    told(page, "decided: Off-topic.")
    assert verdicts(reviewed) == {first: "off-topic"} and current(page) != first
    page.keyboard.press("u")
    told(page, "Undone.")
    page.wait_for_selector(f".suspect >> text={first}")
    assert verdicts(reviewed) == {}
    page.keyboard.press("o")
    told(page, "decided: Off-topic.")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("l")
    told(page, "decided: Label is right.")
    assert verdicts(reviewed) == {first: "right=green"}
    page.keyboard.press("ArrowUp")
    page.keyboard.press("l")
    told(page, "1 photo open again.")
    assert verdicts(reviewed) == {}
    decided(page, 0)


def test_a_digit_and_a_name_give_another_label(reviewed: Workspace, opened: Open) -> None:
    page = opened("/review")
    begin(page)
    first = current(page)
    third = {"wrong.png": "赤", "other.png": "blue"}[first]
    page.click(f".others button >> text={third}")
    told(page, f"decided: {third}.")
    second = current(page)
    page.keyboard.press("r")
    page.keyboard.type("新しい店")
    page.keyboard.press("Enter")
    told(page, "decided: 新しい店")
    assert verdicts(reviewed) == {first: f"relabel={third}", second: "relabel=新しい店"}
    page.wait_for_selector(".summary strong:text-is('2')")
    page.keyboard.press("2")  # green, the label of most suspects here
    decided(page, 3)


def test_decisions_survive_a_reload_and_a_new_review_lists_only_open_photos(
    reviewed: Workspace, opened: Open
) -> None:
    page = opened("/review")
    begin(page)
    first = current(page)
    page.click(".choices button >> text=Suggestion is right")
    told(page, "decided: Suggestion is right.")
    page.reload()
    decided(page, 1)
    assert current(page) != first
    address = page.url
    page.click("text=Review again")
    decided(page, 0)
    assert page.url != address
    page.wait_for_selector(".suspects [aria-current]")
    assert len(verdicts(reviewed)) == 1
    page.go_back()
    decided(page, 1)


def test_the_neighbours_of_both_labels_are_compared_with_the_photo(
    reviewed: Workspace, opened: Open
) -> None:
    page = opened("/review")
    begin(page)
    first = current(page)
    assert page.locator(".near button.given").count() == 3
    assert page.locator(".near button.suggested").count() == 3
    page.click(".near button.suggested >> nth=0")
    page.wait_for_selector(".pair figure >> nth=1")
    assert first in page.inner_text(".pair figcaption >> nth=0")
    page.keyboard.press("l")  # a dialog is open
    page.keyboard.press("Escape")
    page.wait_for_selector(".pair", state="detached")
    assert verdicts(reviewed) == {}


def test_a_class_is_shown_with_the_odd_photos_first_and_relabelled(
    reviewed: Workspace, opened: Open
) -> None:
    page = opened("/review")
    begin(page)
    first = current(page)
    page.click("text=Classes")
    page.click(".rail button >> text=green")
    page.wait_for_selector(f".cell[data-index='0'][title='{first}'] .tag")
    page.click(".cell[data-index='0']")
    page.keyboard.press("Space")
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_selector("text=2 selected")
    page.keyboard.press("1")
    page.wait_for_selector("text=2 photos labelled blue")
    assert set(verdicts(reviewed).items()) == {
        ("wrong.png", "relabel=blue"),
        ("other.png", "relabel=blue"),
    }
    page.click("text=Suspects")
    decided(page, 2)


@pytest.mark.usefixtures("reviewed")
def test_the_class_that_was_opened_last_is_shown_whatever_is_answered_last(opened: Open) -> None:
    page = opened("/review")
    begin(page)
    page.click("text=Classes")
    page.wait_for_selector(".cell[title='wrong.png']")
    waiting: list[Any] = []
    page.route("**/api/v1/lists", lambda route: waiting.append(route))
    with page.expect_request("**/api/v1/lists"):
        page.click(".rail button >> text=blue")
    with page.expect_request("**/api/v1/lists"):
        page.click(".rail button >> text=green")
    for request in reversed(waiting):
        with page.expect_response("**/api/v1/lists"):
            request.continue_()
    drawn_again(page)
    page.wait_for_selector(".cell[title='wrong.png']")
    assert page.locator(".rail button[aria-pressed=true] .name").inner_text() == "green"


@pytest.mark.usefixtures("reviewed")
def test_a_topic_in_words_is_offered_only_with_a_backbone_that_embeds_words(opened: Open) -> None:
    page = opened("/review")
    page.check("input[value=off-topic]")
    assert page.locator("text=Topic in words").count() == 0

    def answer(route: Any) -> None:
        content = route.fetch().json()
        route.fulfill(json=content | {"text_backbones": content["backbones"]})

    page.route("**/api/v1/server", answer)
    page.reload()
    page.check("input[value=off-topic]")
    page.wait_for_selector("text=Topic in words")


def test_off_topic_photos_are_decided_and_the_most_useful_one_comes_first(
    reviewed: Workspace, opened: Open
) -> None:
    page = opened("/review")
    begin(page, "off-topic")
    first = current(page)
    page.keyboard.press("o")
    told(page, "decided: Off-topic.")
    page.keyboard.press("k")
    told(page, "decided: Keep.")
    assert sorted(verdicts(reviewed).values()) == ["keep", "off-topic"]
    assert verdicts(reviewed)[first] == "off-topic"
    page.click("text=Review again")
    page.wait_for_selector(".suspects [aria-current] >> text=Helps most")
    assert "improves the list most" in page.inner_text(".reason").lower()
    page.keyboard.press("o")
    told(page, "decided: Off-topic.")
    assert len(verdicts(reviewed)) == 3


def test_poor_photos_are_decided_by_keys(reviewed: Workspace, opened: Open, tmp_path: Path) -> None:
    blurred = draw_photo(9, (400, 300)).filter(ImageFilter.GaussianBlur(12))
    blurred.save(tmp_path / "photos/green/blurred.png")
    reviewed.add()
    page = opened("/review")
    begin(page, "quality")
    first = current(page)
    page.keyboard.press("p")
    told(page, "decided: Poor.")
    assert verdicts(reviewed) == {first: "poor"}


@pytest.mark.usefixtures("reviewed")
def test_a_read_only_server_starts_nothing(opened: Open) -> None:
    page = opened("/review", read_only=True)
    page.click("text=Start")
    page.wait_for_selector(".toast >> text=--read-only")


def test_an_empty_workspace_says_how_to_add_photos(opened: Open) -> None:
    opened("/review").wait_for_selector("text=embedkit add photos")


@pytest.mark.usefixtures("reviewed")
@LAYOUTS
def test_no_view_violates_a_rule_of_accessibility(opened: Open, scheme: str, width: int) -> None:
    page = opened("/review", color_scheme=scheme, viewport={"width": width, "height": 820})
    page.wait_for_selector(".begin")
    assert violations(page) == []
    begin(page)
    page.keyboard.press("s")
    told(page, "decided: Suggestion is right.")
    assert violations(page) == []
    page.keyboard.press("z")
    page.wait_for_selector(".pair img")
    assert violations(page) == []
    page.keyboard.press("Escape")
    page.click("text=Classes")
    page.wait_for_selector(".cell .picture")
    assert violations(page) == []
    page.set_viewport_size({"width": 320, "height": 600})
    assert page.evaluate("document.documentElement.scrollWidth <= 320")
