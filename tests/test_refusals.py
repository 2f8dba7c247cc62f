"""Photos that ``apply`` leaves in place, because a verdict forbids to remove them."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from cleaning import row, run
from conftest import draw_photo

from embedkit import Workspace
from embedkit._internal.artifacts import sha256_of
from embedkit.cleaning.plan import PlanRow, write_plan


@pytest.fixture
def copies(workspace: Workspace, tmp_path: Path) -> Path:
    """A photo ``a.png`` with the same bytes as ``b.png``, and compressed as ``c.jpg``, ``d.jpg``
    (the same bytes) and ``e.jpg``; and another photo ``z.png``."""
    folder = tmp_path / "photos"
    folder.mkdir()
    draw_photo(1).save(folder / "a.png")
    shutil.copy(folder / "a.png", folder / "b.png")
    draw_photo(1).save(folder / "c.jpg", quality=60)
    shutil.copy(folder / "c.jpg", folder / "d.jpg")
    draw_photo(1).save(folder / "e.jpg", quality=70)
    draw_photo(2).save(folder / "z.png")
    workspace.add(folder)
    return folder


def plan(
    folder: Path, actions: Mapping[str, str], copy_of: Mapping[str, str], **values: object
) -> list[PlanRow]:
    """Write the plan of one group; return its rows."""
    rows = [
        replace(
            row(1, action, str(folder / name), sha256=sha256_of(folder / name), label=None),
            copy_of=str(folder / copy_of[name]) if name in copy_of else None,
            **values,  # type: ignore[arg-type]
        )
        for name, action in actions.items()
    ]
    write_plan(folder.parent / "plan.csv", rows)
    return rows


def outcome(workspace: Workspace, folder: Path) -> tuple[set[str], dict[str, str]]:
    """Apply the plan; return the names of the moved files, and the reasons of the others."""
    report = workspace.load_plan(folder.parent / "plan.csv").apply()
    moved = {Path(path).name for path in report.moved}
    assert not any((folder / name).exists() for name in moved)
    assert all(Path(item.path).exists() for item in report.skipped)
    return moved, {Path(item.path).name: item.reason for item in report.skipped}


def test_a_photo_that_was_kept_after_the_plan_stays_and_the_rest_goes(
    workspace: Workspace, copies: Path
) -> None:
    others = dict.fromkeys(("b.png", "c.jpg", "d.jpg", "e.jpg"), "remove")
    plan(copies, {"a.png": "keep", **others}, dict.fromkeys(others, "a.png"))
    workspace.verdicts.set("keep", copies / "c.jpg")
    done = run(workspace, "apply", copies.parent / "plan.csv", status=1)
    assert "2 files" in done.stdout and "c.jpg" in done.stderr
    assert "it has the verdict keep; to move it, change the verdict" in done.stderr
    assert {path.name for path in copies.iterdir()} == {"a.png", "c.jpg", "d.jpg", "z.png"}
    workspace.verdicts.clear(copies / "c.jpg")
    assert outcome(workspace, copies) == ({"c.jpg", "d.jpg"}, {})


def test_a_photo_that_is_different_from_the_kept_one_stays(
    workspace: Workspace, copies: Path
) -> None:
    others = dict.fromkeys(("b.png", "c.jpg", "e.jpg"), "remove")
    plan(copies, {"a.png": "keep", **others}, dict.fromkeys(others, "a.png"))
    workspace.verdicts.set("different", copies / "c.jpg", copies / "b.png")  # the bytes of a.png
    workspace.verdicts.set("different", copies / "c.jpg", copies / "e.jpg")
    workspace.verdicts.set("different", copies / "e.jpg", copies / "z.png")
    moved, skipped = outcome(workspace, copies)
    assert moved == {"b.png", "e.jpg"}
    assert skipped["c.jpg"].startswith(
        f"a verdict says that it is different from {copies / 'a.png'}; to move it, change"
    )
    workspace.verdicts.set("duplicate", copies / "c.jpg", copies / "a.png")
    assert outcome(workspace, copies) == ({"c.jpg"}, {})


def test_a_photo_stays_if_it_is_different_from_the_removed_one_that_it_was_compared_with(
    workspace: Workspace, copies: Path
) -> None:
    actions = {"a.png": "keep", "c.jpg": "remove", "e.jpg": "remove"}
    plan(copies, actions, {"c.jpg": "a.png", "e.jpg": "c.jpg"})
    workspace.verdicts.set("different", copies / "c.jpg", copies / "e.jpg")
    moved, skipped = outcome(workspace, copies)
    assert moved == {"c.jpg"} and "different from" in skipped["e.jpg"]


def test_a_copy_of_a_photo_that_stays_goes_unless_it_is_different_from_that(
    workspace: Workspace, copies: Path
) -> None:
    actions = {"a.png": "keep", "c.jpg": "remove", "e.jpg": "remove"}
    plan(copies, actions, {"c.jpg": "a.png", "e.jpg": "c.jpg"})
    workspace.verdicts.set("different", copies / "c.jpg", copies / "a.png")
    workspace.verdicts.set("different", copies / "e.jpg", copies / "a.png")
    moved, skipped = outcome(workspace, copies)
    assert moved == set() and skipped.keys() == {"c.jpg", "e.jpg"}
    workspace.verdicts.clear(copies / "e.jpg", copies / "a.png")
    moved, skipped = outcome(workspace, copies)
    assert moved == {"e.jpg"} and skipped.keys() == {"c.jpg"}, "c.jpg replaces it"


@pytest.mark.parametrize("verdict", ["relabel", "both", "different"])
def test_copies_whose_conflict_a_verdict_has_settled_stay(
    workspace: Workspace, copies: Path, verdict: str
) -> None:
    (copies / "labels.csv").write_text("path,label\na.png,cat\nc.jpg,dog\n")
    workspace.labels.from_csv(copies / "labels.csv")
    labels = {"a.png": "cat", "c.jpg": "dog"}
    rows = [
        replace(item, label=labels[Path(item.path).name])
        for item in plan(
            copies, dict.fromkeys(labels, "remove"), {}, kind="conflict", rule="drop-all"
        )
    ]
    write_plan(copies.parent / "plan.csv", rows)
    if verdict == "relabel":
        workspace.verdicts.set("relabel=cat", copies / "c.jpg")
    elif verdict == "both":
        workspace.verdicts.set("both", copies / "a.png")
        workspace.verdicts.set("both", copies / "c.jpg")
    else:
        workspace.verdicts.set("different", copies / "a.png", copies / "c.jpg")
    moved, skipped = outcome(workspace, copies)
    assert moved == set() and skipped.keys() == labels.keys()
    assert all("settled the conflict; make a new plan" in reason for reason in skipped.values())
    for name in labels:
        workspace.verdicts.clear(copies / name)
    workspace.verdicts.clear(copies / "a.png", copies / "c.jpg")
    workspace.verdicts.set("unsure", copies / "a.png")
    assert outcome(workspace, copies) == (labels.keys(), {})


def test_a_photo_that_was_moved_before_its_verdict_counts_as_moved(
    workspace: Workspace, copies: Path
) -> None:
    plan(copies, {"a.png": "keep", "b.png": "remove", "c.jpg": "remove"}, {"c.jpg": "a.png"})
    assert outcome(workspace, copies)[0] == {"b.png", "c.jpg"}
    workspace.verdicts.set("keep", copies / "a.png")
    report = workspace.load_plan(copies.parent / "plan.csv").apply()
    assert len(report.already_moved) == 2 and not report.skipped
    workspace.undo()
    moved, skipped = outcome(workspace, copies)
    assert moved == {"c.jpg"} and skipped.keys() == {"b.png"}


def test_a_link_in_the_place_of_a_copy_is_no_photo_to_keep(
    workspace: Workspace, copies: Path
) -> None:
    plan(copies, {"a.png": "keep", "b.png": "remove"}, {})
    loaded = workspace.load_plan(copies.parent / "plan.csv")
    assert len(loaded.apply(link="sym").linked) == 1
    workspace.verdicts.set("keep", copies / "a.png")
    report = loaded.apply(link="sym")
    assert len(report.already_moved) == 1 and not report.skipped
