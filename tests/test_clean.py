"""Plans, quarantine and undo on real files, with killed processes, full disks, links and edits."""

import csv
import errno
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from cleaning import check_nothing_is_lost, contents, killed_at, put, row, run
from conftest import draw_photo

from embedkit import Workspace
from embedkit._internal.artifacts import sha256_of, sweep
from embedkit.cleaning import apply as applying
from embedkit.cleaning import file_moves
from embedkit.cleaning import undo as undoing
from embedkit.cleaning.apply import apply
from embedkit.cleaning.empty import empty
from embedkit.cleaning.plan import SYMLINK_REASON, PlanRow, plan_id, read_plan, write_plan
from embedkit.cleaning.quarantine import quarantines
from embedkit.cleaning.undo import undo
from embedkit.errors import (
    BadInput,
    EmptyWorkspace,
    NotInWorkspace,
    QuarantineBusy,
    StorageError,
)
from embedkit.reports.sheet_pages import write_sheet_pages

HOSTILE = [
    b"plain.jpg",
    b"two words.jpg",
    b"-rf.jpg",
    b'it\'s "quoted"; a, b.jpg',
    b"line\nbreak\r\n.jpg",
    "ラーメン.jpg".encode(),
    b"caf\xe9.jpg",
    "\uf7e9.jpg".encode(),
    b"=1+1.jpg",
    b" .jpg",
    b"x" * 251 + b".jpg",
]


@pytest.fixture
def collection(tmp_path: Path) -> tuple[Path, list[PlanRow]]:
    """Return the folder and the plan of files with hostile names: three groups of copies, and one
    ``drop-all`` group."""
    folder = tmp_path / "photos"
    rows = []
    for number, raw in enumerate(HOSTILE):
        group = number % 3
        content = b"group %d" % group * 1000
        path = put(os.path.join(folder, f"folder {group}", os.fsdecode(raw)), content)
        os.chmod(path, 0o640 if number % 2 else 0o604)
        if number < 3:
            rows.append(row(group, "keep", path, content))
        else:
            rows.append(row(group, "remove", path, content, copy_of=rows[group].path))
    for name in ("a", "b"):
        path = put(folder / f"cat{name}/x.jpg", b"two labels", 1_400_000_000_000_000_000)
        rows.append(row(9, "remove", path, b"two labels", rule="drop-all", label=None, score=None))
    return folder, rows


# -- the plan ----------------------------------------------------------------------------------


def test_a_plan_survives_being_written_and_read(
    tmp_path: Path, collection: tuple[Path, list[PlanRow]]
) -> None:
    _, rows = collection
    rows.append(row(10, "review", "/x/y", reason='why, "who"\nknows; not I', label="写真"))
    for number, text in enumerate(("=1+1", "+1", "-1", "@a", "\ta", "\ra", "'=1", "＝1"), 11):
        rows.append(row(number, "review", f"/{text}", label=text, reason=text, kind=text))
    write_plan(tmp_path / "plan.csv", rows)
    assert read_plan(tmp_path / "plan.csv") == rows
    with open(tmp_path / "plan.csv", encoding="utf-8-sig", newline="") as file:
        cells = [cell for cells in csv.reader(file) for cell in cells]
    assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r＝")]
    assert os.listdir(tmp_path) and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: "\ufeff" + text.removeprefix("\ufeff"),
        lambda text: text.removeprefix("\ufeff"),
        lambda text: text.replace("\r\n", "\n"),
        lambda text: text.replace(",", ";").replace("1.0", "1,0"),
        lambda text: text.replace("remove", " Remove ").replace("keep-one", "Keep-One"),
        lambda text: text.replace("copy_of", "Copy_Of"),
        lambda text: text + ",,,,,,,,\r\n\r\n",
        lambda text: text.replace("rule", "rule,note").replace("keep-one", "keep-one,mine"),
    ],
)
def test_a_plan_edited_in_a_spreadsheet_is_read(tmp_path: Path, edit: Callable[[str], str]) -> None:
    plan = tmp_path / "plan.csv"
    rows = [row(1, "keep", "/p/a.jpg"), row(1, "remove", "/p/b.jpg", copy_of="/p/a.jpg")]
    write_plan(plan, rows)
    plan.write_text(edit(plan.read_text("utf-8")), "utf-8", newline="")
    assert read_plan(plan) == rows
    assert plan_id(read_plan(plan)) == plan_id(rows)


HEAD = "group,action,path,sha256,kind,score,label,reason,rule,copy_of\n"
DIGEST = "ab" * 32


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no column called group"),
        (HEAD.replace(",rule", ""), "no column called rule; the first line must name the columns"),
        ("\x89PNG\udcff", "is not UTF-8, .*; save it as 'CSV UTF-8'"),
        (f'{HEAD}1,keep,"/a,{DIGEST},exact,1,,,keep-one\n', "not CSV"),
        (f"{HEAD}1,keep,/a,{DIGEST},exact,1,,\n", "line 2: unknown rule ''"),
        (f"{HEAD}1,keep,/a,{DIGEST},exact,1,,,keep-one,,x\n", "line 2: 11 cells, but the first"),
        (f"{HEAD}one,keep,/a,{DIGEST},exact,1,,,keep-one\n", "line 2: the group 'one' is not a"),
        (f"{HEAD}1,delete,/a,{DIGEST},exact,1,,,keep-one\n", "'delete'; it can be keep, remove, r"),
        (f"{HEAD}1,keep,/a,{DIGEST},exact,1,,,keep-two\n", "unknown rule 'keep-two'"),
        (f"{HEAD}1,keep,a.jpg,{DIGEST},exact,1,,,keep-one\n", "'a.jpg' is not an absolute path"),
        (HEAD.replace(",copy_of", ""), "no column called copy_of"),
        (
            f"{HEAD}1,keep,/a,{DIGEST},exact,1,,,keep-one\n"
            f"1,remove,/b,{DIGEST},exact,1,,,keep-one,a.jpg\n",
            "line 3: 'a.jpg' is not an absolute path",
        ),
        *(
            (
                f"{HEAD}1,keep,/a,{DIGEST},exact,1,,,keep-one\n"
                f"1,review,/b,{DIGEST},exact,1,,,keep-one,{of}\n"
                f"1,remove,/c,{DIGEST},exact,1,,,keep-one,/b\n"
                f"2,keep,/d,{DIGEST},exact,1,,,keep-one\n",
                complaint,
            )
            for of, complaint in (
                ("/b", "line 3: /b is a copy of itself"),
                ("/c", "line 3: /b is a copy of itself"),
                ("/d", "line 3: group 1 has no row for /d, which /b is a copy of"),
                ("/e", "line 3: group 1 has no row for /e, which /b is a copy of"),
            )
        ),
        (f"{HEAD}1,keep,/a\0,{DIGEST},exact,1,,,keep-one\n", "line 2: a NUL character"),
        (f"{HEAD}1,keep,/a,{DIGEST[1:]},exact,1,,,keep-one\n", "is not a SHA-256"),
        (f"{HEAD}1,keep,/a,{DIGEST},exact,high,,,keep-one\n", "score 'high' is not a number"),
        (f"{HEAD}1,remove,/a,{DIGEST},exact,1,,,keep-one\n", "line 2: nothing of group 1 would"),
        (
            f"{HEAD}1,review,/a,{DIGEST},exact,1,,,keep-one\n"
            f"1,remove,/b,{DIGEST},exact,1,,,keep-one\n",
            "line 3: nothing of group 1 would be kept; change the action",
        ),
        (
            f"{HEAD}1,keep,/a/b,{DIGEST},exact,1,,,keep-one\n"
            f"2,keep,/a/./b,{DIGEST},exact,1,,,keep-one\n",
            "line 3: /a/b is already in line 2",
        ),
        (
            f"{HEAD}1,keep,/a,{DIGEST},exact,1,,,keep-one\n"
            f"1,remove,/b,{DIGEST},exact,1,,,drop-all\n",
            "line 3: group 1 has two rules",
        ),
    ],
)
def test_an_invalid_plan_says_where_and_what_to_do(
    tmp_path: Path, text: str, complaint: str
) -> None:
    plan = tmp_path / "plan.csv"
    plan.write_bytes(os.fsencode(text))
    with pytest.raises(BadInput, match=complaint) as caught:
        read_plan(plan)
    assert "\n" not in str(caught.value)


def test_a_missing_plan_is_bad_input(tmp_path: Path) -> None:
    for place in (tmp_path / "nope.csv", tmp_path):
        with pytest.raises(BadInput):
            read_plan(place)


# -- apply and undo ----------------------------------------------------------------------------


def test_undo_restores_removed_files_byte_for_byte(
    device: str, root: Path, collection: tuple[Path, list[PlanRow]]
) -> None:
    folder, rows = collection
    before = contents(folder)
    removed = {item.path for item in rows if item.action == "remove"}

    report = apply(root, rows)
    assert set(report.moved) == removed and not report.skipped, device
    assert report.bytes == sum(len(b"group 0" * 1000) for _ in range(8)) + 2 * len(b"two labels")
    after = contents(folder)
    assert set(after) == {os.fsencode(item.path) for item in rows if item.action == "keep"}
    stored = contents(root / report.quarantine / "files")
    assert sorted(stored.values()) == sorted(v for k, v in before.items() if k not in after)

    back = undo(root)
    assert set(back.restored) == removed and not back.skipped and back.bytes == report.bytes
    assert contents(folder) == before
    assert os.listdir(root / report.quarantine / "files") == []


def test_moves_between_two_devices_work_in_both_directions(
    tmp_path: Path, collection: tuple[Path, list[PlanRow]], mount: Callable[[Path, str], None]
) -> None:
    folder, rows = collection
    before = contents(folder)
    mount(tmp_path / "workspace", "4m")
    root = tmp_path / "workspace/quarantine"
    assert len(apply(root, rows).moved) == 10
    assert len(apply(root, rows).already_moved) == 10
    assert not undo(root).skipped
    assert contents(folder) == before


def test_undo_recreates_missing_folders(root: Path, collection: tuple[Path, list[PlanRow]]) -> None:
    folder, rows = collection
    before = contents(folder)
    apply(root, rows)
    shutil.rmtree(folder / "cata")
    assert not undo(root).skipped
    assert contents(folder) == before


def test_applying_again_and_undoing_again_do_nothing(
    root: Path, collection: tuple[Path, list[PlanRow]]
) -> None:
    folder, rows = collection
    first = apply(root, rows)
    journal = root / first.quarantine / "journal.jsonl"
    written, state = journal.read_bytes(), contents(folder)
    again = apply(root, rows)
    assert (again.moved, again.skipped, again.missing) == ((), (), ())
    assert set(again.already_moved) == set(first.moved)
    assert journal.read_bytes() == written and contents(folder) == state

    undo(root)
    written, state = journal.read_bytes(), contents(folder)
    back = undo(root)
    assert (back.quarantine, back.restored, back.skipped) == (first.quarantine, (), ())
    assert journal.read_bytes() == written and contents(folder) == state
    assert set(apply(root, rows).moved) == set(first.moved)


def test_undo_reverts_the_last_plan_or_a_named_one(
    root: Path, collection: tuple[Path, list[PlanRow]]
) -> None:
    folder, rows = collection
    before = contents(folder)
    parts = [[item for item in rows if item.group == group] for group in (0, 1, 9)]
    names = [apply(root, part).quarantine for part in parts]
    apply(root, parts[0])  # does nothing, so it is not the last one
    assert [item.id for item in quarantines(root)] == names[::-1]
    assert undo(root).quarantine == names[2]
    assert len(undo(root, names[0]).restored) == 3
    assert [item.state for item in quarantines(root)] == ["undone", "applied", "undone"]
    assert [item.files for item in quarantines(root)] == [0, 3, 0]
    for name in ("nope", "..", "../quarantine", ""):
        with pytest.raises(NotInWorkspace, match="there is no quarantine called"):
            undo(root, name)
    assert undo(root).quarantine == names[1], "the last one with files"
    assert undo(root).restored == ()
    assert contents(folder) == before


def test_a_plan_without_removals_leaves_no_trace(
    root: Path, collection: tuple[Path, list[PlanRow]]
) -> None:
    _, rows = collection
    report = apply(root, [replace(item, action="review") for item in rows])
    assert (report.moved, report.skipped) == ((), ())
    assert quarantines(root) == []
    with pytest.raises(NotInWorkspace, match="nothing to undo"):
        undo(root)


# -- files that are skipped --------------------------------------------------------------------


NONE_INTACT = "none of the kept files that it is a copy of is intact"


def skipped_reason(root: Path, rows: list[PlanRow]) -> str:
    """Return why the one file was skipped, and check that nothing was moved."""
    report = apply(root, rows)
    assert (report.moved, report.already_moved, report.missing) == ((), (), ())
    assert quarantines(root) == []
    (skipped,) = report.skipped
    return skipped.reason


def test_a_file_that_changed_is_skipped(root: Path, pair: tuple[str, str, list[PlanRow]]) -> None:
    _, copy, rows = pair
    put(copy, b"edited!")
    assert skipped_reason(root, rows) == "it has changed since the plan was made"
    assert Path(copy).read_bytes() == b"edited!"


def test_a_missing_file_is_reported(root: Path, pair: tuple[str, str, list[PlanRow]]) -> None:
    _, copy, rows = pair
    os.unlink(copy)
    report = apply(root, rows)
    assert (report.missing, report.skipped, report.moved) == ((copy,), (), ())


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda keep, _: os.unlink(keep), "No such file"),
        (lambda keep, _: put(keep, b"another"), "changed since the plan was made"),
        (lambda keep, _: (os.unlink(keep), os.mkdir(keep)), "not a regular file"),
        (
            lambda keep, copy: (os.unlink(keep), os.symlink(copy, keep)),
            "only a link to a removed file",
        ),
        (lambda keep, _: (os.unlink(keep), os.symlink("gone", keep)), "No such file"),
        (lambda keep, _: (os.unlink(keep), os.symlink(keep, keep)), "symbolic links"),
    ],
)
def test_the_last_file_of_a_group_is_not_removed(
    root: Path,
    pair: tuple[str, str, list[PlanRow]],
    damage: Callable[[str, str], object],
    why: str,
) -> None:
    keep, copy, rows = pair
    damage(keep, copy)
    reason = skipped_reason(root, rows)
    assert reason.startswith(NONE_INTACT) and why in reason
    assert Path(copy).read_bytes() == b"picture"


def link_to_copy(path: str) -> None:
    os.unlink(path)
    os.symlink("copy", path)


@pytest.mark.parametrize("action", ["review", "keep"])
@pytest.mark.parametrize("damage", [os.unlink, link_to_copy])
def test_a_file_is_removed_only_for_another_one_with_its_bytes_while_that_exists(
    root: Path, tmp_path: Path, action: str, damage: Callable[[str], object]
) -> None:
    kept, other = put(tmp_path / "kept", b"picture"), put(tmp_path / "other", b"alike")
    copy = put(tmp_path / "copy", b"alike")
    rows = [
        row(1, "keep", kept, b"picture"),
        row(1, action, other, b"alike"),
        row(1, "remove", copy, b"alike"),
    ]
    damage(other)
    assert skipped_reason(root, rows).startswith(NONE_INTACT)
    Path(other).unlink(missing_ok=True)
    put(other, b"alike")
    assert apply(root, rows).moved == (copy,)
    os.unlink(other)
    assert [item.path for item in empty(root, older_than=timedelta()).skipped] == [copy]
    undo(root)
    put(other, b"alike")
    assert apply(root, rows, link="hard").linked == (copy,)
    assert os.path.samefile(copy, other)


def test_a_file_is_removed_only_while_its_original_exists(root: Path, tmp_path: Path) -> None:
    kept, other = put(tmp_path / "kept", b"picture"), put(tmp_path / "other", b"alike")
    copy = put(tmp_path / "copy", b"the same pixels")
    rows = [
        row(1, "keep", kept, b"picture"),
        row(1, "review", other, b"alike", copy_of=kept),
        row(1, "remove", copy, b"the same pixels", copy_of=other),
    ]
    put(other, b"edited")
    assert skipped_reason(root, rows).startswith(NONE_INTACT)
    put(other, b"alike")
    assert apply(root, rows).moved == (copy,)
    os.unlink(other)
    assert [item.path for item in empty(root, older_than=timedelta()).skipped] == [copy]
    undo(root)
    # A user who removes the other file too decides that both are copies of the kept file.
    put(other, b"alike")
    rows[1] = replace(rows[1], action="remove")
    assert sorted(apply(root, rows).moved) == [copy, other]


@pytest.mark.parametrize("action", ["keep", "review"])
def test_when_its_original_is_removed_another_copy_has_to_be_kept(
    root: Path, tmp_path: Path, action: str
) -> None:
    kept, first = put(tmp_path / "kept", b"picture"), put(tmp_path / "first", b"grey")
    second, third = put(tmp_path / "second", b"grey, 2"), put(tmp_path / "third", b"grey, 3")
    rows = [
        row(1, "keep", kept, b"picture"),
        row(1, "remove", first, b"grey", copy_of=kept),  # for review in the original plan
        row(1, action, second, b"grey, 2", copy_of=first),  # to be removed in the original plan
        row(1, "remove", third, b"grey, 3", copy_of=first),
    ]
    os.rename(second, tmp_path / "away")
    report = apply(root, rows)
    assert report.moved == (first,), "the user decided that it is a copy of the kept file"
    assert [item.path for item in report.skipped] == [third]
    os.rename(tmp_path / "away", second)
    assert apply(root, rows).moved == (third,)


def test_a_chain_of_removed_originals_leads_to_the_last_one(root: Path, tmp_path: Path) -> None:
    one, other = put(tmp_path / "one", b"colour"), put(tmp_path / "other", b"mirrored")
    grey, same = put(tmp_path / "grey", b"grey"), put(tmp_path / "same", b"grey, 2")
    rows = [
        row(1, "keep", one, b"colour"),
        row(1, "keep", other, b"mirrored"),
        row(1, "remove", grey, b"grey", copy_of=one),
        row(1, "remove", same, b"grey, 2", copy_of=grey),
    ]
    os.unlink(one)
    report = apply(root, rows)
    assert report.moved == () and [item.path for item in report.skipped] == [grey, same]


def test_nothing_is_removed_for_a_damaged_file(root: Path, tmp_path: Path) -> None:
    kept, copy = put(tmp_path / "kept", b"picture"), put(tmp_path / "copy", b"alike")
    damaged = put(tmp_path / "damaged", b"pict")
    rows = [
        row(1, "keep", kept, b"picture"),
        row(1, "keep", damaged, b"pict", kind="damaged", copy_of=kept),
        row(1, "remove", copy, b"alike", copy_of=damaged),
    ]
    os.unlink(kept)
    assert skipped_reason(root, rows).startswith(NONE_INTACT)


def test_a_quarantine_of_a_plan_without_copy_of_is_emptied_and_undone(
    root: Path, pair: tuple[str, str, list[PlanRow]]
) -> None:
    _, copy, rows = pair
    assert apply(root, rows).moved == (copy,)
    (stored,) = root.glob("*/plan.csv")
    lines = stored.read_text("utf-8-sig").splitlines()
    assert all(line.endswith(",") for line in lines[1:])
    lines = [lines[0].removesuffix(",copy_of"), *(line.removesuffix(",") for line in lines[1:])]
    stored.write_text("\n".join(lines), "utf-8")
    assert empty(root, older_than=timedelta(), dry_run=True).deleted == (copy,)
    assert undo(root).restored == (copy,)


def test_a_link_in_the_plan_does_not_count_as_a_kept_file(root: Path, tmp_path: Path) -> None:
    kept, copy = put(tmp_path / "kept", b"picture"), put(tmp_path / "copy", b"alike")
    link = tmp_path / "link"
    link.symlink_to("copy")
    rows = [
        row(1, "keep", kept, b"picture"),
        row(1, "review", str(link), b"alike", reason=SYMLINK_REASON),
        row(1, "remove", copy, b"alike"),
    ]
    assert apply(root, rows).moved == (copy,)


def test_the_same_file_through_a_linked_folder_is_not_a_copy(
    root: Path, tmp_path: Path, pair: tuple[str, str, list[PlanRow]]
) -> None:
    _, copy, rows = pair
    os.symlink(tmp_path / "photos", tmp_path / "link")
    rows = [replace(rows[0], path=str(tmp_path / "link/copy.jpg")), rows[1]]
    assert "only a link to a removed file" in skipped_reason(root, rows)
    assert os.path.exists(copy)


def test_the_same_file_through_another_mount_is_not_a_copy(
    root: Path, tmp_path: Path, pair: tuple[str, str, list[PlanRow]]
) -> None:
    _, copy, rows = pair
    alias = tmp_path / "alias"
    alias.mkdir()
    bind = ["mount", "--bind", str(tmp_path / "photos"), str(alias)]
    if shutil.which("mount") is None or subprocess.run(bind, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        rows = [replace(rows[0], path=str(alias / "copy.jpg")), rows[1]]
        assert "reached through another path" in skipped_reason(root, rows)
    finally:
        subprocess.run(["umount", str(alias)], check=True)
    assert os.path.exists(copy)


def test_a_link_to_a_file_that_another_group_removes_is_not_a_copy(
    root: Path, pair: tuple[str, str, list[PlanRow]], tmp_path: Path
) -> None:
    keep, copy, rows = pair
    target = put(tmp_path / "photos/target.jpg", b"picture")
    os.unlink(keep)
    os.symlink(target, keep)
    rows.append(row(2, "remove", target, b"picture", rule="drop-all"))
    report = apply(root, rows)
    assert report.moved == (target,)
    assert [item.path for item in report.skipped] == [copy]


def test_a_link_to_a_kept_file_is_a_copy(
    root: Path, pair: tuple[str, str, list[PlanRow]], tmp_path: Path
) -> None:
    keep, copy, rows = pair
    os.rename(keep, tmp_path / "elsewhere.jpg")
    os.symlink(tmp_path / "elsewhere.jpg", keep)
    assert apply(root, rows).moved == (copy,)


def test_a_link_is_not_removed(root: Path, pair: tuple[str, str, list[PlanRow]]) -> None:
    keep, copy, rows = pair
    os.unlink(copy)
    os.symlink(keep, copy)
    assert skipped_reason(root, rows).startswith("a symbolic link")
    assert os.path.islink(copy)


def test_hard_links_are_removed_and_restored_as_hard_links(
    root: Path, pair: tuple[str, str, list[PlanRow]], tmp_path: Path
) -> None:
    keep, copy, rows = pair
    other = str(tmp_path / "photos/other.jpg")
    os.unlink(copy)
    os.link(keep, copy)
    os.link(keep, other)
    rows.append(row(1, "remove", other, b"picture"))
    assert apply(root, rows).moved == (copy, other)
    assert undo(root).restored == (copy, other)
    assert os.path.samefile(keep, copy) and os.stat(keep).st_nlink == 3


def test_a_drop_all_group_is_removed_whole(root: Path, tmp_path: Path) -> None:
    paths = [put(tmp_path / f"photos/{name}/x.jpg", b"x") for name in "ab"]
    assert apply(root, [row(1, "remove", path, b"x", rule="drop-all") for path in paths]).moved
    assert not any(map(os.path.exists, paths))


def test_files_that_a_person_marked_to_keep_or_review_stay(
    root: Path, tmp_path: Path, collection: tuple[Path, list[PlanRow]]
) -> None:
    _, rows = collection
    chosen = {rows[4].path: "keep", rows[5].path: "review"}
    write_plan(tmp_path / "p.csv", [replace(r, action=chosen.get(r.path, r.action)) for r in rows])
    report = apply(root, read_plan(tmp_path / "p.csv"))
    assert len(report.moved) == 8
    assert all(map(os.path.exists, chosen))


@pytest.mark.parametrize("device", ["one device", "two devices"], indirect=True)
def test_a_file_that_is_replaced_while_it_is_moved_is_skipped(
    root: Path, pair: tuple[str, str, list[PlanRow]], device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, copy, rows = pair
    place = file_moves._link_or_rename

    def replaced_meanwhile(source: str, target: str) -> None:
        place(source, target)
        put(copy + ".new", b"another")
        os.replace(copy + ".new", copy)

    monkeypatch.setattr(file_moves, "_link_or_rename", replaced_meanwhile)
    (skipped,) = apply(root, rows).skipped
    assert skipped.reason == "it changed while it was being moved", device
    assert Path(copy).read_bytes() == b"another"


def test_a_kept_file_that_vanishes_stops_the_removal_of_its_group(
    root: Path,
    pair: tuple[str, str, list[PlanRow]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep, copy, rows = pair
    other = put(tmp_path / "photos/other.jpg", b"picture")
    rows.append(row(1, "remove", other, b"picture"))
    place = file_moves._link_or_rename

    def remove_kept_file(source: str, target: str) -> None:
        place(source, target)
        os.unlink(keep)

    monkeypatch.setattr(file_moves, "_link_or_rename", remove_kept_file)
    report = apply(root, rows)
    assert report.moved == (copy,)
    assert [item.path for item in report.skipped] == [other]
    assert "which is kept, has changed meanwhile" in report.skipped[0].reason


# -- undo when something else is in the place ------------------------------------------------------


def test_a_file_written_in_the_place_of_a_moved_one_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = tmp_path / "a.jpg", tmp_path / "b.jpg"
    source.write_bytes(b"old")
    rename = os.rename

    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    def renamed(one: str, other: str) -> None:
        rename(one, other)
        source.write_bytes(b"new")

    monkeypatch.setattr(os, "link", refused)
    monkeypatch.setattr(os, "rename", renamed)
    file_moves.move(str(source), str(target), os.lstat(source))
    assert (source.read_bytes(), target.read_bytes()) == (b"new", b"old")


def test_undo_overwrites_nothing(root: Path, pair: tuple[str, str, list[PlanRow]]) -> None:
    _, copy, rows = pair
    apply(root, rows)
    put(copy, b"new here")
    report = undo(root)
    assert report.restored == ()
    assert [(item.path, item.reason) for item in report.skipped] == [
        (copy, "its place is taken by other content")
    ]
    assert Path(copy).read_bytes() == b"new here"
    (item,) = quarantines(root)
    assert (item.state, item.files, item.bytes) == ("partly undone", 1, len(b"picture"))
    os.unlink(copy)
    assert undo(root).restored == (copy,)
    assert Path(copy).read_bytes() == b"picture"


def test_undo_accepts_a_file_with_the_same_content(
    root: Path, pair: tuple[str, str, list[PlanRow]]
) -> None:
    _, copy, rows = pair
    before = os.stat(copy).st_mtime_ns
    apply(root, rows)
    put(copy, b"picture", 1)
    assert undo(root).restored == (copy,)
    assert os.stat(copy).st_mtime_ns == before
    assert quarantines(root)[0].state == "undone"


def test_undo_does_not_mistake_a_link_or_a_folder_for_the_file(
    root: Path, pair: tuple[str, str, list[PlanRow]]
) -> None:
    keep, copy, rows = pair
    apply(root, rows)
    os.symlink(keep, copy)
    assert len(undo(root).skipped) == 1
    os.unlink(copy)
    os.mkdir(copy)
    assert len(undo(root).skipped) == 1
    os.rmdir(copy)
    assert undo(root).restored == (copy,)


def test_undo_reports_a_folder_that_became_a_file(
    root: Path, collection: tuple[Path, list[PlanRow]]
) -> None:
    folder, rows = collection
    apply(root, rows)
    os.rmdir(folder / "cata")
    put(folder / "cata", b"")
    (skipped,) = undo(root).skipped
    assert skipped.path == str(folder / "cata/x.jpg")


def test_a_removed_file_that_reappears_is_removed_again(
    root: Path, pair: tuple[str, str, list[PlanRow]]
) -> None:
    _, copy, rows = pair
    apply(root, rows)
    put(copy, b"picture")
    assert apply(root, rows).moved == (copy,)
    put(copy, b"another")
    assert [item.path for item in apply(root, rows).skipped] == [copy]


# -- killed at any step ------------------------------------------------------------------------


@pytest.mark.slow
def test_an_apply_killed_anywhere_is_finished_or_undone(
    device: str, root: Path, small: tuple[Path, list[PlanRow]]
) -> None:
    folder, rows = small
    before = contents(folder)
    step = 1
    while killed_at(step, lambda: apply(root, rows)):
        check_nothing_is_lost(folder, root, rows)
        if root.exists() and quarantines(root):
            undo(root)
            assert not list((root / quarantines(root)[0].id / "files").iterdir())
        assert contents(folder) == before, step
        shutil.rmtree(root, ignore_errors=True)
        assert killed_at(step, lambda: apply(root, rows))
        report = apply(root, rows)
        assert len(report.moved) + len(report.already_moved) == 3 and not report.skipped
        assert [item.state for item in quarantines(root)] == ["applied"]
        sweep(root.parent, (root.name,))  # as every command of a workspace does when it begins
        assert not list(root.rglob(".*"))
        undo(root)
        assert contents(folder) == before, step
        shutil.rmtree(root, ignore_errors=True)
        step += 1
    assert step > 12, device


@pytest.mark.slow
def test_an_undo_killed_anywhere_is_finished_or_applied_again(
    device: str, root: Path, small: tuple[Path, list[PlanRow]]
) -> None:
    folder, rows = small
    before = contents(folder)
    apply(root, rows)
    after = contents(folder)
    step = 1
    while killed_at(step, lambda: undo(root)):
        check_nothing_is_lost(folder, root, rows)
        apply(root, rows)
        assert contents(folder) == after, step
        assert killed_at(step, lambda: undo(root))
        assert not undo(root).skipped
        assert quarantines(root)[0].state == "undone"
        assert contents(folder) == before, step
        apply(root, rows)
        assert contents(folder) == after, step
        step += 1
    assert contents(folder) == before
    assert step > 8, device


def test_a_truncated_line_of_the_journal_is_ignored(
    root: Path, small: tuple[Path, list[PlanRow]]
) -> None:
    folder, rows = small
    before = contents(folder)
    name = apply(root, rows).quarantine
    with open(root / name / "journal.jsonl", "ab") as journal:
        journal.write(b'{"event": "mo')
    undo(root)
    assert contents(folder) == before
    assert apply(root, rows).moved and undo(root).restored


def test_a_file_missing_from_the_journal_stays_in_quarantine(
    root: Path, small: tuple[Path, list[PlanRow]]
) -> None:
    _, rows = small
    name = apply(root, rows).quarantine
    journal = root / name / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"row": 2', b'"row: 2'))
    report = undo(root)
    assert len(report.restored) == 2
    reason = "the journal does not contain its original path; plan.csv may"
    assert [(os.path.basename(item.path), item.reason) for item in report.skipped] == [
        ("000002", reason)
    ]
    journal.unlink()
    assert [(item.at, item.files) for item in quarantines(root)] == [("", 1)]
    assert [item.reason for item in undo(root).skipped] == [reason]
    assert rows[1].path in apply(root, rows).already_moved


# -- disks and permissions -----------------------------------------------------------------------


def test_a_full_disk_stops_in_one_line_and_loses_nothing(
    tmp_path: Path, mount: Callable[[Path, str], None]
) -> None:
    folder = tmp_path / "photos"
    rows = []
    for number in range(6):
        content = bytes([number]) * 300_000
        rows.append(row(number, "keep", put(folder / f"k{number}.jpg", content), content))
        rows.append(row(number, "remove", put(folder / f"r{number}.jpg", content), content))
    before = contents(folder)
    mount(tmp_path / "workspace", "1m")
    root = tmp_path / "workspace/quarantine"
    with pytest.raises(StorageError, match="No space left on device; no file is lost") as caught:
        apply(root, rows)
    assert "\n" not in str(caught.value)
    check_nothing_is_lost(folder, root, rows)
    moved = [item for item in rows if not os.path.exists(item.path)]
    assert 0 < len(moved) < 6
    with pytest.raises(StorageError):
        apply(root, rows)
    undo(root)
    assert contents(folder) == before


def test_a_full_disk_for_the_journal_moves_nothing(
    root: Path, small: tuple[Path, list[PlanRow]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, rows = small
    before = contents(folder)
    fsync = os.fsync
    count = 0

    def full(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError):
        apply(root, rows)
    monkeypatch.undo()
    assert contents(folder) == before
    assert len(apply(root, rows).moved) == 3
    undo(root)
    assert contents(folder) == before


def test_an_undo_stopped_by_a_full_disk_continues_later(
    tmp_path: Path, mount: Callable[[Path, str], None], root: Path
) -> None:
    mount(tmp_path / "photos", "1m")
    content = b"x" * 600_000
    path = put(tmp_path / "photos/x.jpg", content)
    rows = [row(1, "remove", path, content, rule="drop-all")]
    apply(root, rows)
    filler = put(tmp_path / "photos/filler", b"y" * 800_000)
    with pytest.raises(StorageError, match="No space left"):
        undo(root)
    assert os.listdir(tmp_path / "photos") == ["filler"]
    os.unlink(filler)
    assert undo(root).restored == (path,)
    assert Path(path).read_bytes() == content


def test_files_in_a_read_only_folder_are_skipped(
    tmp_path: Path, mount: Callable[[Path, str], None], root: Path
) -> None:
    mount(tmp_path / "photos", "1m")
    path = put(tmp_path / "photos/x.jpg", b"x")
    rows = [row(1, "remove", path, b"x", rule="drop-all")]
    remount = ["mount", "-o", "remount,ro", str(tmp_path / "photos")]
    subprocess.run(remount, check=True, capture_output=True)
    assert skipped_reason(root, rows) == "its folder is not writable"
    subprocess.run([*remount[:2], "remount,rw", remount[3]], check=True, capture_output=True)
    assert apply(root, rows).moved == (path,)
    subprocess.run(remount, check=True, capture_output=True)
    assert [item.reason for item in undo(root).skipped] == ["Read-only file system"]


def test_a_file_that_cannot_be_removed_is_skipped_and_not_duplicated(
    device: str,
    root: Path,
    pair: tuple[str, str, list[PlanRow]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, copy, rows = pair
    unlink, rename = os.unlink, os.rename

    def refuse(change: Callable[..., None]) -> Callable[..., None]:
        def changed(path: str, *more: str) -> None:
            if path == copy:
                raise PermissionError(errno.EACCES, "Permission denied")
            change(path, *more)

        return changed

    with monkeypatch.context() as patch:  # the folder is removed after the test
        patch.setattr(os, "unlink", refuse(unlink))
        patch.setattr(os, "rename", refuse(rename))
        report = apply(root, rows)
    assert [item.reason for item in report.skipped] == ["Permission denied"], device
    assert not list((root / report.quarantine / "files").iterdir())
    assert os.stat(copy).st_nlink == 1


def test_a_copy_that_does_not_verify_is_discarded(
    root: Path, pair: tuple[str, str, list[PlanRow]], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, copy, rows = pair

    def elsewhere(_source: str, _target: str) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(file_moves, "_link_or_rename", elsewhere)
    monkeypatch.setattr(file_moves, "sha256_of", lambda _: "0" * 64)
    (skipped,) = apply(root, rows).skipped
    assert "the disk may be failing" in skipped.reason
    assert Path(copy).read_bytes() == b"picture"


def test_a_workspace_that_cannot_be_written_is_a_storage_error(
    tmp_path: Path, pair: tuple[str, str, list[PlanRow]]
) -> None:
    put(tmp_path / "workspace/quarantine", b"")
    with pytest.raises(StorageError, match="quarantine: File exists"):
        apply(tmp_path / "workspace/quarantine", pair[2])


def test_concurrent_runs_exclude_each_other(
    root: Path, pair: tuple[str, str, list[PlanRow]]
) -> None:
    _, copy, rows = pair

    def meanwhile(_: object) -> None:
        for act in (lambda: apply(root, rows), lambda: undo(root)):
            with pytest.raises(QuarantineBusy, match="try again when it has ended"):
                act()
        seen.append(True)

    seen: list[bool] = []
    assert apply(root, rows, meanwhile).moved == (copy,)
    assert undo(root, None, lambda _: None).restored == (copy,)
    assert seen


# -- the workspace -----------------------------------------------------------------------------


def test_the_catalog_records_removed_and_restored_files(
    filled: tuple[Workspace, Path],
    photos: Path,
    catalog_rows: Callable[[Path], dict[str, list[tuple[object, ...]]]],
    passes: list[int],
) -> None:
    workspace, plan = filled
    before = catalog_rows(workspace.folder)
    assert workspace.info().labels == {"blue": 7, "red": 6}
    assert len(workspace.search(photos / "red/0.jpg", 1)[0].files) == 2

    workspace.load_plan(plan).apply()
    info = workspace.info()
    assert (info.files, info.missing, info.labels) == (12, 1, {"blue": 6, "red": 6})
    assert len(workspace.search(photos / "red/0.jpg", 1)[0].files) == 1
    after = catalog_rows(workspace.folder)
    workspace.add()
    assert catalog_rows(workspace.folder) == after  # a rescan changes nothing

    workspace.undo()
    assert catalog_rows(workspace.folder) == before
    done = sum(passes)
    assert workspace.add().embedded == 0 and sum(passes) == done
    assert catalog_rows(workspace.folder) == before


def recorded_missing(workspace: Workspace) -> int:
    """Return how many files the catalog records as missing, whatever is on disk."""
    with workspace._catalog.read() as reader:
        return reader.files.counts()["missing"]


def test_repeating_an_apply_updates_a_catalog_that_missed_it(
    filled: tuple[Workspace, Path], catalog_rows: Callable[[Path], dict[str, list[object]]]
) -> None:
    workspace, plan = filled
    before = catalog_rows(workspace.folder)
    apply(workspace.folder / "quarantine", read_plan(plan))  # killed before it updates the catalog
    assert recorded_missing(workspace) == 0
    assert workspace.load_plan(plan).apply().moved == ()
    assert recorded_missing(workspace) == 1
    workspace.undo()
    assert catalog_rows(workspace.folder) == before


def test_repeating_an_undo_updates_a_catalog_that_missed_it(
    filled: tuple[Workspace, Path], catalog_rows: Callable[[Path], dict[str, list[object]]]
) -> None:
    workspace, plan = filled
    before = catalog_rows(workspace.folder)
    workspace.load_plan(plan).apply()
    undo(workspace.folder / "quarantine")  # killed before it updates the catalog
    assert workspace.info().missing == 1
    assert workspace.undo().restored == ()
    assert catalog_rows(workspace.folder) == before


@pytest.mark.parametrize("act", ["apply", "undo"])
def test_after_a_full_disk_the_catalog_knows_which_files_were_moved(
    act: str,
    filled: tuple[Workspace, Path],
    photos: Path,
    catalog_rows: Callable[[Path], dict[str, list[object]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workspace, plan = filled
    before = catalog_rows(workspace.folder)
    other = photos / "blue/7.jpg"
    more = row(2, "remove", str(other), sha256=sha256_of(other), rule="drop-all")
    write_plan(plan, [*read_plan(plan), more])
    if act == "undo":
        workspace.load_plan(plan).apply()
    move, calls = file_moves.move, iter(range(9))

    def full(source: str, target: str, seen: os.stat_result) -> None:
        if next(calls):
            raise OSError(errno.ENOSPC, "No space left on device")
        move(source, target, seen)

    monkeypatch.setattr(applying, "move", full)
    monkeypatch.setattr(undoing, "move", full)
    with pytest.raises(StorageError, match="No space left"):
        workspace.load_plan(plan).apply() if act == "apply" else workspace.undo()
    assert (workspace.info().files, workspace.info().missing) == (12, 1)
    assert os.path.exists(other) is (act == "apply")
    monkeypatch.undo()
    workspace.undo()
    assert catalog_rows(workspace.folder) == before


def test_another_photo_in_the_place_of_a_removed_one_is_not_confused_with_it(
    filled: tuple[Workspace, Path], photos: Path
) -> None:
    workspace, plan = filled
    workspace.load_plan(plan).apply()
    draw_photo(77).save(photos / "blue/copy of 0.jpg")
    for act in (lambda: workspace.load_plan(plan).apply(), workspace.undo):
        assert len(act().skipped) == 1
        assert workspace.search(photos / "red/0.jpg", 1)[0].files == (str(photos / "red/0.jpg"),)


def test_undo_needs_no_catalog_but_apply_does(
    filled: tuple[Workspace, Path], photos: Path, tmp_path: Path
) -> None:
    workspace, plan = filled
    elsewhere = Workspace(tmp_path / "elsewhere")
    with pytest.raises(EmptyWorkspace):
        elsewhere.load_plan(plan).apply()
    with pytest.raises(NotInWorkspace):
        elsewhere.undo()
    assert elsewhere.quarantine.list() == () and not elsewhere.folder.exists()
    workspace.load_plan(plan).apply()
    (workspace.folder / "catalog.duckdb").unlink()
    assert workspace.undo().restored == (str(photos / "blue/copy of 0.jpg"),)


# -- plans of other workspaces -----------------------------------------------------------------


def check_rejected(workspace: Workspace, plan: Path, rows: list[PlanRow], why: str) -> None:
    """Check that the plan with further rows is rejected and moves nothing."""
    write_plan(plan, [*read_plan(plan), *rows])
    before = contents(plan.parent / "photos")
    with pytest.raises(BadInput, match=why) as caught:
        workspace.load_plan(plan).apply()
    assert "nothing was moved" in str(caught.value) and "\n" not in str(caught.value)
    assert contents(plan.parent / "photos") == before
    assert workspace.quarantine.list() == () and workspace.info().missing == 0


def test_a_plan_with_an_unknown_file_is_rejected(
    filled: tuple[Workspace, Path], tmp_path: Path
) -> None:
    workspace, plan = filled
    other = put(tmp_path / "photos/stray\n.jpg", b"stray")
    stray = row(7, "remove", other, b"stray", rule="drop-all")
    check_rejected(workspace, plan, [stray], "stray.*any photo of this workspace")
    assert Path(other).exists()


@pytest.mark.parametrize("action", ["keep", "remove", "review"])
def test_a_plan_with_a_file_outside_every_root_is_rejected(
    action: str, filled: tuple[Workspace, Path], photos: Path, tmp_path: Path
) -> None:
    workspace, plan = filled
    outside = tmp_path / "elsewhere/0.jpg"
    outside.parent.mkdir()
    shutil.copy2(photos / "red/0.jpg", outside)
    stray = row(1, action, str(outside), sha256=sha256_of(outside))
    check_rejected(workspace, plan, [stray], "elsewhere/0.jpg is not a photo of this workspace")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("catalog.duckdb", "does not have the content of any photo of this workspace"),
        ("quarantine/0/files/000001", "is in the workspace's own quarantine"),
    ],
)
def test_a_plan_with_files_of_the_workspace_folder_is_rejected(
    name: str, why: str, filled: tuple[Workspace, Path]
) -> None:
    workspace, plan = filled
    own = workspace.folder / name
    if not own.exists():
        own.parent.mkdir(parents=True)
        draw_photo(50).save(own, "JPEG")
        workspace.add([own])
    removed = row(7, "remove", str(own), sha256=sha256_of(own), rule="drop-all")
    check_rejected(workspace, plan, [removed], f"{name} {why}")
    assert own.exists()


@pytest.mark.parametrize("name", ["workspace/catalog.duckdb", "workspace/index", "stray.jpg"])
def test_an_unknown_file_called_damaged_is_rejected(
    name: str, filled: tuple[Workspace, Path], tmp_path: Path
) -> None:
    workspace, plan = filled
    put(tmp_path / "stray.jpg", b"stray")
    removed = row(7, "remove", str(tmp_path / name), b"stray", rule="drop-all", kind="damaged")
    check_rejected(workspace, plan, [removed], f"{name} is not a photo of this workspace")
    assert (tmp_path / name).exists()


def test_the_plan_of_another_workspace_is_rejected(
    filled: tuple[Workspace, Path], tmp_path: Path
) -> None:
    _, plan = filled
    draw_photo(60).save(tmp_path / "other.jpg")
    other = Workspace(tmp_path / "another")
    other.add([tmp_path / "other.jpg"])
    check_rejected(other, plan, [], "plan.csv: .*red/0.jpg does not have the content of any photo")


def test_a_path_with_parent_references_is_rejected(
    filled: tuple[Workspace, Path], photos: Path
) -> None:
    workspace, plan = filled
    text = plan.read_text("utf-8")
    plan.write_text(text.replace("photos/blue", "photos/red/../blue"), "utf-8")
    with pytest.raises(BadInput, match=r"line 3: .* contains '\.\.'"):
        workspace.load_plan(plan).apply()
    assert (photos / "blue/copy of 0.jpg").exists()


def test_a_plan_can_be_applied_again_after_the_catalog_forgot_its_files(
    filled: tuple[Workspace, Path], photos: Path
) -> None:
    workspace, plan = filled
    workspace.load_plan(plan).apply()
    workspace.remove(missing=True)
    workspace.compact()
    report = workspace.load_plan(plan).apply()
    assert (report.already_moved, report.moved) == ((str(photos / "blue/copy of 0.jpg"),), ())
    assert workspace.undo().restored == report.already_moved


def test_a_plan_is_valid_after_its_files_were_added_under_another_root(
    filled: tuple[Workspace, Path], photos: Path
) -> None:
    workspace, plan = filled
    workspace.remove(photos)
    workspace.add([photos / "red", photos / "blue"])
    workspace.add([photos.parent])
    assert workspace.load_plan(plan).apply().moved == (str(photos / "blue/copy of 0.jpg"),)


def test_a_plan_without_rows_does_nothing(filled: tuple[Workspace, Path]) -> None:
    workspace, plan = filled
    write_plan(plan, [])
    report = workspace.load_plan(plan).apply()
    assert (report.moved, report.skipped, report.missing) == ((), (), ())
    assert workspace.quarantine.list() == ()


@pytest.mark.parametrize("forget", [False, True])
def test_a_renamed_file_is_reported_and_does_not_invalidate_the_plan(
    forget: bool, filled: tuple[Workspace, Path], photos: Path
) -> None:
    workspace, plan = filled
    copy = photos / "blue/copy of 0.jpg"
    more = row(2, "remove", str(photos / "red/1.jpg"), sha256=sha256_of(photos / "red/1.jpg"))
    write_plan(plan, [*read_plan(plan), replace(more, rule="drop-all")])
    os.rename(copy, photos / "blue/renamed.jpg")
    workspace.add()
    if forget:
        workspace.remove(missing=True)
    report = workspace.load_plan(plan).apply()
    assert report.missing == (str(copy),) and report.moved == (more.path,)


def test_a_file_that_changed_and_was_added_again_is_skipped(
    filled: tuple[Workspace, Path], photos: Path
) -> None:
    workspace, plan = filled
    copy = photos / "blue/copy of 0.jpg"
    draw_photo(70).save(copy)
    workspace.add()
    (skipped,) = workspace.load_plan(plan).apply().skipped
    assert (skipped.path, skipped.reason) == (str(copy), "it has changed since the plan was made")


def test_files_in_quarantine_are_not_added(filled: tuple[Workspace, Path], photos: Path) -> None:
    workspace, plan = filled
    workspace.load_plan(plan).apply()
    other = Workspace(photos.parent / "other")
    assert other.add(photos.parent).files == 12


# -- contact sheets ----------------------------------------------------------------------------


def test_a_sheet_starts_with_the_photos_farthest_from_its_class(
    workspace: Workspace, photos: Path
) -> None:
    for number in range(6):  # five similar ones, and another one
        draw_photo(0 if number < 5 else 99).save(photos / f"red/{number}.jpg", quality=90 + number)
    shutil.copy2(photos / "red/0.jpg", photos / "unlabelled.jpg")
    workspace.add([photos], labels_from_folders=True)
    blue, red, none = workspace.sheets()
    assert [blue.label, red.label, none.label] == ["blue", "red", None]
    assert [len(sheet.photos) for sheet in (blue, red, none)] == [6, 6, 1]
    assert red.photos[0].path.endswith("5.jpg")
    far = [photo.distance for photo in red.photos]
    assert far == sorted(far, reverse=True) and far[0] > 10 * far[1]
    assert none.photos[0].distance == 0.0
    assert workspace.sheets("red") == [red]
    with pytest.raises(NotInWorkspace, match="no photo has the label green"):
        workspace.sheets("green")


def test_the_distance_on_a_sheet_is_to_the_mean(workspace: Workspace, photos: Path) -> None:
    workspace.add([photos], labels_from_folders=True)
    workspace.embeddings.export(photos.parent / "out")
    vectors = np.load(photos.parent / "out/vectors.npy")
    with workspace._catalog.read() as reader:
        table = reader.embeddings.export_table(reader.backbones.all()[0].spec.digest).to_pydict()
    red = np.array([label == "red" for label in table["label"]])
    mean = vectors[red].mean(0, dtype=np.float64)
    expected = 1 - vectors[red] @ mean / np.linalg.norm(mean)
    (sheet,) = workspace.sheets("red")
    found = {photo.path: photo.distance for photo in sheet.photos}
    files = [files[0] for files, is_red in zip(table["files"], red, strict=True) if is_red]
    assert [found[path] for path in files] == pytest.approx(expected.tolist(), abs=1e-6)


def test_photos_without_an_embedding_come_last_on_their_sheet(
    workspace: Workspace, photos: Path
) -> None:
    workspace.add([photos], labels_from_folders=True)
    workspace.remove(backbone="efficientnet_lite0")
    (sheet,) = workspace.sheets("red")
    assert [photo.distance for photo in sheet.photos] == [None] * 6
    assert [photo.path for photo in sheet.photos] == sorted(photo.path for photo in sheet.photos)
    pages = write_sheet_pages(photos.parent / "sheets", [sheet])
    assert "cosine distance" not in pages[0].read_text("utf-8")
    assert os.listdir(photos.parent / "sheets") == [pages[0].name]


def test_every_label_has_its_own_page(workspace: Workspace, photos: Path) -> None:
    names = ["../up", "a/b", "A/B", "<b>写真</b>", "ラ" * 100, "new\nline", "%2e", "index"]
    table = photos / "labels.csv"
    lines = [f'"{photos}/red/{n}.jpg","{name}"' for n, name in enumerate(names[:6])]
    lines += [f'"{photos}/blue/{n}.jpg","{name}"' for n, name in enumerate(names[6:], 6)]
    table.write_text("path,label\n" + "\n".join(lines), "utf-8")
    workspace.add([photos])
    workspace.labels.from_csv(table)
    folder = photos.parent / "sheets"
    pages = write_sheet_pages(folder, workspace.sheets())
    assert len(set(pages)) == len(names) + 1 and {page.parent for page in pages} == {folder}
    assert set(os.listdir(folder)) == {page.name for page in pages} | {"index.html"}
    index = (folder / "index.html").read_text("utf-8")
    assert "<b>写真" not in index and "&lt;b&gt;写真" in index
    links = re.findall('href="([^"]+)"', index)
    assert len(links) == len(pages) and all("/" not in link for link in links)
    for page in pages:
        assert not re.search(r"src=[\"'](?!data:)", page.read_text("utf-8"))


# -- the command line --------------------------------------------------------------------------


def test_the_commands_apply_and_undo_a_plan(filled: tuple[Workspace, Path], photos: Path) -> None:
    workspace, plan = filled
    assert "no plan was applied" in run(workspace, "quarantine", "list").stdout
    assert "kB, moved to quarantine" in run(workspace, "apply", plan).stdout
    report = json.loads(run(workspace, "apply", plan, "--json").stdout)
    assert report["already_moved"] == [str(photos / "blue/copy of 0.jpg")] and report["moved"] == []
    assert "1 file already moved by this plan before" in run(workspace, "apply", plan).stdout
    (listed,) = json.loads(run(workspace, "quarantine", "list", "--json").stdout)["quarantines"]
    assert (listed["id"], listed["files"], listed["state"]) == (report["quarantine"], 1, "applied")
    assert listed["id"] in run(workspace, "quarantine", "list").stdout
    assert "put back" in run(workspace, "undo").stdout
    assert "the plan was undone before" in run(workspace, "undo", listed["id"]).stdout
    assert json.loads(run(workspace, "undo", "--json").stdout)["restored"] == []


def test_an_edited_plan_is_not_overwritten(filled: tuple[Workspace, Path]) -> None:
    workspace, plan = filled
    unknown = json.loads(run(workspace, "clean", "--plan", plan, "--json").stdout)["set_aside"]
    assert Path(unknown) == plan.with_name("plan.1.csv"), "the plan has no page"
    assert json.loads(run(workspace, "clean", "--plan", plan, "--json").stdout)["set_aside"] is None
    edited = plan.read_bytes().replace(b"review", b"keep", 1)
    put(plan, edited)
    aside = json.loads(run(workspace, "clean", "--plan", plan, "--json").stdout)["set_aside"]
    assert Path(aside) == plan.with_name("plan.2.csv") and Path(aside).read_bytes() == edited
    assert plan.read_bytes() != edited


def test_the_exit_status_reports_skipped_files(
    filled: tuple[Workspace, Path], photos: Path
) -> None:
    workspace, plan = filled
    copy = photos / "blue/copy of 0.jpg"
    assert "no plan was applied in" in run(workspace, "undo", status=2).stderr
    assert "no such" in run(workspace, "apply", photos / "no.csv", status=2).stderr.lower()
    assert "not a plan" in run(workspace, "apply", write_labels(photos), status=2).stderr
    draw_photo(77).save(copy)
    done = run(workspace, "apply", plan, status=1)
    assert "copy of 0.jpg: it has changed since the plan was made" in done.stderr.replace("\n", " ")
    shutil.copy2(photos / "red/0.jpg", copy)
    run(workspace, "apply", plan)
    draw_photo(77).save(copy)
    assert "not put back" in run(workspace, "undo", status=1).stderr
    assert json.loads(run(workspace, "undo", "--json", status=1).stdout)["skipped"]
    assert "no quarantine called x" in run(workspace, "undo", "x", status=2).stderr
    run(workspace, "undo", "--list", status=2)


def write_labels(photos: Path) -> Path:
    (photos / "labels.csv").write_text("path,label\nred/0.jpg,x\n")
    return photos / "labels.csv"


def test_sheets_are_written_beside_the_catalog_or_to_a_given_folder(
    filled: tuple[Workspace, Path], tmp_path: Path
) -> None:
    workspace, _ = filled
    assert "2 contact sheets" in run(workspace, "sheets").stdout
    assert len(list((workspace.folder / "sheets").glob("*.html"))) == 3
    document = json.loads(
        run(workspace, "sheets", "--label", "red", "--out", tmp_path / "x", "--json").stdout
    )
    (page,) = document["pages"]
    assert (page["label"], page["photos"]) == ("red", 6)
    assert os.listdir(tmp_path / "x") == [os.path.basename(page["page"])]
    run(workspace, "sheets", "--label", "green", status=2)
