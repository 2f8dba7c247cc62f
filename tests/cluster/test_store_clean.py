"""Plans for the files of a store: those of a workspace, as far as the files can be reached."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from conftest import Toys, draw_photo
from stores import inline, search_inline  # noqa: F401

from embedkit import (
    BadInput,
    EmbedkitError,
    EmptyWorkspace,
    Plan,
    PlanInterrupted,
    StorageError,
    Store,
    StoreBusy,
    Workspace,
)
from embedkit._internal.artifacts import sha256_of
from embedkit.cleaning.kept_files import KeptFile
from embedkit.cleaning.plan import write_plan
from embedkit.cli.app import embedkit
from embedkit.cluster.duplicates.find import stored_groups
from embedkit.cluster.duplicates.present import exact_groups
from embedkit.cluster.lease import writing
from embedkit.cluster.location import Location
from embedkit.cluster.store import StoreContent
from embedkit.cluster.tables import FILES, IMAGES

pytestmark = pytest.mark.slow

Run = Callable[..., Any]


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """Photos, of which three have copies: the same bytes, the same pixels, and a poor one."""
    photos = tmp_path / "photos"
    for label in ("red", "blue"):
        (photos / label).mkdir(parents=True)
    for number in range(4):
        draw_photo(number).save(photos / f"red/{number}.png")
    shutil.copy(photos / "red/0.png", photos / "red/0-again.png")
    draw_photo(1).save(photos / "red/1-fast.png", compress_level=1)
    draw_photo(2).save(photos / "red/2-poor.jpg", quality=60)
    draw_photo(3).save(photos / "blue/3.bmp")
    (tmp_path / "labels.csv").write_text("path,label,camera\nphotos/red/0.png,green,a\n")
    return photos


@pytest.fixture
def filled(tmp_path: Path, collection: Path, toys: Toys) -> Workspace:
    """A workspace with these photos."""
    assert toys.passes == []
    workspace = Workspace(tmp_path / "workspace")
    workspace.add(collection, backbones="resnet50", labels_from_folders=True)
    return workspace


@pytest.fixture
def store(filled: Workspace, tmp_path: Path) -> Store:
    """A store with the content of the workspace, in which duplicates were searched for."""
    filled.push(tmp_path / "store")
    search_inline(StoreContent(str(tmp_path / "store")))
    return Store(tmp_path / "store")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in the folder of a test; return its JSON document, or the error."""
    monkeypatch.chdir(tmp_path)

    def run(line: str, status: int = 0) -> Any:
        done = CliRunner().invoke(embedkit, [*line.split(), "--json", "--quiet"])
        assert done.exit_code == status, done.output
        return json.loads(done.stdout) if done.stdout else done.stderr

    return run


@pytest.fixture
def run_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in the folder of a test; return what it prints."""
    monkeypatch.chdir(tmp_path)

    def run(line: str) -> str:
        done = CliRunner().invoke(embedkit, line.split())
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


def test_the_plan_is_that_of_a_workspace_with_its_verdicts(
    filled: Workspace, store: Store, collection: Path
) -> None:
    filled.verdicts.set("keep", collection / "red/2-poor.jpg")
    filled.verdicts.set("off-topic", collection / "red/1-fast.png")
    filled.verdicts.set("relabel=red", collection / "blue/3.bmp")
    filled.push(store.location)
    for options in (
        {},
        {"prefer": ["*again*"]},
        {"protect": [collection / "red"]},
        {"kinds": ["off-topic"]},
        {"kinds": ["exact"]},
        {"kinds": ["exact", "poor", "off-topic"]},
        {"kinds": ["exact", "pixels", "combined", "off-topic", "poor"]},
        {"conflicts": "drop-all", "allow": ["cropped"]},
    ):
        plan = store.clean(**options)
        assert list(plan) == list(filled.clean(**options))
        assert plan.unreachable == 0 and len(plan) > 0


def test_exact_duplicates_are_those_of_a_search_for_them_alone(
    filled: Workspace, store: Store, collection: Path
) -> None:
    for name in ("blue/1.png", "blue/a.png", "red/z.png"):
        shutil.copy(collection / "red/1.png", collection / name)
    shutil.copy(collection / "red/2-poor.jpg", collection / "2.jpg")
    filled.add()
    filled.verdicts.set("keep", collection / "red/1.png")
    filled.verdicts.set("relabel=blue", collection / "red/2-poor.jpg")
    filled.verdicts.set("different", collection / "red/1.png", collection / "red/0.png")
    filled.push(store.location)
    found = StoreContent(store.location)
    (row,) = found.images.read(IMAGES.names, limit=1).to_pylist()
    found.images.append(pa.Table.from_pylist([row], IMAGES))  # as two processes may leave it
    groups = list(exact_groups(found, found.current_verdicts()))
    rows = store.clean(["exact"]).rows
    search_inline(found, kinds=["exact"])
    assert list(stored_groups(found)) == groups
    assert [len(group.members) for group in groups] == [2, 4, 2]
    assert rows == store.clean().rows

    filled.verdicts.set("duplicate", collection / "red/1.png", collection / "red/1-fast.png")
    filled.push(store.location)
    search_inline(found)
    with pytest.raises(BadInput, match="another one may find other groups; run"):
        store.clean(["exact"])


def test_files_that_cannot_be_reached_are_counted_and_stay(
    filled: Workspace, store: Store, collection: Path
) -> None:
    (collection / "red/0-again.png").unlink()
    plan = store.clean()
    assert plan.unreachable == 1
    assert list(plan) == list(filled.clean())
    assert not any("0-again" in row.path for row in plan)
    collection.rename(collection.with_name("elsewhere"))
    assert (len(store.clean()), store.clean().unreachable) == (0, 8)


def test_what_a_store_cannot_do_is_refused(
    filled: Workspace, store: Store, collection: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="last search was for exact, pixels, combined, and"):
        store.clean(["semantic"])
    with pytest.raises(BadInput, match="leave out 'damaged'"):
        store.clean(allow=["damaged"])
    with pytest.raises(BadInput, match="unknown kind 'nonsense'"):
        store.clean(["nonsense"])
    (tmp_path / "other").mkdir()
    with pytest.raises(BadInput, match="has no photos at or below"):
        store.clean(protect=[tmp_path / "other"])
    with pytest.raises(EmptyWorkspace, match="there is no store"):
        Store(tmp_path / "none").clean()
    filled.push(tmp_path / "new")
    with pytest.raises(EmptyWorkspace, match="no duplicates were searched for"):
        Store(tmp_path / "new").clean()
    assert Store(tmp_path / "new").clean(["poor"]).rows == ()
    plan = store.clean()
    plan.save(tmp_path / "plan.csv")
    draw_photo(9).save(collection / "red/1-fast.png")
    filled.add()
    filled.push(tmp_path / "changed")
    loaded = Workspace(tmp_path / "empty").load_plan(
        tmp_path / "plan.csv", store=tmp_path / "changed"
    )
    with pytest.raises(BadInput, match="does not have the content of any photo of the store"):
        loaded.apply()


def test_commands_in_messages_have_the_place_quoted_for_a_shell(
    filled: Workspace, store: Store, tmp_path: Path
) -> None:
    place = tmp_path / "it's a store"
    argument = shlex.quote(str(place))

    def message(run: Callable[[], object]) -> str:
        with pytest.raises(EmbedkitError) as caught:
            run()
        return str(caught.value)

    assert f"--store {argument} --on ray'" in message(Store(place).info)
    assert f"push --store {argument}'" in message(lambda: Workspace(tmp_path / "w").pull(place))
    StoreContent(str(place)).register([])
    found = StoreContent(str(place))
    found.files.append(StoreContent(store.location).files.read(FILES.names))
    assert f"--store {argument} --on ray'" in message(lambda: found.backbone(None))
    assert f"--store {argument} --on ray'" in message(lambda: search_inline(found))
    assert f"duplicates --store {argument}'" in message(Store(place).clean)
    filled.push(place)
    search_inline(found)
    searched = f"--store {argument} --kind semantic' first"
    assert searched in message(lambda: Store(place).clean(["semantic"]))
    plan = store.clean()
    plan.save(tmp_path / "plan.csv")
    other = tmp_path / "another 'store'"
    StoreContent(str(other)).register([])
    loaded = Workspace(tmp_path / "w").load_plan(tmp_path / "plan.csv", store=other)
    assert f"clean --store {shlex.quote(str(other))}'" in message(loaded.apply)


def content(store: Store) -> dict[str, Any]:
    """Return what a store says about its files and verdicts, without the times of decisions."""
    found = StoreContent(store.location)
    files = found.files.read(["path", "label", "folder_label", "attributes"]).to_pylist()
    verdicts = [row[:4] for row in found.current_verdicts().rows]
    return {"files": sorted(files, key=str), "verdicts": sorted(verdicts)}


def test_a_plan_of_a_store_is_applied_and_undone(
    filled: Workspace, store: Store, collection: Path, tmp_path: Path, run: Run
) -> None:
    filled.labels.from_csv(tmp_path / "labels.csv")
    filled.verdicts.set("relabel=green", collection / "red/0.png")
    filled.verdicts.set("different", collection / "red/2.png", collection / "red/3.png")
    filled.push(store.location)
    before = content(store)
    photos = {path: path.read_bytes() for path in collection.rglob("*.*")}

    assert "--verify cannot be used" in run("clean --plan p.csv --verify --store store", 2)
    document = run("clean --plan plan.csv --store store --prefer *again* -w here")
    assert (document["store"], document["unreachable"]) == (store.location, 0)
    assert document["rows"] == store.clean(prefer=["*again*"]).to_dict()["rows"]
    actions = {Path(row["path"]).name: row["action"] for row in document["rows"]}
    assert actions["0.png"] == actions["1-fast.png"] == "remove"
    removed = {row["path"] for row in document["rows"] if row["action"] == "remove"}

    assert "a plan of a store needs --store" in run("apply plan.csv -w other", 1)
    report = run("apply plan.csv --store store -w here")
    assert {*report["moved"]} == removed and not report["skipped"]
    assert not any(map(os.path.exists, removed))
    carried = {(item["attribute"], item["value"]) for item in report["carried_over"]}
    assert ("camera", "a") in carried
    after = content(store)
    kept = next(row for row in after["files"] if row["path"].endswith("0-again.png"))
    assert dict(kept["attributes"]) == {"camera": "a"}
    again = run("apply plan.csv --store store -w here")
    assert {*again["already_moved"]} == removed and content(store) == after

    undone = run("undo -w here")
    assert {*undone["restored"]} == removed
    assert {(item["attribute"], item["value"]) for item in undone["reverted"]} == carried
    assert {path: path.read_bytes() for path in collection.rglob("*.*")} == photos
    assert content(store) == before


@pytest.mark.usefixtures("inline")
def test_a_kept_file_that_was_renamed_counts_if_the_store_knows_it(
    store: Store, collection: Path, tmp_path: Path
) -> None:
    store.clean(["exact"]).save(tmp_path / "plan.csv")
    local = Workspace(tmp_path / "local")
    plan = local.load_plan(tmp_path / "plan.csv", store=store.location)
    ((kept,), (removed,)) = (
        [row.path for row in plan if row.action == action] for action in ("keep", "remove")
    )
    assert plan.apply().moved == (removed,)
    (quarantine,) = local.quarantine.list()
    Path(kept).rename(collection / "blue/renamed.png")
    assert local.quarantine.empty(quarantine.id).deleted == ()
    store.add(collection / "blue", fingerprints_only=True, workers=1)
    assert local.quarantine.empty(quarantine.id).deleted == (removed,)


def test_an_undo_changes_the_collection_to_which_the_plan_was_last_applied(
    filled: Workspace, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "labels.csv").write_text("path,label,camera\nphotos/red/1.png,red,a\n")
    filled.labels.from_csv(tmp_path / "labels.csv")
    filled.push(store.location)
    filled.push(tmp_path / "other")
    store.clean(prefer=["*fast*"]).save(tmp_path / "plan.csv")
    collections = [store.location, str(tmp_path / "other"), None, store.location]

    def described() -> tuple[Any, ...]:
        stores = [content(Store(place))["files"] for place in (store.location, tmp_path / "other")]
        with filled._catalog.read() as reader:
            return stores, reader.labels.column("camera")

    before = described()
    for place, following in zip(collections, [*collections[1:], None], strict=True):
        plan = filled.load_plan(tmp_path / "plan.csv", store=place)
        assert plan.apply().carried_over and described() != before
        with pytest.raises(BadInput, match=r"is plan has moved files of the .* 'embedkit undo"):
            filled.load_plan(tmp_path / "plan.csv", store=following).apply()
        assert plan.apply().already_moved
        assert filled.undo().reverted and described() == before


def test_verdicts_and_labels_of_removed_files_go_to_the_kept_ones(
    filled: Workspace, store: Store, collection: Path, tmp_path: Path
) -> None:
    filled.verdicts.set("different", collection / "red/1.png", collection / "red/3.png")
    filled.verdicts.set("right", collection / "red/1.png")
    filled.push(store.location)
    before = content(store)
    plan = store.clean(prefer=["*fast*"])
    assert [row.path for row in plan if "red/1.png" in row.path and row.action == "remove"]
    plan.save(tmp_path / "plan.csv")
    local = Workspace(tmp_path / "local")
    report = local.load_plan(tmp_path / "plan.csv", store=store.location).apply()
    carried = {item.verdict for item in report.carried_over if item.path.endswith("1-fast.png")}
    assert carried == {"different", "right=red"}
    fast, third = (
        bytes.fromhex(sha256_of(collection / name)) for name in ("red/1-fast.png", "red/3.png")
    )
    pair = (min(fast, third), max(fast, third), "different", None)
    assert pair in content(store)["verdicts"]
    local.undo()
    assert content(store) == before


def test_an_empty_plan_has_nothing_to_apply(store: Store, run_text: Run) -> None:
    text = run_text("clean --plan none.csv --store store --kinds poor")
    assert text.endswith("the plan is empty: there is nothing to apply\n")
    assert "then: embedkit apply some.csv --store store" in run_text(
        "clean --plan some.csv --store store"
    )
    assert Path(store.location).is_dir()


def test_photos_that_a_pushed_verdict_keeps_stay_and_the_rest_goes(
    filled: Workspace, store: Store, collection: Path, tmp_path: Path
) -> None:
    actions = {"2.png": "keep", "2-poor.jpg": "remove"}
    edited = [
        replace(row, action=actions.get(Path(row.path).name, row.action)) for row in store.clean()
    ]
    write_plan(tmp_path / "plan.csv", edited)
    removed = {Path(row.path).name for row in edited if row.action == "remove"}
    assert removed == {"0.png", "1-fast.png", "2-poor.jpg"}
    filled.verdicts.set("different", collection / "red/2.png", collection / "red/2-poor.jpg")
    filled.verdicts.set("keep", collection / "red/0.png")
    filled.push(store.location)
    local = Workspace(tmp_path / "local")
    report = local.load_plan(tmp_path / "plan.csv", store=store.location).apply()
    reasons = {Path(item.path).name: item.reason for item in report.skipped}
    assert reasons["2-poor.jpg"].startswith("a verdict says that it is different from")
    assert reasons["0.png"].startswith("it has the verdict keep; to move it, change")
    assert all("push it" in reason for reason in reasons.values())
    assert len(reasons) == 2 and {Path(path).name for path in report.moved} == {"1-fast.png"}


def test_a_verdict_that_is_carried_over_is_as_old_as_its_original(
    filled: Workspace, store: Store, collection: Path, tmp_path: Path
) -> None:
    filled.verdicts.set("different", collection / "red/1.png", collection / "red/3.png")
    filled.verdicts.set("right", collection / "red/1.png")
    filled.push(store.location)
    verdicts = StoreContent(store.location).current_verdicts
    times = {row[2]: row[4] for row in verdicts().rows}
    store.clean(prefer=["*fast*"]).save(tmp_path / "plan.csv")
    filled.verdicts.set("duplicate", collection / "red/1-fast.png", collection / "red/3.png")
    local = Workspace(tmp_path / "local")
    report = local.load_plan(tmp_path / "plan.csv", store=store.location).apply()
    assert {item.verdict for item in report.carried_over} == {"different", "right=red"}
    fast, third = (
        bytes.fromhex(sha256_of(collection / name)) for name in ("red/1-fast.png", "red/3.png")
    )
    pair = tuple(sorted((fast, third)))
    carried = [row for row in verdicts().rows if fast in row[:2]]
    assert {row[2]: row[4] for row in carried} == times
    filled.push(store.location)
    assert [row[2] for row in verdicts().rows if row[:2] == pair] == ["duplicate"], "the later one"
    assert {item.verdict for item in local.undo().reverted} == {"right=red"}
    assert [row[2] for row in verdicts().rows if row[:2] == pair] == ["duplicate"]


def test_verdicts_are_taken_back_in_one_commit_for_photos_and_one_for_pairs(
    filled: Workspace,
    store: Store,
    collection: Path,
    tmp_path: Path,
) -> None:
    for other in ("red/0.png", "red/2.png", "red/3.png"):
        filled.verdicts.set("different", collection / "red/1.png", collection / other)
    filled.verdicts.set("right", collection / "red/1.png")
    filled.push(store.location)
    before = content(store)
    store.clean(prefer=["*fast*"]).save(tmp_path / "plan.csv")
    local = Workspace(tmp_path / "local")
    local.load_plan(tmp_path / "plan.csv", store=store.location).apply()
    version = StoreContent(store.location).verdicts.ensure().version
    assert len(local.undo().reverted) == 4
    assert StoreContent(store.location).verdicts.ensure().version == version + 2
    assert content(store) == before


def test_an_apply_that_is_killed_while_it_carries_facts_over_continues(
    filled: Workspace,
    store: Store,
    collection: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "labels.csv").write_text("path,label,camera\nphotos/red/1.png,red,a\n")
    filled.labels.from_csv(tmp_path / "labels.csv")
    filled.verdicts.set("different", collection / "red/1.png", collection / "red/3.png")
    filled.push(store.location)
    before = content(store)
    store.clean(prefer=["*fast*"]).save(tmp_path / "plan.csv")
    local = Workspace(tmp_path / "local")
    plan = local.load_plan(tmp_path / "plan.csv", store=store.location)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("embedkit.cluster.plan_facts._StoreEditor.set_verdicts", killed)
        plan.apply()
    report = plan.apply()
    assert report.already_moved and not report.moved
    assert {item.verdict for item in report.carried_over} == {"different"}
    kept = next(row for row in content(store)["files"] if row["path"].endswith("1-fast.png"))
    assert dict(kept["attributes"]) == {"camera": "a"}
    local.undo()
    assert content(store) == before


def plans_of_two_machines(store: Store, tmp_path: Path) -> list[Plan]:
    """Return plans of which each keeps the copies that the other one removes."""
    plans = []
    for name, preferred in {"one": ["*again*", "*fast*"], "two": ["[01].png"]}.items():
        store.clean(prefer=preferred).save(tmp_path / f"{name}.csv")
        local = Workspace(tmp_path / name)
        plans.append(local.load_plan(tmp_path / f"{name}.csv", store=store.location))
    one, two = ({row.path for row in plan if row.action == "remove"} for plan in plans)
    assert one and two and not one & two
    return plans


def test_a_plan_waits_for_another_writer_and_moves_nothing_without_the_lease(
    store: Store, collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedkit.cluster.store.writing", partial(writing, patience=0.0))
    photos = {*collection.rglob("*.*")}
    plan, _ = plans_of_two_machines(store, tmp_path)
    with (
        StoreContent(store.location).writing("add"),
        pytest.raises(StoreBusy, match="is being written to by add of process"),
    ):
        plan.apply()
    assert {*collection.rglob("*.*")} == photos
    assert not plan.apply().skipped


def test_others_wait_for_the_command_that_writes_to_the_store(
    filled: Workspace, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "labels.csv").write_text("path,label,camera\nphotos/red/1.png,red,a\n")
    filled.labels.from_csv(tmp_path / "labels.csv")
    filled.push(store.location)
    tasks = []

    def recorded(place: Location, task: str, *arguments: Any) -> Any:
        tasks.append(task)
        return writing(place, task, *arguments)

    plan, _ = plans_of_two_machines(store, tmp_path)
    monkeypatch.setattr("embedkit.cluster.store.writing", recorded)
    assert plan.apply().moved and tasks == ["apply"]
    assert Workspace(tmp_path / "one").undo().restored and {*tasks[1:]} == {"undo"}


def test_opposite_plans_of_two_machines_leave_one_copy(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedkit.cluster.store.writing", partial(writing, patience=0.0))
    one, two = plans_of_two_machines(store, tmp_path)
    # The second machine starts when the first one has checked a kept file.
    real, refused = KeptFile.check_unchanged, []

    def check_unchanged(self: KeptFile) -> None:
        real(self)
        if not refused:
            refused.append(True)
            with pytest.raises(StoreBusy):
                two.apply()

    monkeypatch.setattr(KeptFile, "check_unchanged", check_unchanged)
    first = one.apply()
    assert refused and first.moved and not first.skipped
    second = two.apply()
    assert not second.moved
    assert all(os.path.exists(row.path) for row in one if row.action == "keep")


def test_a_plan_whose_facts_cannot_be_stored_reports_what_it_moved(
    filled: Workspace, store: Store, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "labels.csv").write_text("path,label,camera\nphotos/red/1.png,red,a\n")
    filled.labels.from_csv(tmp_path / "labels.csv")
    filled.push(store.location)
    before = content(store)
    store.clean(prefer=["*fast*"]).save(tmp_path / "plan.csv")

    def full(*_: object) -> None:
        raise StorageError("files.lance: No space left on device; free some space")

    with monkeypatch.context() as patch:
        patch.setattr("embedkit.cluster.plan_facts._StoreEditor.set_column", full)
        done = CliRunner().invoke(
            embedkit, ["apply", "plan.csv", "--store", "store", "-w", "here", "--json", "--quiet"]
        )
    report = json.loads(done.stdout)
    assert done.exit_code == 1 and len(report["moved"]) == 2
    advice = f"2 files had been moved to quarantine {report['quarantine']}; 'embedkit undo"
    assert "free some space" in done.stderr and advice in done.stderr
    again = run("apply plan.csv --store store -w here")
    assert again["already_moved"] and again["carried_over"]
    with monkeypatch.context() as patch:
        patch.setattr("embedkit.cluster.plan_facts._StoreEditor.remove_values", full)
        done = CliRunner().invoke(embedkit, ["undo", "-w", "here", "--json", "--quiet"])
    undone = json.loads(done.stdout)
    assert done.exit_code == 1 and {*undone["restored"]} == {*report["moved"]}
    assert f"had been put back; 'embedkit undo {report['quarantine']} --workspace " in done.stderr
    assert run("undo -w here")["reverted"]
    assert content(store) == before


def test_an_undo_that_cannot_use_the_store_reports_what_it_put_back(
    filled: Workspace, store: Store, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedkit.cluster.store.writing", partial(writing, patience=0.0))
    (tmp_path / "labels.csv").write_text("path,label,camera\nphotos/red/1.png,red,a\n")
    filled.labels.from_csv(tmp_path / "labels.csv")
    filled.push(store.location)
    before = content(store)
    store.clean(prefer=["*fast*"]).save(tmp_path / "plan.csv")
    moved = run("apply plan.csv --store store -w here")
    with StoreContent(store.location).writing("add"):
        done = CliRunner().invoke(embedkit, ["undo", "-w", "here", "--json", "--quiet"])
    assert done.exit_code == 1 and {*json.loads(done.stdout)["restored"]} == {*moved["moved"]}
    assert "is being written to by add of process" in done.stderr
    command = re.search(r"had been put back; 'embedkit (undo .+)' continues", done.stderr)
    assert command is not None and run(command[1])["reverted"]
    assert content(store) == before


def test_a_plan_stops_when_the_right_to_write_is_lost(
    store: Store, collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, _ = plans_of_two_machines(store, tmp_path)
    photos = {*collection.rglob("*.*")}
    real = KeptFile.check_unchanged

    def check_unchanged(self: KeptFile) -> None:
        real(self)
        monkeypatch.setattr("embedkit.cluster.lease._VALID", -1.0)

    monkeypatch.setattr(KeptFile, "check_unchanged", check_unchanged)
    with pytest.raises(PlanInterrupted, match="another one may have taken it over") as caught:
        plan.apply()
    (moved,) = caught.value.report.moved
    assert photos - {*collection.rglob("*.*")} == {Path(moved)}
