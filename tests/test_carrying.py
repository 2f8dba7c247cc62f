"""Labels, columns and verdicts that are carried over from a removed copy to the kept file."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from unittest.mock import Mock

import pytest
from cleaning import row, run
from conftest import draw_photo

from embedkit import Workspace
from embedkit._internal.artifacts import sha256_of
from embedkit.cleaning import carry_over
from embedkit.cleaning.journal import Journal
from embedkit.cleaning.plan import PlanRow, read_plan, write_plan
from embedkit.results import ApplyReport, CarriedOver, Progress

Rows = Callable[[Path], dict[str, list[tuple[object, ...]]]]


class Collection:
    """A workspace of photos, with a plan that keeps one and removes some of the others."""

    def __init__(self, workspace: Workspace, folder: Path) -> None:
        self.workspace = workspace
        self.folder = folder
        self.plan = folder.parent / "plan.csv"

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def label(self, text: str) -> None:
        """Label files by a CSV whose paths are below the folder."""
        (self.folder / "labels.csv").write_text(text, "utf-8")
        self.workspace.labels.from_csv(self.folder / "labels.csv")

    def remove(
        self,
        keep: str,
        *names: str,
        review: Sequence[str] = (),
        copy_of: Mapping[str, str] = MappingProxyType({}),
    ) -> ApplyReport:
        """Apply a plan of one group: a file to keep, others to remove or to review."""
        actions = {
            keep: "keep",
            **dict.fromkeys(names, "remove"),
            **dict.fromkeys(review, "review"),
        }
        rows = [
            replace(
                self.row(1, action, name),
                copy_of=self.path(copy_of[name]) if name in copy_of else None,
            )
            for name, action in actions.items()
        ]
        write_plan(self.plan, rows)
        return self.workspace.load_plan(self.plan).apply()

    def row(self, group: int, action: str, name: str) -> PlanRow:
        path = self.path(name)
        return row(group, action, path, sha256=sha256_of(Path(path)), label=None)

    def facts(self, name: str) -> tuple[str | None, str | None, dict[str, str]]:
        """Return the label of a file, its source, and other columns."""
        with self.workspace._catalog.read() as reader:
            found = reader.files.facts([self.path(name)])[self.path(name)]
        return found.label, found.source, found.attributes


@pytest.fixture
def collection(workspace: Workspace, tmp_path: Path) -> Collection:
    """Return ``a.jpg`` with copies ``b.jpg`` to ``d.jpg`` and ``cats/e.jpg``; the same photo, more
    compressed, as ``x.jpg`` with a copy ``y.jpg``; and another photo, ``z.jpg``."""
    folder = tmp_path / "photos"
    (folder / "cats").mkdir(parents=True)
    draw_photo(1).save(folder / "a.jpg")
    for name in ("b.jpg", "c.jpg", "d.jpg", "cats/e.jpg"):
        shutil.copy2(folder / "a.jpg", folder / name)
    draw_photo(1).save(folder / "x.jpg", quality=50)
    shutil.copy2(folder / "x.jpg", folder / "y.jpg")
    draw_photo(2).save(folder / "z.jpg")
    workspace.add([folder], labels_from_folders=True)
    return Collection(workspace, folder)


def test_the_label_of_a_removed_copy_is_carried_over_to_the_kept_file(
    collection: Collection, catalog_rows: Rows
) -> None:
    collection.label("path,label\nb.jpg,dog\n")
    before = catalog_rows(collection.workspace.folder)
    report = collection.remove("a.jpg", "b.jpg", "c.jpg")
    carried = CarriedOver(collection.path("a.jpg"), "dog", collection.path("b.jpg"))
    assert report.carried_over == (carried,) and report.not_carried_over == ()
    assert collection.facts("a.jpg") == ("dog", "csv", {})
    assert collection.workspace.info().labels == {"cats": 1, "dog": 1}
    assert collection.workspace.load_plan(collection.plan).apply().carried_over == ()

    back = collection.workspace.undo()
    assert back.reverted == (carried,)
    assert catalog_rows(collection.workspace.folder) == before
    assert collection.workspace.undo().reverted == ()


def test_facts_of_files_that_a_stopped_run_moved_are_carried_over(collection: Collection) -> None:
    """The plan may never be applied again, for instance after another search."""
    collection.label("path,label\nb.jpg,dog\ny.jpg,cat\n")
    rows = [
        collection.row(1, "keep", "a.jpg"),
        collection.row(1, "remove", "b.jpg"),
        collection.row(2, "keep", "x.jpg"),
        collection.row(2, "remove", "y.jpg"),
    ]
    write_plan(collection.plan, rows)

    def stop(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Workspace(collection.workspace.folder, stop).load_plan(collection.plan).apply()
    assert not (collection.folder / "b.jpg").exists() and (collection.folder / "y.jpg").exists()
    assert collection.facts("a.jpg") == ("dog", "csv", {})
    assert collection.facts("x.jpg") == (None, None, {})
    report = collection.workspace.load_plan(collection.plan).apply()
    assert [one.path for one in report.carried_over] == [collection.path("x.jpg")]
    back = collection.workspace.undo()
    assert {one.path for one in back.reverted} == {
        collection.path("a.jpg"),
        collection.path("x.jpg"),
    }
    assert collection.facts("a.jpg") == (None, None, {})


def test_a_label_is_carried_over_to_a_file_for_review_with_the_same_bytes(
    collection: Collection,
) -> None:
    collection.label("path,label\ny.jpg,dog\n")
    report = collection.remove("a.jpg", "b.jpg", "y.jpg", review=["x.jpg"])
    assert report.carried_over == (
        CarriedOver(collection.path("x.jpg"), "dog", collection.path("y.jpg")),
    )
    assert sorted(report.moved) == [collection.path("b.jpg"), collection.path("y.jpg")]
    assert collection.facts("a.jpg")[0] is None


def test_a_label_is_carried_over_to_the_file_for_review_that_it_is_a_copy_of(
    collection: Collection,
) -> None:
    collection.label("path,label\nx.jpg,dog\na.jpg,cat\n")
    report = collection.remove("a.jpg", "x.jpg", review=["z.jpg"], copy_of={"x.jpg": "z.jpg"})
    assert report.carried_over == (
        CarriedOver(collection.path("z.jpg"), "dog", collection.path("x.jpg")),
    )
    assert report.not_carried_over == ()


def test_no_label_is_carried_over_to_a_file_that_may_show_something_else(
    collection: Collection,
) -> None:
    collection.label("path,label\nb.jpg,dog\n")  # b.jpg is a copy of a.jpg, which is removed too
    copies = {"b.jpg": "a.jpg", "z.jpg": "a.jpg"}
    report = collection.remove("z.jpg", "a.jpg", "b.jpg", copy_of=copies)
    assert sorted(report.moved) == [collection.path("a.jpg"), collection.path("b.jpg")]
    assert report.carried_over == () and collection.facts("z.jpg")[0] is None


def test_a_label_from_a_folder_is_carried_over_as_such(collection: Collection) -> None:
    report = collection.remove("a.jpg", "cats/e.jpg")
    assert [item.label for item in report.carried_over] == ["cats"]
    assert collection.facts("a.jpg") == ("cats", "folder", {})
    collection.workspace.add()
    assert collection.facts("a.jpg") == ("cats", "folder", {}), "a scan does not change it"
    collection.label("path,label\na.jpg,dog\n")
    assert collection.facts("a.jpg")[:2] == ("dog", "csv"), "a label by a person takes precedence"
    assert len(collection.workspace.undo().reverted) == 1
    assert collection.facts("a.jpg")[:2] == ("dog", "csv")


def test_a_written_label_takes_precedence_over_the_same_one_from_a_folder(
    collection: Collection,
) -> None:
    collection.label("path,label\nc.jpg,cats\n")
    (carried,) = collection.remove("a.jpg", "cats/e.jpg", "c.jpg").carried_over
    assert carried.from_path == collection.path("c.jpg")
    assert collection.facts("a.jpg") == ("cats", "csv", {})


def test_the_same_label_is_not_carried_over(collection: Collection, catalog_rows: Rows) -> None:
    collection.label("path,label\na.jpg,dog\nb.jpg,dog\n")
    before = catalog_rows(collection.workspace.folder)
    report = collection.remove("a.jpg", "b.jpg")
    assert (report.carried_over, report.not_carried_over) == ((), ())
    collection.workspace.undo()
    assert catalog_rows(collection.workspace.folder) == before, "undo changes nothing"


@pytest.mark.parametrize(
    ("table", "review", "why"),
    [
        (
            "a.jpg,cow\nb.jpg,dog\n",
            (),
            "its label 'dog' is not carried over to {a}: it already has 'cow'",
        ),
        (
            "c.jpg,cat\nb.jpg,dog\n",
            (),
            "its label 'dog' is not carried over to {a}: the values ",
        ),
        ("d.jpg,cat\nb.jpg,dog\n", ("d.jpg",), "{a}: the values differ (cat, dog)"),
    ],
)
def test_contradictory_labels_are_reported_and_not_carried_over(
    table: str, review: tuple[str, ...], why: str, collection: Collection
) -> None:
    collection.label("path,label\n" + table)
    before = collection.facts("a.jpg")
    report = collection.remove("a.jpg", "b.jpg", "c.jpg", review=review)
    assert report.carried_over == () and collection.facts("a.jpg") == before
    reasons = {item.path: item.reason for item in report.not_carried_over}
    assert why.format(a=collection.path("a.jpg")) in reasons[collection.path("b.jpg")]
    assert len(report.moved) == 2


def test_the_kept_file_with_the_same_bytes_gets_the_label(collection: Collection) -> None:
    collection.label("path,label\nb.jpg,dog\n")
    rows = [
        collection.row(1, action, name)
        for name, action in (("x.jpg", "keep"), ("a.jpg", "keep"), ("b.jpg", "remove"))
    ]
    write_plan(collection.plan, rows)
    (carried,) = collection.workspace.load_plan(collection.plan).apply().carried_over
    assert carried.path == collection.path("a.jpg")


def test_other_columns_are_carried_over_if_the_kept_file_has_no_value(
    collection: Collection, catalog_rows: Rows
) -> None:
    collection.label("path,label,post,shop,user\na.jpg,dog,1,,\nb.jpg,dog,2,7,u\nc.jpg,dog,1,7,v\n")
    before = catalog_rows(collection.workspace.folder)
    report = collection.remove("a.jpg", "b.jpg", "c.jpg")
    assert [(item.attribute, item.value, item.label) for item in report.carried_over] == [
        ("shop", "7", None)
    ]
    assert collection.facts("a.jpg")[2] == {"post": "1", "shop": "7"}
    reasons = [item.reason.partition(" is not")[0] for item in report.not_carried_over]
    assert reasons == ["its post '2'", "its user 'u'", "its user 'v'"]
    assert [item.attribute for item in collection.workspace.undo().reverted] == ["shop"]
    assert catalog_rows(collection.workspace.folder) == before


def verdicts(workspace: Workspace) -> set[tuple[str, ...]]:
    """Return the verdicts, by the digests of the images."""
    with workspace._catalog.read() as reader:
        rows = reader.session.rows("SELECT first_sha256, second_sha256, verdict FROM verdicts")
    return {tuple(v.hex() if isinstance(v, bytes) else v or "" for v in item) for item in rows}


def test_verdicts_on_a_removed_image_are_carried_over_to_the_kept_one(
    collection: Collection, catalog_rows: Rows
) -> None:
    here, path = collection.workspace, collection.path
    here.verdicts.set("unsure", path("x.jpg"))
    here.verdicts.set("different", path("x.jpg"), path("z.jpg"))
    here.verdicts.set("duplicate", path("x.jpg"), path("a.jpg"))
    before = catalog_rows(here.folder)
    report = collection.remove("a.jpg", "x.jpg", "y.jpg")
    assert {(item.verdict, item.other, item.label) for item in report.carried_over} == {
        ("unsure", None, None),
        ("different", path("z.jpg"), None),
    }
    assert {item.from_path for item in report.carried_over} == {path("x.jpg")}
    keep, third = (sha256_of(Path(path(name))) for name in ("a.jpg", "z.jpg"))
    assert {(keep, "", "unsure"), (*sorted((keep, third)), "different")} <= verdicts(here)
    assert len(verdicts(here)) == 5
    assert len(here.undo().reverted) == 2
    assert catalog_rows(here.folder) == before


def test_a_verdict_that_is_carried_over_keeps_its_time(collection: Collection) -> None:
    here, path = collection.workspace, collection.path
    here.verdicts.set("different", path("x.jpg"), path("z.jpg"))
    collection.remove("a.jpg", "x.jpg", "y.jpg")
    original, carried = here.verdicts.list()
    assert {original.sha256, original.other_sha256} != {carried.sha256, carried.other_sha256}
    with here._catalog.read() as reader:
        assert len({row[4] for row in reader.verdicts.stored()}) == 1


def test_undo_leaves_a_verdict_that_was_given_again(collection: Collection) -> None:
    here, path = collection.workspace, collection.path
    here.verdicts.set("different", path("x.jpg"), path("z.jpg"))
    collection.remove("a.jpg", "x.jpg", "y.jpg")
    here.verdicts.set("different", path("a.jpg"), path("z.jpg"))
    before = verdicts(here)
    assert here.undo().reverted == () and verdicts(here) == before


def test_a_verdict_stays_with_an_image_that_another_file_still_has(collection: Collection) -> None:
    collection.workspace.verdicts.set("keep", collection.path("x.jpg"))
    assert collection.remove("a.jpg", "x.jpg", review=["y.jpg"]).carried_over == ()
    assert collection.remove("a.jpg", "b.jpg").carried_over == (), (
        "the kept file has the same image"
    )


def test_a_verdict_that_contradicts_one_on_the_kept_file_is_not_carried_over(
    collection: Collection,
) -> None:
    here, path = collection.workspace, collection.path
    here.verdicts.set("different", path("x.jpg"), path("z.jpg"))
    here.verdicts.set("duplicate", path("a.jpg"), path("z.jpg"))
    before = verdicts(here)
    report = collection.remove("a.jpg", "x.jpg", "y.jpg")
    assert report.carried_over == () and verdicts(here) == before
    assert {item.reason for item in report.not_carried_over} == {
        f"its verdict 'different' is not carried over to {path('a.jpg')}: "
        "it already has 'duplicate'"
    }


def test_a_verdict_on_an_image_without_a_file_names_it_by_its_digest(
    collection: Collection, tmp_path: Path
) -> None:
    draw_photo(9).save(tmp_path / "new.png")
    collection.workspace.verdicts.set("different", collection.path("x.jpg"), tmp_path / "new.png")
    (carried, *_) = collection.remove("a.jpg", "x.jpg", "y.jpg").carried_over
    assert carried.other == sha256_of(tmp_path / "new.png")


def test_a_copy_replaced_by_a_link_keeps_its_facts(collection: Collection) -> None:
    collection.label("path,label\nb.jpg,dog\n")
    write_plan(collection.plan, [collection.row(1, *item) for item in PAIR])
    assert collection.workspace.load_plan(collection.plan).apply(link="hard").carried_over == ()
    assert collection.workspace.info().labels == {"cats": 1, "dog": 1}


PAIR = (("keep", "a.jpg"), ("remove", "b.jpg"))


def test_undo_takes_a_fact_back_only_when_all_its_sources_are_restored(
    collection: Collection,
) -> None:
    collection.label("path,label\nb.jpg,dog\nc.jpg,dog\n")
    collection.remove("a.jpg", "b.jpg", "c.jpg")
    draw_photo(5).save(collection.folder / "c.jpg")
    assert collection.workspace.undo().reverted == ()
    assert collection.facts("a.jpg")[0] == "dog"
    (collection.folder / "c.jpg").unlink()
    assert len(collection.workspace.undo().reverted) == 1
    assert collection.facts("a.jpg")[0] is None


def test_undo_leaves_labels_that_were_changed_since(collection: Collection) -> None:
    collection.label("path,label\nb.jpg,dog\n")
    collection.remove("a.jpg", "b.jpg")
    collection.label("path,label\na.jpg,cow\n")
    assert collection.workspace.undo().reverted == ()
    assert collection.facts("a.jpg")[0] == "cow"
    collection.workspace.load_plan(collection.plan).apply()
    assert collection.workspace.undo().reverted == ()
    assert collection.facts("a.jpg")[0] == "cow"


def test_undo_of_a_second_run_leaves_labels_given_in_between(
    collection: Collection,
) -> None:
    collection.label("path,label\nb.jpg,dog\n")
    collection.remove("a.jpg", "b.jpg")
    collection.workspace.undo()
    collection.label("path,label\na.jpg,dog\n")
    assert collection.workspace.load_plan(collection.plan).apply().carried_over == ()
    assert collection.workspace.undo().reverted == ()
    assert collection.facts("a.jpg")[0] == "dog"


def test_nothing_is_carried_over_without_a_kept_file(collection: Collection) -> None:
    collection.label("path,label\nb.jpg,dog\n")
    rows = [replace(collection.row(1, "remove", "b.jpg"), rule="drop-all")]
    write_plan(collection.plan, rows)
    report = collection.workspace.load_plan(collection.plan).apply()
    assert report.moved and (report.carried_over, report.not_carried_over) == ((), ())


def test_the_label_of_a_file_in_the_trash_is_carried_over(
    collection: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedkit.cleaning.trash.send", lambda path, *_: os.unlink(path))
    collection.label("path,label\nb.jpg,dog\n")
    write_plan(collection.plan, [collection.row(1, *item) for item in PAIR])
    assert len(collection.workspace.load_plan(collection.plan).apply(trash=True).carried_over) == 1
    assert collection.workspace.undo().reverted == (), "it is still in the trash"
    assert tmp_path.exists() and collection.facts("a.jpg")[0] == "dog"
    shutil.copy2(collection.folder / "a.jpg", collection.folder / "b.jpg")
    assert len(collection.workspace.undo().reverted) == 1


@pytest.fixture
def killed_before(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], object]], None]:
    """Return a function that runs an action and kills it before it writes an event to the
    journal."""

    def run_killed(event: str, act: Callable[[], object]) -> None:
        write = Journal.write

        def killed(self: Journal, *args: object, **options: object) -> None:
            if args[0] == event:
                raise KeyboardInterrupt
            write(self, *args, **options)  # type: ignore[arg-type]

        with monkeypatch.context() as patch:
            patch.setattr(Journal, "write", killed)
            with pytest.raises(KeyboardInterrupt):
                act()

    return run_killed


def test_a_killed_apply_is_finished_by_running_it_again(
    collection: Collection,
    killed_before: Callable[[str, Callable[[], object]], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collection.label("path,label\nb.jpg,dog\n")
    write_plan(collection.plan, [collection.row(1, *item) for item in PAIR])

    def act() -> ApplyReport:
        return collection.workspace.load_plan(collection.plan).apply()

    def check(label: str | None) -> None:
        assert collection.facts("a.jpg")[0] == label
        assert collection.workspace.quarantine.list()[0].state == "interrupted"

    killed_before("carried", act)
    check(None)
    with monkeypatch.context() as patch:  # after it is in the journal, before it is in the catalog
        patch.setattr(carry_over, "_add_facts", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            act()
    check(None)
    killed_before("applied", act)
    check("dog")
    assert act().carried_over == () and collection.workspace.quarantine.list()[0].state == "applied"
    assert len(collection.workspace.undo().reverted) == 1
    assert collection.facts("a.jpg")[0] is None


def test_a_killed_undo_is_finished_by_running_it_again(
    collection: Collection, killed_before: Callable[[str, Callable[[], object]], None]
) -> None:
    collection.label("path,label\nb.jpg,dog\n")
    collection.remove("a.jpg", "b.jpg")
    for event in ("taken back", "undone"):
        killed_before(event, collection.workspace.undo)
        assert collection.workspace.quarantine.list()[0].state == "interrupted"
        assert collection.facts("a.jpg")[0] is None
    assert collection.workspace.undo().skipped == ()
    assert collection.workspace.quarantine.list()[0].state == "undone"


def test_the_lost_label_of_a_decided_conflict_is_not_reported(collection: Collection) -> None:
    collection.label("path,label,post\na.jpg,cow,1\nb.jpg,dog,7\n")
    rows = [replace(collection.row(1, *item), kind="conflict") for item in PAIR]
    write_plan(collection.plan, rows)
    reported = collection.workspace.load_plan(collection.plan).apply().not_carried_over
    assert [item.reason.split(" is ")[0] for item in reported] == ["its post '7'"]


def test_the_commands_report_what_is_carried_over(collection: Collection) -> None:
    collection.label("path,label,post\nb.jpg,dog,7\n")
    collection.workspace.verdicts.set("unsure", collection.path("x.jpg"))
    rows = [collection.row(1, *item) for item in (*PAIR, ("remove", "x.jpg"), ("remove", "y.jpg"))]
    write_plan(collection.plan, rows)
    output = run(collection.workspace, "apply", collection.plan).stdout
    a, b, x = (collection.path(name) for name in ("a.jpg", "b.jpg", "x.jpg"))
    assert f"label 'dog' carried over to {a} (from {b})" in output
    assert f"post '7' carried over to {a} (from {b})" in output
    assert f"verdict 'unsure' carried over to {a} (from {x})" in output
    output = run(collection.workspace, "undo").stdout
    assert f"label 'dog' removed again from {a}" in output and "post '7' removed again" in output

    collection.label("path,label\na.jpg,cow\n")
    done = run(collection.workspace, "apply", collection.plan)
    assert f"not carried over: {b}: its label 'dog' is not carried over to {a}: it" in done.stderr
    assert read_plan(collection.plan) == rows
