"""Reviews in the API: suspects with their choices, and classes with the odd photos first."""

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from webphotos import mislabelled  # noqa: F401
from webserver import Serve, finished, serve  # noqa: F401

from embedkit import Workspace
from embedkit._internal.artifacts import sha256_of


def names(client: TestClient, **request: object) -> list[str]:
    """The names of the photos of a list."""
    key = client.post("/api/v1/lists", json=request).json()["key"]
    photos = client.get(f"/api/v1/lists/{key}").json()["photos"]
    return ["/".join(Path(photo["path"]).parts[-2:]) for photo in photos]


def test_a_review_is_that_of_the_command_line_with_the_verdict_of_each_choice(
    workspace: Workspace, serve: Serve, mislabelled: Path
) -> None:
    run = finished(serve(), "review", k=4)
    assert (run["state"], run["title"]) == ("done", "Review: labels")
    result = run["result"]
    expected = json.loads(json.dumps(workspace.review("labels", 4).to_dict()))
    assert {name: result[name] for name in expected} == expected
    first = result["items"][0]
    assert (first["path"], first["label"], first["suggestion"]) == (
        str(mislabelled), "green", "blue",
    )  # fmt: skip
    assert [choice["act"] for choice in result["choices"]] == [
        "right", "suggested", "both", "unsure", "off-topic",
    ]  # fmt: skip
    assert len(result["verdicts"]) == 4
    assert result["verdicts"][0]["suggested"] == "relabel=blue"
    assert result["ask_sha256"] is None


def test_the_photos_of_a_class_are_listed_with_the_odd_ones_first(
    serve: Serve, mislabelled: Path
) -> None:
    client = serve()
    ranking = finished(client, "review", k=1)["result"]["ranking"]
    green = names(client, ranking=ranking, label="green")
    assert green[0] == "green/wrong.png" and len(green) == 13
    assert len(names(client, ranking=ranking)) == 37
    digest = sha256_of(mislabelled)
    client.post("/api/v1/verdicts", json={"items": [{"sha256": digest, "verdict": "right"}]})
    again = finished(client, "review", k=1)["result"]["ranking"]
    assert names(client, ranking=again, label="green")[-1] == "green/wrong.png"
    unknown = client.post("/api/v1/lists", json={"ranking": "0" * 32})
    assert unknown.status_code == 404 and "make it again" in unknown.json()["detail"]


@pytest.mark.usefixtures("mislabelled")
def test_after_a_verdict_an_off_topic_review_names_the_photo_to_decide_next(serve: Serve) -> None:
    client = serve()
    first = finished(client, "review", what="off-topic", k=3)["result"]
    assert first["ask_sha256"] is None
    digest = first["items"][0]["sha256"]
    client.post("/api/v1/verdicts", json={"items": [{"sha256": digest, "verdict": "off-topic"}]})
    second = finished(client, "review", what="off-topic", k=3)["result"]
    assert second["decided"] == 1 and digest not in [item["sha256"] for item in second["items"]]
    assert second["ask_sha256"] == sha256_of(second["ask"])
    stored = client.get("/api/v1/verdicts").json()["verdicts"]
    assert [(item["sha256"], item["verdict"]) for item in stored] == [(digest, "off-topic")]


@pytest.mark.usefixtures("mislabelled")
def test_a_review_of_quality_ranks_every_photo(serve: Serve) -> None:
    client = serve()
    result = finished(client, "review", what="quality", k=2)["result"]
    assert [choice["act"] for choice in result["choices"]] == ["poor", "keep"]
    listed = [Path(item["path"]).name for item in result["items"]]
    ranked = [name.partition("/")[2] for name in names(client, ranking=result["ranking"])]
    assert ranked[:2] == listed and len(ranked) == 37


@pytest.mark.usefixtures("mislabelled")
@pytest.mark.parametrize(
    "request_body", [{"what": "colour"}, {"k": 0}, {"text": ""}, {"what": "labels", "k": 10**9}]
)
def test_a_wrong_request_starts_no_review(serve: Serve, request_body: dict[str, object]) -> None:
    client = serve()
    assert client.post("/api/v1/review", json=request_body).status_code == 422
    assert client.get("/api/v1/runs").json() == []


def test_a_review_that_cannot_be_made_says_why(
    workspace: Workspace, serve: Serve, photos: Path
) -> None:
    workspace.add(photos)
    run = finished(serve(), "review")
    assert run["state"] == "failed" and "needs two classes" in run["error"]


@pytest.mark.usefixtures("mislabelled")
def test_a_read_only_server_starts_no_review(serve: Serve) -> None:
    assert serve(read_only=True).post("/api/v1/review", json={}).status_code == 403


def test_given_photos_are_listed_in_their_order(serve: Serve, mislabelled: Path) -> None:
    client = serve()
    folder = mislabelled.parent
    digests = [sha256_of(folder / name) for name in ("7.png", "wrong.png", "0.png")]
    given = [*digests, "0" * 64, digests[0]]
    assert names(client, sha256=given) == ["green/7.png", "green/wrong.png", "green/0.png"]
    assert client.post("/api/v1/lists", json={"sha256": ["x"]}).status_code == 422
