"""Plans and searches when the disk has changed since the last add."""

import os
import shutil
from pathlib import Path

import pytest
from cleaning import actions, run
from conftest import draw_photo

from embedkit import Workspace
from embedkit.cleaning.existing_files import drop_missing_files
from embedkit.errors import BadInput
from embedkit.results import DuplicateGroup, Duplicates, GroupMember


@pytest.fixture
def copied(workspace: Workspace, photos: Path) -> Workspace:
    """A workspace with twelve photos and two copies of the first."""
    for name in ("a copy.jpg", "日本\n.jpg"):
        shutil.copy2(photos / "red/0.jpg", photos / name)
    workspace.add([photos])
    return workspace


# -- plans -----------------------------------------------------------------------------------------


def test_a_missing_file_is_neither_kept_nor_removed(copied: Workspace, photos: Path) -> None:
    assert actions(copied.clean(["exact"])) == {
        "0.jpg": "keep", "a copy.jpg": "remove", "日本\n.jpg": "remove",
    }  # fmt: skip
    (photos / "red/0.jpg").unlink()
    assert actions(copied.clean(["exact"])) == {"日本\n.jpg": "keep", "a copy.jpg": "remove"}
    (photos / "a copy.jpg").unlink()
    assert copied.clean(["exact"]).rows == ()


def test_a_broken_link_counts_as_missing(copied: Workspace, photos: Path) -> None:
    (photos / "a copy.jpg").unlink()
    (photos / "a copy.jpg").symlink_to(photos / "nowhere.jpg")
    assert "a copy.jpg" not in actions(copied.clean(["exact"]))


def member(path: Path, sha256: str, score: float, label: str | None = None) -> GroupMember:
    path.write_bytes(b"")
    return GroupMember(
        path=str(path),
        sha256=sha256,
        label=label,
        hamming=1,
        distance=0.1,
        score=score,
        sure=True,
        decided=False,
        examination=None,
        keep=False,
        width=10,
        height=10,
        bytes=100,
    )


def found(*members: GroupMember) -> Duplicates:
    score = min(item.score for item in members)
    group = DuplicateGroup("combined", score, members[0].path, members, True)
    return Duplicates((group,), 9, 9, ("exact",), 8, 64, False, 0.1, 0.5, 0.0, 0.0, 1.0, 0)


def test_a_group_is_described_by_its_existing_files(tmp_path: Path) -> None:
    first, second, third = (
        member(tmp_path / "1", "a", 1.0, "cat"),
        member(tmp_path / "2", "a", 1.0, "dog"),
        member(tmp_path / "3", "b", 0.8, "dog"),
    )
    whole = found(first, second, third)
    assert drop_missing_files(whole) == whole
    os.unlink(first.path)
    (group,) = drop_missing_files(whole).groups
    assert (group.representative, group.members) == (second.path, (second, third))
    assert (group.kind, group.score, group.conflict) == ("combined", 0.8, False)
    os.unlink(third.path)
    assert drop_missing_files(whole).groups == ()


def test_crops_of_a_missing_photo_are_not_copies_of_each_other(
    tmp_path: Path,
) -> None:
    """The left half and the right half of a photo are each a copy of it, but not of each other."""
    original, left, right, again = (
        member(tmp_path / "original", "a", 1.0),
        member(tmp_path / "left", "b", 0.95),
        member(tmp_path / "right", "c", 0.95),
        member(tmp_path / "right again", "c", 0.95),
    )
    os.unlink(original.path)
    (group,) = drop_missing_files(found(original, left, right, again)).groups
    assert [item.path for item in group.members] == [right.path, again.path]
    assert (group.kind, group.score) == ("exact", 1.0)


@pytest.mark.parametrize("name", ["typo", "red/nothing.jpg", "empty"])
def test_protecting_nothing_is_an_error(name: str, copied: Workspace, photos: Path) -> None:
    (photos / "empty").mkdir()
    with pytest.raises(BadInput, match="so it protects nothing"):
        copied.clean(["exact"], protect=[photos / "red", photos / name])
    plan = photos.parent / "plan.csv"
    done = run(copied, "clean", "--plan", plan, "--protect", photos / name, status=2)
    assert "protects nothing" in done.stderr and not plan.exists()


def test_a_folder_under_an_unknown_name_protects_nothing(copied: Workspace, photos: Path) -> None:
    (photos.parent / "alias").symlink_to(photos)
    with pytest.raises(BadInput, match="name a folder as the workspace does"):
        copied.clean(["exact"], protect=[photos.parent / "alias"])


def test_a_file_can_be_protected_and_so_can_a_folder(copied: Workspace, photos: Path) -> None:
    for path in (photos / "red", photos / "red/0.jpg"):
        assert actions(copied.clean(["exact"], protect=[path]))["0.jpg"] == "keep"


# -- searches --------------------------------------------------------------------------------------


def test_a_match_is_named_by_an_existing_file(copied: Workspace, photos: Path) -> None:
    query = draw_photo(0)
    names = [str(photos / name) for name in ("a copy.jpg", "red/0.jpg", "日本\n.jpg")]
    match = copied.search(query, 1)[0]
    assert match.path == names[0] and list(match.files) == names
    os.unlink(names[0])
    match = copied.search(query, 1)[0]
    assert match.path == names[1] and list(match.files) == [*names[1:], names[0]]
    os.unlink(names[1])
    (matches,) = copied.search_many([query], 1)
    assert matches[0].path == names[2] and list(matches[0].files) == [names[2], *names[:2]]
    os.unlink(names[2])
    assert copied.search(query, 1)[0].path == names[0], "the first file if none exists"


def test_a_match_in_a_folder_is_named_by_an_existing_file_in_it(
    copied: Workspace, photos: Path
) -> None:
    shutil.copy2(photos / "red/0.jpg", photos / "red/zero.jpg")
    copied.add()
    os.unlink(photos / "red/0.jpg")
    match = copied.search(draw_photo(0), 1, folder=photos / "red")[0]
    assert match.path == str(photos / "red/zero.jpg")
    assert match.files[-1] == str(photos / "red/0.jpg") and len(match.files) == 4


def test_the_label_of_a_match_is_that_of_the_file_it_is_named_by(
    copied: Workspace, photos: Path
) -> None:
    table = photos / "labels.csv"
    table.write_text("path,label\na copy.jpg,one\nred/0.jpg,two\n", "utf-8")
    copied.labels.from_csv(table)
    os.unlink(photos / "a copy.jpg")
    assert copied.search(draw_photo(0), 1)[0].label == "two"


# -- duplicates and counts -------------------------------------------------------------------------


def test_duplicates_contain_only_existing_files(copied: Workspace, photos: Path) -> None:
    shutil.copy(photos / "red/1.jpg", photos / "a single copy.jpg")
    draw_photo(2).save(photos / "a redrawn.jpg", quality=91)
    copied.add()
    (photos / "red/0.jpg").unlink()
    (photos / "red/1.jpg").unlink()
    (photos / "red/2.jpg").unlink()
    names = {"a copy.jpg", "日本\n.jpg"}
    for found in (copied.duplicates(), copied.duplicates(of=photos / "a copy.jpg")):
        (group,) = found.groups
        assert {os.path.basename(one.path) for one in group.members} == names
        assert os.path.exists(group.representative)


def test_info_counts_existing_and_missing_files(copied: Workspace, photos: Path) -> None:
    copied.labels.from_folders(photos)
    before = copied.info()
    assert (before.files, before.images, before.missing) == (14, 12, 0)
    (photos / "red/0.jpg").unlink()
    (photos / "red/1.jpg").unlink()
    for _ in range(2):
        now = copied.info()
        assert (now.files, now.images, now.missing) == (12, 11, 2), "0.jpg has copies"
        assert now.labels == {"blue": 6, "red": 4}
        copied.add()


def test_a_folder_whose_photos_are_all_missing_protects_nothing(
    copied: Workspace, photos: Path
) -> None:
    for path in (photos / "blue").iterdir():
        path.unlink()
    with pytest.raises(BadInput, match="so it protects nothing"):
        copied.clean(protect=[photos / "blue"])


def test_info_counts_files_in_batches(
    workspace: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "blue/twin.jpg").write_bytes((photos / "red/0.jpg").read_bytes())
    workspace.add([photos], labels_from_folders=True)
    (photos / "red/5.jpg").unlink()
    (photos / "blue/twin.jpg").unlink()
    for count in (1, 5, 100):
        monkeypatch.setattr("embedkit.catalog.inventory.IMAGES_AT_A_TIME", count)
        info = workspace.info()
        assert (info.files, info.images, info.missing) == (11, 11, 2)
        assert info.labels == {"blue": 6, "red": 5}
