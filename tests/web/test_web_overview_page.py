"""The overview, in a real browser: adding photos, and what went wrong."""

from pathlib import Path

import pytest
from webserver import (  # noqa: F401
    LAYOUTS,
    Open,
    filled,
    opened,
    record_status,
    running,
    spoken,
    violations,
)

from embedkit import Workspace

pytestmark = pytest.mark.slow


def test_a_folder_is_added_with_progress_and_its_failures(
    workspace: Workspace, opened: Open, photos: Path
) -> None:
    (photos / "red" / "<b>broken.jpg").write_text("no photo")
    page = opened("/overview")
    page.wait_for_selector("text=Add your photos")
    page.fill("input[name=folder]", str(photos))
    page.check("input[name=labels]")
    record_status(page)
    page.click("button >> text=Add")
    page.wait_for_selector("text=12 photos: 12 new")
    page.wait_for_selector(".outcome:focus")
    title = f"Add {photos}"
    assert spoken(page) == [f"{title}: started", f"{title}: finished"]
    page.wait_for_selector("text=1 file could not be used")
    page.wait_for_selector("section[aria-label='What went wrong'] >> text=<b>broken.jpg")
    page.wait_for_selector("a >> text=Duplicates")
    assert workspace.info().labels == {"blue": 6, "red": 6}
    assert violations(page) == []


def test_a_wrong_folder_says_so(workspace: Workspace, opened: Open, tmp_path: Path) -> None:
    page = opened("/overview")
    page.fill("input[name=folder]", str(tmp_path / "nowhere"))
    page.press("input[name=folder]", "Enter")
    page.wait_for_selector("[role=alert] >> text=nowhere")
    assert not workspace.folder.exists()


@pytest.mark.usefixtures("filled")
@LAYOUTS
def test_the_overview_violates_no_rule_of_accessibility(
    opened: Open, scheme: str, width: int
) -> None:
    page = opened("/overview", color_scheme=scheme, viewport={"width": width, "height": 820})
    page.wait_for_selector("a >> text=Review")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@pytest.mark.usefixtures("filled")
def test_a_read_only_server_offers_no_change(opened: Open) -> None:
    page = opened("/overview", read_only=True)
    page.wait_for_selector("text=This server changes nothing")
    assert page.locator("input[name=folder]").count() == 0
