"""Files in quarantine that are deleted permanently, and those that must not be."""

import errno
import json
import os
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
from cleaning import contents, killed_at, put, row, run, sha256

from embedkit import Workspace
from embedkit._internal.artifacts import sha256_of
from embedkit.cleaning.apply import apply
from embedkit.cleaning.empty import empty
from embedkit.cleaning.plan import PlanRow, read_plan, write_plan
from embedkit.cleaning.quarantine import quarantines
from embedkit.cleaning.undo import undo
from embedkit.errors import BadInput, NotInWorkspace, QuarantineBusy, StorageError

HOUR = timedelta(hours=1)
NOW = timedelta()


@pytest.fixture
def applied(root: Path, small: tuple[Path, list[PlanRow]]) -> tuple[str, list[PlanRow]]:
    """Return the id and the rows of an applied plan: a kept file, two copies, and a dropped
    file."""
    _, rows = small
    return apply(root, rows).quarantine, rows


def aged(root: Path, quarantine: str, days: int) -> None:
    """Make a plan look as if it was applied some days earlier."""
    journal = root / quarantine / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text("ascii").splitlines()]
    for line in lines:
        at = datetime.fromisoformat(line["at"]) - timedelta(days=days)
        line["at"] = at.isoformat()
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines), "ascii")


def test_a_named_quarantine_is_emptied(root: Path, applied: tuple[str, list[PlanRow]]) -> None:
    name, rows = applied
    report = empty(root, name)
    assert report.quarantines == (name,) and not report.skipped and not report.dry_run
    assert set(report.deleted) == {item.path for item in rows[1:]}
    assert report.bytes == 2 * len(b"one") + len(b"two")
    assert os.listdir(root / name / "files") == []
    (listed,) = quarantines(root)
    assert (listed.files, listed.deleted, listed.state) == (0, 3, "emptied")
    again = empty(root, name)
    assert (again.quarantines, again.deleted, again.skipped) == ((), (), ())


def test_a_dry_run_reports_the_same_and_deletes_nothing(
    root: Path, applied: tuple[str, list[PlanRow]]
) -> None:
    name, rows = applied
    before = contents(root)
    os.unlink(rows[0].path)
    dry = empty(root, name, dry_run=True)
    assert dry.dry_run and dry.deleted == (rows[3].path,) and len(dry.skipped) == 2
    assert contents(root) == before
    wet = empty(root, name)
    assert (wet.deleted, wet.skipped, wet.bytes) == (dry.deleted, dry.skipped, dry.bytes)


def test_only_older_plans_are_emptied(root: Path, tmp_path: Path) -> None:
    names = []
    for number in range(3):
        keep, copy = (put(tmp_path / f"{number}/{name}.jpg", b"x") for name in ("keep", "copy"))
        rows = [row(number, "keep", keep, b"x"), row(number, "remove", copy, b"x")]
        names.append(apply(root, rows).quarantine)
    aged(root, names[0], 40)
    aged(root, names[1], 10)
    assert empty(root, None, timedelta(days=41)).quarantines == ()
    assert empty(root, names[1], timedelta(days=30)).quarantines == (), "not old enough"
    assert empty(root, None, timedelta(days=30)).quarantines == (names[0],)
    assert empty(root, None, HOUR).quarantines == (names[1],)
    assert [item.files for item in quarantines(root)] == [1, 0, 0]
    assert empty(root, None, NOW).quarantines == (names[2],)


def test_a_plan_of_unknown_age_is_emptied_only_by_its_id(
    root: Path, applied: tuple[str, list[PlanRow]]
) -> None:
    name, _ = applied
    (root / name / "journal.jsonl").unlink()
    assert empty(root, None, NOW).quarantines == ()
    assert {item.reason for item in empty(root, name).skipped} == {
        "the journal does not contain its original path"
    }
    assert len(os.listdir(root / name / "files")) == 3


def test_nothing_is_emptied_by_accident(root: Path, applied: tuple[str, list[PlanRow]]) -> None:
    name, _ = applied
    with pytest.raises(BadInput, match="no quarantine was chosen"):
        empty(root)
    for unknown in ("nope", "..", "", f"{name}/files"):
        with pytest.raises(NotInWorkspace, match="there is no quarantine called"):
            empty(root, unknown)
    assert quarantines(root)[0].files == 3


# -- the last intact copy --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (os.unlink, "No such file"),
        (lambda path: put(path, b"edited"), "has changed since the plan was made"),
        (lambda path: (os.unlink(path), os.symlink("gone", path)), "No such file"),
        (lambda path: (os.unlink(path), os.mkdir(path)), "not a regular file"),
    ],
)
def test_the_last_intact_copy_of_a_group_is_not_deleted(
    root: Path,
    applied: tuple[str, list[PlanRow]],
    damage: Callable[[str], object],
    why: str,
) -> None:
    name, rows = applied
    damage(rows[0].path)
    report = empty(root, name)
    assert {item.path for item in report.skipped} == {rows[1].path, rows[2].path}
    assert all(
        "none of the kept files that it is a copy of is intact" in i.reason for i in report.skipped
    )
    assert all(why in item.reason for item in report.skipped)
    assert report.deleted == (rows[3].path,)
    assert [item.state for item in quarantines(root)] == ["partly emptied"]
    back = undo(root)
    assert set(back.restored) == {rows[1].path, rows[2].path}
    assert Path(rows[1].path).read_bytes() == b"one"


def test_a_link_into_the_quarantine_does_not_count_as_a_kept_file(
    root: Path, applied: tuple[str, list[PlanRow]]
) -> None:
    name, rows = applied
    os.unlink(rows[0].path)
    os.symlink(root / name / "files/000002", rows[0].path)
    assert len(empty(root, name).skipped) == 2
    assert Path(rows[0].path).read_bytes() == b"one"


def test_a_file_removed_by_another_plan_does_not_count_as_a_kept_file(
    root: Path, applied: tuple[str, list[PlanRow]], tmp_path: Path
) -> None:
    name, rows = applied
    other = put(tmp_path / "photos/other.jpg", b"better")
    second = apply(
        root, [row(5, "keep", other, b"better"), row(5, "remove", rows[0].path, b"one")]
    ).quarantine
    assert {item.path for item in empty(root, name).skipped} == {rows[1].path, rows[2].path}
    assert empty(root, second).deleted == (rows[0].path,)
    assert len(empty(root, name).skipped) == 2, "now they are the last copies"


def test_a_kept_file_that_vanishes_stops_the_deletion(
    root: Path, applied: tuple[str, list[PlanRow]], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, rows = applied
    unlink = os.unlink

    def remove_kept_file(path: str) -> None:
        unlink(path)
        if os.path.exists(rows[0].path) and "files" in os.fspath(path):
            unlink(rows[0].path)

    monkeypatch.setattr(os, "unlink", remove_kept_file)
    report = empty(root, name)
    assert set(report.deleted) == {rows[1].path, rows[3].path}
    assert ["which is kept, has changed meanwhile" in item.reason for item in report.skipped] == [
        True
    ]
    assert (root / name / "files/000003").read_bytes() == b"one"


def test_a_drop_all_group_is_deleted_only_by_id(
    root: Path, applied: tuple[str, list[PlanRow]]
) -> None:
    name, rows = applied
    report = empty(root, None, NOW)
    assert set(report.deleted) == {rows[1].path, rows[2].path}
    assert [(item.path, item.reason) for item in report.skipped] == [
        (
            rows[3].path,
            f"it may be the last copy; name the quarantine, {name}, to delete it",
        )
    ]
    assert empty(root, name).deleted == (rows[3].path,)


def test_a_renamed_kept_file_counts_if_the_workspace_knows_it(
    root: Path, applied: tuple[str, list[PlanRow]], tmp_path: Path
) -> None:
    name, rows = applied
    renamed = str(tmp_path / "photos/renamed.jpg")
    os.rename(rows[0].path, renamed)
    assert len(empty(root, name).skipped) == 2
    requested: list[str] = []

    def located(sha256s: list[str]) -> dict[str, list[str]]:
        requested.extend(sha256s)
        return {rows[0].sha256: ["/gone.jpg", str(root / name / "files/000002"), renamed]}

    known = Mock(located=located)
    assert len(empty(root, name, facts_of=lambda _: known).deleted) == 2
    assert requested == [sha256(b"one")]


def test_a_plan_that_was_edited_in_the_quarantine_deletes_nothing(
    root: Path, applied: tuple[str, list[PlanRow]]
) -> None:
    name, _ = applied
    plan = root / name / "plan.csv"
    rows = read_plan(plan)
    for edited in ([rows[0], rows[3], rows[1], rows[2]], rows[:1]):
        write_plan(plan, edited)
        report = empty(root, name)
        assert report.deleted == ()
        assert all("is not the plan that was applied" in item.reason for item in report.skipped)
    plan.write_bytes(b"nonsense")
    assert len(empty(root, name).skipped) == 3
    assert len(os.listdir(root / name / "files")) == 3


def test_a_file_with_other_hard_links_frees_nothing(root: Path, tmp_path: Path) -> None:
    keep, copy = (str(tmp_path / f"{name}.jpg") for name in ("keep", "copy"))
    put(keep, b"picture")
    os.link(keep, copy)
    rows = [row(1, "keep", keep, b"picture"), row(1, "remove", copy, b"picture")]
    report = empty(root, apply(root, rows).quarantine)
    assert (report.deleted, report.bytes) == ((copy,), 0)
    assert Path(keep).read_bytes() == b"picture"


# -- afterwards ------------------------------------------------------------------------------------


def test_undo_says_when_files_were_deleted(root: Path, applied: tuple[str, list[PlanRow]]) -> None:
    name, rows = applied
    empty(root, name)
    journal = root / name / "journal.jsonl"
    written = journal.read_bytes()
    day = json.loads(written.splitlines()[-1])["at"][:10]
    report = undo(root)
    assert report.restored == () and {item.path for item in report.skipped} == {
        item.path for item in rows[1:]
    }
    (reason,) = {item.reason for item in report.skipped}
    assert reason.startswith("deleted on ") and reason.endswith(" by 'quarantine empty'")
    assert abs(int(reason[11:15]) - int(day[:4])) <= 1
    assert journal.read_bytes() == written
    put(rows[1].path, b"one")
    report = undo(root, name)
    assert report.already_back == (rows[1].path,) and len(report.skipped) == 2


def test_applying_a_plan_again_counts_what_was_deleted(
    root: Path, applied: tuple[str, list[PlanRow]]
) -> None:
    name, rows = applied
    empty(root, name)
    report = apply(root, rows)
    assert set(report.already_moved) == {item.path for item in rows[1:]}
    put(rows[1].path, b"one")
    assert apply(root, rows).moved == (rows[1].path,)
    assert quarantines(root)[0].state == "applied"
    report = undo(root)
    assert report.restored == (rows[1].path,) and len(report.skipped) == 2
    assert quarantines(root)[0].state == "partly undone"


def test_undo_reverts_the_last_plan_with_files(root: Path, tmp_path: Path) -> None:
    names = []
    for number in range(2):
        keep, copy = (put(tmp_path / f"{number}/{name}.jpg", b"x") for name in ("keep", "copy"))
        rows = [row(number, "keep", keep, b"x"), row(number, "remove", copy, b"x")]
        names.append(apply(root, rows).quarantine)
    empty(root, names[1])
    assert undo(root).quarantine == names[0]


# -- killed, full disk, concurrent -----------------------------------------------------------------


@pytest.mark.slow
def test_an_emptying_killed_anywhere_is_finished_or_the_remaining_files_are_restored(
    root: Path, small: tuple[Path, list[PlanRow]]
) -> None:
    folder, rows = small
    before = contents(folder)
    name = apply(root, rows).quarantine
    saved = root.parent / "saved"
    shutil.copytree(root, saved)
    step = 1
    while killed_at(step, lambda: empty(root, name)):
        assert Path(rows[0].path).read_bytes() == b"one"
        stored = len(os.listdir(root / name / "files"))
        report = undo(root, name)
        assert len(report.restored) == stored, step
        assert len(report.skipped) == 3 - stored
        assert all("deleted on" in item.reason for item in report.skipped)
        for item in rows[1:]:
            put(item.path, b"two" if item.rule == "drop-all" else b"one")
            os.chmod(item.path, 0o644)
        assert contents(folder) == before
        for item in rows[1:]:
            os.unlink(item.path)
        shutil.rmtree(root)
        shutil.copytree(saved, root)
        assert killed_at(step, lambda: empty(root, name))
        empty(root, name)
        (listed,) = quarantines(root)
        assert (listed.files, listed.deleted, listed.state) == (0, 3, "emptied"), step
        shutil.rmtree(root)
        shutil.copytree(saved, root)
        step += 1
    assert step > 5


def test_a_full_disk_for_the_journal_deletes_nothing(
    root: Path, applied: tuple[str, list[PlanRow]], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, _ = applied

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left on device; no file is lost"):
        empty(root, name)
    assert len(os.listdir(root / name / "files")) == 3
    monkeypatch.undo()
    assert len(empty(root, name).deleted) == 3


def test_files_that_cannot_be_deleted_are_skipped(
    root: Path, applied: tuple[str, list[PlanRow]], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, rows = applied
    unlink = os.unlink

    def refused(path: str) -> None:
        if os.fspath(path).endswith("000002"):
            raise OSError(errno.EROFS, "Read-only file system")
        unlink(path)

    monkeypatch.setattr(os, "unlink", refused)
    (skipped,) = empty(root, name).skipped
    assert (skipped.path, skipped.reason) == (rows[1].path, "Read-only file system")


def test_concurrent_runs_exclude_each_other(root: Path, applied: tuple[str, list[PlanRow]]) -> None:
    name, rows = applied
    met: list[bool] = []

    def meanwhile(_: object) -> None:
        for act in (
            lambda: apply(root, rows, to_trash=True),
            lambda: undo(root),
            lambda: empty(root, name),
        ):
            with pytest.raises(QuarantineBusy, match="try again when it has ended"):
                act()
        met.append(True)

    assert len(empty(root, name, None, meanwhile).deleted) == 3 and met


# -- the workspace and the command -----------------------------------------------------------------


def test_the_workspace_finds_a_kept_file_under_its_new_name(
    filled: tuple[Workspace, Path], photos: Path
) -> None:
    workspace, plan = filled
    name = workspace.load_plan(plan).apply().quarantine
    os.rename(photos / "red/0.jpg", photos / "blue/renamed.jpg")
    (skipped,) = workspace.quarantine.empty(name).skipped
    assert "none of the kept files that it is a copy of is intact" in skipped.reason
    workspace.add()
    assert workspace.quarantine.empty(name).deleted == (str(photos / "blue/copy of 0.jpg"),)


def test_the_command_frees_space_and_reports_how_much(
    filled: tuple[Workspace, Path], photos: Path
) -> None:
    workspace, plan = filled
    assert (
        "no such plan has files in quarantine"
        in run(workspace, "quarantine", "empty", "--older-than", "30").stdout
    )
    assert not (workspace.folder / "quarantine").exists()
    size = (photos / "blue/copy of 0.jpg").stat().st_size
    run(workspace, "apply", plan)
    for words in (["0.5h"], ["30d"], ["30"], ["12H"]):
        output = run(workspace, "quarantine", "empty", "--older-than", *words).stdout
        assert "nothing was deleted" in output
    assert "no quarantine was chosen" in run(workspace, "quarantine", "empty", status=2).stderr
    for wrong in ("a month", "-1", "1w", "", "1e3", "nan"):
        output = run(workspace, "quarantine", "empty", "--older-than", wrong, status=2).stderr
        assert "is not an age; give days (30 or 30d) or hours (12h)" in output
    dry = run(workspace, "quarantine", "empty", "--older-than", "0", "--dry-run").stdout
    assert dry.startswith("1 file would be deleted, ") and "kB to be freed" in dry
    report = json.loads(run(workspace, "quarantine", "empty", "--older-than", "0", "--json").stdout)
    assert report["deleted"] == [str(photos / "blue/copy of 0.jpg")] and report["bytes"] == size
    output = run(workspace, "undo", status=1).stderr
    assert "copy of 0.jpg: deleted on 20" in output
    assert "emptied" in run(workspace, "quarantine", "list").stdout


def test_the_exit_status_is_1_when_a_file_stays(
    filled: tuple[Workspace, Path], photos: Path
) -> None:
    workspace, plan = filled
    more = photos / "red/1.jpg"
    dropped = row(2, "remove", str(more), sha256=sha256_of(more), rule="drop-all")
    write_plan(plan, [*read_plan(plan), dropped])
    name = json.loads(run(workspace, "apply", plan, "--json").stdout)["quarantine"]
    output = run(workspace, "quarantine", "empty", "--older-than", "0", status=1)
    assert f"stays in quarantine: {more}: it may be the last copy" in output.stderr
    assert "1 file deleted permanently" in output.stdout
    assert "1 file deleted permanently" in run(workspace, "quarantine", "empty", name).stdout
    assert "no quarantine called" in run(workspace, "quarantine", "empty", "x", status=2).stderr
