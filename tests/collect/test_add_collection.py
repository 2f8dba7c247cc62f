"""An add takes the labels and attributes of a collection from its manifest."""

import hashlib
import json
import os
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import duckdb
import pytest
from cleaning import row
from click.testing import CliRunner
from conftest import draw_photo
from earlier import undo_schema_steps
from webserver import Serve, serve  # noqa: F401

from embedkit import CollectionReport, Workspace
from embedkit.cleaning.plan import write_plan
from embedkit.cli.app import embedkit
from embedkit.collect.facts import collected_files
from embedkit.collect.manifest import Manifest
from embedkit.errors import BadArtefact, StorageError
from embedkit.reports.search_page import write_search_page
from embedkit.results import SkippedFiles
from embedkit.workspace.collections import Collections


class Collection:
    """A folder of photos with a manifest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = folder / "manifest.sqlite"
        with Manifest(folder):
            pass

    def run(self, statement: str, *values: object) -> int:
        """Change the manifest; return the id of the last new row."""
        with closing(sqlite3.connect(self.manifest)) as database, database:
            return database.execute(statement, values).lastrowid or 0

    def photo(self, name: str, seed: int, *posts: dict[str, str | None]) -> Path:
        """Store a photo and list it, once for each post."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_photo(seed).save(path, "JPEG")
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        self.run(
            "INSERT INTO images VALUES (?, ?, ?, 320, 240, 0)",
            "/".join(path.relative_to(self.folder).parts),
            digest,
            len(content),
        )
        for number, values in enumerate(posts):
            post = {name: value or "" for name, value in values.items() if name != "label"}
            post |= {"label": values["label"]} if "label" in values else {}
            request = self.run(
                "INSERT INTO requests (url, kind, host, state, seen_at, sha256) "
                "VALUES (?, 'image', 'example.org', 'stored', 0, ?)",
                f"https://example.org/{seed}/{number}.jpg",
                digest,
            )
            self.run(
                f"INSERT INTO entries (request_id, {', '.join(post)}) "
                f"VALUES (?{', ?' * len(post)})",
                request,
                *post.values(),
            )
        return path

    def relabel(self, old: str, new: str | None) -> None:
        """Change a label in the manifest."""
        self.run("UPDATE entries SET label = ? WHERE label = ?", new, old)


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    """A collection with labels, two posts of one photo, and a photo without any fact."""
    made = Collection(tmp_path / "東京 photos?#%")
    made.photo(
        "ramen/らーめん 1.jpg",
        1,
        {"label": "ramen", "caption": "A  bowl\nof ramen", "tags": "noodles\n麺", "post": "p1"},
        {"label": "ramen", "caption": "Another", "author": "ana", "post": "p2"},
    )
    made.photo("ramen/2.jpg", 2, {"label": " ramen ", "post": "p1", "author": ""})
    made.photo("udon/3.jpg", 3, {"label": "udon", "post": "p3"}, {"label": None, "post": "p4"})
    made.photo("none/4.jpg", 4, {"label": None, "caption": "Which one?"})
    made.photo("none/5.jpg", 5, {"label": "ramen"}, {"label": "udon"})
    made.photo("none/6.jpg", 6)
    return made


def facts_of(workspace: Workspace, path: Path) -> tuple[str | None, str | None, dict[str, str]]:
    """Label, its source, and attributes of a file."""
    with workspace._catalog.read() as reader:
        found = reader.files.facts([str(path)])[str(path)]
    return found.label, found.source, found.attributes


def labels_of(workspace: Workspace) -> dict[str, str | None]:
    """Label of each file, by name."""
    with workspace._catalog.read() as reader:
        files = reader.files.of_images(reader.files.image_ids().tolist())
    return {os.path.basename(one.path): one.label for found in files.values() for one in found}


def label(workspace: Workspace, path: Path, name: str, columns: str = "path,label") -> None:
    """Label a file by a CSV."""
    table = workspace.folder.parent / "labels.csv"
    table.write_text(f'{columns}\n"{path}",{name}\n', "utf-8")
    workspace.labels.from_csv(table)


LABELS = {
    "らーめん 1.jpg": "ramen",
    "2.jpg": "ramen",
    "3.jpg": "udon",
    "4.jpg": None,
    "5.jpg": None,
    "6.jpg": None,
}


@pytest.mark.parametrize("as_manifest", [False, True])
def test_photos_get_the_facts_of_the_manifest(
    workspace: Workspace, collection: Collection, as_manifest: bool
) -> None:
    report = workspace.add(collection.manifest if as_manifest else collection.folder)
    assert (report.images, report.failed, report.warnings) == (6, 0, ())
    assert report.collections == (CollectionReport(str(collection.folder), 6, 2, 1),)
    assert labels_of(workspace) == LABELS
    assert workspace.info().labels == {"ramen": 2, "udon": 1}
    assert workspace.info().sources == (str(collection.folder),)
    assert facts_of(workspace, collection.folder / "ramen/らーめん 1.jpg") == (
        "ramen",
        "manifest",
        {
            "caption": "A bowl of ramen",
            "tags": "noodles, 麺",
            "post": "p1",
            "author": "ana",
            "url": "https://example.org/1/0.jpg",
        },
    )
    assert facts_of(workspace, collection.folder / "none/6.jpg") == (None, None, {})


def test_a_plain_add_follows_changes_of_the_manifest(
    workspace: Workspace, collection: Collection, catalog_rows: Callable[[Path], object]
) -> None:
    workspace.add(collection.folder)
    before = catalog_rows(workspace.folder)
    workspace.add()
    assert catalog_rows(workspace.folder) == before, "nothing is written again"
    collection.relabel("udon", "soba")
    collection.relabel(" ramen ", None)
    collection.run("UPDATE entries SET caption = '' WHERE caption LIKE 'A  bowl%'")
    collection.run("UPDATE entries SET author = 'bo' WHERE author = 'ana'")
    workspace.add()
    assert labels_of(workspace) == LABELS | {"2.jpg": None, "3.jpg": "soba"}
    attributes = facts_of(workspace, collection.folder / "ramen/らーめん 1.jpg")[2]
    assert (attributes["caption"], attributes["author"]) == ("Another", "bo")
    collection.run("DELETE FROM entries")
    collection.run("DELETE FROM requests")
    assert workspace.add().collections[0].unlabelled == 6
    assert set(labels_of(workspace).values()) == {None}
    assert facts_of(workspace, collection.folder / "ramen/らーめん 1.jpg")[2] == {}


def test_the_sources_of_the_recipe_may_name_a_manifest(
    workspace: Workspace, collection: Collection
) -> None:
    workspace.folder.mkdir()
    (workspace.folder / "recipe.toml").write_text(f'sources = ["{collection.manifest}"]', "utf-8")
    workspace.add()
    assert labels_of(workspace) == LABELS


def test_verdicts_come_first_then_tables_then_the_manifest_then_folders(
    workspace: Workspace, collection: Collection
) -> None:
    workspace.add(collection.folder, labels_from_folders=True)
    photo = collection.folder / "udon/3.jpg"
    collection.relabel("udon", "from manifest")
    report = workspace.add()
    assert facts_of(workspace, photo)[:2] == ("from manifest", "manifest")
    assert labels_of(workspace)["4.jpg"] == "none", "the manifest has no label, the folder has"
    assert report.collections[0].unlabelled == report.collections[0].contradictory == 0
    label(workspace, photo, "from table")
    workspace.add()
    assert facts_of(workspace, photo)[:2] == ("from table", "csv")
    assert labels_of(workspace)["3.jpg"] == "from table"
    assert workspace.search(photo, 1)[0].label == "from table"
    # Each file counts once.
    assert workspace.info().labels == {"from table": 1, "none": 3, "ramen": 2}
    workspace.verdicts.set("relabel=from verdict", photo, new_label=True)
    workspace.add()
    assert facts_of(workspace, photo)[:2] == ("from verdict", "verdict")
    assert workspace.info().labels == {"from verdict": 1, "none": 3, "ramen": 2}


def test_an_attribute_from_a_table_comes_before_that_of_the_manifest(
    workspace: Workspace, collection: Collection
) -> None:
    workspace.add(collection.folder)
    photo = collection.folder / "ramen/2.jpg"
    table = workspace.folder.parent / "labels.csv"
    table.write_text(f'path,label,post\n"{photo}",ramen,mine\n', "utf-8")
    workspace.labels.from_csv(table)
    workspace.add()
    assert facts_of(workspace, photo)[2]["post"] == "mine"
    with workspace._catalog.read() as reader:
        assert sorted(value for _, value in reader.labels.column("post")) == ["mine", "p1", "p3"]


def test_photos_without_a_label_are_counted_in_one_line(
    workspace: Workspace, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(collection.folder.parent)
    command = ["add", collection.folder.name, "-w", str(workspace.folder)]
    done = CliRunner().invoke(embedkit, command)
    assert done.exit_code == 0, done.output
    line = "6 photos of 東京 photos?#%: 2 without a label and 1 with two labels"
    assert line in done.output.splitlines()
    document = json.loads(CliRunner().invoke(embedkit, [*command, "--json"]).stdout)
    assert document["collections"] == [
        {"folder": str(collection.folder), "photos": 6, "unlabelled": 2, "contradictory": 1}
    ]
    label(workspace, collection.folder / "none/5.jpg", "ramen")
    done = CliRunner().invoke(embedkit, command)
    assert "6 photos of 東京 photos?#%: 2 without a label" in done.output.splitlines()


def test_the_manifest_and_the_files_beside_photos_are_not_reported(
    workspace: Workspace, collection: Collection
) -> None:
    for name in ("ramen/2.json", "ramen/2.jpg.json", "ramen/2.txt", "ramen/film.mp4"):
        (collection.folder / name).write_text("{}")
    (collection.folder / "manifest.sqlite-wal").touch()
    report = workspace.add(collection.folder)
    assert report.failures == ()
    assert report.skipped == SkippedFiles(by_name={".mp4": 1})


def test_facts_that_an_interrupted_add_did_not_store_come_with_the_next(
    workspace: Workspace, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Collections, "store_facts", interrupted)
        workspace.add(collection.folder)
    assert set(labels_of(workspace).values()) == {None}
    workspace.add()
    assert labels_of(workspace) == LABELS


def interrupted(_: Collections) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("UPDATE info SET value = '2'", "has version 2, but this embedkit reads only 1"),
        ("DELETE FROM info", "has no version"),
        ("DROP TABLE info", "not the manifest of a collection: no such table: info"),
        ("DROP TABLE entries", "not the manifest of a collection: no such table: entries"),
        ("UPDATE images SET sha256 = 'xyz' WHERE path = 'ramen/2.jpg'", "is damaged"),
        (None, "file is not a database"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_a_bad_artefact_and_changes_no_fact(
    workspace: Workspace, collection: Collection, change: str | None, complaint: str
) -> None:
    workspace.add(collection.folder)
    if change is None:
        collection.manifest.write_bytes(b"not SQLite" * 1000)
    else:
        collection.run(change)
    with pytest.raises(BadArtefact, match=complaint) as caught:
        workspace.add()
    assert "\n" not in str(caught.value) and "manifest.sqlite" in str(caught.value)
    assert labels_of(workspace) == LABELS


def test_a_truncated_manifest_is_a_bad_artefact(collection: Collection) -> None:
    for seed in range(100, 150):
        collection.photo(f"{seed}.jpg", seed, {"caption": "long " * 200})
    collection.run("PRAGMA wal_checkpoint(TRUNCATE)")
    size = collection.manifest.stat().st_size
    os.truncate(collection.manifest, size // 2)
    with pytest.raises(BadArtefact):
        list(collected_files(str(collection.folder)) or ())


def test_without_a_manifest_facts_stay(workspace: Workspace, collection: Collection) -> None:
    workspace.add(collection.folder)
    collection.manifest.unlink()
    assert collected_files(str(collection.folder)) is None
    assert workspace.add().collections == ()
    assert labels_of(workspace) == LABELS


def test_a_manifest_is_read_while_another_process_writes_to_it(collection: Collection) -> None:
    with closing(sqlite3.connect(collection.manifest)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE entries SET label = 'changed'")
        files = list(collected_files(str(collection.folder)) or ())
        assert {file.label for file in files} == {"ramen", "udon", None}
        writer.rollback()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to a read-only folder")
def test_a_collection_on_a_read_only_disk_is_read(collection: Collection) -> None:
    collection.folder.chmod(0o500)
    try:
        assert len(list(collected_files(str(collection.folder)) or ())) == 6
    finally:
        collection.folder.chmod(0o700)


def test_a_manifest_that_cannot_be_opened_is_a_storage_error(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database is locked")

    monkeypatch.setattr("embedkit.collect.facts.sqlite3.connect", refused)
    with pytest.raises(StorageError, match="database is locked"):
        collected_files(str(collection.folder))


def test_paths_outside_the_folder_are_ignored(
    workspace: Workspace, collection: Collection, tmp_path: Path
) -> None:
    outside = tmp_path / "own.jpg"
    draw_photo(50).save(outside)
    collection.run("UPDATE images SET path = '../own.jpg' WHERE path = 'ramen/2.jpg'")
    workspace.add([collection.folder, outside])
    assert facts_of(workspace, outside) == (None, None, {})


def test_the_same_photo_outside_the_collection_gets_no_fact(
    workspace: Workspace, collection: Collection, photos: Path
) -> None:
    shutil.copy(collection.folder / "ramen/2.jpg", photos / "own.jpg")
    workspace.add([photos, collection.folder])
    assert facts_of(workspace, photos / "own.jpg") == (None, None, {})
    assert facts_of(workspace, collection.folder / "ramen/2.jpg")[0] == "ramen"


def test_facts_follow_a_photo_within_the_collection_and_out_of_it(
    workspace: Workspace, collection: Collection, photos: Path
) -> None:
    workspace.add([collection.folder, photos])
    before = facts_of(workspace, collection.folder / "ramen/2.jpg")
    (collection.folder / "ramen/2.jpg").rename(collection.folder / "udon/renamed.jpg")
    (collection.folder / "ramen/らーめん 1.jpg").rename(photos / "moved.jpg")
    report = workspace.add()
    assert report.warnings == ()
    assert facts_of(workspace, collection.folder / "udon/renamed.jpg") == before
    found = facts_of(workspace, photos / "moved.jpg")
    assert found[:2] == ("ramen", "manifest") and found[2]["caption"] == "A bowl of ramen"
    # Only the photo in the folder of the collection follows the manifest further.
    collection.run("UPDATE entries SET label = 'later' WHERE label IS NOT NULL")
    workspace.add()
    assert labels_of(workspace)["renamed.jpg"] == "later"
    assert labels_of(workspace)["moved.jpg"] == "ramen"


def test_a_photo_that_was_edited_in_place_keeps_its_facts(
    workspace: Workspace, collection: Collection
) -> None:
    workspace.add(collection.folder)
    photo = collection.folder / "ramen/2.jpg"
    before = facts_of(workspace, photo)
    draw_photo(77).save(photo)
    workspace.add()
    assert facts_of(workspace, photo) == before


def test_photos_that_the_collection_sorts_anew_get_their_new_label_without_a_warning(
    workspace: Workspace, collection: Collection
) -> None:
    workspace.add(collection.folder)
    (collection.folder / "udon/3.jpg").rename(collection.folder / "ramen/3.jpg")
    collection.run("UPDATE images SET path = 'ramen/3.jpg' WHERE path = 'udon/3.jpg'")
    collection.relabel("udon", "soba")
    assert workspace.add().warnings == ()
    assert labels_of(workspace)["3.jpg"] == "soba"


def test_a_collection_inside_another_keeps_its_own_facts(
    workspace: Workspace, collection: Collection
) -> None:
    inner = Collection(collection.folder / "inner")
    photo = inner.photo("a.jpg", 60, {"label": "inner", "caption": "Inner"})
    workspace.add([inner.folder, collection.folder])
    workspace.add(collection.folder)
    label, _, attributes = facts_of(workspace, photo)
    assert (label, attributes["caption"]) == ("inner", "Inner")


def test_facts_come_back_after_a_removal_and_move_with_a_relocation(
    workspace: Workspace, collection: Collection, tmp_path: Path
) -> None:
    workspace.add(collection.folder)
    workspace.remove(collection.folder)
    workspace.add(collection.folder)
    assert labels_of(workspace) == LABELS
    collection.folder.rename(tmp_path / "moved")
    workspace.relocate(collection.folder, tmp_path / "moved")
    assert labels_of(workspace) == LABELS
    with closing(sqlite3.connect(tmp_path / "moved/manifest.sqlite")) as database, database:
        database.execute("UPDATE entries SET label = 'soba' WHERE label = 'udon'")
    workspace.add()
    assert labels_of(workspace) == LABELS | {"3.jpg": "soba", "5.jpg": None}


def test_a_plan_gives_the_label_and_the_caption_of_a_removed_copy_to_the_kept_file(
    workspace: Workspace, collection: Collection
) -> None:
    copy = collection.photo("none/copy.jpg", 80, {"caption": None, "post": "p9"})
    removed = collection.photo("ramen/small.jpg", 81, {"label": "ramen", "caption": "Bowl"})
    collection.run("UPDATE entries SET post = 'p8' WHERE label = 'ramen' AND post IS NULL")
    workspace.add(collection.folder)
    plan = workspace.folder.parent / "plan.csv"
    write_plan(
        plan,
        [
            row(1, "keep", str(copy), copy.read_bytes(), kind="resized"),
            row(1, "remove", str(removed), removed.read_bytes(), kind="resized"),
        ],
    )
    report = workspace.load_plan(plan).apply()
    assert report.not_carried_over == (), "two posts of one photo always differ"
    workspace.add()
    label, source, attributes = facts_of(workspace, copy)
    assert (label, source) == ("ramen", "csv"), "the next add keeps it"
    assert (attributes["caption"], attributes["post"]) == ("Bowl", "p9")
    workspace.undo()
    workspace.add()
    label, _, attributes = facts_of(workspace, copy)
    assert label is None and "caption" not in attributes
    assert facts_of(workspace, removed)[:2] == ("ramen", "manifest")


def test_the_split_keeps_the_photos_of_a_post_or_an_author_together(
    workspace: Workspace, tmp_path: Path
) -> None:
    made = Collection(tmp_path / "collected")
    for number in range(24):
        made.photo(
            f"{number}.jpg",
            number,
            {
                "label": "ab"[number % 2],
                "post": f"post {number // 2 % 6}",
                "author": f"author {number % 8}",
            },
        )
    workspace.add(made.folder)
    for group in ("post", "author"):
        workspace.split(val=3, test=3, group=group)
        with workspace._catalog.read() as reader:
            values = dict(reader.labels.column(group))
            found = reader.splits.last()
        assert found is not None
        parts: dict[str, set[str]] = {}
        ids, names = found[1]["image_id"].tolist(), found[1]["part"].tolist()
        for image_id, part in zip(ids, names, strict=True):
            parts.setdefault(values[image_id], set()).add(part)
        assert len(parts) in (6, 8) and all(len(found) == 1 for found in parts.values())
        assert len({part for found in parts.values() for part in found}) > 1


HOSTILE = '<script>alert(1)</script>\u202egpj.exe\x1b[31m "quoted"\n' + "long " * 100


def test_a_hostile_caption_is_text_on_every_page_and_in_the_terminal(
    workspace: Workspace, collection: Collection
) -> None:
    photo = collection.photo("x.jpg", 70, {"caption": HOSTILE})
    workspace.add(collection.folder)
    matches = workspace.search(photo, 3)
    caption = matches[0].caption
    assert caption is not None and caption.isprintable() and "\u202e" not in caption
    assert matches.to_dict()["matches"][0]["caption"] == caption
    page = workspace.folder / "page.html"
    write_search_page(page, [matches])
    text = page.read_text("utf-8")
    assert "<script>alert" not in text and "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    shown = re.findall('<div class="caption">(.*?)</div>', text)
    assert len(shown) >= 1 and len(max(shown, key=len)) < 300 and "\u202e" not in text
    line = ["search", str(photo), "-k", "3", "-w", str(workspace.folder)]
    done = CliRunner().invoke(embedkit, line)
    assert "\x1b[31m" not in done.output and "\u202e" not in done.output
    assert "<script>alert(1)</script>" in done.output and "long long long" not in done.output


def test_the_app_gives_a_caption_as_text_on_one_line(
    workspace: Workspace, collection: Collection, serve: Serve
) -> None:
    collection.photo("x.jpg", 70, {"caption": HOSTILE})
    workspace.add(collection.folder)
    client = serve()
    key = client.post("/api/v1/lists", json={"order": "path"}).json()["key"]
    photos = client.get(f"/api/v1/lists/{key}").json()["photos"]
    captions = {Path(photo["path"]).name: photo["caption"] for photo in photos}
    assert captions["らーめん 1.jpg"] == "A bowl of ramen" and captions["2.jpg"] is None
    assert captions["x.jpg"].startswith('<script>alert(1)</script>gpj.exe[31m "quoted" long')
    assert len(captions["x.jpg"]) <= 200 and captions["x.jpg"].isprintable()


def test_matches_without_a_caption_have_none(workspace: Workspace, collection: Collection) -> None:
    workspace.add(collection.folder)
    photo = collection.folder / "none/4.jpg"
    found = {Path(match.path).name: match.caption for match in workspace.search(photo, 6)}
    assert found == {
        "らーめん 1.jpg": "A bowl of ramen",
        "4.jpg": "Which one?",
        **dict.fromkeys(("2.jpg", "3.jpg", "5.jpg", "6.jpg")),
    }


def test_the_eleventh_schema_step_keeps_attributes_and_kept_facts_as_those_of_tables(
    workspace: Workspace, photos: Path
) -> None:
    workspace.add(photos)
    table = photos.parent / "labels.csv"
    table.write_text("path,label,post\nphotos/red/0.jpg,cat,p1\nphotos/red/1.jpg,dog,p2\n")
    workspace.labels.from_csv(table)
    (photos / "red/1.jpg").unlink()
    workspace.add()
    with duckdb.connect(str(workspace.folder / "catalog.duckdb")) as connection:
        undo_schema_steps(connection, after=10)
        assert len(connection.execute("DESCRIBE attributes").fetchall()) == 3
    assert facts_of(workspace, photos / "red/0.jpg") == ("cat", "csv", {"post": "p1"})
    assert facts_of(workspace, photos / "red/1.jpg") == ("dog", "csv", {"post": "p2"})
    workspace.add()
    with duckdb.connect(str(workspace.folder / "catalog.duckdb")) as connection:
        assert connection.execute("SELECT source FROM attributes").fetchall() == [("csv",)]
        assert {row[-1] for row in connection.execute("FROM kept_facts").fetchall()} == {"csv"}


@pytest.mark.slow
def test_a_store_takes_the_facts_and_gives_them_to_another_workspace(
    workspace: Workspace, collection: Collection, tmp_path: Path
) -> None:
    workspace.add(collection.folder)
    store = tmp_path / "store"
    workspace.push(store)
    other = Workspace(tmp_path / "other")
    other.pull(store)
    photo = collection.folder / "ramen/らーめん 1.jpg"
    label, _, attributes = facts_of(other, photo)
    assert (label, attributes) == ("ramen", facts_of(workspace, photo)[2])
    assert labels_of(other) == LABELS
    assert workspace.push(store).is_empty
    # A pull does not turn facts of the manifest into facts of a table.
    table = tmp_path / "labels.csv"
    table.write_text(f'path,label,note\n"{photo}",,new\n', "utf-8")
    other.labels.from_csv(table)
    other.push(store)
    workspace.pull(store)
    assert facts_of(workspace, photo)[1] == "manifest"
    assert facts_of(workspace, photo)[2]["note"] == "new"
    collection.relabel("ramen", "tsukemen")
    collection.run("UPDATE entries SET caption = 'Changed' WHERE caption <> ''")
    workspace.add()
    label, _, attributes = facts_of(workspace, photo)
    assert (label, attributes["caption"], attributes["note"]) == ("tsukemen", "Changed", "new")


def test_a_collection_below_a_source_is_named_in_a_warning(
    collection: Collection, workspace: Workspace
) -> None:
    report = workspace.add(collection.folder.parent, fingerprints_only=True)

    [warning] = [text for text in report.warnings if "is a collection" in text]
    assert str(collection.folder) in warning
    workspace.add(collection.folder, fingerprints_only=True)
    again = workspace.add(fingerprints_only=True)
    assert not any("is a collection" in text for text in again.warnings)
