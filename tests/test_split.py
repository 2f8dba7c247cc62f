"""The split: exact numbers, no copy in two parts, what is given, what is too small."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import draw_photo

from embedkit import Workspace
from embedkit.catalog import Catalog, schema
from embedkit.cli.app import embedkit
from embedkit.errors import BadInput
from embedkit.split import draw, read_split

FREE = -1


def drawn(
    classes: list[int],
    units: list[int],
    wanted: tuple[int, int],
    seed: int = 0,
    fixed: list[int] | None = None,
) -> np.ndarray:
    keys = np.random.default_rng(seed).permutation(len(classes)).astype(np.uint64)
    settled = np.array(fixed if fixed is not None else [FREE] * len(classes))
    return draw(np.array(classes), np.array(units), keys, wanted, settled)


def counts(parts: np.ndarray, classes: list[int], number: int) -> list[int]:
    return np.bincount(parts[np.array(classes) == number], minlength=3).tolist()


# -- drawing -----------------------------------------------------------------------------------


def test_every_class_has_exactly_the_numbers_asked_for() -> None:
    classes = [0] * 50 + [1] * 30
    parts = drawn(classes, list(range(80)), (5, 7))
    assert counts(parts, classes, 0) == [38, 5, 7]
    assert counts(parts, classes, 1) == [18, 5, 7]


@pytest.mark.parametrize("seed", range(20))
def test_no_unit_straddles_and_the_numbers_are_still_exact(seed: int) -> None:
    random = np.random.default_rng(seed)
    classes = random.integers(0, 3, 120).tolist()
    tied = np.minimum(random.integers(0, 40, 120), 30)  # the last of some ten images
    units = (100 * np.array(classes) + tied).tolist()
    parts = drawn(classes, units, (4, 6), seed)
    for unit in set(units):
        assert len(set(parts[np.array(units) == unit].tolist())) == 1
    for number in range(3):
        assert counts(parts, classes, number)[1:] == [4, 6]


def test_another_seed_draws_another_split() -> None:
    classes, units = [0] * 40 + [1] * 40, list(range(80))
    assert (drawn(classes, units, (5, 5), 0) == drawn(classes, units, (5, 5), 0)).all()
    assert (drawn(classes, units, (5, 5), 0) != drawn(classes, units, (5, 5), 1)).any()


@pytest.mark.parametrize(
    ("size", "wanted", "expected"),
    [
        (40, (10, 10), [20, 10, 10]),
        (39, (10, 10), [21, 9, 9]),  # half for training, the shares of the other half
        (39, (5, 15), [21, 4, 14]),
        (3, (80, 80), [1, 1, 1]),
        (2, (80, 80), [2, 0, 0]),
        (2, (0, 80), [1, 0, 1]),
        (1, (0, 1), [1, 0, 0]),
    ],
)
def test_a_small_class_keeps_half_for_training(
    size: int, wanted: tuple[int, int], expected: list[int]
) -> None:
    classes = [0] * size + [1] * 400
    parts = drawn(classes, list(range(size + 400)), wanted)
    assert counts(parts, classes, 0) == expected
    assert counts(parts, classes, 1)[1:] == list(wanted)


def test_given_parts_stay_and_count() -> None:
    classes = [0] * 30 + [1] * 30
    fixed = [2] * 3 + [0] * 20 + [FREE] * 37
    parts = drawn(classes, list(range(60)), (2, 5), fixed=fixed)
    assert (parts[:3] == 2).all()
    assert (parts[3:23] == 0).all()
    assert counts(parts, classes, 0)[1:] == [2, 5]


def test_what_is_tied_to_a_given_test_image_is_in_no_part() -> None:
    units = [0, 0, 0, *range(1, 18)]
    fixed = [2, FREE, FREE, *[FREE] * 17]
    parts = drawn([0] * 10 + [1] * 10, units, (0, 1), fixed=fixed)
    assert parts[:3].tolist() == [2, -1, -1]


# -- of a workspace ----------------------------------------------------------------------------


@pytest.fixture
def filled(workspace: Workspace, tmp_path: Path) -> Workspace:
    """Ten photos each of red and blue; 0.jpg has five near-copies, ``both`` is under two labels."""
    for number in range(20):
        path = tmp_path / "photos" / ("red" if number < 10 else "blue") / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_photo(number).save(path, quality=92)
    for quality in range(50, 75, 5):
        draw_photo(0).save(tmp_path / f"photos/red/copy {quality}.jpg", quality=quality)
    draw_photo(99).save(tmp_path / "photos/red/both.jpg")
    shutil.copy(tmp_path / "photos/red/both.jpg", tmp_path / "photos/blue/both.jpg")
    draw_photo(98).save(tmp_path / "photos/unlabelled.jpg")
    workspace.add(tmp_path / "photos", labels_from_folders=True)
    return workspace


def parts_of(workspace: Workspace) -> dict[str, str]:
    """The part of each file, by name."""
    catalog = Catalog(workspace.folder)
    _, parts = read_split(catalog)
    found = {}
    for part, some in parts.items():
        for files in catalog.live_files(some.ids.tolist()).values():
            found.update({Path(file.path).name: part for file in files})
    return found


@pytest.mark.parametrize("seed", range(5))
def test_near_copies_are_in_one_part(filled: Workspace, seed: int) -> None:
    told = filled.split(2, 3, seed=seed)
    parts = parts_of(filled)
    assert len({parts["0.jpg"], *(parts[f"copy {q}.jpg"] for q in range(50, 75, 5))}) == 1
    assert [(item.label, item.val, item.test) for item in told.classes] == [
        ("blue", 2, 3),
        ("red", 2, 3),
    ]
    assert (told.groups, told.grouped, told.leaks) == (1, 6, 0)
    assert (told.unlabelled, told.conflicting) == (1, 1)
    assert "both.jpg" not in parts


def test_the_audit_counts_what_drawing_one_by_one_would_leak(filled: Workspace) -> None:
    leaked = []
    for seed in range(5):
        told = filled.split(2, 3, seed=seed)
        copies = told.leaks_ungrouped
        assert told.leaks == 0
        leaked.append(copies)
    # 6 of 15 red photos are copies of each other, 5 of the 15 are held out: about two leak.
    assert 0 < np.mean(leaked) <= 5


def test_a_split_is_stored_and_says_the_same_again(filled: Workspace) -> None:
    with pytest.raises(BadInput, match="no split yet"):
        filled.last_split()
    told = filled.split(2, 3)
    assert filled.last_split() == told
    parts = parts_of(filled)
    assert filled.split(2, 3) == told
    assert parts_of(filled) == parts
    filled.split(2, 3, seed=1)
    assert parts_of(filled) != parts


def test_renaming_and_removing_photos_moves_no_other_between_parts(
    filled: Workspace, tmp_path: Path
) -> None:
    filled.split(2, 3)
    before = parts_of(filled)
    (tmp_path / "photos/red/5.jpg").rename(tmp_path / "photos/red/five.jpg")
    filled.add()
    after = parts_of(filled)
    assert after["five.jpg"] == before["5.jpg"]
    assert {**after, "5.jpg": after["five.jpg"]} == {**before, "five.jpg": before["5.jpg"]}
    filled.remove(tmp_path / "photos/blue/12.jpg")
    assert parts_of(filled) == {name: part for name, part in after.items() if name != "12.jpg"}


def test_a_group_column_keeps_posts_together(filled: Workspace, tmp_path: Path) -> None:
    rows = [f"photos/blue/{n}.jpg,blue,{'a' if n < 14 else 'b'}" for n in range(10, 16)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,post", *rows]))
    assert filled.label_from_csv(tmp_path / "labels.csv") == 6
    for seed in range(5):
        told = filled.split(2, 4, seed=seed, group="post")
        parts = parts_of(filled)
        assert len({parts[f"{n}.jpg"] for n in range(10, 14)}) == 1
        assert parts["14.jpg"] == parts["15.jpg"]
        assert (told.groups, told.leaks) == (3, 0)
    with pytest.raises(BadInput, match=r"no column called photographer .* there are post;"):
        filled.split(2, 4, group="photographer")


def test_given_parts_of_a_csv_stay_and_their_copies_leave(
    filled: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "given.csv").write_text("path,part\nphotos/red/0.jpg,test\nphotos/red/1.jpg,val\n")
    told = filled.split(1, 2, given=tmp_path / "given.csv")
    parts = parts_of(filled)
    assert (parts["0.jpg"], parts["1.jpg"]) == ("test", "val")
    assert not any(name.startswith("copy") for name in parts)
    assert (told.left_out, told.leaks) == (5, 0)
    assert {item.label: (item.val, item.test) for item in told.classes}["red"] == (1, 2)


def test_what_leaks_between_given_parts_is_told(filled: Workspace, tmp_path: Path) -> None:
    rows = ["photos/red/0.jpg,test", *(f"photos/red/copy {q}.jpg,train" for q in range(50, 75, 5))]
    (tmp_path / "given.csv").write_text("\n".join(["path,part", *rows]))
    assert filled.split(1, 2, given=tmp_path / "given.csv").leaks == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,part\nphotos/red/0.jpg,exam\n", "train, val, test, not for exam"),
        ("path,part\nelsewhere.jpg,test\n", "none of the 1 paths"),
        ("path\nphotos/red/0.jpg\n", "no column called 'part'"),
    ],
)
def test_given_parts_that_cannot_be_are_refused_and_nothing_is_stored(
    filled: Workspace, tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "given.csv").write_text(content)
    with pytest.raises(BadInput, match=message):
        filled.split(1, 2, given=tmp_path / "given.csv")
    with pytest.raises(BadInput, match="no split yet"):
        filled.last_split()


def test_one_class_cannot_be_split(workspace: Workspace, photos: Path) -> None:
    workspace.add(photos / "red")
    with pytest.raises(BadInput, match="no photo has a label"):
        workspace.split(1, 1)
    shutil.rmtree(photos / "blue")
    workspace.add(photos, labels_from_folders=True)
    with pytest.raises(BadInput, match="all photos are of one class, red"):
        workspace.split(1, 1)


def test_the_command_draws_and_shows_the_split(filled: Workspace) -> None:
    where = ["--workspace", str(filled.folder)]
    asked = CliRunner().invoke(embedkit, ["split", "--val", "2", "--test", "9", *where])
    assert asked.exit_code == 0, asked.output
    assert "red has 15 photos, too few for 2 + 9: half of them are for training" in asked.stderr
    assert "6 images are in 1 sets of copies" in asked.stdout
    shown = CliRunner().invoke(embedkit, ["split", "--json", *where])
    assert json.loads(shown.stdout)["classes"][1] == {
        "label": "red",
        "train": 9,
        "val": 1,
        "test": 5,
    }
    wrong = CliRunner().invoke(embedkit, ["split", "--group", "post", *where])
    assert wrong.exit_code == 2
    assert "--val N and --test N" in wrong.stderr


def test_the_fourth_schema_step_gives_an_older_workspace_splits(
    filled: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(schema, "STEPS", schema.STEPS[:3])
    older = Workspace(tmp_path / "older")
    monkeypatch.setattr("embedkit.catalog.writer.Writer._forget_images", lambda *_: (0, 0))
    older.add(tmp_path / "photos", labels_from_folders=True)
    monkeypatch.undo()
    assert older.split(2, 3) == filled.split(2, 3)
