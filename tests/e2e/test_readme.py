"""The README's tour, as a person would type it."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def tour() -> list[str]:
    """Return the commands of the README's section "A tour"."""
    section = re.split(r"^## ", (ROOT / "README.md").read_text("utf-8"), flags=re.M)
    (text,) = [part for part in section if part.startswith("A tour")]
    blocks = re.findall(r"^```console\n(.*?)^```", text, flags=re.M | re.S)
    lines = [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]
    return [line.partition("  #")[0].strip() for line in lines]


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def toured(programs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder in which every command of the tour ran, and the output of each."""
    folder = tmp_path_factory.mktemp("tour")
    printed = {}
    for command in tour():
        program, *words = shlex.split(command)
        assert program == "embedkit", command
        done = subprocess.run(
            [programs / program, *words], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        printed[command] = done.stdout
    return folder, printed


def test_every_command_of_the_tour_works(toured: tuple[Path, dict[str, str]]) -> None:
    _, printed = toured
    assert len(printed) >= 8
    assert "embedkit demo" in printed
    assert "50 images: 50 embedded" in printed["embedkit demo"]


def opened(page_file: Path, *questions: str) -> list[Any]:
    """Evaluate JavaScript on a page in a real browser, and check that it requests nothing."""
    sync_api = pytest.importorskip("playwright.sync_api")
    chromium = Path("/usr/bin/chromium")
    if not chromium.exists():
        pytest.skip("no /usr/bin/chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=["--no-sandbox"])
        page = browser.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("request", lambda request: complaints.append(request.url))
        page.goto(page_file.as_uri())
        answers = [page.evaluate(question) for question in questions]
        browser.close()
    assert [item for item in complaints if not item.startswith(("file:", "data:"))] == []
    return answers


FITS = "document.documentElement.scrollWidth <= innerWidth"


def test_the_page_shows_every_photo_in_a_real_browser(
    toured: tuple[Path, dict[str, str]],
) -> None:
    widths, ranks, fits = opened(
        toured[0] / "indexes/demo/demo.html",
        "[...document.images].map(image => image.naturalWidth)",
        "[...document.querySelectorAll('.rank')].map(node => node.textContent)",
        FITS,
    )
    assert len(widths) == 30 and all(widths)
    assert ranks == [str(rank) for rank in (*range(1, 19), *range(1, 11))]
    assert fits


def test_a_click_enlarges_the_verified_pair(toured: tuple[Path, dict[str, str]]) -> None:
    width = "document.querySelector('.pair img').getBoundingClientRect().width"
    pairs, small, _, large, fits = opened(
        toured[0] / "verified.html",
        "document.querySelectorAll('.pair').length",
        width,
        "document.querySelector('.pair summary').click()",
        width,
        FITS,
    )
    assert pairs == 9  # of ten matches, all but the query itself
    assert large > 3 * small > 450
    assert fits


def test_the_comparison_shows_a_column_of_photos_for_each_backbone(
    toured: tuple[Path, dict[str, str]],
) -> None:
    photos, columns, fits = opened(
        toured[0] / "comparison.html",
        "[...document.querySelectorAll('.photo')].map(n => getComputedStyle(n).backgroundImage)",
        "[...document.querySelectorAll('.head')].map(n => n.getBoundingClientRect().left)",
        FITS,
    )
    assert len(photos) == 3 * (1 + 2 * 20)
    assert all(photo.startswith('url("data:image/jpeg;base64,') for photo in photos)
    assert len(columns) == 6 and len(set(columns)) == 2
    assert fits
