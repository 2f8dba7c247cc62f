"""Forgetting files of a store, and the facts of files that moved."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pyarrow as pa
import pytest
from conftest import Toys
from copies import store_content
from stores import inline  # noqa: F401

from embedkit import BadInput, EmptyWorkspace, NotInWorkspace, PlanInterrupted, Store, Workspace
from embedkit._internal.artifacts import sha256_of
from embedkit.cleaning.plan import write_plan
from embedkit.cluster.kept_facts import keep_rows
from embedkit.cluster.listing import listed
from embedkit.cluster.location import Location
from embedkit.cluster.merging import FileRow
from embedkit.cluster.moved_facts import follow_moves, missing_files
from embedkit.cluster.pending import Pending
from embedkit.cluster.shards import member_path
from embedkit.cluster.store import StoreContent
from embedkit.cluster.tables import FILES, IMAGES, Dataset, bytes_literal, text_literal
from embedkit.results import PlanRow


@pytest.fixture
def filled(tmp_path: Path, photos: Path, toys: Toys) -> Workspace:
    """A workspace with labels from folders and a table, a copy and a broken file."""
    assert toys.passes == []
    shutil.copy(photos / "red/0.jpg", photos / "blue/copy.jpg")
    (photos / "red/broken.jpg").write_bytes(b"no image")
    rows = ["photos/red/0.jpg,green,a", "photos/red/1.jpg,green,b"]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,camera", *rows]))
    workspace = Workspace(tmp_path / "workspace")
    workspace.add(photos, backbones=["resnet50", "resnet101"], labels_from_folders=True)
    workspace.labels.from_csv(tmp_path / "labels.csv")
    return workspace


@pytest.fixture
def store(filled: Workspace, tmp_path: Path) -> Store:
    """A store with the content of the workspace."""
    filled.push(tmp_path / "store")
    return Store(tmp_path / "store")


def test_what_is_forgotten_is_what_a_workspace_forgets(
    filled: Workspace, store: Store, photos: Path, tmp_path: Path
) -> None:
    for path in (photos / "red/0.jpg", photos / "red"):
        assert store.remove(path) == filled.remove(path)
        filled.push(tmp_path / path.name)
        ours, theirs = (
            store_content(place) for place in (tmp_path / "store", tmp_path / path.name)
        )
        assert ours == theirs
    with pytest.raises(NotInWorkspace, match="has no photos at"):
        store.remove(photos / "red")
    names = {Path(row[0]).name for row in ours["files.lance"]}
    assert names == {"copy.jpg", *(f"{number}.jpg" for number in range(6, 12))}


def test_only_missing_files_below_a_place_that_is_there_are_forgotten(
    store: Store, photos: Path, tmp_path: Path
) -> None:
    (photos / "red/3.jpg").unlink()
    (photos / "blue/6.jpg").unlink()
    report = store.remove([photos / "red", photos / "blue"], missing=True)
    assert (report.files, report.images, report.embeddings) == (2, 2, 4)
    assert store.info().files == 11
    assert store.remove(photos, missing=True).files == 0
    photos.rename(tmp_path / "elsewhere")
    photos.mkdir()  # as a disk that is not mounted looks
    with pytest.raises(BadInput, match=r"none of the 12 files .* exists; if a disk is"):
        store.remove(photos, missing=True)
    photos.rmdir()
    with pytest.raises(BadInput, match="does not reach it"):
        store.remove(photos, missing=True)
    assert store.info().files == 11
    with pytest.raises(BadInput, match="nothing to forget"):
        store.remove([])
    with pytest.raises(EmptyWorkspace, match="there is no store"):
        Store(tmp_path / "none").remove(photos)


def test_missing_files_are_not_forgotten_if_one_of_several_places_may_not_be_mounted(
    store: Store, photos: Path, tmp_path: Path
) -> None:
    (photos / "red/3.jpg").unlink()
    (photos / "blue").rename(tmp_path / "elsewhere")
    (photos / "blue").mkdir()  # as a disk that is not mounted looks
    before = store_content(tmp_path / "store")
    with pytest.raises(BadInput, match=r"none of the 7 files of the store at \S*/blue exists"):
        store.remove([photos / "red", photos / "blue"], missing=True)
    assert store_content(tmp_path / "store") == before
    assert store.remove([photos / "red"], missing=True).files == 1


@pytest.mark.parametrize("missing", [False, True])
def test_nothing_is_forgotten_if_one_of_the_paths_is_not_in_the_store(
    store: Store, photos: Path, tmp_path: Path, missing: bool
) -> None:
    (photos / "red/3.jpg").unlink()
    (tmp_path / "reed").mkdir()
    before = store_content(tmp_path / "store")
    with pytest.raises(NotInWorkspace, match=r"has no photos at \S*/reed; nothing was forgotten"):
        store.remove([photos / "red", tmp_path / "reed"], missing=missing)
    assert store_content(tmp_path / "store") == before


def test_photos_with_a_verdict_on_their_label_do_not_lose_it(
    filled: Workspace, store: Store, photos: Path
) -> None:
    shutil.copy(photos / "red/2.jpg", photos / "again.jpg")
    filled.add(photos)
    filled.push(store.location)
    content = StoreContent(store.location)
    content.files.delete("path LIKE '%/red/%' AND NOT path LIKE '%/red/2.jpg'")
    (row,) = content.files.read(["label"], "path LIKE '%/again.jpg'").to_pylist()
    assert row["label"] is None
    filled.verdicts.set("relabel=green", photos / "again.jpg")
    filled.push(store.location)
    assert store.remove(photos / "red").unlabelled == 0


def test_several_paths_and_archives_are_forgotten(store: Store, photos: Path) -> None:
    content = StoreContent(store.location)
    (row,) = content.files.read(content.files.schema.names, "path LIKE '%/red/2.jpg'").to_pylist()
    members = [
        member_path(Location(str(photos / name)), "1.jpg") for name in ("a.tar", "a.tar.d/b.tar")
    ]
    rows = [row | {"path": path} for path in members]
    content.files.append(pa.Table.from_pylist(rows, content.files.schema))
    for folder in (photos / "a.tar", photos / "a.tar.d"):
        (match,) = store.search(sha256=row["sha256"].hex(), folder=folder, k=1)
        assert match.path in members
    url = Path("s3://bucket/gone.jpg")  # pathlib makes one slash of two
    with pytest.raises(NotInWorkspace, match=r"s3://bucket/gone\.jpg is not in the store"):
        store.search(url)
    assert store.remove([photos / "a.tar", photos / "red/2.jpg"]).files == 2
    assert store.remove(photos / "a.tar.d").files == 1
    assert store.info().files == 12


def test_a_filter_whose_photos_lack_the_backbone_says_so(store: Store, photos: Path) -> None:
    content = StoreContent(store.location)
    spec = content.backbones()[0].spec
    red = content.files.read(["sha256"], "label = 'red'")
    content.embeddings(spec).delete_rows(red)
    with pytest.raises(NotInWorkspace, match="have no embedding of this backbone"):
        store.search(photos / "blue/7.jpg", label="red", backbone=content.backbones()[0].name)


def test_a_removal_that_is_killed_leaves_no_file_without_its_image(
    store: Store, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = StoreContent(store.location)
    calls = 0

    def killed_at(number: int) -> Callable[..., Any]:
        def patched(method: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                nonlocal calls
                if calls == number:
                    raise KeyboardInterrupt
                calls += 1
                return method(*arguments, **options)

            return call

        return patched

    is_finished, kills = False, 0
    while not is_finished:
        calls = 0
        with monkeypatch.context() as patch:
            for name in ("upsert", "delete", "delete_rows"):
                patch.setattr(Dataset, name, killed_at(kills)(getattr(Dataset, name)))
            try:
                store.remove(photos / "red")
                is_finished = True
            except KeyboardInterrupt:
                kills += 1
        images = {*content.images.read(["sha256"])["sha256"].to_pylist()}
        files = content.files.read(["path", "sha256"], "sha256 IS NOT NULL").to_pylist()
        assert {row["sha256"] for row in files} <= images
    assert kills >= 5
    assert {row["sha256"] for row in files} == images
    for backbone in content.backbones():
        embedded = content.embeddings(backbone.spec).read(["sha256"])["sha256"]
        assert {*embedded.to_pylist()} == images
    copy = next(
        row for row in content.files.read(["path", "label"]).to_pylist() if "copy" in row["path"]
    )
    assert copy["label"] == "green"
    kept = content.kept_facts.read(["name", "value"]).to_pylist()
    assert {(row["name"], row["value"]) for row in kept} == {("label", "green"), ("camera", "b")}


# -- facts of files that moved ---------------------------------------------------------------------


def follow_as_add(store: Store, source: Path) -> list[str]:
    """Do what an add of a folder does at its end; return its warnings."""
    content = StoreContent(store.location)
    found = [item for item in listed([str(source)], False) if isinstance(item, pa.Table)]
    kept = content.kept_facts.read(["sha256"])["sha256"]
    pending = Pending(content, [])
    return follow_moves(content, *pending.moved(pending.are_listed(found), kept), [str(source)])


def move(store: Store, old: Path, new: Path) -> None:
    """Move a file, and let a store know its new place as an add does."""
    content = StoreContent(store.location)
    new.parent.mkdir(exist_ok=True)
    (row,) = content.files.read(FILES.names, f"path = {text_literal(str(old))}").to_pylist()
    old.rename(new)
    file = FileRow.of_store(row)
    bare = replace(file, path=str(new), label=None, folder_label=None, attributes={})
    content.files.append(pa.Table.from_pylist([bare.to_store()], FILES))


def facts_of(store: Store, path: Path) -> tuple[Any, ...]:
    """Return the label and the other columns of a file."""
    where = f"path = {text_literal(str(path))}"
    (row,) = StoreContent(store.location).files.read(FILES.names, where).to_pylist()
    return row["label"], dict(row["attributes"])


def test_labels_and_columns_follow_a_file_that_moved(store: Store, photos: Path) -> None:
    old, new = photos / "red/1.jpg", photos / "moved/one.jpg"
    labels = store.info().labels
    move(store, old, new)
    assert follow_as_add(store, photos / "moved") == []
    assert facts_of(store, new) == ("green", {"camera": "b"})
    assert facts_of(store, old) == ("red", {})  # the folder's
    assert store.info().labels == labels | {"red": labels["red"] + 1}
    before = store_content(Path(store.location))
    assert follow_as_add(store, photos / "moved") == []
    assert store_content(Path(store.location)) == before


def test_a_missing_copy_takes_no_facts(store: Store, photos: Path) -> None:
    content = StoreContent(store.location)
    (row,) = content.files.read(FILES.names, "path LIKE '%/red/1.jpg'").to_pylist()
    copy = replace(FileRow.of_store(row), path=str(photos / "red/copy.jpg")).without_facts()
    content.files.append(pa.Table.from_pylist([copy.to_store()], FILES))
    move(store, photos / "red/1.jpg", photos / "red/new.jpg")
    assert follow_as_add(store, photos) == []
    assert facts_of(store, photos / "red/new.jpg") == ("green", {"camera": "b"})
    assert facts_of(store, photos / "red/copy.jpg") == ("red", {})


def test_a_folder_that_may_not_be_mounted_gives_nothing_away(store: Store, photos: Path) -> None:
    (photos / "nas").mkdir()
    move(store, photos / "red/1.jpg", photos / "nas/1.jpg")
    assert follow_as_add(store, photos / "nas") == []
    content = StoreContent(store.location)
    (row,) = content.files.read(FILES.names, "path LIKE '%/nas/1.jpg'").to_pylist()
    (photos / "copies").mkdir()
    (photos / "nas/1.jpg").rename(photos / "copies/1.jpg")  # a copy; nothing is mounted now
    copied = replace(FileRow.of_store(row), path=str(photos / "copies/1.jpg"), label=None)
    bare = replace(copied, attributes={})
    content.files.append(pa.Table.from_pylist([bare.to_store()], FILES))
    for is_there in (True, False):
        if not is_there:
            (photos / "nas").rmdir()
        assert follow_as_add(store, photos / "copies") == []
        assert facts_of(store, photos / "nas/1.jpg") == ("green", {"camera": "b"})
    assert follow_as_add(store, photos) == []  # the folder above it was listed
    assert facts_of(store, photos / "copies/1.jpg") == ("green", {"camera": "b"})


def test_labels_stay_with_the_bytes_of_files_that_change_places(store: Store, photos: Path) -> None:
    content = StoreContent(store.location)
    names = [str(photos / f"red/{number}.jpg") for number in (1, 3)]
    where = f"path IN ({', '.join(map(text_literal, names))})"
    rows = content.files.read(FILES.names, where).sort_by("path").to_pylist()
    swapped = [
        replace(FileRow.of_store(row), path=name, label=None, attributes={}).to_store()
        for row, name in zip(rows, reversed(names), strict=True)
    ]
    files, facts = Pending(content, []).settled(pa.Table.from_pylist(swapped, FILES))
    content.kept_facts.upsert(facts, "sha256", "place", "name")
    content.files.upsert(files, "path")
    assert facts_of(store, photos / "red/1.jpg") == ("red", {}), "of other bytes now"
    assert follow_as_add(store, photos / "red") == []
    assert facts_of(store, photos / "red/3.jpg") == ("green", {"camera": "b"})
    assert facts_of(store, photos / "red/1.jpg") == ("red", {})
    same, facts = Pending(content, []).settled(content.files.read(FILES.names, where))
    assert same.sort_by("path") == content.files.read(FILES.names, where).sort_by("path")
    assert not len(facts)


def test_each_of_many_files_that_are_read_again_keeps_its_own_label(tmp_path: Path) -> None:
    store = StoreContent(str(tmp_path / "store"))
    rows = [
        FileRow(f"/{number}.jpg", b"%032d" % number, 1, 1, str(number), None, {}, None, None, None)
        for number in range(40)
    ]
    for start in range(0, 40, 10):
        part = [row.to_store() for row in rows[start : start + 10]]
        store.files.append(pa.Table.from_pylist(part, FILES))
    chosen = [rows[number] for number in (33, 2, 17, 0, 39, 16)]
    read = [replace(row, label=None).to_store() for row in chosen]
    read.insert(3, replace(chosen[0], path="/new.jpg", label=None).to_store())
    files, _ = Pending(store, []).settled(pa.Table.from_pylist(read, FILES))
    assert files["label"].to_pylist() == ["33", "2", "17", None, "0", "39", "16"]


def test_a_copy_takes_nothing_from_a_file_that_is_there(store: Store, photos: Path) -> None:
    before = store_content(Path(store.location))
    assert follow_as_add(store, photos / "blue") == []  # copy.jpg is a copy of red/0.jpg
    assert store_content(Path(store.location)) == before


def test_forgotten_photos_get_their_labels_back_when_they_are_added_elsewhere(
    store: Store, photos: Path
) -> None:
    content = StoreContent(store.location)
    (row,) = content.files.read(FILES.names, "path LIKE '%/red/1.jpg'").to_pylist()
    (image,) = content.images.read(IMAGES.names, _is(row["sha256"])).to_pylist()
    report = store.remove(photos / "red/1.jpg")
    assert (report.kept, content.images.count(_is(row["sha256"]))) == (1, 0)
    new = photos / "moved/one.jpg"
    new.parent.mkdir()
    (photos / "red/1.jpg").rename(new)
    bare = replace(FileRow.of_store(row), path=str(new), label=None, attributes={})
    content.images.append(pa.Table.from_pylist([image], IMAGES))
    content.files.append(pa.Table.from_pylist([bare.to_store()], FILES))
    assert follow_as_add(store, photos / "moved") == []
    assert facts_of(store, new) == ("green", {"camera": "b"})
    assert content.kept_facts.count() == 0


def write_exact_plan(keep: Path, remove: Path, plan: Path) -> None:
    """Write a plan that removes a copy."""
    rows = [
        PlanRow(1, action, str(path), sha256_of(path), "exact", 1.0, None, "", "keep-one")
        for action, path in (("keep", keep), ("remove", remove))
    ]
    write_plan(plan, rows)


@pytest.mark.parametrize("was_undone", [False, True])
def test_the_label_of_a_file_that_a_person_has_moved_is_not_reserved_by_a_plan(
    store: Store, photos: Path, tmp_path: Path, was_undone: bool
) -> None:
    path, new = photos / "red/0.jpg", photos / "red/moved.jpg"
    write_exact_plan(photos / "blue/copy.jpg", path, tmp_path / "plan.csv")
    local, before = Workspace(tmp_path / "local"), facts_of(store, path)
    plan = local.load_plan(tmp_path / "plan.csv", store=store.location)
    if was_undone:
        assert plan.apply().moved and local.undo().restored
    move(store, path, new)
    if was_undone:
        assert not local.undo().restored
    assert plan.apply().missing == (str(path),)
    assert follow_as_add(store, photos) == [] and facts_of(store, new) == before


class Moved:
    """A plan of a store that has moved ``red/0.jpg``, of which ``blue/copy.jpg`` is a copy."""

    def __init__(self, store: Store, photos: Path) -> None:
        self.store = store
        self.content = StoreContent(store.location)
        self.path, self.copy = photos / "red/0.jpg", photos / "blue/copy.jpg"
        write_exact_plan(self.copy, self.path, photos.parent / "plan.csv")
        where = f"path = {text_literal(str(self.path))}"
        (self.row,) = self.content.files.read(FILES.names, where).to_pylist()
        self.before = self.facts()
        self.local = Workspace(photos.parent / "local")
        plan = self.local.load_plan(photos.parent / "plan.csv", store=store.location)
        assert plan.apply().moved == (str(self.path),)

    def facts(self) -> list[tuple[Any, ...]]:
        return [facts_of(self.store, path) for path in (self.path, self.copy)]

    def reserved(self) -> set[tuple[str, str, bool]]:
        rows = self.content.kept_facts.read(["name", "value", "reserved"]).to_pylist()
        return {(row["name"], row["value"], row["reserved"]) for row in rows}

    def add(self, **values: Any) -> list[str]:
        """Let the store know the file again, without its facts, as an add does."""
        bare = replace(FileRow.of_store(self.row), label=None, attributes={}, **values)
        found, facts = Pending(self.content, []).settled(
            pa.Table.from_pylist([bare.to_store()], FILES)
        )
        keep_rows(self.content, facts.to_pylist())
        self.content.files.upsert(found, "path")
        return follow_as_add(self.store, self.path.parent)


_RESERVED = {("label", "green", True), ("camera", "a", True)}


@pytest.fixture
def moved(store: Store, photos: Path) -> Moved:
    return Moved(store, photos)


def test_a_file_that_a_plan_moved_has_its_facts_after_an_undo(moved: Moved) -> None:
    assert moved.before == [("green", {"camera": "a"}), ("blue", {})]
    assert moved.facts() == [moved.before[0], ("blue", {"camera": "a"})]
    assert moved.reserved() == _RESERVED
    assert moved.local.undo().forgotten == ()
    assert (moved.facts(), moved.reserved()) == (moved.before, set())


def test_a_file_that_a_plan_moved_and_the_store_forgot_has_its_facts_after_an_undo_and_an_add(
    moved: Moved, photos: Path
) -> None:
    assert moved.store.remove(photos, missing=True).kept == 1
    assert facts_of(moved.store, moved.copy) == ("blue", {"camera": "a"})
    assert moved.local.undo().forgotten == (str(moved.path),)
    assert follow_as_add(moved.store, photos / "blue") == []
    assert facts_of(moved.store, moved.copy) == ("blue", {}), "they are those of the other file"
    assert moved.add() == []
    assert (moved.facts(), moved.reserved()) == (moved.before, set())


def test_a_copy_takes_no_facts_of_a_file_in_quarantine(moved: Moved, photos: Path) -> None:
    for _ in range(2):
        assert follow_as_add(moved.store, photos) == []
        assert moved.facts() == [("red", {}), ("blue", {"camera": "a"})]
        assert moved.reserved() == _RESERVED
    moved.local.undo()
    assert (moved.facts(), moved.reserved()) == (moved.before, set())


@pytest.mark.usefixtures("inline")
def test_a_photo_that_is_restored_to_another_path_has_the_facts_of_the_one_in_quarantine(
    moved: Moved, photos: Path
) -> None:
    (stored,) = photos.parent.glob("local/quarantine/*/files/*")
    (photos / "other").mkdir()
    for number, path in enumerate((photos / "red/new.jpg", photos / "other/new.jpg")):
        shutil.copy2(stored, path)
        report = moved.store.add(path.parent, fingerprints_only=True, workers=1)
        assert report.warnings == ()
        assert facts_of(moved.store, path) == ("green", {"camera": "a"}), number
        assert facts_of(moved.store, moved.copy) == ("blue", {"camera": "a"})
        assert moved.reserved() == _RESERVED
    moved.store.add(photos / "red", labels_from_folders=False, fingerprints_only=True, workers=1)
    moved.local.undo()
    moved.store.add(photos / "red", labels_from_folders=False, fingerprints_only=True, workers=1)
    assert (moved.facts(), moved.reserved()) == (moved.before, set())


def test_the_facts_of_a_file_that_a_person_has_put_back_are_reserved_no_more(
    moved: Moved, photos: Path
) -> None:
    (stored,) = photos.parent.glob("local/quarantine/*/files/*")
    shutil.copy2(stored, moved.path)
    assert follow_as_add(moved.store, photos / "red") == []
    assert (moved.facts()[0], moved.reserved()) == (moved.before[0], set())
    new = photos / "red/new.jpg"
    move(moved.store, moved.path, new)
    assert follow_as_add(moved.store, photos / "red") == []
    assert facts_of(moved.store, new) == moved.before[0]


def test_a_workspace_does_not_reserve_facts_again_that_an_undo_has_given_back(
    moved: Moved, photos: Path, tmp_path: Path
) -> None:
    other = Workspace(tmp_path / "other")
    assert other.pull(moved.store.location).kept_facts == 2
    assert other.pull(moved.store.location).is_empty
    assert other.push(moved.store.location).is_empty and moved.reserved() == _RESERVED
    moved.local.undo()
    assert other.push(moved.store.location).kept_facts == 0
    assert (moved.facts()[0], moved.reserved()) == (moved.before[0], set())
    new = moved.path.rename(photos / "red/new.jpg")  # a reserved label would not follow it
    row = replace(FileRow.of_store(moved.row), path=str(new), label=None, attributes={})
    moved.content.files.append(pa.Table.from_pylist([row.to_store()], FILES))
    assert follow_as_add(moved.store, photos / "red") == []
    assert facts_of(moved.store, new) == moved.before[0]


def test_facts_stay_with_the_bytes_when_another_photo_takes_the_place_of_a_moved_one(
    moved: Moved, photos: Path
) -> None:
    shutil.copy(photos / "red/3.jpg", moved.path)
    other = bytes.fromhex(sha256_of(moved.path))
    assert moved.add(sha256=other) == []
    assert moved.facts() == [("red", {}), ("blue", {"camera": "a"})]
    assert moved.reserved() == _RESERVED
    assert len(moved.local.undo().skipped) == 1
    assert moved.reserved() == _RESERVED
    moved.path.unlink()
    assert len(moved.local.undo().restored) == 1
    assert moved.facts() == [("red", {}), ("blue", {})] and moved.reserved() == _RESERVED
    assert moved.add() == []
    assert (moved.facts(), moved.reserved()) == (moved.before, set())


def test_an_undo_of_a_plan_whose_store_is_gone_restores_the_files(
    moved: Moved, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path / "store")
    with pytest.raises(PlanInterrupted, match="there is no store"):
        moved.local.undo()  # the column that the copy has taken over
    assert moved.path.exists()


def test_different_labels_of_identical_copies_that_are_gone_are_ambiguous(
    store: Store, photos: Path
) -> None:
    move(store, photos / "red/1.jpg", photos / "moved/one.jpg")
    content = StoreContent(store.location)
    (row,) = content.files.read(FILES.names, "path LIKE '%/red/1.jpg'").to_pylist()
    other = row | {"path": str(photos / "gone/other.jpg"), "label": "yellow"}
    content.files.append(pa.Table.from_pylist([other], FILES))
    (warning,) = follow_as_add(store, photos)
    assert "1 photo moved" in warning and "ambiguous" in warning
    assert facts_of(store, photos / "moved/one.jpg") == (None, {"camera": "b"})
    kept = content.kept_facts.read(["name", "value"]).to_pylist()
    assert {(fact["name"], fact["value"]) for fact in kept} == {
        ("label", "green"),
        ("label", "yellow"),
        ("camera", "b"),  # of the other copy, which may have moved too
    }


def test_a_run_that_is_killed_while_facts_follow_is_finished_by_the_next_one(
    store: Store, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move(store, photos / "red/1.jpg", photos / "moved/one.jpg")
    for name in ("upsert", "delete_rows"):
        with monkeypatch.context() as patch:
            patch.setattr(Dataset, name, Mock(side_effect=KeyboardInterrupt))
            with suppress(KeyboardInterrupt):
                follow_as_add(store, photos / "moved")
    assert follow_as_add(store, photos / "moved") == []
    assert facts_of(store, photos / "moved/one.jpg") == ("green", {"camera": "b"})


def test_only_what_is_certainly_gone_is_missing(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    (tmp_path / "a.tar").touch()
    paths = [str(tmp_path / name) for name in ("here", "gone")]
    paths += [f"file://{tmp_path}/here", f"file://{tmp_path}/gone", "nonsense://bucket/1.jpg"]
    paths += [member_path(Location(str(tmp_path / name)), "1.jpg") for name in ("a.tar", "b.tar")]
    assert missing_files(paths) == [False, True, False, True, False, False, True]


def _is(digest: bytes) -> str:
    return f"sha256 = {bytes_literal(digest)}"
