"""Duplicates of a store: the pairs and groups of one machine, from tasks of two workers."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from conftest import draw_photo
from PIL import Image
from stores import InlineWorkers, inline, run_inline, search_inline  # noqa: F401

from embedkit import EmptyWorkspace, Store, Workspace
from embedkit.cleaning.apply import apply
from embedkit.cleaning.plan import read_plan, write_plan
from embedkit.cleaning.planning import PlanOptions
from embedkit.cluster.duplicates import find, hashes, score
from embedkit.cluster.duplicates.find import (
    FOLDER,
    PREFIX,
    find_duplicates,
    stored_groups,
)
from embedkit.cluster.duplicates.plan import plan_store
from embedkit.cluster.duplicates.result import pairs_dataset, stored_result
from embedkit.cluster.duplicates.tasks import Tasks
from embedkit.cluster.store import StoreContent
from embedkit.cluster.tables import bytes_literal
from embedkit.duplicates import semantic
from embedkit.duplicates.cells import make_cells
from embedkit.duplicates.pair_search import duplicate_options
from embedkit.duplicates.semantic import EXACT_UP_TO
from embedkit.images.decode import Decoder
from embedkit.images.fingerprint import fingerprint
from embedkit.results import DuplicateGroup, no_progress

pytestmark = pytest.mark.slow

SCRIPTS = Path(__file__).parents[2] / "scripts"


def script(name: str) -> ModuleType:
    """Return a script as a module."""
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn photos with all kinds of altered copies, and files with the same bytes."""
    folder = tmp_path_factory.mktemp("planted")
    for seed in range(12):
        path = folder / "sources" / f"{seed}.png"
        path.parent.mkdir(exist_ok=True)
        draw_photo(seed, (200, 150)).save(path)
    script("plant_variants").plant(folder / "photos", 2, [str(folder / "sources")], 8, 0)
    shutil.copy(folder / "photos/00000.original.jpg", folder / "photos/again.jpg")
    shutil.copy(folder / "photos/00005.alone.jpg", folder / "photos/alone again.jpg")
    return folder / "photos"


@pytest.fixture(scope="module")
def both(
    tmp_path_factory: pytest.TempPathFactory, planted: Path, tiny: str
) -> tuple[Workspace, StoreContent]:
    """A workspace and a store with the same photos."""
    folder = tmp_path_factory.mktemp("both")
    workspace = Workspace(folder / "workspace")
    workspace.add(planted, backbones=tiny)
    with pytest.MonkeyPatch.context() as patch:
        run_inline(patch)
        Store(folder / "store").add(planted, backbones=tiny, workers=2)
    return workspace, StoreContent(str(folder / "store"))


def described(group: DuplicateGroup) -> tuple[object, ...]:
    """Return what has to be equal for two groups to be the same."""
    members = tuple(
        (
            member.path,
            member.sha256,
            member.hamming,
            None if member.distance is None else round(member.distance, 4),
            round(member.score, 3),
            member.sure,
            member.examination,
            member.same_pixels_as,
            (member.width, member.height, member.bytes),
        )
        for member in group.members
    )
    return group.kind, group.representative, group.conflict, members


@pytest.mark.usefixtures("two_workers")
def test_photos_have_the_groups_and_the_plan_of_one_machine(
    both: tuple[Workspace, StoreContent], tmp_path: Path
) -> None:
    workspace, store = both
    expected = workspace.duplicates()
    found = Store(store.location.place).duplicates(workers=2)
    groups = list(stored_groups(store))

    assert {group.representative: described(group) for group in groups} == {
        group.representative: described(group) for group in expected.groups
    }
    assert [group.score for group in groups] == sorted(
        (group.score for group in groups), reverse=True
    )
    assert found.groups == len(expected.groups) > 2
    assert found.copies == sum(len(group.members) - 1 for group in expected.groups)
    assert found.images == expected.images and found.embedded == expected.embedded
    assert found.max_distance == pytest.approx(expected.max_distance, abs=1e-5)
    assert found.examined > 20

    planned = list(plan_store(store, (), PlanOptions(), no_progress))
    local = workspace.clean(duplicates=expected).rows
    assert {(row.path, row.action, row.reason, row.copy_of) for row in planned} == {
        (row.path, row.action, row.reason, row.copy_of) for row in local
    }
    write_plan(tmp_path / "plan.csv", planned)
    assert len(read_plan(tmp_path / "plan.csv")) == len(planned)


@pytest.mark.usefixtures("inline")
def test_missing_files_stay_for_review(planted: Path, tiny: str, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in sorted(planted.iterdir()):
        if path.name[:5] in ("00000", "00001") and path.name[6:10] in ("orig", "jpeg", "resi"):
            shutil.copy(path, photos)
    Store(tmp_path / "store").add(photos, backbones=tiny, workers=2)
    store = StoreContent(str(tmp_path / "store"))
    for path in photos.glob("00001.*"):
        path.unlink()
    search_inline(store, workers=2)
    groups = list(stored_groups(store))
    missing = [group for group in groups if "00001." in group.representative]
    assert missing
    for group in missing:
        assert not any(member.sure for member in group.members[1:])
        for member in group.members[1:]:
            assert member.examination is None or member.examination.outcome == "open"

    planned = list(plan_store(store, (), PlanOptions(), no_progress))
    removed = [row for row in planned if row.action == "remove"]
    assert removed and not any("00001." in row.path for row in planned)
    report = apply(tmp_path / "quarantine", planned)
    assert len(report.moved) == len(removed)
    assert not any(Path(row.path).exists() for row in removed)


@pytest.mark.usefixtures("inline")
@pytest.mark.parametrize("kinds", [(), ("pixels",)])
def test_equal_pixels_in_other_formats_are_found_in_flat_pictures_too(
    tmp_path: Path, tiny: str, kinds: tuple[str, ...]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    draw_photo(1, (300, 200)).save(photos / "drawn.jpg", quality=90)
    Image.new("RGB", (300, 200), (200,) * 3).save(photos / "flat.jpg")
    Image.new("RGB", (300, 200), (90,) * 3).save(photos / "other.jpg")
    blocks = np.random.default_rng(0).integers(126, 133, (12, 16, 3), np.uint8)
    faint = Image.fromarray(np.kron(blocks, np.ones((75, 75, 1), np.uint8)))
    faint.save(photos / "faint.jpg", quality=75)  # decoded at a smaller size, it differs a little
    for name in ("drawn", "flat", "faint"):
        Image.open(photos / f"{name}.jpg").save(photos / f"{name}.png")
    lumas = [
        np.frombuffer(fingerprint(Decoder((photos / name).read_bytes())).luma, np.uint8)
        for name in ("faint.jpg", "faint.png")
    ]
    assert not np.array_equal(*lumas)
    Image.new("RGB", (300, 200), (90,) * 3).save(photos / "again.jpg", optimize=True)
    Store(tmp_path / "store").add(photos, backbones=tiny, workers=2)
    store = StoreContent(str(tmp_path / "store"))
    search_inline(store, kinds, workers=2)
    groups = list(stored_groups(store))
    found = [{Path(member.path).name for member in group.members} for group in groups]
    assert sorted(found, key=min) == [
        {"again.jpg", "other.jpg"},
        *({f"{name}.jpg", f"{name}.png"} for name in ("drawn", "faint", "flat")),
    ]
    found = [[member.distance for member in group.members] for group in groups]
    assert found == [[0.0, pytest.approx(0, abs=1e-3)]] * 4


def test_a_killed_search_leaves_the_last_result(tmp_path: Path) -> None:
    bench = script("bench_store_duplicates")
    place = tmp_path / "store"
    bench.write_store(place, bench.Synthetic(500, 16))
    store = StoreContent(str(place))
    first = search_inline(store, workers=2)
    before = list(stored_groups(store))
    assert before
    code = f"""
import os, sys
sys.path[:0] = {sys.path!r}
from stores import search_inline
from embedkit.cluster.store import StoreContent

def progress(state):
    if state.stage == "writing groups":
        os._exit(9)

search_inline(StoreContent({str(place)!r}), ["exact"], progress)
"""
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert killed.returncode == 9, killed.stderr.decode()
    result = stored_result(store)
    assert result is not None and result.report == first
    assert list(stored_groups(store)) == before
    assert any(path.name.startswith(PREFIX) for path in (place / FOLDER).iterdir())

    assert search_inline(store, workers=2) == first
    assert list((place / FOLDER).iterdir()) == []


@pytest.mark.parametrize("exact_up_to", [EXACT_UP_TO, 5_000])
def test_many_images_in_small_parts_have_the_pairs_of_one_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exact_up_to: int
) -> None:
    for module in (semantic, score):
        monkeypatch.setattr(module, "EXACT_UP_TO", exact_up_to)
    bench = script("bench_store_duplicates")
    data = bench.Synthetic(6_000, 48)
    bench.write_store(tmp_path / "store", data)
    store = StoreContent(str(tmp_path / "store"))
    monkeypatch.setattr(find.coarse, "PART_BYTES", 2 << 20)  # about 6 parts
    monkeypatch.setattr(hashes, "MIN_BLOCK", 2000)
    found = search_inline(store, workers=2)
    ours = bench.coded(bench.numbers_of_pairs(store, data))
    theirs = bench.coded(bench.local_pairs(data))
    assert data.copies == 60
    planted = data.is_planted(ours >> 32, ours & 0xFFFFFFFF)
    assert planted.sum() >= 0.99 * data.copies
    assert planted.mean() >= 0.99
    # A large collection is compared in the same cells.
    assert np.setxor1d(ours, theirs).size <= (2 if exact_up_to == EXACT_UP_TO else 0)
    assert found.recall > 0.8
    assert found.groups >= 55
    groups = list(stored_groups(store))
    assert len(groups) == found.groups
    assert not any(member.sure for group in groups for member in group.members[1:])
    assert pairs_dataset(store).count() == found.pairs == len(ours)
    assert list(plan_store(store, (), PlanOptions(), no_progress)) == []


def test_truncated_and_repeated_rows_are_not_compared_twice(tmp_path: Path) -> None:
    bench = script("bench_store_duplicates")
    data = bench.Synthetic(400, 16)
    spec = bench.write_store(tmp_path / "store", data)
    store = StoreContent(str(tmp_path / "store"))
    truncated, repeated = bench.digests(np.array([data.originals, data.originals + 1]))
    store.images.open().update({"share": "0.5"}, f"sha256 = {bytes_literal(truncated)}")
    for dataset in (store.images, store.embeddings(spec)):
        names = dataset.schema.names
        dataset.append(dataset.read(names, f"sha256 = {bytes_literal(repeated)}"))
    found = search_inline(store, workers=2)
    assert found.images == data.images - 1 and found.embedded == data.images - 1
    pairs = pairs_dataset(store).read(["first", "second"]).to_pylist()
    paired = [sha256 for pair in pairs for sha256 in pair.values()]
    assert truncated not in paired and paired.count(repeated) == 1


def test_an_empty_store_says_what_to_do(tmp_path: Path) -> None:
    store = StoreContent(str(tmp_path / "store"))
    with pytest.raises(EmptyWorkspace, match="has no photos"):
        find_duplicates(store, None, duplicate_options(()), Tasks(InlineWorkers(), no_progress))
    with pytest.raises(EmptyWorkspace, match="no duplicates were searched for"):
        list(plan_store(store, (), PlanOptions(), no_progress))


def test_a_store_of_truncated_images_has_no_duplicates(tmp_path: Path) -> None:
    bench = script("bench_store_duplicates")
    bench.write_store(tmp_path / "store", bench.Synthetic(200, 16))
    store = StoreContent(str(tmp_path / "store"))
    store.images.open().update({"share": "0.5"})
    found = search_inline(store)
    assert (found.images, found.embedded, found.groups) == (0, 0, 0)
    assert list(stored_groups(store)) == []


def test_a_store_without_embeddings_has_no_semantic_duplicates(tmp_path: Path) -> None:
    bench = script("bench_store_duplicates")
    spec = bench.write_store(tmp_path / "store", bench.Synthetic(200, 16))
    store = StoreContent(str(tmp_path / "store"))
    store.embeddings(spec).open().delete("true")
    with pytest.raises(EmptyWorkspace, match="no photos are embedded yet"):
        search_inline(store, ["semantic"])
    assert search_inline(store).embedded == 0


@pytest.mark.parametrize(
    ("images", "visited"), [(2, 16), (60_000, 14), (1_000_000, 7), (10_000_000, 5), (10**9, 5)]
)
def test_fewer_images_visit_more_cells(images: int, visited: int) -> None:
    cells = make_cells(np.eye(32, dtype=np.float32), images, parts=2)
    assert cells.visited == visited
    assert cells.nearest(np.eye(32, dtype=np.float32)[:3]).shape == (3, visited)
