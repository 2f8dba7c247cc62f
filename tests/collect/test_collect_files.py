"""Tables of addresses, sidecars and links: what collections share with other programs."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from conftest import draw_photo, write_photos

from embedkit.cli.app import embedkit
from embedkit.collect.facade import Collection
from embedkit.collect.lists import read_list
from embedkit.collect.recipe import ListColumns
from embedkit.errors import BadInput

RULES = """
[labels]
[[labels.rules]]
label = "目黒店"
keywords = ["目黒"]
[[labels.rules]]
label = "三田本店"
keywords = ["三田"]
"""


@pytest.fixture
def downloads(tmp_path: Path) -> Path:
    """Photos with sidecars of gallery-dl (a), of img2dataset (b), with a text (c) and bare (d)."""
    folder = tmp_path / "my 写真"
    (folder / "inner").mkdir(parents=True)
    for number, name in enumerate(("a.jpg", "inner/b.jpg", "c.png", "d.jpg")):
        draw_photo(number, (64, 48)).save(folder / name)
    gallery = {
        "id": 12,
        "description": "目黒二郎\n最高",
        "tags": ["ラーメン", "二郎"],
        "author": {"id": 3, "name": "太郎"},
        "date": "2026-01-02 03:04:05",
    }
    (folder / "a.jpg.json").write_text(json.dumps(gallery), "utf-8")
    (folder / "inner/b.json").write_text('{"caption": "三田のラーメン", "url": "http://e.org/b"}')
    (folder / "inner/b.txt").write_text("another caption")
    (folder / "c.txt").write_text("三田と目黒", "utf-8")
    (tmp_path / "rules.toml").write_text(RULES, "utf-8")
    return folder


def entries(collection: Collection, folder: Path) -> dict[str, dict[str, str]]:
    from embedkit._internal.tables import open_table

    table_path = folder / "entries.csv"
    collection.write_csv(table_path)
    with open_table(table_path, ("path", "label"), "a table") as table:
        return {cells["path"]: cells for _, cells in table}


def test_rules_apply_to_the_sidecars_of_other_programs(downloads: Path, tmp_path: Path) -> None:
    collection = Collection(tmp_path / "rules.toml", folder=downloads)

    report = collection.read_sidecars()

    assert (report.images, report.labels) == (4, {"三田本店": 1, "目黒店": 1})
    assert (report.unmatched, report.ambiguous) == (1, 1)
    assert report.warnings == ("1 of 4 images have no .json or .txt file",)
    found = entries(collection, tmp_path)
    a, b = found["a.jpg"], found["inner/b.jpg"]
    assert (a["tags"], a["author"], a["post"]) == ("ラーメン\n二郎", "太郎", "12")
    assert (b["caption"], b["page"]) == ("三田のラーメン", "http://e.org/b")


def test_photos_that_are_gone_are_forgotten_and_changed_sidecars_read_again(
    downloads: Path, tmp_path: Path
) -> None:
    collection = Collection(tmp_path / "rules.toml", folder=downloads)
    collection.read_sidecars()
    (downloads / "a.jpg").unlink()
    (downloads / "c.txt").write_text("目黒", "utf-8")

    report = collection.read_sidecars()

    assert (report.images, report.labels) == (3, {"三田本店": 1, "目黒店": 1})
    assert sorted(entries(collection, tmp_path)) == ["c.png", "d.jpg", "inner/b.jpg"]


@pytest.mark.parametrize("text", ["{", "[1]", "\x00"])
def test_a_sidecar_that_cannot_be_read_is_a_warning_that_names_it(
    downloads: Path, tmp_path: Path, text: str
) -> None:
    (downloads / "a.jpg.json").write_text(text)

    report = Collection(tmp_path / "rules.toml", folder=downloads).read_sidecars()

    assert report.labels == {"三田本店": 1}
    assert any("1 sidecar cannot be read" in text for text in report.warnings)
    assert any("a.jpg.json is not" in text for text in report.warnings)


def test_texts_that_are_not_unicode_and_odd_types_are_stored_as_text(
    downloads: Path, tmp_path: Path
) -> None:
    nested = "[" * 50 + "1" + "]" * 50
    text = f'{{"caption": "\\ud800目黒", "tags": [1, null, "a", {nested}], "author": false}}'
    (downloads / "a.jpg.json").write_text(text)
    collection = Collection(tmp_path / "rules.toml", folder=downloads)

    collection.read_sidecars()

    found = entries(collection, tmp_path)["a.jpg"]
    assert (found["caption"], found["tags"], found["label"]) == ("?目黒", "1\na", "目黒店")


def test_links_follow_the_labels_and_other_files_stay(downloads: Path, tmp_path: Path) -> None:
    collection = Collection(tmp_path / "rules.toml", folder=downloads)
    collection.read_sidecars()
    links = tmp_path / "by label"

    assert collection.write_links(links) == 2
    (links / "目黒店" / "note.txt").write_text("mine")
    assert (links / "目黒店/a.jpg").read_bytes() == (downloads / "a.jpg").read_bytes()
    (tmp_path / "rules.toml").write_text(RULES.replace("目黒店", "meguro/店"), "utf-8")
    again = Collection(tmp_path / "rules.toml", folder=downloads)
    again.label()
    assert again.write_links(links) == 2

    assert (links / "meguro_店/a.jpg").is_symlink()
    assert [path.name for path in (links / "目黒店").iterdir()] == ["note.txt"]


def test_links_and_files_of_the_person_stay(downloads: Path, tmp_path: Path) -> None:
    collection = Collection(tmp_path / "rules.toml", folder=downloads)
    collection.read_sidecars()
    links = tmp_path / "links"
    (links / "favourites").mkdir(parents=True)
    (links / "favourites/best.jpg").symlink_to(downloads / "a.jpg")
    (links / "三田本店").mkdir()
    (links / "三田本店/inner_b.jpg").write_text("mine")

    with pytest.raises(BadInput, match="exists already; give another folder"):
        collection.write_links(links)
    (links / "三田本店/inner_b.jpg").unlink()
    collection.write_links(links)
    (tmp_path / "rules.toml").write_text(RULES.replace("目黒", "品川"), "utf-8")
    collection = Collection(tmp_path / "rules.toml", folder=downloads)
    collection.label()
    collection.write_links(links)

    assert (links / "favourites/best.jpg").is_symlink()
    assert not (links / "目黒店").exists()


def test_photos_that_were_deleted_have_no_link_and_no_sidecar(
    downloads: Path, tmp_path: Path
) -> None:
    collection = Collection(tmp_path / "rules.toml", folder=downloads)
    collection.read_sidecars()
    (downloads / "a.jpg").unlink()

    assert collection.write_links(tmp_path / "links") == 1
    assert collection.write_sidecars() == 3


def test_two_labels_with_one_folder_name_are_an_error(downloads: Path, tmp_path: Path) -> None:
    rules = RULES.replace("目黒店", "a/b").replace("三田本店", "a:b")
    (tmp_path / "rules.toml").write_text(rules, "utf-8")
    collection = Collection(tmp_path / "rules.toml", folder=downloads)
    collection.read_sidecars()

    with pytest.raises(BadInput, match="would have the same folder"):
        collection.write_links(tmp_path / "links")


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
def test_a_list_is_read_from_each_format(tmp_path: Path, suffix: str) -> None:
    rows: list[dict[str, Any]] = [
        {"image_url": "http://e.org/1.jpg", "caption": "目黒", "tags": "a"},
        {"image_url": "no address", "caption": "x", "tags": ""},
        {"image_url": "https://E.org/2.jpg#x", "caption": "", "tags": "b"},
    ]
    path = tmp_path / f"list{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    else:
        lines = ["image_url,caption,tags", *(",".join(row.values()) for row in rows)]
        path.write_text("\n".join(lines), "utf-8")

    [(batch, rows)] = read_list(ListColumns(str(path), url="image_url"))

    assert rows == 3
    assert batch == [
        ("http://e.org/1.jpg", "", {"caption": "目黒", "tags": "a"}),
        ("https://e.org/2.jpg", "", {"tags": "b"}),
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.csv", "link\nx\n"), ("a.jsonl", '{"link": 1}\n'), ("a.jsonl", "{\n"), ("a.parquet", "x")],
)
def test_a_list_that_cannot_be_read_is_one_clear_error(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / name).write_text(text)

    with pytest.raises(BadInput, match=name):
        list(read_list(ListColumns(str(tmp_path / name))))


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--dry-run", "--labels-only"], "cannot be used together"),
        (["--dry-run", "--sidecars"], "--dry-run writes nothing"),
        (["--from-folder", "photos", "--sidecars"], "would replace the files"),
        (["--from-folder", "none"], "is not a folder"),
        (["--labels-only"], "nothing has been collected"),
        (["--csv", "a.txt"], "does not end with .csv"),
    ],
)
def test_options_that_contradict_each_other_are_one_line_and_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_photos(tmp_path / "photos")
    (tmp_path / "collect.toml").write_text(
        'contact = "me@example.org"\nstart = ["http://e.org/"]\n[pages]\nimage = "img"\n' + RULES
    )

    done = CliRunner().invoke(embedkit, ["collect", "collect.toml", *options])

    assert done.exit_code == 2
    assert complaint in done.stderr
    assert not (tmp_path / "collected").exists()


def test_a_dry_run_lists_addresses_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "list.csv").write_text("url\nhttp://e.org/1.jpg\nhttp://127.0.0.1/2.jpg\n")
    (tmp_path / "collect.toml").write_text('contact = "me@e.org"\n[list]\nfile = "list.csv"\n')

    done = CliRunner().invoke(embedkit, ["collect", "collect.toml", "--dry-run"])

    assert done.exit_code == 0
    assert done.stdout.splitlines()[0] == "http://e.org/1.jpg"
    assert "http://127.0.0.1/2.jpg: its host has a private address" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["collect.toml", "list.csv"]
