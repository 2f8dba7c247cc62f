"""Copies between a workspace and a store."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from conftest import Toys, draw_photo, provide_toys, write_photos
from copies import store_content, workspace_content

from embedkit import Workspace
from embedkit.catalog import Catalog
from embedkit.cli.app import embedkit
from embedkit.cluster import heads as heads_module
from embedkit.cluster import pull as pull_module
from embedkit.cluster import push as push_module
from embedkit.cluster.lease import is_lease
from embedkit.cluster.location import Location
from embedkit.cluster.merging import Differences, FileRow, merge_files
from embedkit.cluster.store import StoreContent
from embedkit.cluster.tables import FILES, Dataset
from embedkit.errors import BadInput, EmptyWorkspace
from embedkit.results import Progress
from embedkit.review.measured import VERSION

pytestmark = pytest.mark.slow

NAMES = ("with space.jpg", "日本語.jpg", "new\nline.jpg", os.fsdecode(b"latin-\xe9.jpg"))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``photos`` and a ``workspace`` with everything that a store takes."""
    folder = tmp_path_factory.mktemp("push")
    photos = folder / "photos"
    write_photos(photos)
    for number, name in enumerate(NAMES):
        draw_photo(100 + number).save(photos / "red" / name, "JPEG")
    shutil.copy(photos / "red/1.jpg", photos / "blue/copy.jpg")
    draw_photo(3).resize((200, 150)).save(photos / "red/small.jpg")
    (photos / "red/broken.jpg").write_bytes(b"no image")
    whole = (photos / "blue/9.jpg").read_bytes()
    (photos / "blue/truncated.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.MonkeyPatch.context() as patch:
        provide_toys(patch)
        workspace = Workspace(folder / "workspace")
        workspace.add(
            photos,
            backbones=["resnet50", "resnet101"],
            labels_from_folders=True,
            tolerate_truncated=True,
        )
        rows = [f"photos/red/{n}.jpg,green,{'ab'[n % 2]}" for n in range(3)]
        rows += ["photos/blue/11.jpg,blue,a", "photos/red/日本語.jpg,緑,b"]
        (folder / "labels.csv").write_text("\n".join(["path,label,camera", *rows]), "utf-8")
        workspace.labels.from_csv(folder / "labels.csv")
        workspace.verdicts.set("keep", photos / "red/1.jpg")
        workspace.verdicts.set("relabel=blue", photos / "red/4.jpg")
        workspace.verdicts.set("different", photos / "red/3.jpg", photos / "red/small.jpg")
        write_measures(workspace)
        workspace.compare(["resnet152"])
        workspace.split(val=2, test=2)
        for name in ("first", "second"):
            workspace.heads.train("knn", name=name)
        workspace.heads.ensemble("both", ["first", "second"])
        workspace.remove(photos / "blue/11.jpg")
    return folder


def write_measures(workspace: Workspace) -> None:
    """Store quality measures of all images, without opening them."""
    catalog = Catalog(workspace.folder)
    with catalog.read() as reader:
        digests = reader.transfer.images().column(1).to_pylist()
    with catalog.write() as writer:
        texts = {digest: json.dumps({"sharpness": number}) for number, digest in enumerate(digests)}
        writer.quality.store(VERSION, texts)


@pytest.fixture
def filled(place: Path, tmp_path: Path, toys: Toys) -> Workspace:
    """A copy of the workspace in :func:`place`."""
    assert toys.passes == []
    shutil.copytree(place / "workspace", tmp_path / "filled")
    return Workspace(tmp_path / "filled")


@pytest.fixture
def store(filled: Workspace, tmp_path: Path) -> Path:
    """A store with the content of :func:`filled`."""
    filled.push(tmp_path / "store")
    return tmp_path / "store"


# -- all of it -------------------------------------------------------------------------------------


def test_push_pull_push_gives_the_same_content(filled: Workspace, tmp_path: Path) -> None:
    pushed = filled.push(tmp_path / "first")
    other = Workspace(tmp_path / "other")
    pulled = other.pull(tmp_path / "first")
    other.push(tmp_path / "second")
    content = workspace_content(filled.folder)
    assert all(content.values()), "the workspace lacks something to compare"
    assert workspace_content(other.folder) == content
    assert store_content(tmp_path / "second") == store_content(tmp_path / "first")
    for report in (pushed, pulled):
        assert (report.images, report.files, report.failures) == (17, 18, 1)
        assert report.embeddings == {"resnet50": 17, "resnet101": 17, "resnet152": 17}
        assert (report.verdicts, report.kept_facts, report.split) == (3, 2, 15)
        assert report.heads == ("first", "second", "both")
        assert report.differences == {} and report.warnings == ()


def test_a_copy_that_is_repeated_changes_nothing(
    filled: Workspace, store: Path, tmp_path: Path
) -> None:
    other = Workspace(tmp_path / "other")
    other.pull(store)
    before = modified(store)
    for workspace in (filled, other):
        assert workspace.push(store).is_empty
    assert modified(store) == before
    assert other.pull(store).is_empty


def modified(store: Path) -> dict[Path, int]:
    """Return when each file was modified, except leases."""
    files = (path for path in store.rglob("*") if path.is_file() and not is_lease(path.name))
    return {path: path.stat().st_mtime_ns for path in files}


def test_the_next_add_of_pulled_photos_reads_none(
    store: Path, place: Path, tmp_path: Path, toys: Toys, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Workspace(tmp_path / "other")
    other.pull(store)
    read: list[str] = []
    monkeypatch.setattr("embedkit.ingest.pipeline.read_bytes", read.append)
    report = other.add(
        place / "photos", backbones=["resnet50", "resnet101"], tolerate_truncated=True
    )
    assert [Path(path).name for path in read] == ["11.jpg", "broken.jpg"] or read == []
    assert toys.passes == [] and report.missing == 0


# -- killed in the middle --------------------------------------------------------------------------


class Killed(BaseException):
    """A process that is killed; nothing catches it."""


def repeated(
    patch: pytest.MonkeyPatch,
    commits: list[tuple[Any, str]],
    attempt: Callable[[], Any],
    check: Callable[[], None],
) -> int:
    """Repeat what is killed before its second commit, then before its third, and so on.

    ``commits`` are the functions that commit, each with its owner. Returns how often it was killed.
    """
    originals = [getattr(owner, name) for owner, name in commits]
    for limit in range(1, 100):
        left = limit

        def counted(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*arguments: Any, **options: Any) -> Any:
                nonlocal left
                if commits_something(*arguments):
                    left -= 1
                    if left < 0:
                        raise Killed
                return function(*arguments, **options)

            return call

        with patch.context() as patched:
            for (owner, name), original in zip(commits, originals, strict=True):
                patched.setattr(owner, name, counted(original))
            try:
                attempt()
            except Killed:
                check()
                continue
        return limit - 1
    raise AssertionError("it does not end")


def commits_something(owner: Any, *values: Any) -> bool:
    """Whether a call commits rows or a file: a lease is given back, as this process goes on."""
    if isinstance(owner, Location) and is_lease(Path(owner.path).name):
        return False
    return not values or len(values[0]) > 0


def assert_whole(place: Path) -> None:
    """No file of a store is without its image, and no image without its embeddings."""
    store = StoreContent(str(place))
    images = set(store.images.read(["sha256"])["sha256"].to_pylist())
    files = store.files.read(["sha256", "path"]).to_pylist()
    assert {row["sha256"] for row in files} - {None} <= images
    assert len({row["path"] for row in files}) == len(files)
    for backbone in store.backbones():
        digests = store.embeddings(backbone.spec).read(["sha256"])["sha256"].to_pylist()
        assert len(set(digests)) == len(digests) and images <= set(digests)


def test_a_push_that_is_killed_at_any_commit_continues(
    filled: Workspace, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_module, "ROWS", 7)
    place = tmp_path / "killed"
    killed = repeated(
        monkeypatch,
        [(Dataset, "commit"), (Dataset, "upsert"), (Location, "write")],
        lambda: filled.push(place),
        lambda: assert_whole(place),
    )
    assert killed >= 5
    assert store_content(place) == store_content(store)


def test_a_pull_that_is_killed_at_any_commit_continues(
    filled: Workspace, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull_module, "ROWS", 7)
    other = Workspace(tmp_path / "killed")
    killed = repeated(
        monkeypatch,
        [(Catalog, "write"), (heads_module, "_pull_head")],
        lambda: other.pull(store),
        lambda: None,
    )
    assert killed >= 5
    assert workspace_content(other.folder) == workspace_content(filled.folder)


_KILLED = """
import os, signal, sys
sys.path[:0] = {path!r}
from conftest import provide_toys
import pytest
from embedkit import Workspace
from embedkit.catalog import Catalog
from embedkit.cluster.tables import Dataset
provide_toys(pytest.MonkeyPatch())
left = {limit}
def counted(function):
    def call(*arguments):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)
    return call
Dataset.commit, Catalog.write = counted(Dataset.commit), counted(Catalog.write)
getattr(Workspace({folder!r}), {verb!r})({store!r})
"""


@pytest.mark.parametrize("verb", ["push", "pull"])
def test_a_process_that_was_killed_leaves_nothing_behind(
    verb: str, filled: Workspace, store: Path, tmp_path: Path
) -> None:
    folder, place = (filled.folder, tmp_path / "new") if verb == "push" else (tmp_path / "w", store)
    code = _KILLED.format(path=sys.path, limit=4, folder=str(folder), verb=verb, store=str(place))
    killed = subprocess.run([sys.executable, "-c", code], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert is_held(place) == (verb == "push")
    getattr(Workspace(folder), verb)(place)
    assert store_content(place) == store_content(store)
    assert workspace_content(folder) == workspace_content(filled.folder)
    assert not is_held(place)


def is_held(place: Path) -> bool:
    """Whether a lease of a store was not given back."""
    leases = [json.loads(file.read_bytes()) for file in place.glob("lease-*.json")]
    return any(lease != {"ended": True} for lease in leases)


# -- two writers -----------------------------------------------------------------------------------


def test_a_push_waits_for_another_writer_and_says_so(filled: Workspace, tmp_path: Path) -> None:
    messages: list[str] = []
    is_waiting = threading.Event()

    def progress(step: Progress) -> None:
        messages.append(step.stage)
        if step.stage.startswith("waiting"):
            is_waiting.set()

    content = StoreContent(str(tmp_path / "store"))
    with content.writing("add"):
        thread = threading.Thread(
            target=lambda: Workspace(filled.folder, progress).push(tmp_path / "store")
        )
        thread.start()
        assert is_waiting.wait(30)
        assert not (tmp_path / "store/store.json").exists()
    thread.join()
    assert messages[0].startswith(f"waiting for add of process {os.getpid()}")
    assert content.files.count() == 19


# -- a sample --------------------------------------------------------------------------------------


def test_a_sample_contains_smaller_ones_and_grows_to_everything(
    filled: Workspace, store: Path, tmp_path: Path
) -> None:
    other = Workspace(tmp_path / "other")
    small = other.pull(store, sample=4, seed=1)
    assert (small.images, small.selected, small.failures) == (4, 4, 0)
    first = workspace_content(other.folder)
    large = other.pull(store, sample=9, seed=1)
    assert (large.images, large.selected) == (5, 9)
    again = Workspace(tmp_path / "again")
    assert again.pull(store, sample=4, seed=1).images == 4
    assert workspace_content(again.folder) == first
    another = Workspace(tmp_path / "another")
    another.pull(store, sample=4, seed=2)
    assert workspace_content(another.folder)["images"] != first["images"]
    digests = {row[0] for row in first["images"]}
    complete = workspace_content(filled.folder)
    for name in ("files", "split", "quality"):
        expected = [row for row in complete[name] if digests & set(row)]
        assert first[name] == expected
    other.pull(store)
    assert workspace_content(other.folder) == complete
    assert other.push(store).is_empty


# -- photos elsewhere ------------------------------------------------------------------------------


@pytest.fixture
def away(store: Path, place: Path, tmp_path: Path, toys: Toys) -> Iterator[Workspace]:
    """A workspace that was pulled where the photos are not; they are in ``moved``."""
    (place / "photos").rename(place / "moved")
    other = Workspace(tmp_path / "other")
    report = other.pull(store)
    assert report.unreachable == report.files == 18
    toys.passes.clear()
    try:
        yield other
    finally:
        (place / "moved").rename(place / "photos")


def test_photos_elsewhere_are_searched_labelled_and_judged(
    away: Workspace, place: Path, toys: Toys
) -> None:
    url = f"file://{place}/photos/red/3.jpg"
    match, *_ = away.search(url, k=1)
    assert (match.path, match.label, match.distance) == (url, "red", pytest.approx(0, abs=1e-6))
    assert away.search(f"file:{place}/photos/red/3.jpg", k=1)[0].path == url  # as pathlib has it
    away.verdicts.set("keep", url)
    assert away.info().labels == {"blue": 8, "green": 3, "red": 6, "緑": 1}
    assert [len(group.members) for group in away.duplicates().groups] == [2]
    assert away.compare(["resnet50"]).queries == 16
    assert away.review("labels") is not None
    away.heads.evaluate(["first"])
    assert toys.passes == []
    with pytest.raises(BadInput, match="not in the workspace"):
        away.search("s3://bucket/unknown.jpg")


def test_photos_elsewhere_do_not_go_missing_when_copies_are_added(
    away: Workspace, place: Path, tmp_path: Path
) -> None:
    before = workspace_content(away.folder)
    (tmp_path / "new").mkdir()
    shutil.copy(place / "moved/red/0.jpg", tmp_path / "new/0.jpg")
    report = away.add(tmp_path / "new", backbones="resnet50")
    assert (report.embedded, report.missing, report.warnings) == (0, 0, ())
    after = workspace_content(away.folder)
    assert after["labels"] == before["labels"]
    assert [row for row in after["files"] if "/new/" not in row[0]] == before["files"]


def test_a_pulled_folder_that_is_relocated_needs_no_forward_pass(
    away: Workspace, store: Path, place: Path, toys: Toys
) -> None:
    before = store_content(store)
    away.relocate(f"file://{place}/photos", place / "moved")
    report = away.add(place / "moved", backbones=["resnet50", "resnet101"], tolerate_truncated=True)
    assert toys.passes == [1, 1], "11.jpg is not in the store"
    assert (report.missing, report.failed) == (0, 1)
    away.remove(place / "moved/blue/11.jpg")
    pushed = away.push(store)
    assert pushed.files == 0 and pushed.differences == {}
    assert {name: rows for name, rows in store_content(store).items() if rows != before[name]} == {}
    assert away.pull(store).is_empty


def test_photos_that_are_mounted_at_their_path_later_are_the_same_photos(
    away: Workspace, store: Path, place: Path, toys: Toys
) -> None:
    before = store_content(store)
    (place / "moved").rename(place / "photos")
    try:
        report = away.add(place / "photos/red", backbones=["resnet50", "resnet101"])
        assert toys.passes == [], "the embeddings were pulled"
        assert (report.files, report.failed) == (12, 1)
        assert away.info().files == 18
        assert sum("://" in row[0] for row in workspace_content(away.folder)["files"]) == 7
        assert [len(group.members) for group in away.duplicates().groups] == [2]
        assert away.pull(store).is_empty and away.push(store).is_empty
        assert store_content(store) == before
    finally:
        (place / "photos").rename(place / "moved")


def test_other_photos_at_the_path_of_pulled_ones_are_pushed_once(
    away: Workspace, store: Path, place: Path
) -> None:
    paths = sorted(StoreContent(str(store)).files.read(["path"])["path"].to_pylist())
    (place / "photos/red").mkdir(parents=True)
    try:
        for number in range(6):
            draw_photo(500 + number, (96, 64)).save(place / f"photos/red/{number}.jpg")
        away.add(place / "photos/red", backbones=["resnet50", "resnet101"])
        assert away.info().files == 18 + 6, "they are not the photos of the store"
        for _ in range(2):
            away.push(store)
            found = StoreContent(str(store)).files.read(["path"])["path"].to_pylist()
            assert sorted(found) == paths
    finally:
        shutil.rmtree(place / "photos")


def test_a_relocated_folder_inside_a_pulled_one_is_not_copied_again(
    away: Workspace, store: Path, place: Path
) -> None:
    before = store_content(store)
    away.relocate(f"file://{place}/photos/red", place / "moved/red")
    content = workspace_content(away.folder)
    assert away.pull(store).is_empty
    assert away.push(store).is_empty
    assert workspace_content(away.folder) == content and store_content(store) == before
    (place / "moved/red").rename(place / "moved/again")
    try:
        away.relocate(place / "moved/red", place / "moved/again")
        assert away.pull(store).is_empty and away.push(store).is_empty
        assert store_content(store) == before
    finally:
        (place / "moved/again").rename(place / "moved/red")


@pytest.mark.parametrize("is_added", [False, True])
def test_folders_that_are_not_here_are_elsewhere_although_one_above_them_is_here(
    is_added: bool, store: Path, place: Path, tmp_path: Path
) -> None:
    (place / "photos").rename(place / "moved")
    (place / "photos/own").mkdir(parents=True)
    try:
        draw_photo(700).save(place / "photos/own/1.jpg")
        other = Workspace(tmp_path / "other")
        if is_added:
            other.add(place / "photos", backbones=["resnet50", "resnet101"])
        assert other.pull(store).unreachable == 18
        other.add(place / "photos", backbones=["resnet50", "resnet101"])
        info = other.info()
        assert (info.files, info.missing) == (19, 0)
        assert other.pull(store).is_empty
    finally:
        shutil.rmtree(place / "photos")
        (place / "moved").rename(place / "photos")


@pytest.mark.parametrize("start", ["s3://bucket", "tar+s3://bucket/a.tar#", "tar+file:///a.tar#"])
def test_a_store_of_urls_is_pulled_as_urls(
    start: str, store: Path, place: Path, tmp_path: Path
) -> None:
    content = StoreContent(str(store))
    rows = content.files.read(FILES.names).to_pylist()
    for row in rows:
        row["path"] = row["path"].replace(f"{place}/", f"{start}/")
    content.files.open().delete("true")
    content.files.append(pa.Table.from_pylist(rows, FILES))
    before = store_content(store)
    other = Workspace(tmp_path / "other")
    assert other.pull(store).unreachable == 18
    files = [row[0] for row in workspace_content(other.folder)["files"]]
    assert all(path.startswith(f"{start}/photos/") for path in files)
    assert other.search(f"{start}/photos/red/3.jpg", k=1)[0].label == "red"
    assert other.push(store).is_empty and store_content(store) == before
    assert other.remove(Path(f"{start}/photos/red")).files == 11


# -- what both sides have --------------------------------------------------------------------------


def file_row(**values: Any) -> FileRow:
    """A labelled file."""
    defaults: dict[str, Any] = {
        "path": "/photos/1.jpg",
        "sha256": b"a" * 32,
        "bytes": 10,
        "mtime_ns": 100,
        "label": None,
        "folder_label": None,
        "attributes": {},
        "stage": None,
        "reason": None,
        "decoder": None,
    }
    return FileRow(**{**defaults, **values})


FAILED = {"sha256": None, "stage": "decode", "reason": "broken", "decoder": "1"}


@pytest.mark.parametrize(
    ("mine", "other", "merged", "differences"),
    [
        ({}, {"label": "red"}, {"label": "red"}, {}),
        ({"label": "red"}, {}, {"label": "red"}, {}),
        ({"label": "red"}, {"label": "red"}, {"label": "red"}, {}),
        ({"label": "red"}, {"label": "blue"}, {"label": "red"}, {"label": 1}),
        (
            {"folder_label": "red"},
            {"label": "blue"},
            {"folder_label": "red", "label": "blue"},
            {},
        ),
        (
            {"attributes": {"a": "1", "b": "2"}},
            {"attributes": {"b": "3", "c": "4"}},
            {"attributes": {"a": "1", "b": "2", "c": "4"}},
            {"column": 1},
        ),
        ({"label": "red"}, FAILED, {"label": "red"}, {"file": 1}),
        ({**FAILED, "label": "red"}, {"mtime_ns": 99}, {"mtime_ns": 99, "label": "red"}, {}),
        (FAILED, {**FAILED, "reason": "other"}, FAILED, {}),
        (
            {"label": "red"},
            {"sha256": b"b" * 32, "mtime_ns": 101},
            {"sha256": b"b" * 32, "mtime_ns": 101},
            {},
        ),
        (
            {"folder_label": "red"},
            {"sha256": b"b" * 32, "mtime_ns": 101},
            {"folder_label": "red", "sha256": b"b" * 32, "mtime_ns": 101},
            {},
        ),
        (
            {"folder_label": "red"},
            {"folder_label": "blue", "sha256": b"b" * 32, "mtime_ns": 101},
            {"folder_label": "red", "sha256": b"b" * 32, "mtime_ns": 101},
            {"label": 1},
        ),
        (
            {"label": "red"},
            {"sha256": b"b" * 32, "mtime_ns": 99},
            {"label": "red"},
            {"file": 1},
        ),
        ({}, {"mtime_ns": 200}, {}, {}),
    ],
)
def test_the_destination_keeps_what_it_has(
    mine: dict[str, Any],
    other: dict[str, Any],
    merged: dict[str, Any],
    differences: dict[str, int],
) -> None:
    found = Differences()
    assert merge_files(file_row(**mine), file_row(**other), found) == file_row(**merged)
    assert dict(found.counts) == differences
    assert all(item.name == "/photos/1.jpg" for item in found.examples)


@pytest.mark.parametrize(
    ("label", "folder_label", "row"),
    [
        (None, None, (None, None, None)),
        ("red", None, ("red", "csv", None)),
        (None, "blue", ("blue", "folder", None)),
        ("red", "blue", ("red", "csv", "blue")),
    ],
)
def test_a_row_of_a_store_has_the_label_that_applies(
    label: str | None, folder_label: str | None, row: tuple[str | None, ...]
) -> None:
    file = file_row(label=label, folder_label=folder_label, attributes={"b": "2", "a": "1"})
    stored = file.to_store()
    assert (stored["label"], stored["label_source"], stored["folder_label"]) == row
    assert FileRow.of_store(stored) == file
    if label is not None and folder_label is None:
        assert FileRow.of_store({**stored, "label_source": None}) == file


def test_labels_that_differ_are_reported_and_stay(store: Path, place: Path, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text(f"path,label,camera\n{place}/photos/red/0.jpg,brown,z\n")
    other = Workspace(tmp_path / "other")
    other.pull(store)
    other.labels.from_csv(tmp_path / "l.csv")
    before = store_content(store)
    pushed, pulled = other.push(store), other.pull(store)
    assert pushed.is_empty and pulled.is_empty and store_content(store) == before
    assert pushed.differences == pulled.differences == {"label": 1, "column": 1}
    label, column = pushed.examples
    assert (label.kept, label.other, column.kept, column.other) == ("green", "brown", "a", "z")
    assert (pulled.examples[0].kept, pulled.examples[0].other) == ("brown", "green")


def test_the_later_verdict_counts_and_none_is_lost(
    filled: Workspace, store: Path, place: Path, tmp_path: Path
) -> None:
    photo = place / "photos/red/5.jpg"
    first, second = Workspace(tmp_path / "first"), Workspace(tmp_path / "second")
    first.pull(store)
    second.pull(store)
    first.verdicts.set("poor", photo)
    second.verdicts.set("off-topic", photo)
    assert second.push(store).verdicts == 1
    late = first.push(store)
    assert (late.verdicts, late.differences) == (1, {"verdict": 1})
    assert late.examples[0].kept.startswith("off-topic (")
    assert late.examples[0].other.startswith("poor (")
    assert first.pull(store).verdicts == 1
    assert filled.pull(store).verdicts == 1
    for workspace in (first, filled):
        verdicts = {item.verdict for item in workspace.verdicts.list() if item.path == str(photo)}
        assert verdicts == {"off-topic"}
    names = StoreContent(str(store)).verdicts.read(["verdict"])["verdict"].to_pylist()
    assert sorted(names) == ["different", "keep", "off-topic", "poor", "relabel"]


def test_an_own_verdict_that_no_store_has_is_not_replaced(
    filled: Workspace, store: Path, place: Path, tmp_path: Path
) -> None:
    other = Workspace(tmp_path / "other")
    other.pull(store, sample=17)
    photo = place / "photos/red/2.jpg"
    other.verdicts.set("poor", photo)
    filled.verdicts.set("keep", photo)
    filled.push(store)
    report = other.pull(store)
    assert (report.verdicts, report.differences) == (0, {"verdict": 1})
    assert other.push(store).verdicts == 1 and other.pull(store).verdicts == 1


@pytest.mark.usefixtures("toys")
def test_a_photo_that_changed_replaces_the_earlier_one_but_not_its_label(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos")
    photo = tmp_path / "photos/red/0.jpg"
    workspace = Workspace(tmp_path / "workspace")
    workspace.add(tmp_path / "photos", backbones="resnet50")
    (tmp_path / "l.csv").write_text("path,label\nphotos/red/0.jpg,green\n")
    workspace.labels.from_csv(tmp_path / "l.csv")
    workspace.push(tmp_path / "store")
    other = Workspace(tmp_path / "other")
    other.pull(tmp_path / "store")
    earlier = dict(row[:2] for row in workspace_content(workspace.folder)["files"])[str(photo)]
    draw_photo(50).save(photo)
    os.utime(photo, ns=(1, photo.stat().st_mtime_ns + 10**9))
    workspace.add(tmp_path / "photos")
    (tmp_path / "l.csv").write_text("path,label\nphotos/red/0.jpg,yellow\n")
    workspace.labels.from_csv(tmp_path / "l.csv")
    report = workspace.push(tmp_path / "store")
    assert (report.images, report.files, report.updated, report.differences) == (1, 0, 1, {})
    report = other.pull(tmp_path / "store")
    assert (report.images, report.files, report.updated, report.differences) == (1, 0, 1, {})
    content = workspace_content(other.folder)
    assert (str(photo), "yellow", "csv") in content["labels"]
    assert content["kept_facts"] == [(earlier, str(photo), "label", "green", False, "csv")]
    assert workspace.push(tmp_path / "store").is_empty
    assert other.push(tmp_path / "store").is_empty


def test_another_split_and_other_heads_are_reported_and_stay(store: Path, tmp_path: Path) -> None:
    other = Workspace(tmp_path / "other")
    other.pull(store, sample=17)
    other.split(val=1, test=1, seed=5)
    other.heads.train("knn", name="first")
    shutil.rmtree(other.folder / "heads/both")
    content, heads = workspace_content(other.folder), store_content(store)["heads"]
    for report in (other.pull(store), other.push(store)):
        assert report.differences == {"split": 1, "head": 1}
        assert report.warnings == () or "a member was not" in report.warnings[0]
        assert report.heads == ()
    after = workspace_content(other.folder)
    assert after["split"] == content["split"] and after["heads"] == content["heads"]
    assert store_content(store)["heads"] == heads


def test_a_damaged_head_is_not_copied(filled: Workspace, store: Path, tmp_path: Path) -> None:
    manifest = json.loads((store / "heads/first/files.json").read_text())
    (store / "heads/first" / manifest["files"]["head.json"]).write_bytes(b"{}")
    other = Workspace(tmp_path / "other")
    report = other.pull(store)
    assert report.heads == ("second",) and other.heads.names() == ["second"]
    assert "push first again" in report.warnings[0] and len(report.warnings) == 2
    (filled.folder / "heads/second/head.json").write_text("{}")
    report = filled.push(tmp_path / "new")
    assert report.heads == ("first",) and len(report.warnings) == 2


def changed_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [changed_byte, Path.unlink])
@pytest.mark.parametrize("part", ["files.json", "head.json", "tensors"])
def test_a_pull_goes_on_without_a_damaged_head_and_the_next_push_repairs_it(
    part: str,
    damage: Callable[[Path], None],
    filled: Workspace,
    store: Path,
    tmp_path: Path,
) -> None:
    before = store_content(store)["heads"]
    folder = store / "heads/first"
    files = json.loads((folder / "files.json").read_text())["files"]
    tensors = next(path for path in files if path.endswith(".safetensors"))
    names = {"files.json": "files.json", "head.json": files["head.json"], "tensors": files[tensors]}
    damage(folder / names[part])

    report = Workspace(tmp_path / "other").pull(store)
    assert report.images > 0 and report.heads == ("second",)
    if (part, damage) != ("files.json", Path.unlink):  # without it there is no head
        assert "push first again" in report.warnings[0]
    assert report.warnings[-1].startswith("the ensemble both was not copied")
    assert filled.push(store).heads == ("first",)
    assert store_content(store)["heads"] == before
    assert filled.push(store).heads == ()
    report = Workspace(tmp_path / "other").pull(store)
    assert report.heads == ("first", "both") and report.warnings == ()


def test_other_weights_are_an_error_before_anything_is_written(
    store: Path, tmp_path: Path, toys: Toys
) -> None:
    toys.weights = "1" * 64
    write_photos(tmp_path / "photos")
    other = Workspace(tmp_path / "other")
    other.add(tmp_path / "photos", backbones="resnet50")
    before = store_content(store), workspace_content(other.folder)
    with pytest.raises(BadInput, match="has resnet50 with other weights"):
        other.push(store)
    with pytest.raises(BadInput, match="pull into a workspace of its own"):
        other.pull(store)
    assert (store_content(store), workspace_content(other.folder)) == before


def test_backbones_can_be_chosen_and_photos_that_are_not_embedded_are_pushed(
    filled: Workspace, tmp_path: Path
) -> None:
    report = filled.push(tmp_path / "store", backbones="resnet101")
    assert report.embeddings == {"resnet101": 17}
    other = Workspace(tmp_path / "other")
    assert other.pull(tmp_path / "store").embeddings == {"resnet101": 17}
    write_photos(tmp_path / "photos")
    plain = Workspace(tmp_path / "plain")
    plain.add(tmp_path / "photos", fingerprints_only=True)
    assert plain.push(tmp_path / "plain-store").images == 12
    pulled = Workspace(tmp_path / "pulled")
    assert pulled.pull(tmp_path / "plain-store").files == 12
    assert pulled.duplicates().images == 12


@pytest.mark.parametrize("verb", ["push", "pull"])
def test_an_empty_side_and_a_folder_that_is_no_store_are_errors(
    verb: str, filled: Workspace, tmp_path: Path
) -> None:
    empty = Workspace(tmp_path / "empty")
    with pytest.raises(EmptyWorkspace):
        getattr(empty, verb)(tmp_path / "nothing")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign/file").touch()
    with pytest.raises(BadInput, match="is not a store, and not empty"):
        getattr(filled, verb)(tmp_path / "foreign")
    with pytest.raises(BadInput, match="sample must be a whole number of at least 1"):
        filled.push(tmp_path / "store")
        filled.pull(tmp_path / "store", sample=0)


def test_the_commands_print_what_was_copied_and_what_differs(
    filled: Workspace, place: Path, tmp_path: Path
) -> None:
    def run(*words: str) -> str:
        done = CliRunner().invoke(embedkit, [*words])
        assert done.exit_code == 0, done.output
        return done.output

    store, other = str(tmp_path / "store"), str(tmp_path / "other")
    text = run("push", "--store", store, "-w", str(filled.folder))
    assert f"copied to {store}: 17 images, 17 of resnet50" in text
    assert "15 images of the split, head first, head second, head both" in text
    found = json.loads(run("pull", "--store", store, "-w", other, "--json"))
    assert found["files"] == 18 and found["heads"] == ["first", "second", "both"]
    assert run("pull", "--store", store, "-w", other).startswith(f"nothing new from {store}")
    (tmp_path / "l.csv").write_text(f"path,label\n{place}/photos/red/0.jpg,brown\n")
    Workspace(other).labels.from_csv(tmp_path / "l.csv")
    text = run("push", "--store", store, "-w", other)
    assert "1 label differs" in text and f"{place}/photos/red/0.jpg: green, not brown" in text
