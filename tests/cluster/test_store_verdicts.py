"""Verdicts of a store: on the groups of duplicates and on labels, as in a workspace."""

import shutil
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import Toys, draw_photo
from stores import search_inline

from embedkit import BadArtefact, NotInWorkspace, Store, Workspace
from embedkit._internal.artifacts import sha256_of
from embedkit.cluster import labels, tables
from embedkit.cluster.duplicates import present
from embedkit.cluster.duplicates.find import stored_groups
from embedkit.cluster.duplicates.result import pairs_dataset, stored_result, tidy_result
from embedkit.cluster.labels import files_of_images
from embedkit.cluster.store import StoreContent
from embedkit.cluster.tables import Dataset
from embedkit.results import DuplicateGroup

pytestmark = pytest.mark.slow


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """Photos in folders that are their labels: two with several copies, and two alone."""
    photos = tmp_path / "photos"
    for label in ("red", "blue"):
        (photos / label).mkdir(parents=True)
    for number in (0, 1):
        image = draw_photo(number)
        image.save(photos / f"red/{number}.png")
        image.save(photos / f"red/{number}-good.jpg", quality=95)
        image.save(photos / f"blue/{number}-poor.jpg", quality=60)
        image.resize((200, 150)).save(photos / f"red/{number}-small.jpg", quality=92)
        shutil.copy(photos / f"red/{number}-good.jpg", photos / f"red/{number}-again.jpg")
    for number in (2, 3):
        draw_photo(number).save(photos / f"red/{number}.jpg")
    shutil.copy(photos / "red/3.jpg", photos / "red/3-again.jpg")
    return photos


@pytest.fixture
def filled(tmp_path: Path, copies: Path, toys: Toys) -> Workspace:
    """A workspace with these photos."""
    assert toys.passes == []
    workspace = Workspace(tmp_path / "workspace")
    workspace.add(copies, backbones="resnet50", labels_from_folders=True)
    return workspace


@pytest.fixture
def store(filled: Workspace, tmp_path: Path) -> StoreContent:
    """A store with the content of the workspace."""
    filled.push(tmp_path / "store")
    return StoreContent(str(tmp_path / "store"))


def described(groups: Any) -> dict[str, Any]:
    """Return groups by their representatives, without what rounding may change."""
    return {group.representative: _described(group) for group in groups}


def _described(group: DuplicateGroup) -> dict[str, Any]:
    members = [
        asdict(member) | {"score": round(member.score, 3), "distance": None}
        for member in group.members
    ]
    return asdict(group) | {"score": round(group.score, 3), "members": members}


def decide(workspace: Workspace, photos: Path) -> None:
    """Decide about pairs inside groups, across groups and without a group, and on one photo."""
    workspace.verdicts.set("different", photos / "red/0.png", photos / "red/0-good.jpg")
    workspace.verdicts.set("different", photos / "red/0-good.jpg", photos / "blue/0-poor.jpg")
    workspace.verdicts.set("duplicate", photos / "red/1-small.jpg", photos / "red/2.jpg")
    workspace.verdicts.set("duplicate", photos / "red/2.jpg", photos / "red/3.jpg")
    workspace.verdicts.set("keep", photos / "red/1-small.jpg")
    workspace.verdicts.set("relabel=blue", photos / "red/1.png")


@pytest.mark.parametrize("is_late", [False, True], ids=["before the search", "after the search"])
def test_verdicts_apply_to_groups_as_in_a_workspace(
    filled: Workspace,
    store: StoreContent,
    copies: Path,
    is_late: bool,
) -> None:
    if is_late:
        search_inline(store)
        assert described(stored_groups(store)) == described(filled.duplicates().groups)
    decide(filled, copies)
    filled.push(store.location.place)
    if not is_late:
        search_inline(store)
    expected = described(filled.duplicates().groups)
    assert described(stored_groups(store)) == expected
    members = [member for group in expected.values() for member in group["members"]]
    assert any(member["decided"] for member in members)
    assert any(member["keep"] for member in members)


def test_a_later_verdict_opens_no_file_that_the_search_has_opened(
    filled: Workspace,
    store: StoreContent,
    copies: Path,
    tmp_path: Path,
) -> None:
    search_inline(store)
    filled.verdicts.set("different", copies / "red/0.png", copies / "red/0-small.jpg")
    expected = described(filled.duplicates().groups)
    filled.push(store.location.place)
    copies.rename(tmp_path / "elsewhere")
    assert described(stored_groups(store)) == expected


def test_a_search_that_is_killed_between_its_commits_leaves_the_last_result(
    filled: Workspace, store: StoreContent, copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = search_inline(store)
    before = list(stored_groups(store))
    filled.verdicts.set("different", copies / "red/0.png", copies / "red/0-small.jpg")
    draw_photo(2).save(copies / "red/2.png")
    filled.add()
    filled.push(store.location.place)
    expected = list(stored_groups(store))
    assert expected != before

    replace = Dataset.replace

    def killed(dataset: Dataset, fragments: Sequence[str]) -> int:
        if dataset.location.place.endswith("/duplicates.lance"):
            raise KeyboardInterrupt
        return replace(dataset, fragments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Dataset, "replace", killed)
        search_inline(store)
    monkeypatch.setattr(tables, "_KEPT_VERSIONS", timedelta(0))  # all are old
    tidy_result(store)
    result = stored_result(store)
    assert result is not None and result.report == first
    assert result.part("pairs").count() == first.pairs < pairs_dataset(store).count()
    assert list(stored_groups(store)) == expected  # formed from the pairs and the verdicts

    last = search_inline(store)
    assert last.pairs > first.pairs
    tidy_result(store)
    assert len(pairs_dataset(store).open().versions()) == 1
    assert len(list(stored_groups(store))) == last.groups


def test_a_reader_sees_one_result_while_a_search_replaces_it(
    filled: Workspace, store: StoreContent, copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    search_inline(store)
    monkeypatch.setattr(present, "_ROWS", 1)
    before = list(stored_groups(store))
    groups = stored_groups(store)
    read = [next(groups)]
    draw_photo(2).save(copies / "red/2.png")
    filled.add()
    filled.push(store.location.place)
    search_inline(store)
    assert [*read, *groups] == before
    assert len(list(stored_groups(store))) == len(before) + 1


@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_groups_are_read_whole(rows: int) -> None:
    table = pa.table({"group": [1, 1, 2, 3, 3, 3], "place": [0, 1, 0, 0, 1, 2]})
    empty = table.slice(0, 0).to_batches()
    parts = list(present._whole_groups([*empty, *table.to_batches(rows)]))
    assert pa.concat_tables(parts) == table
    groups = [set(part["group"].to_pylist()) for part in parts]
    assert all(not one & other for one, other in pairwise(groups))
    assert not list(present._whole_groups([]))


def test_a_damaged_dataset_is_named_when_groups_are_read(
    filled: Workspace, store: StoreContent
) -> None:
    assert filled.info().files
    search_inline(store)
    for file in (Path(store.files.location.path) / "data").iterdir():
        file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(BadArtefact, match=r"files\.lance is damaged"):
        list(stored_groups(store))


def test_relabelled_photos_have_their_new_label(
    filled: Workspace, store: StoreContent, copies: Path, tmp_path: Path
) -> None:
    place = Store(store.location.place)
    assert place.info().relabelled == 0
    found = place.search(sha256=sha256_of(copies / "red/2.jpg"), label="red")
    assert (found[0].path, found[0].label) == (str(copies / "red/2.jpg"), "red")
    filled.verdicts.set("relabel=blue", copies / "red/2.jpg")
    filled.verdicts.set("relabel=green", copies / "red/3.jpg", new_label=True)  # two files
    filled.verdicts.set("relabel=green", copies / "blue/0-poor.jpg")
    filled.verdicts.set("right", copies / "blue/0-poor.jpg")  # instead
    filled.push(store.location.place)

    info, expected = place.info(), filled.info()
    assert info.labels == expected.labels == {"blue": 3, "green": 2, "red": 8}
    assert info.relabelled == expected.relabelled == 3
    other = Workspace(tmp_path / "other")
    other.pull(store.location.place)
    assert other.info().labels == expected.labels
    for label in ("blue", "green", "red", None):
        for name in ("red/2.jpg", "red/3.jpg", "red/0.png"):
            sha256 = sha256_of(copies / name)
            matches = place.search(sha256=sha256, k=20, label=label)
            local = filled.search(sha256=sha256, k=20, label=label)
            assert [(match.path, match.files, match.label) for match in matches] == [
                (match.path, match.files, match.label) for match in local
            ]
    with pytest.raises(NotInWorkspace, match="labels: blue, green, red"):
        place.search(sha256=sha256_of(copies / "red/2.jpg"), label="yellow")


def test_rows_of_many_images_are_those_of_few(
    store: StoreContent, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = store.images.read(["sha256"])["sha256"].to_pylist()[::2]
    few = files_of_images(store.files, digests, {})
    monkeypatch.setattr(labels, "_SCANNED_ABOVE", 0)
    assert files_of_images(store.files, digests, {}) == few
    assert few.keys() == set(digests)
