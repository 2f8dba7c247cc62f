"""Removed files in the system's trash: a FreeDesktop trash in a temporary home folder."""

import errno
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cleaning import killed_at, put, row, run, sha256

from embedkit import Workspace
from embedkit.cleaning import trash as trashing
from embedkit.cleaning.apply import apply
from embedkit.cleaning.plan import PlanRow, read_plan, write_plan
from embedkit.cleaning.quarantine import quarantines
from embedkit.cleaning.undo import undo
from embedkit.errors import BadInput, StorageError
from embedkit.results import ApplyReport

HOSTILE = [
    "two words.jpg",
    "line\nbreak\r\n.jpg",
    "ラーメン.jpg",
    "caf\udce9.jpg",
    "100%.jpg",
    " .x.jpg",
]


@pytest.fixture(autouse=True)
def trash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the trash of a temporary home folder; send2trash reads its location when it is
    imported."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    forget_send2trash(monkeypatch)
    return tmp_path / "home/.local/share/Trash"


def forget_send2trash(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "send2trash"]:
        monkeypatch.delitem(sys.modules, name)


def discard(root: Path, rows: list[PlanRow]) -> ApplyReport:
    return apply(root, rows, to_trash=True)


def copies(folder: Path, names: list[str]) -> list[PlanRow]:
    """Return the rows of a file to keep, and of copies to remove in their own folders."""
    rows = [row(1, "keep", put(folder / "keep.jpg", b"picture"), b"picture")]
    for number, name in enumerate(names):
        path = put(os.path.join(folder, str(number), name), b"picture")
        rows.append(row(1, "remove", path, b"picture"))
    return rows


def put_back(report: ApplyReport) -> None:
    """Restore files from the trash as a file manager does."""
    for item in report.trashed:
        assert item.where is not None
        info = Path(os.path.dirname(os.path.dirname(item.where)), "info")
        os.rename(item.where, item.path)
        os.unlink(info / f"{os.path.basename(item.where)}.trashinfo")


def test_removed_files_go_to_the_trash_under_any_name(
    root: Path, tmp_path: Path, trash: Path
) -> None:
    rows = copies(tmp_path / "photos", [*HOSTILE, "twin.jpg", "twin.jpg", "a.b.jpg", "a.b.jpg"])
    times = {item.path: os.stat(item.path).st_mtime_ns for item in rows}
    report = discard(root, rows)
    assert not report.skipped and not report.moved
    assert [item.path for item in report.trashed] == [item.path for item in rows[1:]]
    assert report.bytes == 10 * len(b"picture")
    places = [item.where or "" for item in report.trashed]
    assert len(set(places)) == 10 and {os.path.dirname(p) for p in places} == {str(trash / "files")}
    for item in report.trashed:
        assert not os.path.lexists(item.path)
        assert Path(item.where or "").read_bytes() == b"picture"
        assert os.stat(item.where or "").st_mtime_ns == times[item.path]
    assert len(os.listdir(trash / "info")) == 10
    (listed,) = quarantines(root)
    assert (listed.files, listed.trashed, listed.deleted, listed.state) == (0, 10, 0, "applied")


def test_a_file_is_trashed_only_with_the_planned_bytes_and_while_a_kept_file_exists(
    root: Path, tmp_path: Path, trash: Path
) -> None:
    rows = copies(tmp_path / "photos", ["changed.jpg", "copy.jpg"])
    put(rows[1].path, b"edited!")
    report = discard(root, rows)
    assert [item.path for item in report.trashed] == [rows[2].path]
    assert [item.reason for item in report.skipped] == ["it has changed since the plan was made"]
    shutil.rmtree(trash)
    alone = copies(tmp_path / "others", ["copy.jpg"])
    os.unlink(alone[0].path)
    (skipped,) = discard(root, alone).skipped
    assert skipped.reason.startswith("none of the kept files that it is a copy of is intact")
    assert Path(alone[1].path).exists() and not trash.exists()


def test_a_file_that_changes_before_it_is_trashed_is_skipped(
    root: Path, tmp_path: Path, trash: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = copies(tmp_path / "photos", ["copy.jpg"])
    check = trashing.check_unchanged

    def edited(path: str, seen: os.stat_result) -> None:
        put(path, b"edited just now")
        check(path, seen)

    monkeypatch.setattr(trashing, "check_unchanged", edited)
    (skipped,) = discard(root, rows).skipped
    assert skipped.reason == "it changed while it was being moved"
    assert Path(rows[1].path).read_bytes() == b"edited just now" and not trash.exists()
    (listed,) = quarantines(root)
    assert (listed.trashed, listed.state) == (0, "applied")


def test_files_already_in_the_trash_are_counted_as_such(
    root: Path, tmp_path: Path, trash: Path
) -> None:
    rows = copies(tmp_path / "photos", ["copy.jpg", "other.jpg"])
    discard(root, rows)
    journal = next(root.glob("*/journal.jsonl"))
    written = journal.read_bytes()
    again = discard(root, rows)
    assert again.already_moved == tuple(item.path for item in rows[1:])
    assert (again.trashed, again.missing, again.skipped) == ((), (), ())
    assert journal.read_bytes() == written
    assert set(apply(root, rows).already_moved) == set(again.already_moved), "without --trash too"
    shutil.rmtree(trash)
    assert discard(root, rows).already_moved == again.already_moved


def test_files_trashed_by_another_program_count_as_removed_and_lost_files_as_missing(
    root: Path, tmp_path: Path
) -> None:
    rows = copies(tmp_path / "photos", ["trashed.jpg", "lost.jpg", "other content.jpg"])
    from send2trash import send2trash

    put(rows[3].path, b"another")
    for item in (rows[1], rows[3]):
        send2trash(item.path)
    os.unlink(rows[2].path)
    report = discard(root, rows)
    assert report.already_moved == (rows[1].path,)
    assert report.missing == (rows[2].path, rows[3].path)


def test_undo_says_where_in_the_trash_files_are(root: Path, tmp_path: Path) -> None:
    rows = copies(tmp_path / "photos", ["copy.jpg", "other.jpg"])
    report = discard(root, rows)
    journal = next(root.glob("*/journal.jsonl"))
    written = journal.read_bytes()
    back = undo(root)
    assert (back.restored, back.already_back) == ((), ())
    reasons = {item.path: item.reason for item in back.skipped}
    for item in report.trashed:
        assert reasons[item.path] == f"in the trash, as {item.where}; restore it from there"
    assert journal.read_bytes() == written, "nothing was done"

    put(rows[1].path, b"another")
    os.unlink(report.trashed[1].where or "")
    reasons = {item.path: item.reason for item in undo(root).skipped}
    assert reasons[rows[1].path].endswith("restore it from there; another file is in its place")
    assert reasons[rows[2].path] == "it was moved to the trash, and is no longer there"


def test_undo_recognises_files_restored_by_the_user(root: Path, tmp_path: Path) -> None:
    rows = copies(tmp_path / "photos", ["copy.jpg", "other.jpg"])
    report = discard(root, rows)
    put_back(replace(report, trashed=report.trashed[:1]))
    back = undo(root)
    assert back.already_back == (rows[1].path,) and [item.path for item in back.skipped] == [
        rows[2].path
    ]
    assert quarantines(root)[0].trashed == 1
    put_back(replace(report, trashed=report.trashed[1:]))
    back = undo(root)
    assert back.already_back == (rows[1].path, rows[2].path) and not back.skipped
    assert [(item.trashed, item.state) for item in quarantines(root)] == [(0, "undone")]
    assert len(discard(root, rows).trashed) == 2, "they can be trashed again"


def test_undo_finds_a_file_that_the_user_moved_within_the_trash(
    root: Path, tmp_path: Path, trash: Path
) -> None:
    rows = copies(tmp_path / "photos", ["copy.jpg"])
    where = Path(discard(root, rows).trashed[0].where or "")
    os.rename(where, trash / "files/copy 7.jpg")
    os.rename(trash / "info/copy.jpg.trashinfo", trash / "info/copy 7.jpg.trashinfo")
    assert "Trash/files/copy 7.jpg;" in undo(root).skipped[0].reason


def test_a_plan_half_in_quarantine_continues_to_the_trash(root: Path, tmp_path: Path) -> None:
    rows = copies(tmp_path / "photos", ["copy.jpg", "other.jpg"])
    put(rows[2].path, b"edited!")
    assert apply(root, rows).moved == (rows[1].path,)
    put(rows[2].path, b"picture")
    report = discard(root, rows)
    assert report.already_moved == (rows[1].path,)
    assert [item.path for item in report.trashed] == [rows[2].path]
    (listed,) = quarantines(root)
    assert (listed.files, listed.trashed) == (1, 1)
    back = undo(root)
    assert back.restored == (rows[1].path,) and [item.path for item in back.skipped] == [
        rows[2].path
    ]
    assert quarantines(root)[0].state == "partly undone"


# -- killed at any step ----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_run_killed_anywhere_is_finished_by_the_same_command(
    root: Path, small: tuple[Path, list[PlanRow]], trash: Path
) -> None:
    _, rows = small
    removed = [item for item in rows if item.action == "remove"]
    step = 1
    while killed_at(step, lambda: discard(root, rows)):
        in_trash = {sha256(path.read_bytes()) for path in trash.glob("files/*")}
        for item in rows:
            if os.path.lexists(item.path):
                assert sha256(Path(item.path).read_bytes()) == item.sha256, step
            else:
                assert item in removed and item.sha256 in in_trash, step
        if root.exists() and quarantines(root):
            away = {item.path for item in undo(root).skipped}
            assert away == {item.path for item in removed if not os.path.exists(item.path)}, step
        report = discard(root, rows)
        assert not report.skipped and not report.missing, step
        assert len(report.trashed) + len(report.already_moved) == 3
        (listed,) = quarantines(root)
        assert (listed.state, listed.trashed) == ("applied", 3)
        for left in undo(root).skipped:
            where = left.reason.removeprefix("in the trash, as ").partition(";")[0]
            found = [f for f in trash.glob("files/*") if repr(f.name)[1:-1] in where]
            assert found, left.reason
            os.rename(found[0], left.path)
        assert len(undo(root).already_back) == 3
        shutil.rmtree(root)
        shutil.rmtree(trash)
        step += 1
    assert step > 12


# -- where there is no trash -----------------------------------------------------------------------


def skipped_reason(root: Path, rows: list[PlanRow]) -> str:
    """Return the one reason why all files to remove were skipped; check that they are in place."""
    report = discard(root, rows)
    assert not report.trashed and not report.moved
    assert [item.path for item in report.skipped] == [i.path for i in rows if i.action == "remove"]
    for item in rows:
        assert sha256(Path(item.path).read_bytes()) == item.sha256
    (reason,) = {item.reason for item in report.skipped}
    assert "omit --trash to move it to quarantine" in reason
    assert quarantines(root)[0].trashed == 0 and not undo(root).skipped
    return reason


def test_without_a_home_folder_nothing_is_trashed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    rows = copies(tmp_path / "photos", ["copy.jpg", "other.jpg"])
    assert "no trash, as the home folder" in skipped_reason(root, rows)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("value", ["", "relative"])
def test_a_relative_data_folder_is_an_error(
    value: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", value)
    monkeypatch.chdir(tmp_path)
    rows = copies(tmp_path / "photos", ["copy.jpg", "other.jpg"])
    assert "XDG_DATA_HOME is not an absolute path" in skipped_reason(root, rows)
    assert sorted(os.listdir(tmp_path)) == ["home", "photos", "workspace"]


def test_another_disk_has_its_own_trash(
    root: Path, tmp_path: Path, mount: Callable[[Path, str], None], trash: Path
) -> None:
    mount(tmp_path / "disk", "1m")
    rows = copies(tmp_path / "disk/photos", ["copy.jpg", "日\n.jpg"])
    report = discard(root, rows)
    assert [os.path.dirname(item.where or "") for item in report.trashed] == [
        str(tmp_path / f"disk/.Trash-{os.getuid()}/files")
    ] * 2
    assert not trash.exists()
    assert discard(root, rows).already_moved == (rows[1].path, rows[2].path)
    assert len(undo(root).skipped) == 2


def test_files_stay_on_a_disk_where_no_trash_can_be_created(
    root: Path, tmp_path: Path, mount: Callable[[Path, str], None]
) -> None:
    mount(tmp_path / "disk", "1m")
    put(tmp_path / f"disk/.Trash-{os.getuid()}", b"not a folder")
    rows = copies(tmp_path / "disk/photos", ["copy.jpg", "other.jpg"])
    assert "the trash does not accept it (Not a directory)" in skipped_reason(root, rows)


def test_files_stay_on_a_disk_where_no_trash_may_be_created(
    root: Path, tmp_path: Path, mount: Callable[[Path, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mount(tmp_path / "disk", "1m")
    rows = copies(tmp_path / "disk/photos", ["copy.jpg", "other.jpg"])
    makedirs = os.makedirs

    def refused(path: str, *args: object, **options: object) -> None:
        if b".Trash-" in os.fsencode(path):
            raise OSError(errno.EACCES, "Permission denied", path)
        makedirs(path, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "makedirs", refused)
    assert "its disk has no trash, and none can be made there" in skipped_reason(root, rows)


def test_a_file_with_a_name_too_long_for_the_trash_is_skipped(root: Path, tmp_path: Path) -> None:
    rows = copies(tmp_path / "photos", ["x" * 251 + ".jpg"])
    assert "the trash does not accept it (File name too long)" in skipped_reason(root, rows)


def test_a_copy_in_a_trash_on_another_disk_is_flushed(
    root: Path,
    tmp_path: Path,
    mount: Callable[[Path, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mount(tmp_path / "data", "1m")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    rows = copies(tmp_path / "photos", ["copy.jpg"])
    flushed = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        flushed.append(os.fstat(descriptor).st_dev)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    (item,) = discard(root, rows).trashed
    assert item.where is not None and item.where.startswith(str(tmp_path / "data/Trash/files/"))
    assert Path(item.where).read_bytes() == b"picture"
    assert os.stat(tmp_path / "data").st_dev in flushed


def test_a_full_disk_stops_in_one_line_and_loses_nothing(
    root: Path, tmp_path: Path, mount: Callable[[Path, str], None]
) -> None:
    mount(tmp_path / "disk", "1m")
    rows = copies(tmp_path / "disk/photos", ["copy.jpg"])
    os.makedirs(tmp_path / f"disk/.Trash-{os.getuid()}/files")
    os.makedirs(tmp_path / f"disk/.Trash-{os.getuid()}/info")
    with pytest.raises(OSError, match="No space left"), open(tmp_path / "disk/fill", "wb") as fill:
        while True:
            fill.write(b"x" * 4096)
    with pytest.raises(StorageError, match="No space left on device; no file is lost"):
        discard(root, rows)
    assert Path(rows[1].path).read_bytes() == b"picture"
    os.unlink(tmp_path / "disk/fill")
    assert len(discard(root, rows).trashed) == 1


def test_undo_reports_files_in_a_trash_whose_location_is_unknown(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = copies(tmp_path / "photos", ["copy.jpg"])
    monkeypatch.setattr(trashing, "IS_FREEDESKTOP", False)
    report = discard(root, rows)
    assert [(item.path, item.where) for item in report.trashed] == [(rows[1].path, None)]
    assert discard(root, rows).already_moved == (rows[1].path,)
    assert undo(root).skipped[0].reason == "in the trash of this system; restore it from there"


# -- the command -----------------------------------------------------------------------------------


def test_the_commands_say_what_is_in_the_trash(
    filled: tuple[Workspace, Path], photos: Path, trash: Path
) -> None:
    workspace, plan = filled
    copy = photos / "blue/copy of 0.jpg"
    output = run(workspace, "apply", plan, "--trash").stdout
    assert output.startswith("1 file, ") and "kB, moved to the trash" in output
    assert workspace.info().missing == 1
    report = json.loads(run(workspace, "apply", plan, "--trash", "--json").stdout)
    assert (report["already_moved"], report["trashed"]) == ([str(copy)], [])
    (listed,) = json.loads(run(workspace, "quarantine", "list", "--json").stdout)["quarantines"]
    assert (listed["files"], listed["trashed"]) == (0, 1)
    output = run(workspace, "undo", status=1)
    where = trash / "files/copy of 0.jpg"
    assert f"not put back: {copy}: in the trash, as {where}; restore" in output.stderr
    os.rename(where, copy)
    assert "1 file already back in place" in run(workspace, "undo").stdout
    assert workspace.info().missing == 0


def test_a_cause_is_reported_in_one_line(
    workspace: Workspace, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "nowhere"))
    for number in range(5):
        shutil.copy2(photos / "red/0.jpg", photos / f"red/copy {number}.jpg")
    workspace.add([photos])
    write_plan(tmp_path / "plan.csv", workspace.clean(["exact"]))
    assert sum(item.action == "remove" for item in read_plan(tmp_path / "plan.csv")) == 5
    output = run(workspace, "apply", tmp_path / "plan.csv", "--trash", status=1)
    (line,) = output.stderr.strip().splitlines()
    assert " and 2 more: there is no trash, as the home folder" in line
    assert workspace.info().missing == 0


def test_links_and_trash_cannot_be_combined(filled: tuple[Workspace, Path]) -> None:
    workspace, plan = filled
    with pytest.raises(BadInput, match="either link or trash"):
        workspace.load_plan(plan).apply(trash=True, link="hard")
    run(workspace, "apply", plan, "--trash", "--link", "sym", status=2)
