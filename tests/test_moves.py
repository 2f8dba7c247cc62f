"""Labels stay with photos that are moved, removed, restored and edited."""

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner
from conftest import draw_photo
from earlier import undo_schema_steps

from embedkit import Workspace
from embedkit._internal.artifacts import sha256_of
from embedkit.catalog.writers import files as file_writers
from embedkit.classify.split import read_split
from embedkit.cleaning.plan import PlanRow, write_plan
from embedkit.cli.app import embedkit
from embedkit.errors import BadInput
from embedkit.results import RemovalReport


@pytest.fixture
def filled(workspace: Workspace, photos: Path) -> Workspace:
    """Twelve photos with folder labels; a CSV sets another label and a post for 0, 1 and 6."""
    workspace.add([photos], labels_from_folders=True)
    label(workspace, photos, {"red/0.jpg": "cat", "red/1.jpg": "cat", "blue/6.jpg": "猫"}, post="p")
    assert workspace.info().labels == LABELS
    return workspace


LABELS = {"blue": 5, "cat": 2, "red": 4, "猫": 1}


def label(workspace: Workspace, base: Path, labels: dict[str, str], **others: str) -> None:
    rows = [[path, value, *others.values()] for path, value in labels.items()]
    lines = "\n".join(",".join(row) for row in [["path", "label", *others], *rows])
    (base.parent / "labels.csv").write_text(lines, "utf-8")
    report = workspace.labels.from_csv(base.parent / "labels.csv", root=base)
    assert report.labelled == len(labels)


def labels_of(workspace: Workspace) -> dict[str, str | None]:
    """Return the label of every file, by path relative to the workspace's parent folder."""
    with workspace._catalog.read() as reader:
        files = reader.files.of_images(reader.files.image_ids().tolist())
    folder = str(workspace.folder.parent)
    return {
        os.path.relpath(file.path, folder): file.label for found in files.values() for file in found
    }


def posts(workspace: Workspace) -> int:
    """Return the number of images with a post."""
    with workspace._catalog.read() as reader:
        return len(reader.labels.column("post"))


# -- files -------------------------------------------------------------------------------------


def test_a_label_follows_a_photo_that_was_renamed_or_moved(filled: Workspace, photos: Path) -> None:
    (photos / "red/0.jpg").rename(photos / "red/写真 0\n.jpg")
    (photos / "red/1.jpg").rename(photos / "blue/1.jpg")
    (photos / "red/2.jpg").rename(photos / "blue/2.jpg")
    report = filled.add()
    assert (report.embedded, report.missing, report.warnings) == (0, 3, ())
    assert filled.info().labels == {"blue": 6, "cat": 2, "red": 3, "猫": 1}
    assert labels_of(filled)["photos/blue/1.jpg"] == "cat", "a CSV comes before a folder"
    assert labels_of(filled)["photos/blue/2.jpg"] == "blue", "the label of its present folder"
    assert posts(filled) == 3
    assert filled.remove(missing=True) == RemovalReport(3, 0, 0)
    assert filled.info().labels == {"blue": 6, "cat": 2, "red": 3, "猫": 1}


def test_labels_follow_photos_that_swap_paths(filled: Workspace, photos: Path) -> None:
    (photos / "red/0.jpg").rename(photos / "x")
    (photos / "blue/6.jpg").rename(photos / "red/0.jpg")
    (photos / "x").rename(photos / "blue/6.jpg")
    assert filled.add().warnings == ()
    assert filled.info().labels == LABELS
    assert labels_of(filled)["photos/red/0.jpg"] == "猫"
    assert labels_of(filled)["photos/blue/6.jpg"] == "cat"


def test_a_new_photo_at_the_path_of_a_labelled_one_is_not_labelled(
    filled: Workspace, photos: Path
) -> None:
    (photos / "red/0.jpg").rename(photos / "red/old.jpg")
    draw_photo(50).save(photos / "red/0.jpg")
    assert filled.add().warnings == ()
    assert labels_of(filled)["photos/red/old.jpg"] == "cat"
    assert labels_of(filled)["photos/red/0.jpg"] == "red"


def test_a_photo_that_is_edited_in_place_keeps_its_label_and_is_reported_once(
    filled: Workspace, photos: Path
) -> None:
    original = (photos / "red/0.jpg").read_bytes()
    draw_photo(50).save(photos / "red/0.jpg")
    (warning,) = filled.add().warnings
    assert warning.startswith("1 labelled photo changed in place and kept its label; if another")
    assert warning.endswith(f"the first is {photos}/red/0.jpg)")
    assert filled.info().labels == LABELS and posts(filled) == 3
    assert filled.add().warnings == ()
    (photos / "red/0.jpg").rename(photos / "blue/edited.jpg")
    (photos / "blue/original.jpg").write_bytes(original)
    assert filled.add().warnings == ()
    assert labels_of(filled)["photos/blue/edited.jpg"] == "cat"
    assert labels_of(filled)["photos/blue/original.jpg"] == "cat", "the label of those bytes"


def test_a_copy_over_a_labelled_photo_does_not_take_its_label(
    filled: Workspace, photos: Path
) -> None:
    shutil.copy(photos / "blue/7.jpg", photos / "red/0.jpg")
    assert filled.add().warnings == ()
    assert labels_of(filled)["photos/red/0.jpg"] == "red"
    assert filled.info().labels == {**LABELS, "cat": 1, "red": 5}


def test_a_photo_that_comes_back_has_its_label(filled: Workspace, photos: Path) -> None:
    (photos / "red/0.jpg").rename(photos.parent / "away.jpg")
    filled.add()
    assert filled.info().labels == {**LABELS, "cat": 1}
    (photos.parent / "away.jpg").rename(photos / "red/0.jpg")
    filled.add()
    assert filled.info().labels == LABELS and posts(filled) == 3


def test_labels_of_removed_files_are_kept_for_their_bytes(filled: Workspace, photos: Path) -> None:
    (photos / "red/0.jpg").rename(photos.parent / "away.jpg")
    filled.add()
    assert filled.remove(missing=True) == RemovalReport(1, 1, 1, kept=1)
    assert filled.remove(photos / "blue/6.jpg") == RemovalReport(1, 1, 1, kept=1)
    assert filled.info().labels == {"blue": 5, "cat": 1, "red": 4} and posts(filled) == 1
    filled.compact()
    (photos.parent / "away.jpg").rename(photos / "blue/another name.jpg")
    filled.add()
    assert filled.info().labels == LABELS and posts(filled) == 3
    assert labels_of(filled)["photos/blue/another name.jpg"] == "cat"
    assert labels_of(filled)["photos/blue/6.jpg"] == "猫"


def test_a_label_goes_to_the_remaining_copy(filled: Workspace, photos: Path) -> None:
    shutil.copy(photos / "red/0.jpg", photos / "red/copy.jpg")
    filled.add()
    assert labels_of(filled)["photos/red/copy.jpg"] == "red", "the label of its own folder"
    shutil.copy(photos / "red/1.jpg", photos / "loose.jpg")
    filled.add()
    assert filled.remove(photos / "red/1.jpg") == RemovalReport(1, 0, 0)
    assert labels_of(filled)["photos/loose.jpg"] == "cat"
    label(filled, photos, {"red/copy.jpg": "cat"})
    assert filled.remove(photos / "red/0.jpg") == RemovalReport(1, 0, 0)
    assert filled.info().labels == LABELS and posts(filled) == 3


def test_the_next_run_finishes_an_interrupted_one(
    filled: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (photos / "red/0.jpg").rename(photos / "blue/0.jpg")
    draw_photo(50).save(photos / "blue/6.jpg")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(file_writers.FileWriter, "apply_scan", killed)
    with pytest.raises(KeyboardInterrupt):
        filled.add()
    monkeypatch.undo()
    from conftest import take_toys

    take_toys(monkeypatch)
    (warning,) = filled.add().warnings
    assert "blue/6.jpg" in warning
    assert filled.info().labels == LABELS and posts(filled) == 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_labels_stay_with_their_bytes_after_random_changes(
    workspace: Workspace, photos: Path, seed: int
) -> None:
    draws = random.Random(seed)
    files = sorted(photos.rglob("*.jpg"))
    workspace.add(photos, labels_from_folders=True)
    wanted = {sha256_of(path): f"label {path.stem}" for path in files}
    label(workspace, photos, {str(path): f"label {path.stem}" for path in files}, post="p")

    def free() -> Path:
        folder = draws.choice(["red", "blue", "new folder", "new folder/赤"])
        (photos / folder).mkdir(parents=True, exist_ok=True)
        return photos / folder / f"{draws.randrange(10**6)}.jpg"

    def act() -> None:
        one, other = draws.sample(sorted(photos.rglob("*.jpg")), 2)
        place, action = free(), draws.choice(["move", "swap", "slowly", "folder", "away"])
        if action == "move":
            one.rename(place)
        elif action == "swap":
            one.rename(place)
            other.rename(one)
            place.rename(other)
        elif action == "slowly":
            shutil.copy(one, place)
            workspace.add()
            one.unlink()
        elif action == "folder" and (photos / "new folder").exists():
            (photos / "new folder").rename(photos / f"{draws.randrange(10**6)}")
        else:
            one.rename(photos.parent / "away.jpg")
            workspace.add()
            workspace.remove(missing=True)
            (photos.parent / "away.jpg").rename(place)

    for _ in range(3):
        for _ in range(3):
            act()
        assert all(
            "got the label of a missing copy" in warning for warning in workspace.add().warnings
        )
        with workspace._catalog.read() as reader:
            found = reader.files.of_images(reader.files.image_ids().tolist())
            assert len(reader.labels.column("post")) == 12
        present = {files[0].sha256: {file.label for file in files} for files in found.values()}
        assert present.keys() == wanted.keys()
        assert all(wanted[sha256] in labels for sha256, labels in present.items())


# -- equal bytes under several labels ----------------------------------------------------------


@pytest.fixture
def doubled(workspace: Workspace, tmp_path: Path) -> Path:
    """A folder in which a/1.jpg and b/1.jpg are one photo under two labels."""
    for name in ("a/1.jpg", "b/1.jpg", "a/2.jpg"):
        (tmp_path / "old" / name).parent.mkdir(parents=True, exist_ok=True)
        draw_photo(int(name[2])).save(tmp_path / "old" / name)
    workspace.add(tmp_path / "old")
    label(workspace, tmp_path / "old", {"a/1.jpg": "cat", "b/1.jpg": "dog", "a/2.jpg": "cow"})
    return tmp_path / "old"


def test_equal_bytes_are_distinguished_by_their_paths(workspace: Workspace, doubled: Path) -> None:
    new = doubled.rename(doubled.with_name("new"))
    assert workspace.add(new).warnings == ()
    assert labels_of(workspace) == {
        "new/a/1.jpg": "cat", "new/b/1.jpg": "dog", "new/a/2.jpg": "cow",
    }  # fmt: skip
    assert workspace.remove(doubled) == RemovalReport(3, 0, 0)
    assert workspace.info().labels == {"cat": 1, "cow": 1, "dog": 1}


def test_a_moved_copy_keeps_its_own_label(workspace: Workspace, doubled: Path) -> None:
    (doubled / "b/1.jpg").rename(doubled / "x.jpg")
    assert workspace.add().warnings == ()
    assert labels_of(workspace)["old/x.jpg"] == "dog"


def test_ambiguous_labels_of_equal_bytes_are_reported_and_not_assigned(
    workspace: Workspace, doubled: Path
) -> None:
    (doubled / "a/1.jpg").rename(doubled / "x.jpg")
    (doubled / "b/1.jpg").rename(doubled / "y.jpg")
    for _ in range(2):
        (warning,) = workspace.add().warnings
        assert warning.startswith("2 photos moved, and identical copies had different labels")
        assert warning.endswith(f"label them again (the first is {doubled}/x.jpg)")
        assert workspace.info().labels == {"cow": 1}
    label(workspace, doubled, {"x.jpg": "cat", "y.jpg": "dog"})
    assert workspace.add().warnings == ()
    (doubled / "x.jpg").rename(doubled / "a/1.jpg")
    workspace.add()
    assert workspace.info().labels == {"cat": 1, "cow": 1, "dog": 1}


# -- quarantine --------------------------------------------------------------------------------


def apply_plan(workspace: Workspace, keep: Path, remove: Path) -> None:
    rows = [
        PlanRow(1, action, str(path), sha256_of(keep), "exact", 1.0, None, "", "keep-one")
        for action, path in (("keep", keep), ("remove", remove))
    ]
    write_plan(workspace.folder.parent / "plan.csv", rows)
    assert workspace.load_plan(workspace.folder.parent / "plan.csv").apply().moved == (str(remove),)


def test_a_kept_copy_keeps_its_own_label(filled: Workspace, photos: Path) -> None:
    shutil.copy(photos / "red/0.jpg", photos / "blue/copy of 0.jpg")
    filled.add()
    before = filled.info().labels
    assert before == {**LABELS, "blue": 6}
    apply_plan(filled, photos / "blue/copy of 0.jpg", photos / "red/0.jpg")
    filled.add()
    assert filled.info().labels == {**before, "cat": 1}
    assert labels_of(filled)["photos/blue/copy of 0.jpg"] == "blue"
    filled.undo()
    assert filled.info().labels == before and posts(filled) == 3


def test_a_kept_copy_without_a_label_takes_that_of_the_removed_one(
    filled: Workspace, photos: Path
) -> None:
    shutil.copy(photos / "red/0.jpg", photos / "loose.jpg")
    filled.add()
    apply_plan(filled, photos / "loose.jpg", photos / "red/0.jpg")
    assert filled.info().labels == LABELS
    assert labels_of(filled)["photos/loose.jpg"] == "cat" and posts(filled) == 3
    filled.undo()
    filled.add()
    assert labels_of(filled)["photos/red/0.jpg"] == "cat"
    assert labels_of(filled)["photos/loose.jpg"] is None, "as before"


def test_a_moved_copy_has_its_own_label_and_not_that_of_a_copy_in_quarantine(
    workspace: Workspace, doubled: Path
) -> None:
    apply_plan(workspace, doubled / "b/1.jpg", doubled / "a/1.jpg")
    (doubled / "b").rename(doubled / "c")
    assert workspace.add().warnings == ()
    assert labels_of(workspace)["old/c/1.jpg"] == "dog"
    workspace.undo()
    workspace.add()
    assert workspace.info().labels == {"cat": 1, "cow": 1, "dog": 1}


# -- whole folders -----------------------------------------------------------------------------


def parts_of(workspace: Workspace) -> dict[str, str]:
    """Return the part of each photo by name."""
    _, parts = read_split(workspace._catalog)
    with workspace._catalog.read() as reader:
        names = {
            image_id: os.path.basename(files[0].path)
            for image_id, files in reader.files.of_images(reader.files.image_ids().tolist()).items()
        }
    return {names[image]: part for part, found in parts.items() for image in found.ids.tolist()}


@pytest.fixture
def split_and_verdicts(filled: Workspace, photos: Path) -> dict[str, str]:
    """Record verdicts and a split; return the part of each photo."""
    filled.verdicts.set("duplicate", photos / "red/2.jpg", photos / "red/3.jpg")
    filled.verdicts.set("keep", photos / "red/4.jpg")
    filled.split(1, 1, group="post")
    return parts_of(filled)


def verdicts(workspace: Workspace) -> list[str]:
    with workspace._catalog.read() as reader:
        return [verdict for *_, verdict in reader.verdicts.all()]


def move(old: Path, new: Path) -> None:
    old.rename(new)


def copy_then_delete(old: Path, new: Path) -> None:
    shutil.copytree(old, new)


@pytest.mark.slow
@pytest.mark.parametrize("how", [move, copy_then_delete])
@pytest.mark.parametrize("flag", [None, True])
def test_everything_follows_a_root_that_moved(
    filled: Workspace,
    photos: Path,
    split_and_verdicts: dict[str, str],
    how: Callable[[Path, Path], None],
    flag: bool | None,
) -> None:
    new = photos.with_name("新しい photos")
    how(photos, new)
    if flag is None and how is copy_then_delete:
        flag = True  # nothing moved: the label folders of a copy have to be named
    report = filled.add(new, labels_from_folders=flag)
    assert (report.images, report.embedded) == (12, 0)
    if flag is None:
        assert report.warnings == (
            f"{new} contains the photos of {photos}, which is missing: its subfolders are "
            "labels, as before",
        )
    if how is move:
        assert filled.info().labels == LABELS and posts(filled) == 3
    shutil.rmtree(photos, ignore_errors=True)
    assert filled.remove(photos) == RemovalReport(12, 0, 0)
    for _ in range(2):
        assert filled.info().labels == LABELS and posts(filled) == 3
        assert parts_of(filled) == split_and_verdicts
        assert verdicts(filled) == ["duplicate", "keep"]
        assert filled.info().sources == (str(new),)
        assert filled.add().warnings == ()


def test_lost_folder_labels_are_reported(filled: Workspace, photos: Path) -> None:
    new = photos.with_name("new")
    (photos / "red").rename(new)
    (warning,) = filled.add(new).warnings
    assert warning.startswith("4 photos lost the label of a folder when moved out of all label")
    assert filled.info().labels == {"blue": 5, "cat": 2, "猫": 1}
    shutil.copytree(photos / "blue", new / "sky")
    filled.add(new)
    removal = filled.remove(photos)
    assert (removal.kept, removal.unlabelled) == (0, 9), "four before, and five now"
    assert filled.info().labels == {"cat": 2, "猫": 1}
    assert filled.labels.from_folders(new).labelled == 6
    assert filled.info().labels == {"cat": 2, "sky": 5, "猫": 1}


def test_a_disk_that_is_missing_during_an_add_loses_nothing(
    filled: Workspace, photos: Path
) -> None:
    photos.rename(photos.with_name("away"))
    assert filled.add().missing == 12
    assert filled.info().labels == {}
    photos.with_name("away").rename(photos)
    filled.add()
    assert filled.info().labels == LABELS and posts(filled) == 3


# -- relocate ----------------------------------------------------------------------------------


def test_relocating_a_root_reads_nothing_and_keeps_everything(
    filled: Workspace,
    photos: Path,
    split_and_verdicts: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    new = photos.with_name("disk 2") / "写真"
    new.parent.mkdir()
    photos.rename(new)

    def opened(*_: object) -> None:
        raise AssertionError("read a photo")

    monkeypatch.setattr("embedkit.images.decode.read_bytes", opened)
    monkeypatch.setattr("embedkit.ingest.pipeline.read_bytes", opened)
    report = filled.relocate(photos, new)
    assert (report.files, report.missing, report.changed) == (12, 0, 0)
    assert (report.sources, report.warnings) == ((str(new),), ())
    assert filled.info().labels == LABELS and posts(filled) == 3
    assert parts_of(filled) == split_and_verdicts and verdicts(filled) == ["duplicate", "keep"]
    again = filled.add()
    assert (again.images, again.embedded, again.missing, again.failed) == (12, 0, 0, 0)
    assert filled.info().labels == LABELS
    assert {path.split("/")[0] for path in labels_of(filled)} == {"disk 2"}


def test_relocated_files_may_be_missing_or_changed(filled: Workspace, photos: Path) -> None:
    new = photos.rename(photos.with_name("new"))
    (new / "red/0.jpg").unlink()
    (new / "blue/6.jpg").write_bytes(b"another size")
    report = filled.relocate(photos, new)
    assert (report.files, report.missing, report.changed) == (10, 1, 1)
    assert filled.info().missing == 1
    again = filled.add()
    assert (again.failed, again.missing) == (1, 1)
    assert filled.info().labels == {"blue": 5, "cat": 1, "red": 4}


@pytest.mark.parametrize("gone", [False, True])
def test_a_disk_that_was_missing_during_an_add_can_be_relocated(
    filled: Workspace, photos: Path, gone: bool
) -> None:
    new = photos.rename(photos.with_name("new"))
    if gone:
        assert filled.add().missing == 12
    filled.relocate(photos, new)
    assert filled.info().labels == LABELS and posts(filled) == 3
    assert filled.add().missing == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("photos/red", "photos/green"),
        ("photos", "photos 2/inner"),
        ("photos/red", "elsewhere/red"),
        ("photos/red", "photos/blue/red"),
        (".", "up"),
    ],
)
def test_any_folder_can_be_relocated(
    filled: Workspace, photos: Path, tmp_path: Path, old: str, new: str
) -> None:
    if old == ".":  # the folder that the source is in
        (tmp_path / "up").mkdir()
        photos.rename(tmp_path / "up/photos")
    else:
        (tmp_path / new).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / old).rename(tmp_path / new)
    report = filled.relocate(tmp_path / old, tmp_path / new)
    before = labels_of(filled)
    assert report.files == len([path for path in before if path.startswith(new)]) > 0
    assert all((tmp_path / path).is_file() for path in before) and len(before) == 12
    assert sum(value in ("cat", "猫") for value in before.values()) == 3 == posts(filled)
    new_label = {"photos/red": {"photos/green": "green", "photos/blue/red": "blue"}.get(new, "red")}
    assert before.get(f"{new}/3.jpg", "red") == new_label.get(old, "red")
    if new.startswith("elsewhere"):
        filled.add(tmp_path / "elsewhere")
    assert filled.add().missing == 0
    assert labels_of(filled) == before


def test_an_impossible_relocation_is_rejected_and_changes_nothing(
    filled: Workspace, photos: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other/red"
    other.mkdir(parents=True)
    for number in range(5):
        shutil.copy(photos / f"red/{number}.jpg", other)
    before = labels_of(filled)
    for old, new, complaint in (
        (photos, tmp_path / "nowhere", "nowhere is not a folder"),
        (photos, photos / "red/0.jpg", r"0\.jpg is not a folder"),
        (photos, photos, "both folders are the same"),
        (
            photos,
            other.parent,
            "5 of the 12 files of .*photos are below .*other with the same size",
        ),
        (tmp_path / "unknown", other, "no photos below .*unknown"),
    ):
        with pytest.raises(BadInput, match=complaint):
            filled.relocate(old, new)
    shutil.copytree(photos, tmp_path / "known", dirs_exist_ok=True)
    filled.add(tmp_path / "known", labels_from_folders=True)
    with pytest.raises(BadInput, match=r"12 of the files in .*known .* 'embedkit remove"):
        filled.relocate(photos, tmp_path / "known")
    assert {path: name for path, name in labels_of(filled).items() if "known" not in path} == before


def test_a_label_folder_moves_with_its_root(workspace: Workspace, photos: Path) -> None:
    workspace.add(photos.parent / "photos")
    workspace.labels.from_folders(photos)
    (photos / "red/sub").mkdir()
    for number in range(6):
        (photos / f"red/{number}.jpg").rename(photos / f"red/sub/{number}.jpg")
    workspace.add()
    workspace.labels.from_folders(photos / "red")
    assert workspace.info().labels == {"blue": 6, "sub": 6}
    new = photos.rename(photos.with_name("new"))
    workspace.relocate(photos, new)
    (new / "red/sub").rename(new / "red/other")
    workspace.add()
    assert workspace.info().labels == {"blue": 6, "other": 6}


def test_kept_labels_move_with_their_folder(workspace: Workspace, doubled: Path) -> None:
    for name in ("a", "b"):
        (doubled / name / "1.jpg").rename(doubled.parent / f"{name}.jpg")
    workspace.add()
    new = doubled.rename(doubled.with_name("new"))
    with pytest.raises(BadInput, match="1 of the 3 files"):
        workspace.relocate(doubled, new)
    workspace.remove(missing=True)
    workspace.relocate(doubled, new)
    for name in ("a", "b"):
        (new / name).mkdir(exist_ok=True)
        (doubled.parent / f"{name}.jpg").rename(new / name / "1.jpg")
    assert workspace.add().warnings == ()
    assert labels_of(workspace)["new/a/1.jpg"] == "cat"
    assert labels_of(workspace)["new/b/1.jpg"] == "dog"


def test_a_recipe_that_lists_the_old_folder_is_mentioned(
    workspace: Workspace, photos: Path
) -> None:
    workspace.folder.mkdir()
    (workspace.folder / "recipe.toml").write_text('sources = ["../photos"]\n')
    workspace.add()
    new = photos.rename(photos.with_name("new"))
    (warning,) = workspace.relocate(photos, new).warnings
    assert warning == (f"{workspace.folder}/recipe.toml still lists {photos}; change it there")


# -- the commands, and earlier workspaces ------------------------------------------------------


def test_the_commands_report_changes_of_labels(
    filled: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*arguments: str, status: int = 0) -> tuple[str, str]:
        done = CliRunner().invoke(embedkit, [*arguments, "-w", str(filled.folder)])
        assert done.exit_code == status, done.output
        return done.stdout, done.stderr

    monkeypatch.chdir(photos.parent)
    photos.rename("新 photos")
    out, err = run("relocate", "photos", "新 photos")
    assert (err, out) == (
        "",
        "12 files found in 新 photos; 0 missing, 0 changed (the next add reads them)\n",
    )
    Path("新 photos/red/0.jpg").unlink()
    draw_photo(50).save("新 photos/red/1.jpg")
    out, err = run("add")
    assert "warning: 1 labelled photo changed in place and kept its label" in err
    out, err = run("remove", "--missing")
    assert out == (
        "forgot 1 file, 1 image, 1 embedding; no photo was touched\n"
        "labels and columns of 1 photo from CSVs are kept until the photos are added again\n"
    )
    Path("新 photos/blue").rename("elsewhere")
    _, err = run("add", "elsewhere")
    assert "warning: 5 photos lost the label of a folder" in err
    _, err = run("remove", "新 photos/blue")
    assert "warning: 5 photos lost the label of a forgotten folder" in err
    document = json.loads(run("remove", "新 photos", "--json")[0])
    assert (document["files"], document["kept"], document["unlabelled"]) == (5, 1, 0)
    _, err = run("relocate", "nowhere", "elsewhere", status=2)
    assert "no photos below" in err
    Path("elsewhere").rename("at last")
    again = json.loads(run("relocate", "elsewhere", "at last", "--json")[0])
    assert (again["files"], again["sources"]) == (6, [str(photos.parent / "at last")])


def test_labels_follow_photos_after_the_seventh_schema_step(
    filled: Workspace, photos: Path
) -> None:
    (photos / "red/1.jpg").rename(photos.with_name("away.jpg"))
    filled.add()
    with duckdb.connect(str(filled.folder / "catalog.duckdb")) as connection:
        missing = "(SELECT file_id FROM files WHERE missing)"
        for statement in (
            f"INSERT INTO labels SELECT file_id, ' Cafe\u0301 ', 'csv' FROM {missing}",
            "UPDATE labels SET label = '\u3000猫' WHERE label = '猫'",
            f"INSERT INTO attributes SELECT file_id, 'post', 'p', 'csv' FROM {missing}",
            "INSERT INTO labels SELECT min(file_id), ' ', 'csv' FROM files",
        ):
            connection.execute(statement).fetchall()
        undo_schema_steps(connection, after=6)
    assert filled.info().labels == {**LABELS, "cat": 1}
    photos.with_name("away.jpg").rename(photos / "blue/back.jpg")
    filled.add()
    assert filled.info().labels == {**LABELS, "Café": 1, "cat": 1} and posts(filled) == 3


def test_a_moved_photo_does_not_take_the_label_of_an_excluded_one(
    filled: Workspace, photos: Path
) -> None:
    (photos / "red/1.jpg").rename(photos / "red/moved.jpg")
    (photos / "red/2.jpg").rename(photos / "red/1.jpg")  # labelled by its folder, not by the CSV
    filled.add(photos, exclude=["moved.jpg"])
    assert labels_of(filled)["photos/red/1.jpg"] == "red"
    filled.add(photos, exclude=[])
    found = labels_of(filled)
    assert (found["photos/red/1.jpg"], found["photos/red/moved.jpg"]) == ("red", "cat")
