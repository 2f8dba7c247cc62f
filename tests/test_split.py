"""The split: exact numbers, tied images in one set, given sets, small classes."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import draw_photo
from earlier import undo_schema_steps

from embedkit import Workspace
from embedkit.catalog import Catalog
from embedkit.classify.split import read_split
from embedkit.classify.split.drawing import count_leaks, draw_sets, tied_groups
from embedkit.cli.app import embedkit
from embedkit.errors import BadInput, NotInWorkspace

FREE = -1


def drawn(
    classes: list[int],
    groups: list[int],
    requested: tuple[int, int],
    seed: int = 0,
    given_sets: list[int] | None = None,
) -> np.ndarray:
    keys = np.random.default_rng(seed).permutation(len(classes)).astype(np.uint64)
    given = np.array(given_sets if given_sets is not None else [FREE] * len(classes))
    return draw_sets(np.array(classes), np.array(groups), keys, requested, given)


def counts(sets: np.ndarray, classes: list[int], number: int) -> list[int]:
    return np.bincount(sets[np.array(classes) == number], minlength=3).tolist()


# -- drawing -----------------------------------------------------------------------------------


def test_every_class_has_exactly_the_requested_numbers() -> None:
    classes = [0] * 50 + [1] * 30
    sets = drawn(classes, list(range(80)), (5, 7))
    assert counts(sets, classes, 0) == [38, 5, 7]
    assert counts(sets, classes, 1) == [18, 5, 7]


@pytest.mark.parametrize("seed", range(20))
def test_groups_stay_in_one_set_and_numbers_are_exact(seed: int) -> None:
    random = np.random.default_rng(seed)
    classes = random.integers(0, 3, 120).tolist()
    tied = np.minimum(random.integers(0, 40, 120), 30)  # the last of some ten images
    groups = (100 * np.array(classes) + tied).tolist()
    sets = drawn(classes, groups, (4, 6), seed)
    for group in set(groups):
        assert len(set(sets[np.array(groups) == group].tolist())) == 1
    for number in range(3):
        assert counts(sets, classes, number)[1:] == [4, 6]


def test_another_seed_draws_another_split() -> None:
    classes, groups = [0] * 40 + [1] * 40, list(range(80))
    assert (drawn(classes, groups, (5, 5), 0) == drawn(classes, groups, (5, 5), 0)).all()
    assert (drawn(classes, groups, (5, 5), 0) != drawn(classes, groups, (5, 5), 1)).any()


@pytest.mark.parametrize(
    ("size", "requested", "expected"),
    [
        (40, (10, 10), [20, 10, 10]),
        (39, (10, 10), [21, 9, 9]),  # half for training, the shares of the other half
        (39, (5, 15), [21, 4, 14]),
        (3, (80, 80), [1, 1, 1]),
        (2, (80, 80), [2, 0, 0]),
        (4, (1, 100), [2, 1, 1]),
        (1, (1, 1), [1, 0, 0]),
    ],
)
def test_a_small_class_keeps_half_for_training(
    size: int, requested: tuple[int, int], expected: list[int]
) -> None:
    classes = [0] * size + [1] * 400
    sets = drawn(classes, list(range(size + 400)), requested)
    assert counts(sets, classes, 0) == expected
    assert counts(sets, classes, 1)[1:] == list(requested)


def test_given_sets_are_kept_and_count_towards_the_requested_numbers() -> None:
    classes = [0] * 30 + [1] * 30
    given_sets = [2] * 3 + [0] * 20 + [FREE] * 37
    sets = drawn(classes, list(range(60)), (2, 5), given_sets=given_sets)
    assert (sets[:3] == 2).all()
    assert (sets[3:23] == 0).all()
    assert counts(sets, classes, 0)[1:] == [2, 5]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([2] * 15, [20, 5, 15]),  # 5 of the 10 for validation: half stays for training
        ([2] * 25, [15, 0, 25]),
        ([2] * 4 + [1] * 12, [20, 12, 4 + 4]),  # 4 more for the test: half are held out by then
        ([0] * 39, [39, 0, 1]),
    ],
)
def test_drawing_beside_given_sets_leaves_half_for_training(
    given: list[int], expected: list[int]
) -> None:
    classes = [0] * 40 + [1] * 40
    sets = drawn(classes, list(range(80)), (10, 10), given_sets=given + [FREE] * (80 - len(given)))
    assert counts(sets, classes, 0) == expected


def test_images_tied_to_a_given_test_image_are_in_no_set() -> None:
    groups = [0, 0, 0, *range(1, 18)]
    given_sets = [2, FREE, FREE, *[FREE] * 17]
    classes = [0] * 10 + [1] * 10
    sets = drawn(classes, groups, (5, 1), given_sets=given_sets)
    assert sets[:3].tolist() == [2, -1, -1]
    assert counts(sets[3:], classes[3:], 0)[1:] == [3, 0]  # half of 8, the given one among them


@pytest.mark.parametrize("seed", range(10))
def test_groups_are_connected_components_of_ties(seed: int) -> None:
    random = np.random.default_rng(seed)
    ids = np.arange(10, 30)
    pairs = random.integers(0, 40, (2, 12))
    with_value, numbers = random.integers(0, 40, 8), random.integers(0, 4, 8)
    reached = {one: {one} for one in range(40)}
    ties = [*pairs.T.tolist()]
    ties += [
        [one, other]
        for one, own_value in zip(with_value.tolist(), numbers.tolist(), strict=True)
        for other, value in zip(with_value.tolist(), numbers.tolist(), strict=True)
        if own_value == value
    ]
    for one, other in ties:
        joined = reached[one] | reached[other]
        for member in joined:
            reached[member] = joined
    groups = tied_groups(ids, (pairs[0], pairs[1]), (with_value, numbers))
    assert sorted(set(groups.tolist())) == list(range(len(set(groups.tolist()))))
    for one, group in zip(ids.tolist(), groups.tolist(), strict=True):
        assert set(ids[groups == group].tolist()) == reached[one] & set(ids.tolist())


def test_held_out_images_with_a_group_in_training_are_leaks() -> None:
    groups = np.array([0, 0, 0, 1, 1, 2, 3, 3])
    assert count_leaks(groups, np.array([0, 1, 2, 1, 2, 2, 0, -1])) == 2


# -- of a workspace ----------------------------------------------------------------------------


@pytest.fixture
def filled(workspace: Workspace, tmp_path: Path) -> Workspace:
    """Ten photos each of red and blue; 0.jpg has five near-copies, both.jpg has two labels."""
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


def sets_of(workspace: Workspace) -> dict[str, str]:
    """Return the set of each file, by file name."""
    catalog = Catalog(workspace.folder)
    _, sets = read_split(catalog)
    set_of_file = {}
    for name, subset in sets.items():
        for files in catalog.live_files(subset.ids.tolist()).values():
            set_of_file.update({Path(file.path).name: name for file in files})
    return set_of_file


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_near_copies_are_in_one_set(filled: Workspace, seed: int) -> None:
    report = filled.split(2, 3, seed=seed)
    sets = sets_of(filled)
    assert len({sets["0.jpg"], *(sets[f"copy {q}.jpg"] for q in range(50, 75, 5))}) == 1
    assert [(item.label, item.val, item.test) for item in report.classes] == [
        ("blue", 2, 3),
        ("red", 2, 3),
    ]
    assert (report.groups, report.grouped, report.leaks) == (1, 6, 0)
    assert (report.unlabelled, report.conflicting) == (1, 1)
    assert "both.jpg" not in sets


def test_the_report_counts_leaks_of_an_ungrouped_split(filled: Workspace) -> None:
    leaked = []
    for seed in range(5):
        report = filled.split(2, 3, seed=seed)
        copies = report.leaks_ungrouped
        assert report.leaks == 0
        leaked.append(copies)
    # 6 of 15 red photos are copies of each other, 5 of the 15 are held out: about two leak.
    assert 0 < np.mean(leaked) <= 5


def test_the_report_counts_held_out_images_of_an_ungrouped_split(
    workspace: Workspace, tmp_path: Path
) -> None:
    """All photos of a class are copies of each other, so that none can be held out."""
    for label, folder in enumerate(("red", "blue")):
        (tmp_path / "photos" / folder).mkdir(parents=True)
        for number in range(10):
            draw_photo(label).save(tmp_path / f"photos/{folder}/{number}.jpg", quality=80 + number)
    workspace.add(tmp_path / "photos", labels_from_folders=True)
    report = workspace.split(1, 4)
    held_out = sum(item.val + item.test for item in report.classes)
    assert (held_out, report.leaks_ungrouped, report.held_out_ungrouped) == (0, 10, 10)
    shown = CliRunner().invoke(embedkit, ["split", "--workspace", str(workspace.folder)])
    assert "Had images been drawn one by one, 10 of 10 held-out images would share" in shown.stdout


def test_a_stored_split_has_the_same_report(filled: Workspace) -> None:
    with pytest.raises(BadInput, match="no split yet"):
        filled.last_split()
    report = filled.split(2, 3)
    assert filled.last_split() == report
    sets = sets_of(filled)
    assert filled.split(2, 3) == report
    assert sets_of(filled) == sets
    filled.split(2, 3, seed=1)
    assert sets_of(filled) != sets


def test_renaming_and_removing_photos_keeps_the_sets_of_others(
    filled: Workspace, tmp_path: Path
) -> None:
    filled.split(2, 3)
    before = sets_of(filled)
    (tmp_path / "photos/red/5.jpg").rename(tmp_path / "photos/red/five.jpg")
    filled.add()
    after = sets_of(filled)
    assert after["five.jpg"] == before["5.jpg"]
    assert {**after, "5.jpg": after["five.jpg"]} == {**before, "five.jpg": before["5.jpg"]}
    filled.remove(tmp_path / "photos/blue/12.jpg")
    assert sets_of(filled) == {name: value for name, value in after.items() if name != "12.jpg"}


@pytest.mark.slow
def test_images_with_the_same_group_value_are_in_one_set(filled: Workspace, tmp_path: Path) -> None:
    rows = [f"photos/blue/{n}.jpg,blue,{'a' if n < 14 else 'b'}" for n in range(10, 16)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,post", *rows]))
    assert filled.labels.from_csv(tmp_path / "labels.csv").labelled == 6
    for seed in range(5):
        report = filled.split(2, 4, seed=seed, group="post")
        sets = sets_of(filled)
        assert len({sets[f"{n}.jpg"] for n in range(10, 14)}) == 1
        assert sets["14.jpg"] == sets["15.jpg"]
        assert (report.groups, report.leaks) == (3, 0)


@pytest.mark.slow
@pytest.mark.parametrize("between", ["unlabelled.jpg", "red/both.jpg"])
def test_copies_of_an_unlabelled_image_are_in_one_set(
    filled: Workspace, tmp_path: Path, between: str
) -> None:
    for number in range(1, 6):
        pair = tmp_path / f"photos/red/{number}.jpg", tmp_path / "photos" / between
        filled.verdicts.set("duplicate", *pair)
    for seed in range(5):
        report = filled.split(2, 3, seed=seed)
        sets = sets_of(filled)
        assert len({sets[f"{n}.jpg"] for n in range(1, 6)}) == 1
        assert (report.groups, report.grouped, report.leaks) == (2, 11, 0)


def test_leaks_through_an_unlabelled_photo_are_counted(filled: Workspace, tmp_path: Path) -> None:
    for number in (1, 2):
        pair = tmp_path / f"photos/red/{number}.jpg", tmp_path / "photos/unlabelled.jpg"
        filled.verdicts.set("duplicate", *pair)
    (tmp_path / "given.csv").write_text(
        "path,part\nphotos/red/1.jpg,test\nphotos/red/2.jpg,train\n"
    )
    assert filled.split(1, 2, given=tmp_path / "given.csv").leaks == 1


def test_the_group_of_a_conflicting_photo_ties_its_copies(
    filled: Workspace, tmp_path: Path
) -> None:
    filled.verdicts.set(
        "duplicate", tmp_path / "photos/red/1.jpg", tmp_path / "photos/red/both.jpg"
    )
    rows = ["photos/red/both.jpg,red,a", "photos/red/2.jpg,red,a"]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,post", *rows]))
    filled.labels.from_csv(tmp_path / "labels.csv")
    for seed in range(5):
        report = filled.split(2, 3, seed=seed, group="post")
        sets = sets_of(filled)
        assert sets["1.jpg"] == sets["2.jpg"]
        assert report.groups == 2


def test_a_path_with_two_values_of_a_column_is_an_error(filled: Workspace, tmp_path: Path) -> None:
    rows = ["path,label,post", "photos/red/1.jpg,scarlet,a", "photos/red/1.jpg,scarlet,b"]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    with pytest.raises(BadInput, match=r"line 3: .*1\.jpg has two values of post"):
        filled.labels.from_csv(tmp_path / "labels.csv")
    assert "scarlet" not in filled.info().labels
    with pytest.raises(BadInput, match="no label table has a column post"):
        filled.split(1, 1, group="post")


def test_given_sets_are_kept_and_their_copies_are_skipped(
    filled: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "given.csv").write_text("path,part\nphotos/red/0.jpg,test\nphotos/red/1.jpg,val\n")
    report = filled.split(1, 2, given=tmp_path / "given.csv")
    sets = sets_of(filled)
    assert (sets["0.jpg"], sets["1.jpg"]) == ("test", "val")
    assert not any(name.startswith("copy") for name in sets)
    assert (report.left_out, report.leaks) == (5, 0)
    assert {item.label: (item.val, item.test) for item in report.classes}["red"] == (1, 2)


def test_leaks_between_given_sets_are_reported(filled: Workspace, tmp_path: Path) -> None:
    rows = ["photos/red/0.jpg,test", *(f"photos/red/copy {q}.jpg,train" for q in range(50, 75, 5))]
    (tmp_path / "given.csv").write_text("\n".join(["path,part", *rows]))
    assert filled.split(1, 2, given=tmp_path / "given.csv").leaks == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,part\nphotos/red/0.jpg,exam\n", "unknown set exam; use train, val, test"),
        (
            "path,part\nphotos/red/0.jpg,test\nelsewhere.jpg,test\nnowhere.jpg,val\n",
            "2 of 3 paths with a given set .* the first is .*elsewhere.jpg; nothing was split",
        ),
        (
            "path,part\nphotos/unlabelled.jpg,test\n",
            "with one label, the first is .*unlabelled.jpg",
        ),
        ("path,part\nphotos/red/both.jpg,test\n", "with one label, the first is .*both.jpg"),
        ("path,part\nphotos/red/0.jpg,test\nphotos/red/0.jpg,val\n", "line 3: .* has two parts"),
        ("path\nphotos/red/0.jpg\n", "no column called part"),
    ],
)
def test_invalid_given_sets_are_refused_and_nothing_is_stored(
    filled: Workspace, tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "given.csv").write_text(content)
    with pytest.raises(BadInput, match=message):
        filled.split(1, 2, given=tmp_path / "given.csv")
    with pytest.raises(BadInput, match="no split yet"):
        filled.last_split()


def test_errors_are_raised_before_the_search_for_duplicates(
    filled: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(*_: object) -> None:
        raise AssertionError("searched for duplicates")

    monkeypatch.setattr("embedkit.duplicates.find.duplicate_pairs", search)
    (tmp_path / "given.csv").write_text("path,part\nphotos/red/0.jpg,exam\n")
    (tmp_path / "elsewhere.csv").write_text("path,part\nelsewhere.jpg,test\n")
    for val in (0, -1):
        with pytest.raises(BadInput, match=f"to select heads on, must be 1 or more, not {val}"):
            filled.split(val, 3)
    with pytest.raises(BadInput, match="to evaluate heads on, must be 1 or more, not 0"):
        filled.split(3, 0)
    with pytest.raises(
        BadInput, match=r"no label table has a column photographer \(there are none\)"
    ):
        filled.split(2, 4, group="photographer")
    with pytest.raises(BadInput, match="unknown set exam"):
        filled.split(2, 4, given=tmp_path / "given.csv")
    with pytest.raises(NotInWorkspace, match=r"elsewhere\.jpg"):
        filled.split(2, 4, given=tmp_path / "elsewhere.csv")
    with pytest.raises(AssertionError, match="searched"):
        filled.split(2, 4)


def test_the_last_split_counts_missing_and_new_images(filled: Workspace, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (tmp_path / "given.csv").write_text("path,part\nphotos/red/0.jpg,test\n")
    report = filled.split(2, 3, given=tmp_path / "given.csv")
    assert report.left_out == 5
    assert (report.gone, report.later) == (0, 0)
    assert filled.last_split() == report
    (photos / "red/5.jpg").rename(photos / "red/five.jpg")  # neither missing nor new
    (photos / "red/4.jpg").unlink()
    (photos / "red/copy 50.jpg").unlink()  # was in no set
    draw_photo(97).save(photos / "red/new.jpg")
    shutil.move(photos / "unlabelled.jpg", photos / "blue/labelled.jpg")
    (photos / "red/both.jpg").unlink()
    filled.add()
    filled.remove(photos / "blue/12.jpg")
    assert filled.last_split() == replace(report, gone=2, later=3)
    shown = CliRunner().invoke(embedkit, ["split", "--workspace", str(filled.folder)])
    assert "missing: 2 images of the split without a file\n" in shown.stdout
    assert "new: 3 images labelled after the split" in shown.stdout


def notes_of(workspace: Workspace, given: list[str], val: int, test: int) -> tuple[str, ...]:
    source = workspace.folder.parent / "given.csv"
    rows = [f"photos/{row}" for row in given]
    source.write_text("\n".join(["path,part", *rows]))
    return workspace.split(val, test, given=source).notes


def test_notes_give_the_reason_and_the_skipped_photos(
    filled: Workspace,
) -> None:
    blue = [f"blue/{number}.jpg,train" for number in range(10, 20)]
    assert notes_of(filled, ["red/0.jpg,test", *blue], 3, 3) == (
        "blue has 10 photos, and fewer than 3 + 3 are held out because the sets of the other "
        "photos are given: 10 for training, 0 for validation, 0 for test",
        "red has 10 photos (and 5 skipped), and half of them is fewer than the requested 3 + 3: "
        "6 for training, 2 "
        "for validation, 2 for test",
    )


def test_a_note_names_the_limit_of_half_the_class(filled: Workspace) -> None:
    blue = [f"blue/{number}.jpg,test" for number in range(10, 15)]
    assert notes_of(filled, blue, 2, 2) == (
        "blue has 10 photos, and fewer than 2 + 2 are held out because at most half of a class is "
        "held out: 5 for training, 0 for validation, 5 for test",
    )


def test_a_note_names_groups_that_must_stay_together(filled: Workspace, tmp_path: Path) -> None:
    rows = [f"photos/blue/{n}.jpg,blue,{n // 5}" for n in range(10, 20)]  # two posts of five
    (tmp_path / "labels.csv").write_text("\n".join(["path,label,post", *rows]))
    filled.labels.from_csv(tmp_path / "labels.csv")
    assert filled.split(2, 3, group="post").notes == (
        "blue has 10 photos, and fewer than 2 + 3 are held out because the other photos are in "
        "groups that must stay together: 10 for training, 0 for validation, 0 for test",
    )


def test_a_note_names_a_class_that_is_too_small(filled: Workspace, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,label\nphotos/red/1.jpg,lonely\n")
    filled.labels.from_csv(tmp_path / "labels.csv")
    assert filled.split(1, 1).notes == (
        "lonely has 1 photo, too few to split: 1 for training, so its accuracy cannot be measured",
    )


def test_one_class_cannot_be_split(workspace: Workspace, photos: Path) -> None:
    workspace.add(photos / "red")
    with pytest.raises(BadInput, match="no photo has a label"):
        workspace.split(1, 1)
    shutil.rmtree(photos / "blue")
    workspace.add(photos, labels_from_folders=True)
    with pytest.raises(BadInput, match="all photos have the label red"):
        workspace.split(1, 1)


def test_the_command_draws_and_shows_the_split(filled: Workspace) -> None:
    where = ["--workspace", str(filled.folder)]
    drawn_split = CliRunner().invoke(embedkit, ["split", "--val", "2", "--test", "9", *where])
    assert drawn_split.exit_code == 0, drawn_split.output
    assert (
        "red has 15 photos, and half of them is fewer than the requested 2 + 9: "
        "9 for training, 1 for validation, "
        "5 for test"
    ) in drawn_split.stderr
    assert "6 images are in 1 group of copies" in drawn_split.stdout
    assert "skipped: 1 image without a label\n" in drawn_split.stdout
    assert "skipped: 1 image with several labels; see 'embedkit duplicates'\n" in drawn_split.stdout
    assert "since" not in drawn_split.stdout
    shown = CliRunner().invoke(embedkit, ["split", "--json", *where])
    assert json.loads(shown.stdout)["classes"][1] == {
        "label": "red",
        "train": 9,
        "val": 1,
        "test": 5,
    }


@pytest.mark.parametrize(
    "options", ["--group post", "--seed 4", "--seed 0", "--val 5", "--test 5", "--val 5 --seed 4"]
)
def test_the_command_needs_both_numbers(workspace: Workspace, options: str) -> None:
    where = ["--workspace", str(workspace.folder)]
    wrong = CliRunner().invoke(embedkit, ["split", *options.split(), *where])
    assert wrong.exit_code == 2
    assert "give both --val N and --test N" in wrong.stderr


def test_the_fourth_migration_adds_splits(filled: Workspace, tmp_path: Path) -> None:
    older = Workspace(tmp_path / "older")
    older.add(tmp_path / "photos", labels_from_folders=True)
    with duckdb.connect(str(older.folder / "catalog.duckdb")) as connection:
        undo_schema_steps(connection, after=3)
    assert older.split(2, 3) == filled.split(2, 3)
