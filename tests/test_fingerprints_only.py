import shutil
from pathlib import Path

import pytest
from conftest import draw_photo

from embedkit import Workspace
from embedkit.errors import BadInput, EmptyWorkspace
from embedkit.results import Duplicates


def groups_of(found: Duplicates) -> list[set[str]]:
    return [{Path(member.path).name for member in group.members} for group in found.groups]


@pytest.fixture
def copies(photos: Path) -> Path:
    """The photos, one of them twice and one of them compressed again."""
    shutil.copy(photos / "red/0.jpg", photos / "red/twin.jpg")
    draw_photo(7).save(photos / "blue/again.jpg", quality=70)
    return photos


def test_fingerprints_are_computed_once_and_without_a_network(
    workspace: Workspace, photos: Path, passes: list[int]
) -> None:
    report = workspace.add([photos], fingerprints_only=True)
    assert (report.files, report.images, report.fingerprinted) == (12, 12, 12)
    assert (report.embedded, report.reused) == (0, 0)
    report = workspace.add(fingerprints_only=True)
    assert (report.images, report.fingerprinted, report.reused) == (12, 0, 12)
    assert passes == []
    assert workspace.info().specs == ()


def test_a_later_add_embeds_images_that_were_only_fingerprinted(
    workspace: Workspace, photos: Path, passes: list[int]
) -> None:
    workspace.add([photos], fingerprints_only=True)
    report = workspace.add()
    assert (report.embedded, report.fingerprinted, passes) == (12, 0, [12])
    draw_photo(50).save(photos / "red/new.jpg")
    assert workspace.add(fingerprints_only=True).fingerprinted == 1
    assert workspace.info().specs[0].images == 12
    assert workspace.add().embedded == 1
    assert passes == [12, 1]


def test_copies_are_found_by_fingerprints_and_the_report_says_so(
    workspace: Workspace, copies: Path
) -> None:
    workspace.add([copies], fingerprints_only=True)
    found = workspace.duplicates()
    assert (found.images, found.embedded) == (13, 0)
    assert sorted(groups_of(found), key=sorted) == [{"0.jpg", "twin.jpg"}, {"7.jpg", "again.jpg"}]
    gone = [row for row in workspace.clean() if row.action == "remove"]
    assert [Path(row.path).name for row in gone if row.kind == "exact"] == ["twin.jpg"]
    workspace.add()
    assert workspace.duplicates().embedded == 13
    assert groups_of(workspace.duplicates()) == groups_of(found)


def test_the_copies_of_one_photo_are_found_by_fingerprints(
    workspace: Workspace, copies: Path, tmp_path: Path
) -> None:
    workspace.add([copies], fingerprints_only=True)
    assert groups_of(workspace.duplicates(of=copies / "red/0.jpg")) == [{"0.jpg", "twin.jpg"}]
    draw_photo(3).save(tmp_path / "outside.jpg", quality=60)
    assert groups_of(workspace.duplicates(of=tmp_path / "outside.jpg")) == [
        {"outside.jpg", "3.jpg"}
    ]
    draw_photo(77).save(tmp_path / "outside.jpg")
    assert groups_of(workspace.duplicates(of=tmp_path / "outside.jpg")) == []


def test_commands_that_need_embeddings_raise_an_error_without_them(
    workspace: Workspace, photos: Path
) -> None:
    workspace.add([photos], labels_from_folders=True, fingerprints_only=True)
    for command in (
        lambda: workspace.search(photos / "red/0.jpg"),
        lambda: workspace.duplicates(["semantic"]),
        lambda: workspace.duplicates(["semantic"], of=photos / "red/0.jpg"),
        lambda: workspace.split(1, 1),
    ):
        with pytest.raises(EmptyWorkspace, match="embedkit add"):
            command()


def test_a_split_embeds_images_that_were_only_fingerprinted(
    workspace: Workspace, photos: Path, passes: list[int]
) -> None:
    workspace.add([photos / "red"], labels_from_folders=False)
    workspace.add([photos], labels_from_folders=True, fingerprints_only=True)
    assert passes == [6]
    workspace.split(1, 1)
    assert passes == [6, 6]


def test_fingerprints_only_takes_no_backbone(workspace: Workspace, photos: Path) -> None:
    with pytest.raises(BadInput, match="no backbone"):
        workspace.add([photos], backbones="toy", fingerprints_only=True)
    assert not (workspace.folder / "catalog.duckdb").exists()
