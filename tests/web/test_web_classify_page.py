"""The classify page in a real browser."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from classes import NEW, draw, heads_folder  # noqa: F401
from PIL import Image
from webphotos import workspace_with_heads  # noqa: F401
from webserver import LAYOUTS, Open, opened, record_status, running, spoken, violations  # noqa: F401

from embedkit import Workspace
from embedkit._internal.artifacts import sha256_of

pytestmark = pytest.mark.slow


@pytest.fixture
def new(tmp_path: Path) -> list[Path]:
    """Photos of two classes and one of none, which are not in the workspace."""
    paths = [tmp_path / name for name in ("blue.png", "<i>赤.png", "strange.png")]
    draw(1, NEW).save(paths[0])
    draw(0, NEW).save(paths[1])
    Image.effect_noise((96, 72), 120).convert("RGB").save(paths[2])
    return paths


def answers(page: Any, count: int) -> list[str]:
    """The classes of the photos, from the top, when there are so many."""
    page.wait_for_selector(f".verdict strong >> nth={count - 1}")
    found: list[str] = page.locator(".verdict strong").all_inner_texts()
    return found


def test_photos_are_classified_beside_their_nearest_training_photos(
    opened: Open, new: list[Path]
) -> None:
    page = opened("/classify")
    page.set_input_files("#choose", new)
    assert answers(page, 3)[:2] == ["blue", "赤"]
    assert page.locator(".classification figcaption").all_inner_texts() == [
        "blue.png", "<i>赤.png", "strange.png",
    ]  # fmt: skip
    first = page.locator(".classification >> nth=0")
    assert first.locator("meter").count() == 3
    shares = first.locator(".bars .value").all_inner_texts()
    total = sum(float(text.strip("< %")) for text in shares)
    assert total == pytest.approx(100, abs=0.3)
    assert "blue" in first.locator(".near li >> nth=0").inner_text()
    first.locator(".near button >> nth=0").click()
    page.wait_for_selector(".pair figure >> nth=1")
    assert "labelled blue, distance 0." in page.inner_text(".pair figcaption >> nth=1")
    page.keyboard.press("Escape")
    page.wait_for_selector(".pair", state="detached")
    page.keyboard.press("Delete")
    page.wait_for_selector("text=Which class is it?")


def test_a_photo_of_no_class_is_called_unknown(
    workspace: Workspace, opened: Open, new: list[Path]
) -> None:
    (prediction,) = workspace.classify(new[2], head="probe").predictions
    assert prediction.unknown
    page = opened("/classify")
    page.click(".views button >> text=probe")
    for name in ("both", "knn"):
        if page.get_attribute(f".views button >> text={name}", "aria-pressed") == "true":
            page.click(f".views button >> text={name}")
    page.set_input_files("#choose", [new[2], new[0]])
    assert answers(page, 2) == ["Unknown", "blue"]
    assert page.locator(".bars .if").count() == 1


def test_heads_answer_side_by_side(opened: Open, new: list[Path]) -> None:
    page = opened("/classify")
    page.wait_for_selector(".views button >> nth=2")
    while (others := page.locator(".views button[aria-pressed=false]")).count():
        others.first.click()
    page.set_input_files("#choose", new[0])
    assert answers(page, 3) == ["blue"] * 3
    assert page.locator(".answers h2").all_inner_texts() == ["both", "knn", "probe"]


def test_a_file_that_is_no_photo_says_so(opened: Open, new: list[Path], tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no photo")
    page = opened("/classify")
    page.set_input_files("#choose", [tmp_path / "bad.png", new[0]])
    assert answers(page, 1) == ["blue"]
    assert "image" in page.inner_text(".classification .bad")
    page.wait_for_selector("text=1 photo, 1 file could not be classified")


def test_the_focus_follows_to_the_photos_the_progress_and_the_matrix(
    opened: Open, new: list[Path]
) -> None:
    page = opened("/classify")
    with page.expect_file_chooser() as chooser:
        page.click(".drop >> text=Choose photos")
    chooser.value.set_files(new[0])
    page.wait_for_selector(".classified:focus")
    record_status(page)
    page.evaluate(
        """() => {
            globalThis.focused = [];
            document.addEventListener("focusin", ({ target }) => {
                globalThis.focused.push(target.className);
            });
        }"""
    )
    page.click("text=Confusions of the test set")
    page.wait_for_selector(".matrix:focus")
    assert "progress" in page.evaluate("globalThis.focused")
    assert [text.partition(": ")[2] for text in spoken(page)] == ["started", "finished"]
    page.click(".matrix button >> nth=0")
    page.wait_for_selector(".cell[data-index='0']:focus")
    page.keyboard.press("Escape")
    page.wait_for_selector(".matrix:focus")
    page.click("text=← Photos")
    page.wait_for_selector(".classified:focus")


def test_a_photo_of_the_workspace_is_classified_from_the_page_of_photos(
    opened: Open, heads_folder: Path
) -> None:
    page = opened("/")
    page.wait_for_selector(".cell[title]")
    page.click(".cell[data-index='0']")
    page.wait_for_selector("aside h2")
    name = page.inner_text("aside h2")
    page.keyboard.press("c")
    answers(page, 1)
    page.wait_for_selector(f".classification figcaption >> text={name}")
    label = "green"
    digest = sha256_of(heads_folder / f"photos/{label}/3.png")
    page.goto(f"{page.url.partition('?')[0]}?sha256={digest}")
    assert answers(page, 1) == [label]


def test_the_cells_of_the_confusion_matrix_open_their_photos(
    workspace: Workspace, opened: Open
) -> None:
    page = opened("/classify")
    page.click("text=Confusions of the test set")
    page.wait_for_selector(".matrix table")
    head = page.inner_text(".matrices h2")
    (metrics,) = workspace.heads.evaluate([head]).heads
    count = metrics.confusion[0][0]
    assert count > 0
    page.click(f"[aria-label='blue predicted as blue: {count}']")
    page.wait_for_selector(".cell .picture")
    assert page.locator(".cell").count() == count
    assert "blue" in page.inner_text(".cell .tag >> nth=0")
    page.click(".cell[data-index='0']")
    page.keyboard.press("x")
    page.wait_for_selector("text=1 photo marked off-topic")
    assert [item.verdict for item in workspace.verdicts.list()] == ["off-topic"]
    page.keyboard.press("Escape")
    page.wait_for_selector(".matrix table")


@LAYOUTS
def test_no_view_violates_a_rule_of_accessibility(
    opened: Open, new: list[Path], scheme: str, width: int
) -> None:
    page = opened("/classify", color_scheme=scheme, viewport={"width": width, "height": 820})
    page.wait_for_selector(".drop")
    assert violations(page) == []
    page.set_input_files("#choose", new)
    answers(page, 3)
    assert violations(page) == []
    page.click("text=Confusions of the test set")
    page.wait_for_selector(".matrix table")
    assert violations(page) == []
    page.click(".matrix button >> nth=0")
    page.wait_for_selector(".cell .picture")
    assert violations(page) == []


def test_without_a_head_the_page_says_how_to_train_one(workspace: Workspace, opened: Open) -> None:
    shutil.rmtree(workspace.folder / "heads")
    page = opened("/classify")
    page.wait_for_selector("text=embedkit train probe")
    assert violations(page) == []
