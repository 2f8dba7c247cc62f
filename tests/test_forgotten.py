"""Files that the workspace forgets between an apply and its undo get their facts back."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from cleaning import row, run
from conftest import draw_photo
from earlier import undo_schema_steps

from embedkit import Workspace
from embedkit._internal.artifacts import sha256_of
from embedkit.catalog import Catalog
from embedkit.classify.split import read_split
from embedkit.cleaning.plan import write_plan
from embedkit.results import ApplyReport


@pytest.fixture
def photos(workspace: Workspace, photos: Path) -> Path:
    """Photos of a workspace with a table of labels and customers: ``red/0.jpg`` is that of
    ``copy.jpg``, and ``red/1.jpg`` and ``near.jpg`` show the same."""
    shutil.copy(photos / "red/0.jpg", photos / "copy.jpg")
    draw_photo(50).save(photos / "red/1.jpg", quality=60)
    draw_photo(50).save(photos / "near.jpg", quality=80)
    (photos / "labels.csv").write_text(
        "path,label,customer\nred/0.jpg,cat,ann\nred/1.jpg,dog,bob\ncopy.jpg,,eve\n"
    )
    workspace.add(photos, labels_from_folders=True)
    workspace.labels.from_csv(photos / "labels.csv")
    return photos


def facts(workspace: Workspace, *paths: Path) -> list[tuple[Any, ...]]:
    """Return the label of each file, its source and the other columns, and its set of the split."""
    with workspace._catalog.read() as reader:
        found = reader.files.facts([str(path) for path in paths])
    parts = parts_of(workspace._catalog)
    return [
        (
            (one := found[str(path)]).label,
            one.source,
            one.attributes,
            parts.get(bytes.fromhex(one.sha256)),
        )
        for path in paths
    ]


def parts_of(catalog: Catalog) -> dict[bytes, str]:
    with catalog.read() as reader:
        if reader.splits.last() is None:
            return {}
        names = dict(reader.session.rows("SELECT image_id, sha256 FROM images"))
    _, sets = read_split(catalog)
    return {names[one]: name for name, part in sets.items() for one in part.ids.tolist()}


def apply(workspace: Workspace, photos: Path) -> ApplyReport:
    """Apply a plan that removes the labelled copies."""
    rows = [
        row(group, action, str(photos / name), sha256=sha256_of(photos / name), label=None)
        for group, action, name in (
            (1, "keep", "copy.jpg"),
            (1, "remove", "red/0.jpg"),
            (2, "keep", "near.jpg"),
            (2, "remove", "red/1.jpg"),
        )
    ]
    write_plan(photos.parent / "plan.csv", rows)
    report = workspace.load_plan(photos.parent / "plan.csv").apply()
    assert len(report.moved) == 2
    return report


REMOVED = ("red/0.jpg", "red/1.jpg")
OTHERS = ("copy.jpg", "near.jpg")


@pytest.mark.parametrize("forget", ["missing", "folder"])
def test_a_file_that_was_forgotten_has_its_facts_after_an_undo_and_an_add(
    workspace: Workspace, photos: Path, forget: str
) -> None:
    workspace.split(1, 1)
    workspace.verdicts.set("relabel=bird", photos / "red/1.jpg", new_label=True)
    before = facts(workspace, *(photos / name for name in REMOVED + OTHERS))
    split = workspace.last_split()
    assert before[0][:3] == ("cat", "csv", {"customer": "ann"}) and before[1][0] == "bird"
    assert before[0][3] and before[1][3]
    verdicts = workspace.verdicts.list()
    assert apply(workspace, photos).carried_over
    if forget == "missing":
        assert workspace.remove(missing=True).files == 2
    else:
        for name in REMOVED:
            assert workspace.remove(photos / name).files == 1
    workspace.compact()
    assert workspace.last_split().gone == 1  # the other image still has a file

    undone = run(workspace, "undo")
    assert "2 of them were forgotten meanwhile; 'embedkit add' adds them again" in undone.stdout
    workspace.add()
    assert facts(workspace, *(photos / name for name in REMOVED + OTHERS)) == before
    assert workspace.last_split() == split
    assert [item.verdict for item in workspace.verdicts.list()] == [
        item.verdict for item in verdicts
    ]
    workspace.verdicts.clear(photos / "red/1.jpg")
    assert facts(workspace, photos / "red/1.jpg")[0][:2] == ("dog", "csv"), "beneath the verdict"


def test_the_split_of_a_workspace_of_the_ninth_schema_step_is_kept(
    workspace: Workspace, photos: Path
) -> None:
    workspace.split(1, 1)
    split, parts = workspace.last_split(), parts_of(workspace._catalog)
    with duckdb.connect(str(workspace.folder / "catalog.duckdb")) as connection:
        undo_schema_steps(connection, after=9)
        assert connection.execute("SELECT image_id FROM parts").fetchall()
    assert workspace.last_split() == split and len(parts) > 4
    assert workspace.remove(photos / "red/1.jpg").images == 1
    assert len(parts_of(workspace._catalog)) == len(parts) - 1
    workspace.add()
    assert parts_of(workspace._catalog) == parts and workspace.last_split() == split


def test_facts_are_given_back_once(workspace: Workspace, photos: Path) -> None:
    apply(workspace, photos)
    workspace.remove(missing=True)
    workspace.undo()
    workspace.add()
    (photos / "labels.csv").write_text("path,label\nred/0.jpg,cow\n")
    workspace.labels.from_csv(photos / "labels.csv")
    after = facts(workspace, *(photos / name for name in REMOVED + OTHERS))
    assert after[0][0] == "cow"
    with workspace._catalog.write() as writer:
        writer.labels.remove([(str(photos / "red/1.jpg"), "dog", "csv")])
    workspace.undo()
    workspace.add()
    assert facts(workspace, photos / "red/0.jpg") == after[:1]
    assert facts(workspace, photos / "red/1.jpg")[0][:2] == ("red", "folder")


def test_facts_stay_with_the_bytes_when_another_photo_takes_the_place(
    workspace: Workspace, photos: Path
) -> None:
    place = photos / "red/0.jpg"
    before = facts(workspace, place)
    apply(workspace, photos)
    workspace.remove(missing=True)
    draw_photo(77).save(place)
    workspace.add()
    other = facts(workspace, place)
    assert other[0][:3] == ("red", "folder", {})
    report = workspace.undo()
    assert [item.path for item in report.skipped] == [str(place)]
    assert facts(workspace, place) == other
    place.rename(photos / "red/other.jpg")
    assert len(workspace.undo().restored) == 1
    workspace.add()
    assert facts(workspace, place) == before
    assert facts(workspace, photos / "red/other.jpg") == other


def test_files_that_are_not_forgotten_keep_their_facts(
    workspace: Workspace, photos: Path, catalog_rows: Callable[[Path], Any]
) -> None:
    before = catalog_rows(workspace.folder)
    apply(workspace, photos)
    assert workspace.undo().forgotten == ()
    assert catalog_rows(workspace.folder) == before
