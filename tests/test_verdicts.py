"""Verdicts on single photos: on their labels, and on their removal."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow.parquet as parquet
import pytest
from cleaning import by_name, contents, run
from conftest import draw_photo
from earlier import undo_schema_steps

from embedkit import BadInput, NotInWorkspace, Workspace
from embedkit._internal.artifacts import sha256_of
from embedkit.classify.split import labelled_images
from embedkit.review.collection import load_photos

Rows = Callable[[Path], dict[str, list[tuple[object, ...]]]]


@pytest.fixture
def filled(workspace: Workspace, photos: Path) -> Workspace:
    """A workspace with fingerprints of six red and six blue photos, labelled by their folders."""
    workspace.add(photos, labels_from_folders=True, fingerprints_only=True)
    return workspace


def stored(workspace: Workspace) -> set[tuple[str, str | None, str | None]]:
    """Return the verdicts on single photos: name of the file, verdict and label."""
    return {
        (item.path and Path(item.path).name, item.verdict, item.label)
        for item in workspace.verdicts.list()
    }


def label_of(workspace: Workspace, path: Path) -> str | None:
    """Return the label of a photo that has one label, as training reads it."""
    images = labelled_images(workspace._catalog)
    found = dict(zip((digest.hex() for digest in images.sha256), images.labels, strict=True))
    return found.get(sha256_of(path))


def test_a_photo_has_at_most_one_verdict_on_its_label_and_one_on_its_removal(
    filled: Workspace, photos: Path
) -> None:
    photo = photos / "red/0.jpg"
    for verdict in ("unsure", "off-topic", "relabel=blue", "poor", "keep"):
        filled.verdicts.set(verdict, photo)
    assert stored(filled) == {("0.jpg", "relabel", "blue"), ("0.jpg", "keep", None)}
    filled.verdicts.set("right", photo)
    assert stored(filled) == {("0.jpg", "right", "red"), ("0.jpg", "keep", None)}
    assert label_of(filled, photo) == "red"
    assert filled.verdicts.clear(photo) == 2 and filled.verdicts.clear(photo) == 0
    assert filled.verdicts.list() == []


def test_verdicts_on_pairs_and_on_single_photos_are_independent(
    filled: Workspace, photos: Path
) -> None:
    pair = photos / "red/0.jpg", photos / "red/1.jpg"
    filled.verdicts.set("different", *pair)
    filled.verdicts.set("keep", pair[0])
    filled.verdicts.set("duplicate", *reversed(pair))
    found = {(item.verdict, bool(item.other_path)) for item in filled.verdicts.list()}
    assert found == {("keep", False), ("duplicate", True)}
    assert filled.verdicts.clear(pair[0]) == 1
    assert [item.verdict for item in filled.verdicts.list()] == ["duplicate"]


@pytest.mark.slow
def test_every_reader_of_labels_gives_the_new_label_and_clearing_restores_the_old_one(
    workspace: Workspace, photos: Path, tmp_path: Path, catalog_rows: Rows
) -> None:
    workspace.add(photos, labels_from_folders=True)
    photo = photos / "red/0.jpg"
    before = catalog_rows(workspace.folder)["labels"]

    def labels() -> tuple[object, ...]:
        workspace.embeddings.export(tmp_path / "exported")
        images = parquet.read_table(tmp_path / "exported/images.parquet").to_pylist()
        (nearest,) = workspace.search(photo, 1)
        with workspace._catalog.read() as reader:
            facts = reader.files.facts([str(photo)])[str(photo)]
        return (
            label_of(workspace, photo),
            nearest.label,
            next(one["label"] for one in images if one["files"] == [str(photo)]),
            next(one.label for one in workspace.sheets() if str(photo) in str(one.photos)),
            facts.label,
            workspace.search(photo, 1, label="blue")[0].path == str(photo),
            facts.source,
            workspace.info().labels,
            {
                item.label: item.train + item.val + item.test
                for item in workspace.split(1, 1).classes
            },
        )

    old = (*["red"] * 5, False, "folder", {"blue": 6, "red": 6}, {"blue": 6, "red": 6})
    new = (*["blue"] * 5, True, "verdict", {"blue": 7, "red": 5}, {"blue": 7, "red": 5})
    assert labels() == old and workspace.info().relabelled == 0
    workspace.verdicts.set("relabel=blue", photo)
    assert labels() == new and workspace.info().relabelled == 1
    assert catalog_rows(workspace.folder)["labels"] == before
    workspace.verdicts.clear(photo)
    assert labels() == old and workspace.info().relabelled == 0


def test_a_photo_without_a_label_gets_one_by_a_verdict(workspace: Workspace, photos: Path) -> None:
    workspace.add(photos / "red", fingerprints_only=True)
    workspace.verdicts.set("relabel= cat ", photos / "red/0.jpg", new_label=True)
    assert workspace.info().labels == {"cat": 1}


def test_an_unknown_label_is_refused_with_the_nearest_ones(filled: Workspace, photos: Path) -> None:
    with pytest.raises(BadInput, match=r"no photo has the label rde \(the nearest are red and bl"):
        filled.verdicts.set("relabel=rde", photos / "red/0.jpg")
    assert filled.verdicts.list() == []
    filled.verdicts.set("relabel=rde", photos / "red/0.jpg", new_label=True)
    filled.verdicts.set("relabel=rde", photos / "red/1.jpg")
    assert filled.info().labels == {"blue": 6, "rde": 2, "red": 4}


@pytest.mark.parametrize(
    "verdict", ["", "good", "relabel", "relabel=", "keep=red", "different", "suggested", "blue"]
)
def test_an_invalid_verdict_on_one_photo_is_bad_input(
    filled: Workspace, photos: Path, verdict: str
) -> None:
    with pytest.raises(BadInput, match=r"is not a verdict|has no label"):
        filled.verdicts.set(verdict, photos / "red/0.jpg")
    with pytest.raises(BadInput, match=r"No such file"):
        filled.verdicts.set("keep", photos / "red/gone.jpg")
    assert filled.verdicts.list() == []


def test_verdicts_survive_renaming_rescanning_removing_and_adding(
    filled: Workspace, photos: Path
) -> None:
    filled.verdicts.set("relabel=blue", photos / "red/0.jpg")
    filled.verdicts.set("off-topic", photos / "red/0.jpg")
    (photos / "red/0.jpg").rename(photos / "red/renamed.jpg")
    shutil.copy(photos / "red/renamed.jpg", photos / "red/copy.jpg")
    filled.add(fingerprints_only=True)
    assert filled.info().labels == {"blue": 8, "red": 5} and filled.info().relabelled == 2
    filled.remove(photos)
    filled.compact()
    assert stored(filled) == {(None, "relabel", "blue"), (None, "off-topic", None)}
    filled.add(photos, labels_from_folders=True, fingerprints_only=True)
    assert stored(filled) == {("copy.jpg", "relabel", "blue"), ("copy.jpg", "off-topic", None)}
    assert filled.info().labels == {"blue": 8, "red": 5}


# -- copies under two labels -----------------------------------------------------------------------


@pytest.fixture
def twice(filled: Workspace, photos: Path) -> Workspace:
    """The workspace with ``red/0.jpg`` also as ``blue/0.jpg``."""
    shutil.copy(photos / "red/0.jpg", photos / "blue/0.jpg")
    filled.add(fingerprints_only=True)
    return filled


def test_a_new_label_settles_a_conflict_between_copies(twice: Workspace, photos: Path) -> None:
    assert {row.kind for row in twice.clean(["exact"])} == {"conflict"}
    with pytest.raises(BadInput, match=r"has the labels blue and red; give relabel=LABEL, or both"):
        twice.verdicts.set("right", photos / "red/0.jpg")
    twice.verdicts.set("relabel=red", photos / "blue/0.jpg")
    assert label_of(twice, photos / "red/0.jpg") == "red"
    for label in ("red", "blue"):
        twice.verdicts.set(f"relabel={label}", photos / "blue/0.jpg")
        actions = {row.path: row.action for row in twice.clean(["exact"])}
        other = "blue" if label == "red" else "red"
        # The copy in the folder of the label stays, whatever its name.
        assert actions == {
            str(photos / f"{label}/0.jpg"): "keep",
            str(photos / f"{other}/0.jpg"): "remove",
        }
    assert labelled_images(twice._catalog).conflicting == 0


def test_copies_whose_labels_are_both_true_are_in_no_plan_and_no_training_set(
    twice: Workspace, photos: Path
) -> None:
    twice.verdicts.set("both", photos / "red/0.jpg")
    assert len(twice.clean(["exact"])) == 0
    assert len(twice.duplicates(["exact"]).groups) == 1
    assert label_of(twice, photos / "red/0.jpg") is None
    assert twice.info().labels == {"blue": 7, "red": 6}


# -- tables ----------------------------------------------------------------------------------------


def test_a_table_from_a_spreadsheet_is_stored(filled: Workspace, photos: Path) -> None:
    digest = sha256_of(photos / "red/1.jpg")
    (photos / "red/1.jpg").rename(photos / "red/renamed.jpg")
    filled.add(fingerprints_only=True)
    lines = [
        "path;sha256;label;suggestion;score;reason;verdict",
        "red/0.jpg;;red;blue;0,93;looks blue;suggested",
        f"red/1.jpg;{digest.upper()};red;;;;Keep",
        "red/2.jpg;;red;;;;",
        "red/3.jpg;;red;blue;;;RELABEL=blue",
        "red/4.jpg;;;;;;off-topic",
        "./red/4.jpg;;;;;;unsure",
        "red/4.jpg;;;;;;unsure",
    ]
    (photos / "verdicts.csv").write_text("\r\n".join(lines), "utf-8-sig")
    report = filled.verdicts.from_csv(photos / "verdicts.csv")
    assert (report.stored, report.skipped) == (5, 1)
    assert stored(filled) == {
        ("0.jpg", "relabel", "blue"),
        ("renamed.jpg", "keep", None),
        ("3.jpg", "relabel", "blue"),
        ("4.jpg", "off-topic", None),
        ("4.jpg", "unsure", None),
    }


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("red/1.jpg,,,kepe", "line 3: 'kepe' is not a verdict on one photo"),
        ("red/1.jpg,,,different", "line 3: 'different' is not a verdict on one photo"),
        ("red/none.jpg,,,keep", "line 3: .*none.jpg is not in the workspace"),
        (f",{'0' * 64},,keep", "line 3: no photo has the SHA-256 0000"),
        (",00,,keep", "line 3: '00' is not a SHA-256 of 64 hex digits"),
        (",,,keep", "line 3: a verdict without a path or a sha256; give one"),
        ("red/1.jpg,,,relabel=rot", "line 3: no photo has the label rot"),
        ("red/1.jpg,,,suggested", "line 3: the verdict is suggested, but there is no suggestion"),
        ("red/1.jpg,,rot,suggested", "line 3: no photo has the label rot"),
        ("red/0.jpg,,,poor", r"line 3: red/0.jpg already has the verdict keep in line 2"),
        ("blue/6.jpg,,,right", "line 3: blue/6.jpg has the labels blue and red"),
        ("red/11.jpg,,,keep", "line 3: .*has changed since it was added"),
    ],
)
def test_a_table_with_a_bad_line_stores_nothing(
    filled: Workspace, photos: Path, bad: str, message: str
) -> None:
    shutil.copy(photos / "blue/6.jpg", photos / "red/6.jpg")
    shutil.copy(photos / "blue/11.jpg", photos / "red/11.jpg")
    filled.add(fingerprints_only=True)
    draw_photo(50).save(photos / "red/11.jpg")
    table = photos / "verdicts.csv"
    table.write_text(f"path,sha256,suggestion,verdict\nred/0.jpg,,,keep\n{bad}\n")
    with pytest.raises(BadInput, match=message):
        filled.verdicts.from_csv(table)
    assert filled.verdicts.list() == []


def test_a_table_without_a_column_that_names_photos_is_refused(
    filled: Workspace, photos: Path
) -> None:
    (photos / "verdicts.csv").write_text("file,verdict\nred/0.jpg,keep\n")
    with pytest.raises(BadInput, match=r"no column called path or sha256"):
        filled.verdicts.from_csv(photos / "verdicts.csv")
    with pytest.raises(NotInWorkspace, match=r"line 2"):
        (photos / "verdicts.csv").write_text("path,verdict\nred/none.jpg,keep\n")
        filled.verdicts.from_csv(photos / "verdicts.csv")


# -- earlier workspaces ----------------------------------------------------------------------------


def test_verdicts_of_a_workspace_of_the_eighth_schema_step_are_kept(
    filled: Workspace, photos: Path
) -> None:
    filled.verdicts.set("keep", photos / "red/0.jpg")
    filled.verdicts.set("different", photos / "red/0.jpg", photos / "red/1.jpg")
    before = filled.verdicts.list()
    with duckdb.connect(str(filled.folder / "catalog.duckdb")) as connection:
        undo_schema_steps(connection, after=8)
        columns = connection.execute("SELECT * FROM verdicts").description
        assert [name for name, *_ in columns][-1] == "decided_at"
    again = Workspace(filled.folder)
    assert again.info().labels == {"blue": 6, "red": 6}
    assert again.verdicts.list() == before and len(before) == 2
    again.verdicts.set("relabel=blue", photos / "red/0.jpg")
    assert again.info().labels == {"blue": 7, "red": 5}
    assert len(again.verdicts.list()) == 3


# -- plans -----------------------------------------------------------------------------------------


def test_marked_photos_go_only_when_the_plan_names_them_and_come_back(
    filled: Workspace, photos: Path
) -> None:
    shutil.copy(photos / "red/0.jpg", photos / "blue/0.jpg")
    filled.add(fingerprints_only=True)
    filled.verdicts.set("off-topic", photos / "red/0.jpg")
    filled.verdicts.set("poor", photos / "red/1.jpg")
    filled.verdicts.set("relabel=blue", photos / "red/0.jpg")
    assert not any(row.kind in ("off-topic", "poor") for row in filled.clean())
    assert {row.path for row in filled.clean(["poor"])} == {str(photos / "red/1.jpg")}
    before, verdicts = contents(photos), filled.verdicts.list()

    plan = filled.clean(["off-topic", "poor"])
    assert [(row.path, row.action, row.kind, row.reason, row.rule) for row in plan] == [
        (str(photos / "blue/0.jpg"), "remove", "off-topic", "you marked it off-topic", "drop-all"),
        (str(photos / "red/0.jpg"), "remove", "off-topic", "you marked it off-topic", "drop-all"),
        (str(photos / "red/1.jpg"), "remove", "poor", "you marked it poor", "drop-all"),
    ]
    plan.save(photos.parent / "plan.csv")
    report = filled.load_plan(photos.parent / "plan.csv").apply()
    assert len(report.moved) == 3 and report.carried_over == report.skipped == ()
    assert filled.info().labels == {"blue": 6, "red": 4}
    assert len(filled.clean(["off-topic", "poor"])) == 0
    assert len(filled.undo().restored) == 3
    assert contents(photos) == before
    filled.add(fingerprints_only=True)
    assert filled.verdicts.list() == verdicts
    assert list(filled.clean(["off-topic", "poor"])) == list(plan)


def test_a_protected_file_of_a_marked_photo_stays(filled: Workspace, photos: Path) -> None:
    shutil.copy(photos / "red/0.jpg", photos / "blue/0.jpg")
    (photos / "link.jpg").symlink_to(photos / "red/1.jpg")
    filled.add(photos, fingerprints_only=True)
    filled.verdicts.set("off-topic", photos / "red/0.jpg")
    filled.verdicts.set("off-topic", photos / "red/1.jpg")
    plan = filled.clean(["off-topic"], protect=[photos / "blue"])
    assert {Path(row.path).relative_to(photos).as_posix(): row.action for row in plan} == {
        "blue/0.jpg": "keep",
        "red/0.jpg": "remove",
        "link.jpg": "review",
        "red/1.jpg": "remove",
    }
    plan.apply()
    assert (photos / "blue/0.jpg").exists() and not (photos / "red/0.jpg").exists()


def test_a_photo_to_keep_is_never_removed_by_an_earlier_plan(
    filled: Workspace, photos: Path
) -> None:
    filled.verdicts.set("off-topic", photos / "red/0.jpg")
    plan = filled.clean(["off-topic"])
    filled.verdicts.set("keep", photos / "red/0.jpg")
    assert len(filled.clean(["off-topic"])) == 0
    report = plan.apply()
    assert not report.moved and {item.path for item in report.skipped} == {plan[0].path}
    assert report.skipped[0].reason.startswith("it has the verdict keep; to move it, change the")
    filled.verdicts.clear(photos / "red/0.jpg")
    with pytest.raises(BadInput, match=r"0.jpg does not have the verdict off-topic"):
        plan.apply()
    filled.verdicts.set("off-topic", photos / "red/0.jpg")
    other = replace(plan[0], path=str(photos / "red/1.jpg"), sha256=sha256_of(photos / "red/1.jpg"))
    edited = type(plan)([*plan, other], filled._state)
    with pytest.raises(BadInput, match=r"1.jpg does not have the verdict off-topic"):
        edited.apply()
    assert (photos / "red/0.jpg").exists()
    assert len(plan.apply().moved) == 1


def test_a_plan_that_was_undone_does_not_remove_a_photo_that_is_kept_now(
    filled: Workspace, photos: Path
) -> None:
    photo = photos / "red/0.jpg"
    filled.verdicts.set("poor", photo)
    plan = filled.clean(["poor"])
    plan.apply()
    filled.undo()
    filled.verdicts.set("keep", photo)
    report = plan.apply()
    assert not report.moved and [item.path for item in report.skipped] == [str(photo)]
    filled.verdicts.clear(photo)
    with pytest.raises(BadInput, match="does not have the verdict poor; nothing was moved"):
        plan.apply()
    assert photo.exists()


def test_a_label_can_only_be_right_if_there_is_one(workspace: Workspace, photos: Path) -> None:
    workspace.add(photos, fingerprints_only=True)
    with pytest.raises(BadInput, match="has no label that could be right"):
        workspace.verdicts.set("right", photos / "red/0.jpg")
    assert workspace.verdicts.list() == []


def test_a_label_called_right_is_reviewed_again_once_it_has_changed(
    filled: Workspace, photos: Path, tmp_path: Path
) -> None:
    def verdicts(name: str) -> frozenset[str]:
        loaded = load_photos(filled._catalog)
        return loaded.verdicts[loaded.sha256.index(bytes.fromhex(sha256_of(photos / name)))]

    filled.verdicts.set("right", photos / "red/0.jpg")
    assert stored(filled) == {("0.jpg", "right", "red")}
    assert verdicts("red/0.jpg") == {"right"}
    table = tmp_path / "labels.csv"
    table.write_text(f"path,label\n{photos / 'red/0.jpg'},blue\n")
    filled.labels.from_csv(table)
    assert verdicts("red/0.jpg") == frozenset()
    stale = tmp_path / "review.csv"
    stale.write_text(f"path,label,verdict\n{photos / 'red/0.jpg'},red,right\n")
    with pytest.raises(BadInput, match=r"line 2: .*now has the label blue, not red"):
        filled.verdicts.from_csv(stale)


def test_a_name_that_begins_with_a_space_is_found_in_a_table(
    filled: Workspace, photos: Path
) -> None:
    for number, name in enumerate(("a.jpg", " a.jpg")):
        draw_photo(60 + number).save(photos / name, "JPEG")
    filled.add(fingerprints_only=True)
    (photos / "review.csv").write_text("path,verdict\n a.jpg,keep\n")
    filled.verdicts.from_csv(photos / "review.csv")
    assert [item.sha256 for item in filled.verdicts.list()] == [sha256_of(photos / " a.jpg")]


def test_the_label_in_a_table_says_which_of_several_labels_is_right(
    twice: Workspace, photos: Path, tmp_path: Path
) -> None:
    digest = sha256_of(photos / "red/0.jpg")
    table = tmp_path / "table.csv"
    table.write_text(f"sha256,label,verdict\n{digest},blue,right\n")
    twice.verdicts.from_csv(table)
    assert label_of(twice, photos / "red/0.jpg") == "blue"


def test_a_table_whose_path_and_digest_differ_is_refused(
    filled: Workspace, photos: Path, tmp_path: Path
) -> None:
    digest = sha256_of(photos / "red/1.jpg")
    table = tmp_path / "table.csv"
    table.write_text(f"path,sha256,verdict\n{photos / 'red/0.jpg'},{digest},poor\n")
    with pytest.raises(BadInput, match=r"line 2.*does not have this SHA-256"):
        filled.verdicts.from_csv(table)
    assert filled.verdicts.list() == []


def test_the_best_of_the_other_copies_of_a_marked_photo_is_kept(
    filled: Workspace, photos: Path
) -> None:
    folder = photos / "red"
    draw_photo(0).save(folder / "small.jpg", quality=40)
    shutil.copy(folder / "small.jpg", folder / "small copy.jpg")
    shutil.copy(folder / "0.jpg", folder / "0 copy.jpg")
    filled.add(fingerprints_only=True)
    for marked in ("0.jpg", "small.jpg"):
        filled.verdicts.set("off-topic", folder / marked)
        rows = by_name(list(filled.clean(["exact", "pixels", "combined", "off-topic"])))
        gone = {name for name, row in rows.items() if row.kind == "off-topic"}
        others = {"0.jpg", "0 copy.jpg", "small.jpg", "small copy.jpg"} - gone
        assert gone == {marked, marked.replace(".", " copy.")}
        assert all(rows[name].action == "remove" for name in gone)
        assert sorted(rows[name].action for name in others) == ["keep", "remove"]
        assert filled.clean(duplicates=filled.duplicates(), kinds=["off-topic"]).rows == tuple(
            filled.clean(["exact", "pixels", "combined", "off-topic"])
        )
        filled.verdicts.clear(folder / marked)


def test_a_damaged_copy_of_a_marked_photo_is_for_review(filled: Workspace, photos: Path) -> None:
    photo, damaged = photos / "red/0.jpg", photos / "damaged.jpg"
    damaged.write_bytes(photo.read_bytes()[:-2000])
    filled.add(fingerprints_only=True)
    filled.verdicts.set("off-topic", photo)
    rows = by_name(list(filled.clean(["exact", "off-topic"], allow=["damaged"])))
    assert {name: row.action for name, row in rows.items()} == {
        "0.jpg": "remove",
        "damaged.jpg": "review",
    }
    assert by_name(list(filled.clean(["off-topic"]))).keys() == {"0.jpg"}


def test_a_truncated_photo_of_the_workspace_can_be_marked(filled: Workspace, photos: Path) -> None:
    damaged = photos / "damaged.jpg"
    damaged.write_bytes((photos / "red/0.jpg").read_bytes()[:-2000])
    with pytest.raises(BadInput, match=r"damaged.jpg: "):
        filled.verdicts.set("poor", damaged)
    filled.add(fingerprints_only=True, tolerate_truncated=True)
    filled.verdicts.set("poor", damaged)
    rows = by_name(list(filled.clean(["exact", "poor"])))
    assert rows["damaged.jpg"].kind == "poor" and rows["damaged.jpg"].action == "remove"


def test_an_unknown_kind_of_plan_names_the_known_ones(filled: Workspace) -> None:
    with pytest.raises(BadInput, match=r"unknown kind 'offtopic'.*semantic.*off-topic, poor"):
        filled.clean(["offtopic"])
    with pytest.raises(BadInput, match=r"unknown kind of duplicates 'off-topic'"):
        filled.duplicates(["off-topic"])


# -- copies that a plan removes --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "carried", "label"),
    [
        ("right", "right=red", "red"),
        ("relabel=blue", "relabel=blue", "blue"),
        ("unsure", "unsure", "red"),
        ("off-topic", None, "red"),
        ("poor", None, "red"),
    ],
)
def test_a_verdict_on_a_removed_copy_is_carried_over_unless_plans_remove_such_photos(
    filled: Workspace, photos: Path, verdict: str, carried: str | None, label: str
) -> None:
    draw_photo(0).save(photos / "better.jpg", quality=100)
    filled.add(fingerprints_only=True)
    filled.verdicts.set(verdict, photos / "red/0.jpg")
    rows = {row.path: row for row in filled.clean(["pixels", "combined"])}
    assert set(rows) == {str(photos / "better.jpg"), str(photos / "red/0.jpg")}
    plan = type(filled.clean(["off-topic"]))(
        [
            replace(row, action="remove" if path.endswith("0.jpg") else "keep")
            for path, row in rows.items()
        ],
        filled._state,
    )
    report = plan.apply()
    assert [one.verdict for one in report.carried_over if one.verdict] == [carried] * bool(carried)
    assert label_of(filled, photos / "better.jpg") == label
    assert {item[1] for item in stored(filled) if item[0] == "better.jpg"} == (
        {carried.partition("=")[0]} if carried else set()
    )
    filled.undo()
    assert label_of(filled, photos / "better.jpg") is None
    assert {item[0] for item in stored(filled)} == {"0.jpg"}


def test_a_verdict_on_another_label_than_that_of_the_kept_file_is_not_carried_over(
    filled: Workspace, photos: Path
) -> None:
    draw_photo(0).save(photos / "blue/better.jpg", quality=100)
    filled.add(fingerprints_only=True)
    filled.verdicts.set("right", photos / "red/0.jpg")
    rows = list(filled.clean(["pixels", "combined"]))
    plan = type(filled.clean(["off-topic"]))(
        [replace(row, action="remove" if "red" in row.path else "keep") for row in rows],
        filled._state,
    )
    assert len(plan.apply().moved) == 1
    assert label_of(filled, photos / "blue/better.jpg") == "blue"
    assert stored(filled) == {(None, "right", "red")}


# -- the command -----------------------------------------------------------------------------------


def test_the_command_stores_and_clears_verdicts(filled: Workspace, photos: Path) -> None:
    photo, other = photos / "red/0.jpg", photos / "red/1.jpg"
    assert "stored" in run(filled, "verdict", photo, "relabel=blue").stdout
    document = json.loads(run(filled, "verdict", photo, other, "different", "--json").stdout)
    assert document == {"a": str(photo), "b": str(other), "verdict": "different", "label": None}
    assert "labels     blue 7, red 5; 1 from verdicts\n" in run(filled, "info").stdout
    assert run(filled, "labels").stdout.endswith("       5  red\n1 of them from verdicts\n")
    (photos / "v.csv").write_text("path,verdict\nred/0.jpg,poor\nred/1.jpg,\n")
    done = run(filled, "verdict", "--from-csv", photos / "v.csv")
    assert done.stdout == "1 verdict stored; 1 row without one\n"
    assert run(filled, "verdict", "--clear", photo).stdout == "2 verdicts cleared\n"
    assert run(filled, "verdict", "--clear", photo).stdout == "there was no verdict\n"
    assert [item.verdict for item in filled.verdicts.list()] == ["different"]
    assert "1 verdict" in run(filled, "verdict", "--clear", photo, other).stdout


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["a.jpg"],
        ["--clear"],
        ["a.jpg", "keep", "--from-csv", "v.csv"],
        ["a.jpg", "b.jpg", "c.jpg", "keep"],
        ["a.jpg", "b.jpg"],
        ["a.jpg", "b.jpg", "keep"],
    ],
)
def test_a_command_with_wrong_arguments_says_so_on_one_line(
    filled: Workspace, words: list[str]
) -> None:
    done = run(filled, "verdict", *words, status=2)
    assert done.stdout == "" and done.stderr.count("\n") == 1
    assert filled.verdicts.list() == []
