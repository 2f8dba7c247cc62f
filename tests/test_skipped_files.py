"""Files that an add skips or tolerates: by name, by pattern, small images, truncated files."""

import json
import shutil
from pathlib import Path

import pytest
from cleaning import actions, planned, put
from click.testing import CliRunner
from conftest import draw_photo
from earlier import undo_schema_steps
from scenery import saved, scene
from test_damaged import cut, encoded
from test_ingest import counts

from embedkit import Workspace
from embedkit.cli.app import embedkit
from embedkit.errors import BadInput
from embedkit.images.patterns import Patterns
from embedkit.ingest import pipeline
from embedkit.results import AddOptions, SkippedFiles


def names(workspace: Workspace, query: Path) -> set[str]:
    """Names of all files that a search finds."""
    return {Path(path).name for match in workspace.search(query, 100) for path in match.files}


# -- patterns --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "files", "folders"),
    [
        ("*.gif", {"a.gif", "x/b.gif", "x/y/c.gif"}, set()),
        ("x", set(), {"x", "z/x"}),
        ("x/", set(), {"x", "z/x"}),
        ("/x", set(), {"x"}),
        ("x/*.gif", {"x/b.gif"}, set()),
        ("x/**", {"x/b.gif", "x/y/c.gif"}, {"x/y"}),
        ("**/c.gif", {"x/y/c.gif"}, set()),
        ("x/**/c.gif", {"x/y/c.gif"}, set()),
        ("?.gif", {"a.gif", "x/b.gif", "x/y/c.gif"}, set()),
        ("[ab].gif", {"a.gif", "x/b.gif"}, set()),
        ("[!a].gif", {"x/b.gif", "x/y/c.gif"}, set()),
        ("A.GIF", set(), set()),
        ("a.gi", set(), set()),
        ("b*y", set(), set()),
    ],
)
def test_a_pattern_matches_names_or_paths_below_the_source(
    pattern: str, files: set[str], folders: set[str]
) -> None:
    matching = Patterns([pattern]).matching
    paths = ("a.gif", "x/b.gif", "x/y/c.gif")
    assert {path for path in paths if matching(path, is_folder=False)} == files
    assert {path for path in ("x", "x/y", "z/x") if matching(path, is_folder=True)} == folders


@pytest.mark.parametrize("pattern", ["", "/", "!a", "a//b", "../a", "./a", "[z-a]"])
def test_a_pattern_that_can_match_nothing_is_bad_input(pattern: str) -> None:
    with pytest.raises(BadInput):
        Patterns([pattern])


# -- by name ---------------------------------------------------------------------------------------


def test_files_without_an_image_extension_are_counted_by_extension(
    workspace: Workspace, photos: Path
) -> None:
    for name in ("a.txt", "red/B.TXT", "clip.mp4", "README", ".hidden.txt"):
        (photos / name).write_text("x")
    (photos / "folder.txt").mkdir()
    report = workspace.add([photos, photos / "red"])
    assert report.skipped.by_name == {".txt": 2, "": 1, ".mp4": 1}, "each file once"
    assert counts(report) == (12, 12, 12, 0, 0, 0)


def test_the_command_lists_excluded_files(photos: Path, tmp_path: Path, passes: list[int]) -> None:
    (photos / "a.txt").write_text("x")
    (photos / "README").write_text("x")
    draw_photo(50, (40, 30)).save(photos / "small.png")
    where = ["-w", str(tmp_path / "ws")]
    options = ["--exclude", "blue/", "--min-size", "100"]
    done = CliRunner().invoke(embedkit, ["add", str(photos), *options, *where])
    assert done.exit_code == 0
    assert (
        "skipped 2 files without an image extension: 1 without an extension, 1 .txt" in done.output
    )
    assert "excluded 1 file or folder: 1 by blue/" in done.output
    assert (
        f"skipped 1 image with a short side of less than 100 pixels: {photos}/small.png (40 x 30)"
        in done.output
    )
    again = CliRunner().invoke(embedkit, ["add", "--json", *where])
    document = json.loads(again.stdout)
    assert document["options"] == {
        "exclude": ["blue/"], "min_size": 100, "tolerate_truncated": False,
    }  # fmt: skip
    assert document["skipped"]["by_name"] == {"": 1, ".txt": 1}
    assert document["skipped"]["excluded"] == {"blue/": 1}
    assert document["skipped"]["small"] == [
        {"path": str(photos / "small.png"), "width": 40, "height": 30}
    ]
    assert passes == [6]


# -- excluded --------------------------------------------------------------------------------------


def test_excluded_files_are_skipped_until_the_pattern_is_removed(
    workspace: Workspace, photos: Path
) -> None:
    assert counts(workspace.add(photos, exclude=["blue/"])) == (6, 6, 6, 0, 0, 0)
    assert counts(workspace.add()) == (6, 6, 0, 6, 0, 0)
    assert counts(workspace.add(photos / "red")) == (6, 6, 0, 6, 0, 0)
    report = workspace.add(photos, exclude=[])
    assert counts(report) == (12, 12, 6, 6, 0, 0)
    assert report.options == AddOptions() and report.skipped == SkippedFiles()


def test_excluding_a_known_file_hides_it_until_the_pattern_is_removed(
    workspace: Workspace, photos: Path, passes: list[int]
) -> None:
    workspace.add(photos)
    (photos / "labels.csv").write_text("path,label\nblue/6.jpg,mine\n")
    workspace.labels.from_csv(photos / "labels.csv")
    assert counts(workspace.add(exclude=["blue"])) == (6, 6, 0, 6, 0, 0)
    assert names(workspace, photos / "red/0.jpg") == {f"{number}.jpg" for number in range(6)}
    assert (workspace.info().images, workspace.info().labels) == (6, {})
    assert counts(workspace.add(photos, exclude=["*.csv"])) == (12, 12, 0, 12, 0, 0)
    assert workspace.info().labels == {"mine": 1}
    assert passes == [12]


def test_a_pattern_that_excludes_nothing_is_an_error_and_nothing_is_added(
    workspace: Workspace, photos: Path
) -> None:
    with pytest.raises(BadInput, match=r"'\*\.tmp'.*nothing was added"):
        workspace.add(photos, exclude=["blue/", "*.tmp"])
    assert not (workspace.folder / "catalog.duckdb").exists()
    assert workspace.add(photos, exclude=["blue/", "bl*"]).images == 6, "both match it"
    shutil.rmtree(photos / "blue")
    assert workspace.add(photos).images == 6, "a stored pattern may match nothing"


def test_a_folder_that_was_added_itself_is_not_excluded_with_its_parent(
    workspace: Workspace, photos: Path
) -> None:
    workspace.add(photos / "blue")
    with pytest.raises(BadInput, match="sources themselves are not excluded"):
        workspace.add(photos, exclude=["/blue"])
    assert workspace.add(photos, exclude=["/[67].jpg", "red/0.jpg"]).images == 9
    deep = photos / "out/deep"
    deep.mkdir(parents=True)
    draw_photo(60).save(deep / "60.png")
    workspace.add(deep)
    assert workspace.add(photos, exclude=["out/"]).skipped.excluded == {"out/": 1}
    assert "60.png" in names(workspace, photos / "red/1.jpg")


def test_exclude_and_no_exclude_are_mutually_exclusive(photos: Path, tmp_path: Path) -> None:
    command = ["add", str(photos), "--exclude", "blue/", "--no-exclude", "-w", str(tmp_path / "ws")]
    done = CliRunner().invoke(embedkit, command)
    assert done.exit_code == 2 and "give one" in done.output


# -- small images ----------------------------------------------------------------------------------


def test_small_images_are_listed_and_neither_failed_nor_embedded(
    workspace: Workspace, photos: Path
) -> None:
    draw_photo(50, (300, 99)).save(photos / "wide.png")
    draw_photo(51, (100, 300)).save(photos / "tall.png")
    report = workspace.add(photos, min_size=100)
    assert counts(report) == (14, 13, 13, 0, 0, 0)
    assert [(Path(one.path).name, one.width, one.height) for one in report.skipped.small] == [
        ("wide.png", 300, 99)
    ]
    assert workspace.info().failures == ()


def test_small_images_are_added_when_the_minimum_size_is_lowered(
    workspace: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    draw_photo(50, (90, 80)).save(photos / "small.png")
    shutil.copy(photos / "small.png", photos / "copy.png")
    first = workspace.add(photos, min_size=100)
    read: list[str] = []
    real = pipeline.read_bytes
    monkeypatch.setattr(pipeline, "read_bytes", lambda path: read.append(path) or real(path))
    again = workspace.add()
    assert read == [] and again.skipped == first.skipped and len(first.skipped.small) == 2
    assert counts(workspace.add(min_size=81)) == (14, 12, 0, 12, 0, 0)
    assert counts(workspace.add(min_size=80)) == (14, 13, 1, 12, 0, 0)
    assert sorted(Path(path).name for path in read) == ["copy.png", "small.png"]
    (photos / "small.png").unlink()
    assert workspace.add(min_size=100).missing == 1


def test_raising_the_minimum_size_hides_known_small_images(
    workspace: Workspace, photos: Path, passes: list[int]
) -> None:
    draw_photo(50, (90, 80)).save(photos / "small.png")
    workspace.add(photos)
    assert counts(workspace.add(min_size=100)) == (13, 12, 0, 12, 0, 0)
    assert "small.png" not in names(workspace, photos / "red/0.jpg")
    assert counts(workspace.add(min_size=0)) == (13, 13, 0, 13, 0, 0)
    assert "small.png" in names(workspace, photos / "red/0.jpg")
    assert passes == [13]


def test_small_images_are_forgotten_and_relocated_like_other_files(
    workspace: Workspace, photos: Path
) -> None:
    (photos / "icons").mkdir()
    draw_photo(50, (90, 80)).save(photos / "icons/small.png")
    workspace.add(photos, min_size=100)
    photos.rename(photos.parent / "moved")
    workspace.relocate(photos, photos.parent / "moved")
    listed = workspace.add().skipped.small
    assert [one.path for one in listed] == [str(photos.parent / "moved/icons/small.png")]
    workspace.remove(photos.parent / "moved/icons")


def test_a_negative_minimum_size_is_bad_input(workspace: Workspace, photos: Path) -> None:
    with pytest.raises(BadInput, match="-1"):
        workspace.add(photos, min_size=-1)


# -- truncated files -------------------------------------------------------------------------------


@pytest.fixture
def truncated(tmp_path: Path) -> Path:
    """A folder with four scenes, and a truncated JPEG and PNG of a fifth."""
    folder = tmp_path / "truncated"
    for seed in range(2, 6):
        saved(scene(seed, (320, 240)), folder / f"{seed}.jpg", quality=90)
    put(folder / "cut.jpg", cut(encoded(scene(1))))
    put(folder / "cut.png", cut(encoded(scene(1), "PNG")))
    return folder


def test_a_truncated_file_is_a_failure_unless_it_is_tolerated(
    workspace: Workspace, truncated: Path, passes: list[int]
) -> None:
    report = workspace.add(truncated)
    assert counts(report) == (6, 4, 4, 0, 2, 0) and report.truncated == ()
    tolerant = workspace.add(truncated, tolerate_truncated=True)
    assert counts(tolerant) == (6, 6, 2, 4, 0, 0)
    assert [Path(one.path).name for one in tolerant.truncated] == ["cut.jpg", "cut.png"]
    assert all(0.5 < one.share < 0.9 for one in tolerant.truncated)
    assert {"cut.jpg", "cut.png"} < names(workspace, truncated / "2.jpg")
    assert workspace.search(truncated / "cut.jpg", 1)[0].distance == 0
    again = workspace.add()
    assert counts(again) == (6, 6, 0, 6, 0, 0) and again.truncated == tolerant.truncated
    assert passes == [4, 2]


def test_the_decoded_part_of_a_truncated_file_is_embedded(
    workspace: Workspace, tmp_path: Path
) -> None:
    put(tmp_path / "p/whole.jpg", encoded(scene(1)))
    put(tmp_path / "p/cut.jpg", cut(encoded(scene(1)), 0.95))
    for seed in range(2, 6):
        saved(scene(seed, (320, 240)), tmp_path / f"p/{seed}.jpg", quality=90)
    workspace.add(tmp_path / "p", tolerate_truncated=True)
    found = workspace.search(tmp_path / "p/whole.jpg", 2)
    assert Path(found[1].path).name == "cut.jpg" and 0 < found[1].distance < 0.2


def test_a_truncated_file_fails_again_when_truncation_is_no_longer_tolerated(
    workspace: Workspace, truncated: Path, passes: list[int]
) -> None:
    workspace.add(truncated, tolerate_truncated=True)
    assert counts(workspace.add(tolerate_truncated=False)) == (6, 4, 0, 4, 2, 0)
    assert names(workspace, truncated / "2.jpg") == {f"{seed}.jpg" for seed in range(2, 6)}
    assert counts(workspace.add(tolerate_truncated=True)) == (6, 6, 0, 6, 0, 0)
    assert passes == [6]


def test_an_undecodable_file_fails_even_if_truncation_is_tolerated(
    workspace: Workspace, truncated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    put(truncated / "header.jpg", encoded(scene(1))[:300])
    report = workspace.add(truncated, tolerate_truncated=True)
    assert [Path(item.path).name for item in report.failures] == ["header.jpg"]
    read: list[str] = []
    monkeypatch.setattr(pipeline, "read_bytes", read.append)
    workspace.add()
    assert read == []


def test_another_backbone_embeds_tolerated_files_too(workspace: Workspace, truncated: Path) -> None:
    workspace.add(truncated, tolerate_truncated=True)
    assert counts(workspace.add(backbones=["vgg16"])) == (6, 6, 6, 0, 0, 0)
    labels = truncated.parent / "labels.csv"
    rows = [f"{path},{'one' if path.stem in '23' else 'two'}" for path in truncated.iterdir()]
    labels.write_text("\n".join(["path,label", *rows]))
    workspace.labels.from_csv(labels)
    workspace.compare(["resnet50"])
    spec = next(item for item in workspace.info().specs if "resnet50" in item.backbones)
    assert spec.images == 6


@pytest.mark.parametrize("allowed", [(), ("damaged",)])
def test_a_tolerated_file_is_never_the_kept_file(
    workspace: Workspace, tmp_path: Path, allowed: tuple[str, ...]
) -> None:
    data = encoded(scene(1))
    put(tmp_path / "p/whole.jpg", data)
    put(tmp_path / "p/cut.jpg", cut(data, 0.9))
    put(tmp_path / "p/twin.jpg", cut(data, 0.9))
    saved(scene(2), tmp_path / "p/other.jpg", quality=90)
    workspace.add(tmp_path / "p", tolerate_truncated=True)
    assert workspace.duplicates().groups == ()
    rows = planned(workspace, tmp_path / "p", allow=allowed)
    action = "remove" if allowed else "review"
    assert actions(rows)["whole.jpg"] == "keep"
    assert actions(rows)["cut.jpg"] == action
    assert all(row.action != "keep" for name, row in rows.items() if name != "whole.jpg")


def test_a_tolerated_file_without_an_intact_copy_is_in_no_plan(
    workspace: Workspace, tmp_path: Path
) -> None:
    put(tmp_path / "p/cut.jpg", cut(encoded(scene(1))))
    put(tmp_path / "p/twin.jpg", cut(encoded(scene(1))))
    saved(scene(2), tmp_path / "p/other.jpg", quality=90)
    workspace.add(tmp_path / "p", tolerate_truncated=True)
    assert workspace.clean().rows == ()


def test_a_tolerated_photo_is_in_no_part_of_a_split(workspace: Workspace, photos: Path) -> None:
    whole = (photos / "red/0.jpg").read_bytes()
    (photos / "red/cut.jpg").write_bytes(cut(whole, 0.9))
    workspace.add(photos, labels_from_folders=True, tolerate_truncated=True)
    split = workspace.split(1, 1)
    assert workspace.info().images == 13
    assert sum(part.train + part.val + part.test for part in split.classes) == 12


# -- earlier workspaces ----------------------------------------------------------------------------


def test_the_eighth_schema_step_excludes_no_file(workspace: Workspace, photos: Path) -> None:
    import duckdb

    workspace.add(photos)
    with duckdb.connect(str(workspace.folder / "catalog.duckdb")) as connection:
        undo_schema_steps(connection, after=7)
    again = Workspace(workspace.folder)
    assert len(again.search(photos / "red/0.jpg", 20)) == 12
    report = again.add()
    assert counts(report) == (12, 12, 0, 12, 0, 0)
    assert report.options == AddOptions() and report.skipped.small == ()
