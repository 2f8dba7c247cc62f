import os
import re
from pathlib import Path

import pytest
from conftest import draw_photo

from embedkit.errors import StorageError
from embedkit.reports.search_page import write_search_page
from embedkit.results import Match, Matches


def matches(query: str, paths: list[str], label: str | None = "red") -> Matches:
    return Matches(
        [
            Match(rank, rank / 10, path, (path,), "0" * 64, label)
            for rank, path in enumerate(paths, 1)
        ],
        query=query,
        is_text=" " in os.path.basename(query),
        backbone="resnet50",
        spec="0123456789abcdef",
        searched=99,
    )


@pytest.fixture
def photo(tmp_path: Path) -> str:
    draw_photo(1).save(tmp_path / "a.jpg")
    return str(tmp_path / "a.jpg")


def test_the_page_is_self_contained(tmp_path: Path, photo: str) -> None:
    page = tmp_path / "out/page.html"
    write_search_page(page, [matches(photo, [photo, photo])])
    html = page.read_text("utf-8")
    assert html.count("data:image/jpeg;base64,") == 3
    assert not re.search(r"(?:src|href)=[\"'](?!data:)", html)
    assert "http" not in html
    assert "Photos similar to a.jpg" in html
    assert "0.1000" in html and "0.2000" in html
    assert os.listdir(page.parent) == ["page.html"]


def test_names_and_labels_are_escaped(tmp_path: Path) -> None:
    hostile = tmp_path / "<img src=x onerror=alert(1)>\n.png"
    draw_photo(1).save(hostile)
    stray = os.fsdecode(os.fsencode(tmp_path) + b"/\xe9.png")
    draw_photo(1).save(stray)
    page = tmp_path / "page.html"
    write_search_page(page, [matches(str(hostile), [str(hostile), stray], "<b>写真</b>")])
    html = page.read_text("utf-8")
    assert "<img src=x" not in html and "<b>写真" not in html
    assert "&lt;b&gt;写真&lt;/b&gt;" in html
    assert "\\xe9.png" in html


def test_a_missing_photo_has_a_note_in_its_place(tmp_path: Path, photo: str) -> None:
    page = tmp_path / "page.html"
    write_search_page(page, [matches("a dog & a cat", [photo, str(tmp_path / "gone.jpg")])])
    html = page.read_text("utf-8")
    assert html.count("no longer readable") == 1
    assert "“a dog &amp; a cat”" in html


def test_a_text_query_is_not_a_file(
    tmp_path: Path, photo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "two words").write_bytes(Path(photo).read_bytes())
    write_search_page(tmp_path / "page.html", [matches("two words", [photo])])
    assert "“two words”" in (tmp_path / "page.html").read_text("utf-8")


def test_paths_are_relative_to_the_common_folder(tmp_path: Path) -> None:
    paths = []
    for name in ("photos/a.jpg", "photos2/b.jpg"):
        (tmp_path / name).parent.mkdir()
        draw_photo(1).save(tmp_path / name)
        paths.append(str(tmp_path / name))
    write_search_page(
        tmp_path / "page.html", [matches(paths[0], [paths[0]]), matches(paths[0], paths)]
    )
    html = (tmp_path / "page.html").read_text("utf-8")
    assert '<div class="folder">photos2</div>' in html


def test_a_page_without_matches_is_still_a_page(tmp_path: Path, photo: str) -> None:
    write_search_page(tmp_path / "page.html", [matches(photo, [])])
    assert "0 of 99 images" in (tmp_path / "page.html").read_text("utf-8")


def test_a_page_that_cannot_be_written_is_a_storage_error(tmp_path: Path, photo: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot write"):
        write_search_page(tmp_path / "file/page.html", [matches(photo, [photo])])
