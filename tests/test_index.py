from pathlib import Path

import numpy as np
import pytest
from conftest import draw_photo

from embedkit import Workspace
from embedkit.catalog.reader import Position
from embedkit.index.exact import ExactIndex, load_index
from embedkit.index.metric import distances, median_pairwise


def unit(count: int, dim: int = 32, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def index(tmp_path: Path) -> ExactIndex:
    made = ExactIndex(tmp_path / "index", "0" * 16, 32)
    made._faiss.add_with_ids(unit(500), np.arange(1000, 1500))
    return made


def test_distance_is_one_minus_the_cosine() -> None:
    one = np.array([3.0, 4.0], np.float32)
    others = np.array([[3, 4], [-6, -8], [4, -3], [1, 0]], np.float32)
    assert distances(one, others).tolist() == pytest.approx([0, 2, 1, 1 - 0.6])
    assert distances(one, others)[0] == 0.0


def test_median_pairwise_is_over_all_pairs() -> None:
    vectors = unit(9)
    pairs = [distances(vectors[i], vectors[j][None])[0] for i in range(9) for j in range(i)]
    assert median_pairwise(vectors) == pytest.approx(np.median(pairs))


def test_search_equals_brute_force(index: ExactIndex) -> None:
    for query in unit(20, seed=1):
        expected = 1 - unit(500).astype(float) @ query.astype(float)
        order = np.argsort(expected, kind="stable")[:10]
        ids, found = index.search(query, 10)
        assert ids.tolist() == (order + 1000).tolist()
        assert found == pytest.approx(expected[order], abs=1e-6)


def test_search_among_some_ids_equals_brute_force_over_them(index: ExactIndex) -> None:
    among = np.arange(1000, 1500, 7)
    query = unit(1, seed=2)[0]
    ids, _ = index.search(query, 5, among)
    expected = np.argsort(1 - unit(500)[::7] @ query)[:5] * 7 + 1000
    assert ids.tolist() == expected.tolist()
    assert len(index.search(query, 1000, among)[0]) == len(among)


def test_an_index_comes_back_from_disk_as_it_was(index: ExactIndex) -> None:
    index.position = Position(500, 7)
    index.save()
    again = load_index(index.folder, "0" * 16, 32)
    query = unit(1, seed=3)[0]
    assert (again.position, len(again)) == (Position(500, 7), 500)
    assert again.search(query, 7)[0].tolist() == index.search(query, 7)[0].tolist()


@pytest.mark.parametrize("harm", ["bytes", "manifest", "spec", "gone"])
def test_an_index_that_does_not_match_its_manifest_is_not_used(
    index: ExactIndex, harm: str
) -> None:
    index.position = Position(500, 7)
    index.save()
    (file,) = index.folder.glob("*.faiss")
    spec = "0" * 16
    if harm == "bytes":
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    elif harm == "manifest":
        (index.folder / "manifest.json").write_text("{}")
    elif harm == "spec":
        spec = "1" * 16
    else:
        file.unlink()
    assert len(load_index(index.folder, spec, 32)) == 0


def test_the_index_follows_the_catalog(workspace: Workspace, photos: Path) -> None:
    workspace.add([photos / "red"])
    manifest = next(workspace.folder.glob("index/*/manifest.json"))
    assert '"count": 6' in manifest.read_text()
    other = Workspace(workspace.folder)
    assert len(other.search(photos / "red/0.jpg", 20)) == 6
    workspace.add([photos])
    assert len(other.search(photos / "red/0.jpg", 20)) == 12, "an open workspace catches up"
    workspace.remove(photos / "blue")
    assert len(other.search(photos / "red/0.jpg", 20)) == 6
    assert len(Workspace(workspace.folder).search(photos / "red/0.jpg", 20)) == 6


def test_a_lost_or_damaged_index_is_made_anew(workspace: Workspace, photos: Path) -> None:
    workspace.add([photos])
    (file,) = workspace.folder.glob("index/*/*.faiss")
    file.write_bytes(b"damaged")
    assert len(Workspace(workspace.folder).search(photos / "red/0.jpg", 20)) == 12
    assert file.stat().st_size > 100, "and saved, being all behind"


def test_an_index_of_another_catalog_is_not_used(workspace: Workspace, photos: Path) -> None:
    workspace.add(photos / "red")
    (workspace.folder / "catalog.duckdb").unlink()
    other = Workspace(workspace.folder)
    other.add(photos / "blue")
    for opened in (other, Workspace(workspace.folder)):
        matches = opened.search(photos / "blue/6.jpg", 6)
        for match in matches:
            truth = opened.distance(photos / "blue/6.jpg", match.path)
            assert match.distance == pytest.approx(truth, abs=1e-6)


def test_an_index_newer_than_a_restored_catalog_is_not_used(
    workspace: Workspace, photos: Path
) -> None:
    workspace.add(photos / "red")
    backup = (workspace.folder / "catalog.duckdb").read_bytes()
    workspace.add(photos / "blue/6.jpg")
    (workspace.folder / "catalog.duckdb").write_bytes(backup)
    restored = Workspace(workspace.folder)
    restored.add(photos / "blue/7.jpg")
    found = restored.search(photos / "blue/7.jpg", 20)
    assert len(found) == 7
    assert found[1].distance == restored.distance(photos / "blue/7.jpg", found[1].path)


def test_an_open_workspace_notices_a_backbone_removed_and_added_again(
    workspace: Workspace, photos: Path
) -> None:
    workspace.add(photos / "red")
    workspace.search(photos / "red/0.jpg")
    other = Workspace(workspace.folder)
    other.remove(backbone="efficientnet_lite0")
    for number in range(6):
        draw_photo(40 + number).save(photos / f"red/{number}.jpg")
    other.add(photos / "red")
    one, two = (opened.search(photos / "red/0.jpg", 20) for opened in (workspace, other))
    assert list(one) == list(two)
    assert one[0].distance == 0.0
