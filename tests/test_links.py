"""Removed copies that are replaced by links to the kept file."""

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from cleaning import contents, killed_at, put, row, run, sha256

from embedkit import Workspace
from embedkit._internal.artifacts import sha256_of, sweep
from embedkit.cleaning import file_moves
from embedkit.cleaning.apply import apply
from embedkit.cleaning.empty import empty
from embedkit.cleaning.plan import PlanRow, write_plan
from embedkit.cleaning.quarantine import quarantines
from embedkit.cleaning.undo import undo
from embedkit.errors import BadInput, StorageError


@pytest.fixture(params=["hard", "sym"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def group(tmp_path: Path) -> list[PlanRow]:
    """Return the rows of a file to keep, two copies with their own times and modes, and a smaller
    one."""
    folder = tmp_path / "photos"
    keep = put(folder / "a/keep\n.jpg", b"picture")
    rows = [row(1, "keep", keep, b"picture")]
    for number, name in enumerate(("b/two words.jpg", "写真/日.jpg")):
        path = put(folder / name, b"picture", 1_400_000_000_000_000_000 + number)
        os.chmod(path, 0o640)
        rows.append(row(1, "remove", path, b"picture"))
    small = put(folder / "c/small.jpg", b"small")
    return [*rows, row(1, "remove", small, b"small", kind="combined", score=0.95)]


def is_link(path: str, keep: str, kind: str) -> bool:
    """Return whether a path is a link of the given kind to the kept file."""
    if kind == "sym":
        return os.path.islink(path) and os.path.realpath(path) == os.path.realpath(keep)
    return not os.path.islink(path) and os.path.samefile(path, keep)


def test_exact_copies_become_links_and_others_are_moved(
    kind: str, root: Path, tmp_path: Path, group: list[PlanRow]
) -> None:
    before = contents(tmp_path / "photos")
    report = apply(root, group, link=kind)
    assert report.linked == (group[1].path, group[2].path)
    assert report.moved == (group[3].path,) and not report.skipped
    assert report.bytes == 2 * len(b"picture") + len(b"small")
    for item in group[1:3]:
        assert is_link(item.path, group[0].path, kind)
        assert Path(item.path).read_bytes() == b"picture"
    assert not os.path.lexists(group[3].path)
    assert quarantines(root)[0].files == 3

    again = apply(root, group, link=kind)
    assert set(again.already_moved) == {item.path for item in group[1:]} and not again.skipped
    assert set(apply(root, group).already_moved) == set(again.already_moved), (
        "without --link they are not moved either"
    )
    assert is_link(group[1].path, group[0].path, kind)

    back = undo(root)
    assert set(back.restored) == set(again.already_moved) and not back.skipped
    assert contents(tmp_path / "photos") == before
    assert quarantines(root)[0].state == "undone"
    assert len(apply(root, group, link=kind).linked) == 2, "links can be made again"


def test_links_work_on_every_kind_of_device(
    device: str, root: Path, tmp_path: Path, group: list[PlanRow]
) -> None:
    before = contents(tmp_path / "photos")
    assert len(apply(root, group, link="sym").linked) == 2, device
    assert len(undo(root).restored) == 3
    assert contents(tmp_path / "photos") == before


def test_a_symbolic_link_is_relative_so_that_a_collection_can_be_moved(
    root: Path, tmp_path: Path, group: list[PlanRow]
) -> None:
    apply(root, group, link="sym")
    assert os.readlink(group[1].path) == "../a/keep\n.jpg"
    os.rename(tmp_path / "photos", tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere/b/two words.jpg").read_bytes() == b"picture"


def test_a_relative_link_in_a_linked_folder_leads_to_the_file(
    root: Path, tmp_path: Path, group: list[PlanRow]
) -> None:
    os.makedirs(tmp_path / "far/away")
    os.rename(tmp_path / "photos/b", tmp_path / "far/away/b")
    os.symlink(tmp_path / "far/away/b", tmp_path / "photos/b")
    apply(root, group, link="sym")
    assert os.readlink(group[1].path) == "../../../photos/a/keep\n.jpg"
    assert Path(group[1].path).read_bytes() == b"picture"


def test_links_point_to_the_real_file_if_the_kept_one_is_a_link(
    kind: str, root: Path, tmp_path: Path, group: list[PlanRow]
) -> None:
    os.rename(group[0].path, tmp_path / "real.jpg")
    os.symlink(tmp_path / "real.jpg", group[0].path)
    assert len(apply(root, group, link=kind).linked) == 2
    os.unlink(group[0].path)
    assert is_link(group[1].path, str(tmp_path / "real.jpg"), kind)


def test_a_copy_of_another_kept_file_becomes_a_link_to_that_one(
    kind: str, root: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "photos"
    best, other, copy = (
        put(folder / f"{name}.jpg", content)
        for name, content in (("best", b"better"), ("other", b"worse"), ("copy", b"worse"))
    )
    rows = [
        row(1, "keep", best, b"better"),
        row(1, "keep", other, b"worse"),
        row(1, "remove", copy, b"worse"),
    ]
    assert apply(root, rows, link=kind).linked == (copy,)
    assert is_link(copy, other, kind)


def test_a_group_without_a_kept_file_is_moved_without_links(root: Path, tmp_path: Path) -> None:
    paths = [put(tmp_path / f"photos/{name}/x.jpg", b"x") for name in "ab"]
    rows = [row(1, "remove", path, b"x", rule="drop-all") for path in paths]
    report = apply(root, rows, link="hard")
    assert report.moved == tuple(paths) and report.linked == ()


def test_a_file_stays_if_a_hard_link_would_cross_devices(
    root: Path, tmp_path: Path, group: list[PlanRow], mount: Callable[[Path, str], None]
) -> None:
    mount(tmp_path / "disk", "1m")
    rows = [replace(group[0], path=put(tmp_path / "disk/keep.jpg", b"picture")), *group[1:]]
    report = apply(root, rows, link="hard")
    assert [item.path for item in report.skipped] == [group[1].path, group[2].path]
    (reason,) = {item.reason for item in report.skipped}
    assert "on another device, and hard links cannot cross devices; use '--link sym'" in reason
    assert Path(group[1].path).read_bytes() == b"picture" and report.moved == (group[3].path,)
    assert apply(root, rows, link="sym").linked == (group[1].path, group[2].path)
    assert os.readlink(group[1].path) == rows[0].path, "absolute"
    assert undo(root).skipped == ()


def test_a_copy_that_is_already_a_hard_link_is_skipped(root: Path, group: list[PlanRow]) -> None:
    os.unlink(group[1].path)
    os.link(group[0].path, group[1].path)
    report = apply(root, group, link="hard")
    assert report.linked == (group[2].path,)
    assert ["is already a hard link to" in item.reason for item in report.skipped] == [True]


def test_a_copy_that_is_a_hard_link_can_become_a_symbolic_one_and_back(
    root: Path, group: list[PlanRow]
) -> None:
    os.unlink(group[1].path)
    os.link(group[0].path, group[1].path)
    assert len(apply(root, group, link="sym").linked) == 2
    assert os.path.islink(group[1].path)
    assert len(undo(root).restored) == 3
    assert os.path.samefile(group[0].path, group[1].path) and not os.path.islink(group[1].path)


def test_a_file_is_not_replaced_by_a_link_to_itself(
    root: Path, tmp_path: Path, group: list[PlanRow]
) -> None:
    alias = tmp_path / "alias"
    alias.mkdir()
    bind = ["mount", "--bind", str(tmp_path / "photos/b"), str(alias)]
    if shutil.which("mount") is None or subprocess.run(bind, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        rows = [replace(group[0], path=str(alias / "two words.jpg")), group[1]]
        for kind in ("sym", "hard"):
            assert len(apply(root, rows, link=kind).skipped) == 1
        rows = [replace(group[0], path=put(alias / "other.jpg", b"picture")), group[2]]
        (skipped,) = apply(root, rows, link="hard").skipped
        assert "hard links cannot cross devices" in skipped.reason, (
            "the devices have the same number"
        )
    finally:
        subprocess.run(["umount", str(alias)], check=True)
    assert Path(group[1].path).read_bytes() == b"picture"


# -- undo when something else is in the place ------------------------------------------------------


def test_undo_overwrites_only_links_of_the_plan(
    kind: str, root: Path, tmp_path: Path, group: list[PlanRow]
) -> None:
    apply(root, group, link=kind)
    os.unlink(group[1].path)
    os.symlink(put(tmp_path / "mine.jpg", b"mine"), group[1].path)
    os.unlink(group[2].path)
    put(group[2].path, b"edited")
    report = undo(root)
    assert {item.path for item in report.skipped} == {group[1].path, group[2].path}
    assert {item.reason for item in report.skipped} == {"its place is taken by other content"}
    assert os.readlink(group[1].path) == str(tmp_path / "mine.jpg")
    assert Path(group[2].path).read_bytes() == b"edited"
    for item in group[1:3]:
        os.unlink(item.path)
    assert len(undo(root).restored) == 2


def test_undo_restores_the_bytes_even_if_the_kept_file_was_edited_through_its_hard_link(
    root: Path, group: list[PlanRow]
) -> None:
    apply(root, group, link="hard")
    with open(group[1].path, "ab") as file:
        file.write(b" and more")
    assert Path(group[0].path).read_bytes() == b"picture and more"
    assert len(undo(root).restored) == 3
    assert Path(group[1].path).read_bytes() == b"picture"
    assert Path(group[0].path).read_bytes() == b"picture and more"


@pytest.mark.parametrize("act", ["moved", "deleted"])
def test_undo_restores_a_file_whose_link_target_is_missing(
    act: str, kind: str, root: Path, tmp_path: Path, group: list[PlanRow]
) -> None:
    apply(root, group, link=kind)
    elsewhere = tmp_path / "moved.jpg"
    os.rename(group[0].path, elsewhere)
    before = os.stat(elsewhere)
    if act == "deleted":
        os.unlink(elsewhere)
    assert len(undo(root).restored) == 3
    for item in group[1:3]:
        assert not os.path.islink(item.path) and Path(item.path).read_bytes() == b"picture"
    if act == "moved":
        assert os.stat(elsewhere).st_mtime_ns == before.st_mtime_ns
        assert os.stat(elsewhere).st_mode == before.st_mode


def test_a_link_stays_when_the_copy_is_deleted(kind: str, root: Path, group: list[PlanRow]) -> None:
    name = apply(root, group, link=kind).quarantine
    assert len(empty(root, name).deleted) == 3
    assert is_link(group[1].path, group[0].path, kind)
    again = apply(root, group, link=kind)
    assert set(again.already_moved) == {item.path for item in group[1:]}
    assert is_link(group[1].path, group[0].path, kind)


# -- killed, full disk, no permission --------------------------------------------------------------


def check_every_path_exists(rows: list[PlanRow], root: Path) -> None:
    """Check that every path of the plan exists, with its content, as a file or as a link."""
    stored = {values[0] for path, values in contents(root).items() if b"/files/0" in path}
    for item in rows:
        if item.rule == "drop-all" and not os.path.lexists(item.path):
            assert item.sha256 in stored
            continue
        assert sha256(Path(item.path).read_bytes()) == item.sha256
        if os.path.islink(item.path):
            assert item.sha256 in stored


@pytest.mark.slow
def test_an_apply_killed_anywhere_leaves_no_path_missing_and_is_finished_or_undone(
    kind: str, root: Path, small: tuple[Path, list[PlanRow]]
) -> None:
    folder, rows = small
    before = contents(folder)
    step = 1
    while killed_at(step, lambda: apply(root, rows, link=kind)):
        check_every_path_exists(rows, root)
        if root.exists() and quarantines(root):
            undo(root)
            assert not list((root / quarantines(root)[0].id / "files").iterdir())
        assert contents(folder) == before, step
        shutil.rmtree(root, ignore_errors=True)
        assert killed_at(step, lambda: apply(root, rows, link=kind))
        report = apply(root, rows, link=kind)
        count = len(report.moved) + len(report.linked) + len(report.already_moved)
        assert count == 3 and not report.skipped, step
        assert all(is_link(item.path, rows[0].path, kind) for item in rows[1:3]), step
        assert [item.state for item in quarantines(root)] == ["applied"]
        sweep(root.parent, [root.name])  # as every command that changes a workspace does
        assert not list(root.rglob(".*")) and not list(folder.rglob(".embedkit*"))
        undo(root)
        assert contents(folder) == before, step
        shutil.rmtree(root, ignore_errors=True)
        step += 1
    assert step > 12


@pytest.mark.slow
def test_an_undo_killed_anywhere_leaves_no_path_missing_and_is_finished_or_applied_again(
    kind: str, root: Path, small: tuple[Path, list[PlanRow]]
) -> None:
    folder, rows = small
    before = contents(folder)
    apply(root, rows, link=kind)
    after = contents(folder)
    step = 1
    while killed_at(step, lambda: undo(root)):
        check_every_path_exists(rows, root)
        report = apply(root, rows, link=kind)
        assert contents(folder) == after and not report.skipped, step
        assert killed_at(step, lambda: undo(root))
        assert not undo(root).skipped
        assert quarantines(root)[0].state == "undone"
        assert contents(folder) == before, step
        apply(root, rows, link=kind)
        step += 1
    assert contents(folder) == before
    assert step > 8


def test_a_full_disk_loses_nothing(tmp_path: Path, mount: Callable[[Path, str], None]) -> None:
    content = b"x" * 300_000
    rows = [row(1, "keep", put(tmp_path / "photos/keep.jpg", content), content)]
    rows += [row(1, "remove", put(tmp_path / f"photos/{n}.jpg", content), content) for n in "abcd"]
    before = contents(tmp_path / "photos")
    mount(tmp_path / "workspace", "1m")
    root = tmp_path / "workspace/quarantine"
    with pytest.raises(StorageError, match="No space left on device; no file is lost"):
        apply(root, rows, link="sym")
    links = [item.path for item in rows if os.path.islink(item.path)]
    assert 0 < len(links) < 4
    assert all(Path(item.path).read_bytes() == content for item in rows)
    undo(root)
    assert contents(tmp_path / "photos") == before


@pytest.mark.parametrize("step", ["symlink", "replace"])
def test_a_file_stays_in_a_folder_that_accepts_no_link(
    step: str, root: Path, tmp_path: Path, group: list[PlanRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(tmp_path / "photos")
    change = getattr(os, step)

    def refused(source: str, target: str) -> None:
        if str(tmp_path / "photos") in os.fspath(target):
            raise OSError(errno.EROFS, "Read-only file system")
        change(source, target)

    monkeypatch.setattr(os, step, refused)
    report = apply(root, group[:3], link="sym")
    assert [item.reason for item in report.skipped] == ["Read-only file system"] * 2
    assert contents(tmp_path / "photos") == before
    assert not list((root / report.quarantine / "files").iterdir())


def test_a_copy_that_changes_before_it_is_replaced_stays(
    kind: str, root: Path, group: list[PlanRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    check = file_moves.check_unchanged
    calls = iter(range(99))

    def edited(path: str, seen: os.stat_result) -> None:
        if next(calls) == 1:  # after it is in quarantine
            put(path + ".new", b"edited")
            os.replace(path + ".new", path)
        check(path, seen)

    monkeypatch.setattr(file_moves, "check_unchanged", edited)
    (skipped,) = apply(root, group[:2], link=kind).skipped
    assert skipped.reason == "it changed while it was being moved"
    assert Path(group[1].path).read_bytes() == b"edited"
    assert quarantines(root)[0].files == 0


# -- the workspace ---------------------------------------------------------------------------------


def test_the_command_counts_links_and_undoes_them(
    kind: str, filled: tuple[Workspace, Path], photos: Path
) -> None:
    workspace, plan = filled
    copy = photos / "blue/copy of 0.jpg"
    output = run(workspace, "apply", plan, "--link", kind).stdout
    assert output.startswith("1 file, ") and "kB, moved to quarantine" in output
    assert "1 of them replaced by links to the kept files" in output
    assert is_link(str(copy), str(photos / "red/0.jpg"), kind)
    assert workspace.info().missing == 0
    report = json.loads(run(workspace, "apply", plan, "--json").stdout)
    assert (report["linked"], report["already_moved"]) == ([], [str(copy)])
    assert "put back" in run(workspace, "undo").stdout
    assert not os.path.samefile(copy, photos / "red/0.jpg")
    with pytest.raises(BadInput, match="links can be hard or sym, not 'soft'"):
        workspace.load_plan(plan).apply(link="soft")
    run(workspace, "apply", plan, "--link", "soft", status=2)


@pytest.mark.slow
def test_links_are_added_like_files_and_not_planned_for_removal(
    kind: str, workspace: Workspace, photos: Path, passes: list[int]
) -> None:
    shutil.copy2(photos / "red/0.jpg", photos / "blue/copy.jpg")
    workspace.add([photos])
    before, plan = sum(passes), photos.parent / "plan.csv"
    write_plan(plan, workspace.clean(["exact"], protect=[photos / "red"]))
    assert workspace.load_plan(plan).apply(link=kind).linked == (str(photos / "blue/copy.jpg"),)
    report = workspace.add()
    assert (report.files, report.images, report.failed, report.missing) == (13, 12, 0, 0)
    assert sum(passes) == before
    assert len(workspace.search(photos / "red/0.jpg", 1)[0].files) == 2
    keep, link = workspace.clean(["exact"], protect=[photos / "red"])
    keep, link = sorted((keep, link), key=lambda item: item.action)
    assert (keep.action, keep.path) == ("keep", str(photos / "red/0.jpg"))
    assert (link.action, link.path) == ("review", str(photos / "blue/copy.jpg"))
    assert ("a hard link" if kind == "hard" else "a symbolic link") in link.reason
    write_plan(plan, [keep, link])
    assert workspace.load_plan(plan).apply().moved == ()


def test_hard_links_of_one_file_are_not_planned_for_removal(
    workspace: Workspace, photos: Path
) -> None:
    os.link(photos / "red/0.jpg", photos / "red/0 linked.jpg")
    shutil.copy2(photos / "red/0.jpg", photos / "red/0 copied.jpg")
    workspace.add([photos])
    rows = {os.path.basename(item.path): item for item in workspace.clean(["exact"])}
    assert rows["0 copied.jpg"].action == "keep", "it is the first by name"
    assert {rows["0.jpg"].action, rows["0 linked.jpg"].action} == {"remove"}, "two names, one copy"
    (photos / "red/0 copied.jpg").unlink()
    workspace.add()
    rows = {os.path.basename(item.path): item for item in workspace.clean(["exact"])}
    assert rows["0 linked.jpg"].action == "keep" and rows["0.jpg"].action == "review"
    assert rows["0.jpg"].reason == (
        f"a hard link to {photos}/red/0 linked.jpg, which stays; removing it frees no space"
    )
    assert sha256_of(photos / "red/0.jpg") == rows["0.jpg"].sha256
