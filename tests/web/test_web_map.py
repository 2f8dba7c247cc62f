"""The map: the projection of the embeddings, and its API."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scenery import saved, scene
from starlette.testclient import TestClient
from webphotos import mislabelled  # noqa: F401
from webserver import Serve, filled, finished, serve  # noqa: F401

from embedkit import Workspace
from embedkit.browse import layout, projection
from embedkit.browse.layout import umap_layout
from embedkit.browse.projection import project, read_projection, remove_all_except
from embedkit.errors import EmptyWorkspace, MissingExtra
from embedkit.index.index import Index
from embedkit.results import Progress, no_progress


def made(client: TestClient) -> dict[str, Any]:
    """The finished run that makes the map."""
    return finished(client, "map")


def read(client: TestClient) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
    """The header, points and codes of the map."""
    content = client.get("/api/v1/map").content
    length = int.from_bytes(content[:4], "little")
    header = json.loads(content[4 : 4 + length])
    count = header["photos"]["count"]
    points = np.frombuffer(content, "<f4", 2 * count, 4 + length).reshape(count, 2)
    codes = np.frombuffer(content, "<u4", count, 4 + length + 8 * count)
    assert len(content) == 4 + length + 12 * count and length % 4 == 0
    return header, points, codes


def index_of(workspace: Workspace) -> Index:
    return workspace._embeddings.index(None)


def vectors_in_groups(count: int, groups: int) -> np.ndarray:
    """L2-normalised vectors around random centres, float32 (count, 48); row n is in n % groups."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(groups, 48))
    vectors = centres[np.arange(count) % groups] + 0.3 * random.normal(size=(count, 48))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


class StoredVectors:
    """An index of these vectors."""

    spec = "0" * 16
    revision = projection.Revision(7, 2**63 + 1)

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors
        self.ids = np.arange(len(vectors), dtype=np.int64)[::-1] + 5

    def __len__(self) -> int:
        return len(self.ids)

    def stored(self) -> "StoredVectors":
        return self

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        measured = 1 - queries.astype(np.float64) @ self.vectors.T.astype(np.float64)
        rows = np.argsort(measured, axis=1, kind="stable")[:, :k]
        return self.ids[rows], np.maximum(np.take_along_axis(measured, rows, 1), 0)


# -- the API -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("filled")
def test_a_map_has_each_photo_with_its_label(serve: Serve) -> None:
    client = serve()
    assert client.get("/api/v1/map").status_code == 204
    run = made(client)
    assert (run["kind"], run["state"], run["result"]) == ("map", "done", {"count": 12})
    header, points, codes = read(client)
    assert header["is_current"] and header["photos"]["count"] == 12
    assert header["labels"] == [{"label": "blue", "count": 6}, {"label": "red", "count": 6}]
    assert np.abs(points).max() == pytest.approx(1)
    photos = client.get(f"/api/v1/lists/{header['photos']['key']}").json()["photos"]
    names = [header["labels"][code]["label"] for code in codes]
    assert [photo["labels"] for photo in photos] == [[name] for name in names]


def test_a_map_omits_photos_that_are_gone(filled: Workspace, serve: Serve, photos: Path) -> None:
    client = serve()
    made(client)
    before = read(client)[0]["photos"]["key"]
    (photos / "red/0.jpg").unlink()
    filled.remove(photos / "red/0.jpg")
    header, points, _ = read(client)
    assert header["photos"]["count"] == len(points) == 11 and header["photos"]["key"] != before


def test_new_photos_make_a_map_old(filled: Workspace, serve: Serve, photos: Path) -> None:
    client = serve()
    made(client)
    (photos / "green").mkdir()
    content = (photos / "red/0.jpg").read_bytes()
    (photos / "green/1.jpg").write_bytes(content + b" ")
    filled.add()
    assert read(client)[0]["is_current"] is False
    made(client)
    assert read(client)[0]["is_current"] is True


def test_a_selection_of_a_list_is_a_list_in_the_same_order(filled: Workspace, serve: Serve) -> None:
    del filled
    client = serve()
    key = client.post("/api/v1/lists", json={"order": "path"}).json()["key"]
    photos = client.get(f"/api/v1/lists/{key}").json()["photos"]
    answer = client.post(f"/api/v1/lists/{key}/selection", json={"positions": [7, 2, 7]}).json()
    chosen = client.get(f"/api/v1/lists/{answer['key']}").json()["photos"]
    assert chosen == [photos[2], photos[7]]
    assert client.get(f"/api/v1/lists/{answer['key']}/summary").json() == answer
    for positions in ([12], [-1], ["x"]):
        bad = client.post(f"/api/v1/lists/{key}/selection", json={"positions": positions})
        assert bad.status_code in (404, 422)
    assert client.get(f"/api/v1/lists/{'0' * 32}/summary").status_code == 404


def test_a_read_only_server_shows_a_map_and_makes_none(filled: Workspace, serve: Serve) -> None:
    client = serve(read_only=True)
    assert client.post("/api/v1/map", json={}).status_code == 403
    project(index_of(filled), filled.folder, no_progress)
    assert read(client)[0]["photos"]["count"] == 12


@pytest.mark.usefixtures("filled")
def test_without_umap_the_answer_is_what_to_install(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "find_spec", lambda _: None)
    answer = serve().post("/api/v1/map", json={})
    assert answer.status_code == 422
    assert "pip install 'embedkit[map]'" in answer.json()["detail"]
    with pytest.raises(MissingExtra):
        layout.require_umap()


def test_an_empty_workspace_has_no_map(serve: Serve) -> None:
    client = serve()
    for answer in (client.get("/api/v1/map"), client.post("/api/v1/map", json={})):
        assert answer.status_code == 409 and "embedkit add" in answer.json()["detail"]


@pytest.mark.slow
@pytest.mark.usefixtures("mislabelled")
@pytest.mark.parametrize("what", ["labels", "off-topic"])
def test_the_photos_of_a_map_have_the_scores_of_the_last_review(serve: Serve, what: str) -> None:
    client = serve()
    made(client)
    header = read(client)[0]
    base = f"/api/v1/lists/{header['photos']['key']}"
    assert header["scores"] is None and client.get(f"{base}/scores").status_code == 204
    review = finished(client, "review", what=what)["result"]
    assert finished(client, "review", what="quality")["state"] == "done"
    assert read(client)[0]["scores"] == what
    scores = np.frombuffer(client.get(f"{base}/scores").content, "<f4")
    photos = [photo["sha256"] for photo in client.get(base).json()["photos"]]
    assert len(photos) == 37 and np.isfinite(scores).all()
    found = dict(zip(photos, scores.tolist(), strict=True))
    for item in review["items"]:
        assert found[item["sha256"]] == pytest.approx(item["score"], rel=1e-6)
    ranking = client.post("/api/v1/lists", json={"ranking": review["ranking"]}).json()
    ranked = client.get(f"/api/v1/lists/{ranking['key']}").json()["photos"]
    assert [found[photo["sha256"]] for photo in ranked] == sorted(scores.tolist(), reverse=True)
    verdict = {"sha256": ranked[0]["sha256"], "verdict": "unsure"}
    assert client.post("/api/v1/verdicts", json={"items": [verdict]}).status_code == 200
    finished(client, "review", what=what)
    scores = np.frombuffer(client.get(f"{base}/scores").content, "<f4")
    assert [photos[place] for place in np.flatnonzero(np.isnan(scores))] == [ranked[0]["sha256"]]


def test_the_photos_of_a_map_have_the_groups_of_the_last_search(
    workspace: Workspace, serve: Serve, photos: Path
) -> None:
    originals = [saved(scene(seed), photos / f"red/{seed}.jpg", quality=92) for seed in (0, 1)]
    for original in originals:
        Image.open(original).save(original.with_stem(f"{original.stem} small"), quality=60)
    workspace.add(photos)
    client = serve()
    made(client)
    header = read(client)[0]
    base = f"/api/v1/lists/{header['photos']['key']}"
    assert header["groups"] is None and client.get(f"{base}/groups").status_code == 204
    finished(client, "duplicates")
    assert read(client)[0]["groups"] == 2
    numbers = np.frombuffer(client.get(f"{base}/groups").content, "<u4").tolist()
    names = [Path(photo["path"]).stem for photo in client.get(base).json()["photos"]]
    of_name = dict(zip(names, numbers, strict=True))
    assert {of_name["0"], of_name["1"]} == {1, 2}
    assert (of_name["0 small"], of_name["1 small"]) == (of_name["0"], of_name["1"])
    assert sum(number > 0 for number in numbers) == 4


# -- the projection ----------------------------------------------------------------------------


def test_a_damaged_or_missing_projection_is_none(filled: Workspace) -> None:
    index = index_of(filled)
    expected = project(index, filled.folder, no_progress)
    found = read_projection(filled.folder, index.spec)
    assert found is not None and found.revision == expected.revision
    assert np.array_equal(found.ids, expected.ids) and np.array_equal(found.points, expected.points)
    (file,) = (filled.folder / projection.FOLDER).iterdir()
    content = bytearray(file.read_bytes())
    content[30] ^= 1
    file.write_bytes(content)
    assert read_projection(filled.folder, index.spec) is None
    remove_all_except(filled.folder, ["f" * 16])
    assert not file.exists() and read_projection(filled.folder, index.spec) is None


def test_an_index_without_embeddings_has_no_projection(tmp_path: Path) -> None:
    index: Any = StoredVectors(np.empty((0, 48), np.float32))
    with pytest.raises(EmptyWorkspace):
        project(index, tmp_path, no_progress)


@pytest.mark.parametrize("count", [1, 2, 15])
def test_few_or_equal_photos_have_finite_points(tmp_path: Path, count: int) -> None:
    index: Any = StoredVectors(np.tile(vectors_in_groups(1, 1), (count, 1)))
    points = project(index, tmp_path, no_progress).points
    assert points.shape == (count, 2) and np.isfinite(points).all() and np.abs(points).max() <= 1


def test_positions_follow_a_curve_without_jumps() -> None:
    side = 32
    axis = (np.arange(side) + 0.5) / side * 2 - 1
    points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2).astype(np.float32)
    order = np.argsort(projection._along_curve(points))
    steps = np.abs(np.diff(points[order], axis=0)).sum(axis=1)
    assert np.allclose(steps, 2 / side)


@pytest.mark.slow
@pytest.mark.parametrize("exact_up_to", [10_000, 0])
def test_groups_are_apart_and_the_projection_is_repeated_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exact_up_to: int
) -> None:
    monkeypatch.setattr(projection, "EXACT_UP_TO", exact_up_to)
    index: Any = StoredVectors(vectors_in_groups(600, 4))
    stages: list[str] = []

    def note(progress: Progress, /) -> None:
        stages.append(progress.stage)

    first = project(index, tmp_path, note)
    again = project(index, tmp_path, no_progress)
    assert np.array_equal(first.points, again.points) and np.array_equal(first.ids, again.ids)
    assert sorted(first.ids) == sorted(index.ids)
    assert list(dict.fromkeys(stages))[-1] == "computing the map"
    group = (len(index) - 1 - (first.ids - 5)) % 4
    squares = ((first.points[:, None] - first.points[None]) ** 2).sum(axis=2)
    np.fill_diagonal(squares, np.inf)
    assert (group[squares.argmin(axis=1)] == group).mean() > 0.99


@pytest.mark.slow
def test_a_layout_that_is_stopped_leaves_no_process() -> None:
    import multiprocessing

    class Stop(BaseException):
        pass

    def stop(progress: Progress, /) -> None:
        if progress.done:
            raise Stop

    vectors = vectors_in_groups(100, 2)
    rows = np.tile(np.arange(15, dtype=np.int32), (100, 1))
    distances = np.tile(np.linspace(0, 1, 15, dtype=np.float32), (100, 1))
    with pytest.raises(Stop):
        umap_layout(np.ascontiguousarray(vectors[:, :2]), rows, distances, 50, stop)
    assert multiprocessing.active_children() == []
