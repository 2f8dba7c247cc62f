"""Classification in the API: the heads, uploads, photos of the workspace, evaluation."""

import json
from pathlib import Path

import pytest
from classes import NEW, draw, heads_folder  # noqa: F401
from starlette.testclient import TestClient
from webphotos import workspace_with_heads  # noqa: F401
from webserver import Serve, serve  # noqa: F401

from embedkit import Head, Workspace
from embedkit._internal.artifacts import sha256_of
from embedkit.web import heads
from embedkit.workspace.heads import Heads as WorkspaceHeads


@pytest.fixture
def new(tmp_path: Path) -> list[Path]:
    """A photo of each class, in the order of their names, that is not in the workspace."""
    paths = []
    for number, label in enumerate((1, 2, 0)):
        paths.append(tmp_path / f"new{number}.png")
        draw(label, NEW).save(paths[-1])
    return paths


def upload(client: TestClient, paths: list[Path], **fields: object) -> dict[str, object]:
    files = [("image", (path.name, path.read_bytes())) for path in paths]
    answer = client.post("/api/v1/classify", files=files, data=fields)
    assert answer.status_code == 200, answer.text
    document: dict[str, object] = answer.json()
    return document


def test_the_heads_are_those_of_the_command_line(serve: Serve) -> None:
    heads = serve().get("/api/v1/heads").json()["heads"]
    assert [(head["name"], head["kind"]) for head in heads] == [
        ("both", "ensemble"), ("knn", "knn"), ("probe", "probe"),
    ]  # fmt: skip
    assert heads[0]["classes"] == ["blue", "green", "赤"] and heads[0]["problem"] is None


@pytest.mark.parametrize("head", ["probe", "both"])
def test_uploads_are_classified_as_by_the_command_line_and_not_stored(
    workspace: Workspace, serve: Serve, new: list[Path], head: str
) -> None:
    before = sorted(workspace.folder.rglob("*"))
    found = upload(serve(), new, head=head, k=2)
    expected = workspace.classify([path.read_bytes() for path in new], head=head, k=2)
    assert found == json.loads(json.dumps(expected.to_dict()))
    predictions = found["predictions"]
    assert isinstance(predictions, list)
    assert [one["top"][0]["label"] for one in predictions] == ["blue", "green", "赤"]
    assert workspace.info().images == 36
    added = {path.name for path in set(workspace.folder.rglob("*")) - set(before)}
    assert all("thumbnails" in name for name in added)


def test_a_photo_of_the_workspace_is_classified_by_its_digest(
    serve: Serve,
    heads_folder: Path,
    passes: list[int],
) -> None:
    path = heads_folder / "photos/green/3.png"
    request = {"head": "probe", "sha256": [sha256_of(path)]}
    answer = serve().post("/api/v1/classify", json=request).json()
    (prediction,) = answer["predictions"]
    assert prediction["path"] == str(path) and prediction["top"][0]["label"] == "green"
    assert prediction["neighbours"][0]["sha256"] and passes == []


def test_a_file_that_is_no_photo_is_a_failure_beside_the_others(
    serve: Serve, new: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_text("no photo")
    found = upload(serve(), [new[0], tmp_path / "bad.png", new[1]], head="probe")
    predictions, failures = found["predictions"], found["failures"]
    assert isinstance(predictions, list) and isinstance(failures, list)
    assert [one["top"][0]["label"] for one in predictions] == ["blue", "green"]
    assert [one["path"] for one in failures] == ["image 1 (bytes)"]


@pytest.mark.parametrize(
    ("request_body", "status"),
    [
        ({"head": "nobody", "sha256": ["KNOWN"]}, 404),
        ({"head": "../probe", "sha256": ["KNOWN"]}, 400),
        ({"head": "probe", "sha256": ["0" * 64]}, 404),
        ({"head": "probe", "sha256": []}, 400),
        ({"head": "probe"}, 400),
        ({"sha256": ["KNOWN"]}, 400),
        ({"head": "probe", "sha256": ["KNOWN"], "k": 0}, 400),
        ([], 400),
    ],
)
def test_a_wrong_request_says_why_in_one_line(
    serve: Serve,
    heads_folder: Path,
    request_body: dict[str, object],
    status: int,
) -> None:
    known = sha256_of(heads_folder / "photos/green/3.png")
    body = json.loads(json.dumps(request_body).replace("KNOWN", known))
    answer = serve().post("/api/v1/classify", json=body)
    assert answer.status_code == status and "\n" not in answer.json()["detail"]


def test_too_many_uploads_are_refused(serve: Serve) -> None:
    files = [("image", ("1.png", b"x"))] * 201
    answer = serve().post("/api/v1/classify", files=files, data={"head": "probe"})
    assert answer.status_code == 400


def test_an_evaluation_has_the_predictions_of_each_test_photo(
    workspace: Workspace, serve: Serve
) -> None:
    client = serve()
    run = client.post("/api/v1/evaluate", json={"heads": ["probe", "knn"]}).json()
    with client.stream("GET", f"/api/v1/runs/{run['id']}/events") as stream:
        list(stream.iter_lines())
    result = client.get(f"/api/v1/runs/{run['id']}").json()["result"]
    expected = workspace.heads.evaluate(["probe", "knn"])
    plain = json.loads(json.dumps(expected.to_dict()))
    assert {name: result[name] for name in plain} == plain
    for found, of_head in zip(result["predictions"], expected.predictions, strict=True):
        assert found["head"] == of_head.head and found["truth"] == list(of_head.truth)
        paths = [path for path in of_head.paths if path is not None]
        assert found["sha256"] == [sha256_of(path) for path in paths] and len(paths) == 9


def test_a_read_only_server_classifies_and_does_not_evaluate(serve: Serve, new: list[Path]) -> None:
    client = serve(read_only=True)
    assert upload(client, new[:1], head="knn")["failures"] == []
    assert client.post("/api/v1/evaluate", json={"heads": ["knn"]}).status_code == 403


def test_only_the_latest_heads_stay_loaded(
    serve: Serve, new: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[str] = []
    load = WorkspaceHeads.load

    def counted(self: WorkspaceHeads, name: str) -> Head:
        loads.append(name)
        return load(self, name)

    monkeypatch.setattr(WorkspaceHeads, "load", counted)
    monkeypatch.setattr(heads, "MAX_HEADS", 2)
    client = serve()
    for head in ("probe", "knn", "probe", "both", "probe", "knn"):
        upload(client, new[:1], head=head)
    assert loads == ["probe", "knn", "both", "knn"]
