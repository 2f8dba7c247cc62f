"""The JSON API of duplicates: groups, decisions, moving files and putting them back."""

import errno
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import draw_photo
from starlette.testclient import TestClient
from webphotos import copies  # noqa: F401
from webserver import Serve, ended, serve  # noqa: F401

from embedkit import Workspace
from embedkit._internal.artifacts import sha256_of
from embedkit.cleaning.decisions import FILE_NAME, PlanDecisions
from embedkit.cleaning.file_moves import move
from embedkit.web.runs import Stopped

API = "/api/v1"


def searched(client: TestClient) -> str:
    """The key of a search."""
    run = ended(client, client.post(f"{API}/duplicates", json={}).json())
    assert run["state"] == "done", run["error"]
    key: str = run["result"]["key"]
    return f"{API}/duplicates/{key}"


def names(group: dict[str, Any]) -> dict[str, str]:
    """The action of each file, by its name in its folder."""
    return {
        "/".join(Path(member["path"]).parts[-2:]): member["action"] for member in group["members"]
    }


def position_of(client: TestClient, base: str, name: str) -> int:
    """The position of the group with a file."""
    for group in client.get(f"{base}/groups").json():
        position: int = group["position"]
        if name in names(client.get(f"{base}/groups/{position}").json()):
            return position
    raise AssertionError(name)


def decide(client: TestClient, base: str, position: int, state: str, **actions: str) -> Any:
    request = {"state": state, "actions": {key[1:]: value for key, value in actions.items()}}
    return client.post(f"{base}/groups/{position}", json=request)


def revision(client: TestClient) -> str:
    """The revision of the decisions."""
    found: str = client.get(f"{API}/duplicates").json()["totals"]["revision"]
    return found


def apply(client: TestClient, base: str) -> Any:
    return client.post(f"{base}/apply", params={"revision": revision(client)})


def verdicts(workspace: Workspace) -> set[tuple[str, frozenset[str]]]:
    return {
        (
            item.verdict,
            frozenset((os.path.basename(str(item.path)), os.path.basename(str(item.other_path)))),
        )
        for item in workspace.verdicts.list()
    }


def delay_searches(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let searches wait for the event that is returned."""
    begin = threading.Event()
    search = Workspace.duplicates

    def delayed(*args: Any, **options: Any) -> Any:
        assert begin.wait(20)
        return search(*args, **options)

    monkeypatch.setattr(Workspace, "duplicates", delayed)
    return begin


def test_groups_are_listed_with_conflicts_of_labels_first(serve: Serve, copies: Path) -> None:
    client = serve()
    assert client.get(f"{API}/duplicates").json()["key"] is None
    base = searched(client)
    groups = client.get(f"{base}/groups").json()
    assert [group["conflict"] for group in groups] == [True, False, False]
    assert client.get(f"{base}/groups?first=1&count=1").json() == [groups[1]]
    first = client.get(f"{base}/groups/0").json()
    assert names(first) == {"blue/2 青い写真.jpg": "review", "red/2.jpg": "review"}
    assert {member["label"] for member in first["members"]} == {"blue", "red"}
    copy = client.get(f"{base}/groups/{position_of(client, base, 'red/0.jpg')}").json()
    assert names(copy) == {"red/0.jpg": "keep", "red/0 small.jpg": "remove"}
    kept, removed = copy["members"]
    assert kept["sha256"] == sha256_of(copies / "red/0.jpg")
    assert removed["distance"] < 0.1 and removed["bytes"] < kept["bytes"]
    assert "a copy of 0.jpg" in removed["reason"]
    totals = client.get(f"{API}/duplicates").json()["totals"]
    assert (totals["groups"], totals["open"], totals["sure"], totals["files"]) == (3, 3, 2, 0)


def test_only_facts_that_differ_are_listed_and_the_better_value_is_marked(
    workspace: Workspace, serve: Serve, photos: Path
) -> None:
    image = draw_photo(0)
    exif = image.getexif()
    exif[271], exif[272] = "Canon", "Canon EOS R5"
    image.save(photos / "red/0.jpg", quality=92, exif=exif)
    image.resize((160, 120)).save(photos / "red/0 small.jpg", quality=92)
    workspace.add([photos])
    client = serve()
    base = searched(client)
    group = client.get(f"{base}/groups/{position_of(client, base, 'red/0.jpg')}").json()
    facts = {fact["name"]: (fact["texts"], fact["best"]) for fact in group["facts"]}
    large = [Path(member["path"]).name for member in group["members"]].index("0.jpg")
    assert set(facts) == {"pixels", "bytes", "camera"}
    assert facts["pixels"][0][large] == "320 × 240" and facts["camera"][0][large] == "Canon EOS R5"
    assert all(best == [large] for _, best in facts.values())


def test_an_accepted_group_stores_duplicate_and_a_rejected_one_different(
    workspace: Workspace, serve: Serve, copies: Path
) -> None:
    client = serve()
    base = searched(client)
    position = position_of(client, base, "red/0.jpg")
    pair = frozenset(("0.jpg", "0 small.jpg"))
    totals = decide(client, base, position, "accepted").json()
    assert (totals["accepted"], totals["files"]) == (1, 1)
    assert totals["bytes"] == os.path.getsize(copies / "red/0 small.jpg")
    assert verdicts(workspace) == {("duplicate", pair)}
    totals = decide(client, base, position, "different").json()
    assert (totals["accepted"], totals["different"], totals["files"]) == (0, 1, 0)
    assert verdicts(workspace) == {("different", pair)}
    assert client.post(f"{base}/undo").json()["group"] == position
    assert verdicts(workspace) == {("duplicate", pair)}
    assert client.post(f"{base}/undo").json()["totals"]["open"] == 3
    assert verdicts(workspace) == set()
    assert client.post(f"{base}/undo").json()["group"] is None


@pytest.mark.usefixtures("copies")
def test_different_photos_are_no_group_in_the_next_search(serve: Serve) -> None:
    client = serve()
    base = searched(client)
    decide(client, base, position_of(client, base, "red/0.jpg"), "different")
    again = searched(client)
    found = [client.get(f"{again}/groups/{place}").json() for place in range(2)]
    assert [set(names(group)) for group in found] == [
        {"blue/2 青い写真.jpg", "red/2.jpg"},
        {"red/1.jpg", "red/1 copy.jpg"},
    ]
    assert client.get(f"{again}/groups/2").status_code == 404


def test_files_are_moved_as_decided_and_put_back(
    workspace: Workspace, serve: Serve, copies: Path
) -> None:
    client = serve()
    base = searched(client)
    before = {path: path.read_bytes() for path in copies.rglob("*.jpg")}
    assert apply(client, base).status_code == 400
    first = client.get(f"{base}/groups/0").json()
    red = list(names(first)).index("red/2.jpg")
    decide(client, base, 0, "accepted", **{f"_{red}": "remove", f"_{1 - red}": "keep"})
    assert client.post(f"{base}/accept").json()["accepted"] == 2
    run = ended(client, apply(client, base).json())
    assert run["state"] == "done" and run["result"]["skipped"] == []
    moved = {Path(path) for path in run["result"]["moved"]}
    assert moved == before.keys() - set(copies.rglob("*.jpg")) and len(moved) == 3
    assert copies / "red/2.jpg" in moved
    totals = client.get(f"{API}/duplicates").json()["totals"]
    assert (totals["applied"], totals["files"]) == (3, 0)
    assert decide(client, base, 0, "open").status_code == 400
    assert client.post(f"{base}/undo").status_code == 400
    (quarantine,) = client.get(f"{API}/quarantines").json()
    assert quarantine["files"] == 3 and quarantine["id"] == run["result"]["quarantine"]
    undo = client.post(f"{API}/quarantines/{quarantine['id']}/undo").json()
    assert len(ended(client, undo)["result"]["restored"]) == 3
    assert {path: path.read_bytes() for path in copies.rglob("*.jpg")} == before
    totals = client.get(f"{API}/duplicates").json()["totals"]
    assert (totals["applied"], totals["open"], totals["files"]) == (0, 3, 0)
    group = client.get(f"{base}/groups/0").json()
    assert group["state"] == "open" and names(group)["red/2.jpg"] == "remove"
    assert workspace.info().files == len(before)


def test_an_undecided_conflict_and_a_group_nobody_accepted_are_not_moved(
    serve: Serve, copies: Path
) -> None:
    client = serve()
    base = searched(client)
    decide(client, base, 0, "accepted")
    totals = decide(client, base, position_of(client, base, "red/1.jpg"), "accepted").json()
    assert (totals["left"], totals["files"]) == (2, 1)
    run = ended(client, apply(client, base).json())
    assert [Path(path).name for path in run["result"]["moved"]] == ["1 copy.jpg"]
    assert (copies / "red/2.jpg").exists() and (copies / "blue/2 青い写真.jpg").exists()
    assert (copies / "red/0 small.jpg").exists()


def test_no_decision_takes_every_file_of_a_group(serve: Serve, copies: Path) -> None:
    client = serve()
    base = searched(client)
    position = position_of(client, base, "red/1.jpg")
    answer = decide(client, base, position, "accepted", _0="remove")
    assert answer.status_code == 400 and "would be kept" in answer.json()["detail"]
    answer = decide(client, base, position, "different")
    assert answer.status_code == 400 and "same bytes" in answer.json()["detail"]
    assert decide(client, base, position, "open", _7="keep").status_code == 400
    assert client.get(f"{API}/duplicates").json()["totals"]["open"] == 3
    assert (copies / "red/1.jpg").exists()


def test_decisions_survive_a_restart_of_the_server_and_a_torn_journal(
    workspace: Workspace, serve: Serve, copies: Path
) -> None:
    client = serve()
    base = searched(client)
    position = position_of(client, base, "red/1.jpg")
    files = client.get(f"{base}/groups/{position}").json()["members"]
    decide(client, base, position, "accepted", _0="remove", _1="keep")
    decide(client, base, 0, "accepted")
    with open(workspace.folder / FILE_NAME, "ab") as file:
        file.write(b'{"event": "decided", "gro')
    again = serve()
    base = searched(again)
    group = again.get(f"{base}/groups/{position}").json()
    assert group["state"] == "accepted"
    assert [member["action"] for member in group["members"]] == ["remove", "keep"]
    assert [member["proposal"] for member in files] == ["keep", "remove"]
    totals = again.get(f"{API}/duplicates").json()
    assert totals["totals"]["open"] == 1 and totals["first_open"] not in (0, position)
    assert (copies / "red/1.jpg").exists()


def test_a_decision_about_another_proposal_does_not_apply_again(
    workspace: Workspace, serve: Serve, copies: Path
) -> None:
    client = serve()
    base = searched(client)
    for name in ("red/0.jpg", "red/1.jpg"):
        decide(client, base, position_of(client, base, name), "accepted")
    workspace.verdicts.set("keep", copies / "red/0 small.jpg")
    base = searched(client)
    group = client.get(f"{base}/groups/{position_of(client, base, 'red/0.jpg')}").json()
    assert names(group)["red/0 small.jpg"] == "keep" and group["state"] == "open"
    other = client.get(f"{base}/groups/{position_of(client, base, 'red/1.jpg')}").json()
    assert other["state"] == "accepted"


def test_a_decision_that_cannot_be_written_leaves_no_verdict(
    workspace: Workspace, serve: Serve, copies: Path
) -> None:
    client = serve()
    base = searched(client)
    position = position_of(client, base, "red/0.jpg")
    journal = workspace.folder / FILE_NAME
    journal.mkdir()
    assert decide(client, base, position, "accepted").status_code == 507
    assert verdicts(workspace) == set()
    assert client.get(f"{API}/duplicates").json()["totals"]["open"] == 3
    journal.rmdir()
    decide(client, base, position, "accepted")
    journal.rename(copies / "decisions")
    journal.mkdir()
    assert client.post(f"{base}/undo").status_code == 507
    assert len(verdicts(workspace)) == 1
    assert client.get(f"{API}/duplicates").json()["totals"]["accepted"] == 1


def test_while_an_apply_waits_or_runs_decisions_are_refused(
    serve: Serve, copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve()
    base = searched(client)
    client.post(f"{base}/accept")
    begin = delay_searches(monkeypatch)
    client.post(f"{API}/duplicates", json={})  # gives the same groups the same key
    run = apply(client, base).json()
    for answer in (
        decide(client, base, 0, "open"),
        client.post(f"{base}/undo"),
        client.post(f"{base}/accept"),
    ):
        assert answer.status_code == 409 and "being moved" in answer.json()["detail"]
    begin.set()
    assert len(ended(client, run)["result"]["moved"]) == 2
    totals = client.get(f"{API}/duplicates").json()["totals"]
    assert (totals["applied"], totals["files"]) == (2, 0)
    assert decide(client, base, 0, "accepted").status_code == 200
    assert len(list(copies.rglob("*.jpg"))) == 13


def test_an_apply_that_was_stopped_before_it_began_allows_decisions(
    serve: Serve, copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve()
    base = searched(client)
    client.post(f"{base}/accept")
    begin = delay_searches(monkeypatch)
    client.post(f"{API}/duplicates", json={})
    run = apply(client, base).json()
    client.post(f"{API}/runs/{run['id']}/stop")
    assert client.post(f"{base}/undo").status_code == 200
    begin.set()
    assert (copies / "red/0 small.jpg").exists()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "no space"), Stopped()])
def test_files_that_moved_before_an_error_or_a_stop_are_known_and_put_back(
    serve: Serve, copies: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    client = serve()
    base = searched(client)
    client.post(f"{base}/accept")
    calls = []

    def move_one(*args: Any) -> None:
        calls.append(args)
        if len(calls) > 1:
            raise error
        move(*args)

    monkeypatch.setattr("embedkit.cleaning.apply.move", move_one)
    run = ended(client, apply(client, base).json())
    assert run["state"] == ("stopped" if isinstance(error, Stopped) else "failed")
    totals = client.get(f"{API}/duplicates").json()["totals"]
    assert (totals["applied"], totals["accepted"], totals["files"]) == (1, 2, 1)
    (quarantine,) = client.get(f"{API}/quarantines").json()
    assert (quarantine["files"], quarantine["state"]) == (1, "interrupted")
    ended(client, client.post(f"{API}/quarantines/{quarantine['id']}/undo").json())
    totals = client.get(f"{API}/duplicates").json()["totals"]
    assert (totals["applied"], totals["accepted"], totals["open"]) == (0, 1, 2)
    assert len(list(copies.rglob("*.jpg"))) == 15


def test_a_file_that_was_not_moved_with_its_group_can_be_decided_again(
    workspace: Workspace, serve: Serve, copies: Path
) -> None:
    second = copies / "red/1 copy (2).jpg"
    shutil.copy2(copies / "red/1.jpg", second)
    workspace.add([copies], labels_from_folders=True)
    client = serve()
    base = searched(client)
    position = position_of(client, base, "red/1.jpg")
    decide(client, base, position, "accepted")
    stored = second.read_bytes()
    second.write_bytes(b"changed")
    run = ended(client, apply(client, base).json())
    assert len(run["result"]["moved"]) == len(run["result"]["skipped"]) == 1
    group = client.get(f"{base}/groups/{position}").json()
    members = {Path(member["path"]).name: member for member in group["members"]}
    assert not group["applied"]
    assert {name: member["moved"] for name, member in members.items()} == {
        "1.jpg": False,
        "1 copy.jpg": True,
        "1 copy (2).jpg": False,
    }
    place = {name: f"_{group['members'].index(member)}" for name, member in members.items()}
    wrong = decide(client, base, position, "accepted", **{place["1 copy.jpg"]: "keep"})
    assert wrong.status_code == 400 and "put them back" in wrong.json()["detail"]
    totals = decide(client, base, position, "accepted", **{place["1 copy (2).jpg"]: "keep"}).json()
    assert (totals["applied"], totals["files"]) == (1, 0)
    workspace.undo()
    second.write_bytes(stored)
    assert client.get(f"{API}/duplicates").json()["totals"]["open"] == 3


def test_the_rest_of_a_group_is_moved_later_without_a_failure(
    workspace: Workspace, serve: Serve, copies: Path
) -> None:
    second = copies / "red/1 copy (2).jpg"
    shutil.copy2(copies / "red/1.jpg", second)
    workspace.add([copies], labels_from_folders=True)
    client = serve()
    base = searched(client)
    client.post(f"{base}/accept")
    stored = second.read_bytes()
    second.write_bytes(b"changed")
    ended(client, apply(client, base).json())
    second.write_bytes(stored)
    report = ended(client, apply(client, base).json())["result"]
    assert report["moved"] == [str(second)]
    assert report["missing"] == report["skipped"] == []
    assert {one["files"] for one in client.get(f"{API}/quarantines").json()} == {1, 2}


def test_after_an_undo_by_another_process_groups_are_open_again(
    workspace: Workspace, serve: Serve, copies: Path
) -> None:
    client = serve()
    base = searched(client)
    client.post(f"{base}/accept")
    ended(client, apply(client, base).json())
    workspace.undo()
    totals = client.get(f"{API}/duplicates").json()["totals"]
    assert (totals["applied"], totals["open"]) == (0, 3)
    assert apply(client, base).status_code == 400
    again = serve()
    base = searched(again)
    assert again.get(f"{API}/duplicates").json()["totals"]["open"] == 3
    assert again.post(f"{base}/accept").json()["accepted"] == 2
    run = ended(again, apply(again, base).json())
    assert len(run["result"]["moved"]) == 2
    assert not (copies / "red/0 small.jpg").exists()


@pytest.mark.usefixtures("copies")
def test_groups_that_a_later_search_has_replaced_are_shown_but_not_decided(serve: Serve) -> None:
    client = serve()
    before = searched(client)
    decide(client, before, position_of(client, before, "red/0.jpg"), "different")
    assert searched(client) != before
    assert client.get(f"{before}/groups/0").status_code == 200
    for answer in (
        decide(client, before, 0, "accepted"),
        client.post(f"{before}/undo"),
        client.post(f"{before}/accept"),
        apply(client, before),
    ):
        assert answer.status_code == 404 and "a later search" in answer.json()["detail"]


@pytest.mark.parametrize("change", ["decision", "undo", "accept", "search", "quarantine"])
def test_requests_based_on_decisions_that_have_changed_are_refused(
    workspace: Workspace, serve: Serve, copies: Path, change: str
) -> None:
    client = serve()
    base = searched(client)
    position = position_of(client, base, "red/1.jpg")
    decide(client, base, position, "accepted")
    if change == "quarantine":
        ended(client, apply(client, base).json())
    seen = {"revision": revision(client)}
    if change == "decision":
        decide(client, base, position, "accepted", _0="remove", _1="keep")  # the same numbers
    elif change == "search":
        assert searched(client) == base
    elif change == "quarantine":
        workspace.undo()
    else:
        client.post(f"{base}/{change}")
    before = client.get(f"{API}/duplicates").json()
    group = client.get(f"{base}/groups/{position}").json()
    rejected = position_of(client, base, "red/0.jpg")
    for path, content in (
        (f"groups/{rejected}", {"state": "different"}),
        ("accept", {}),
        ("undo", {}),
        ("apply", {}),
    ):
        answer = client.post(f"{base}/{path}", params=seen, json=content)
        assert answer.status_code == 409, path
        assert "another tab or program has changed the decisions" in answer.json()["detail"]
    assert client.get(f"{API}/duplicates").json() == before
    assert client.get(f"{base}/groups/{position}").json() == group
    assert verdicts(workspace) == set()
    assert (copies / "red/1 copy.jpg").exists()


def test_each_answer_has_the_revision_for_the_next_request(serve: Serve, copies: Path) -> None:
    client = serve()
    base = searched(client)
    position = position_of(client, base, "red/0.jpg")
    seen = revision(client)
    for path, content in (
        (f"groups/{position}", {"state": "accepted"}),
        ("undo", {}),
        ("accept", {}),
    ):
        answer = client.post(f"{base}/{path}", params={"revision": seen}, json=content)
        assert answer.status_code == 200, path
        seen = (answer.json().get("totals") or answer.json())["revision"]
    assert client.post(f"{base}/apply").status_code == 422
    run = client.post(f"{base}/apply", params={"revision": seen}).json()
    assert len(ended(client, run)["result"]["moved"]) == 2
    assert not (copies / "red/0 small.jpg").exists()


def test_an_apply_that_waited_moves_only_the_files_it_was_started_for(
    workspace: Workspace, serve: Serve, copies: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve()
    base = searched(client)
    client.post(f"{base}/accept")
    ended(client, apply(client, base).json())
    decide(client, base, 0, "accepted", _0="remove", _1="keep")
    begin = delay_searches(monkeypatch)
    client.post(f"{API}/duplicates", json={})
    run = apply(client, base).json()
    before = set(copies.rglob("*.jpg"))
    workspace.undo()
    begin.set()
    run = ended(client, run)
    assert before <= set(copies.rglob("*.jpg")) and run["state"] == "failed"


@pytest.mark.usefixtures("copies")
def test_a_decision_while_a_search_ends_is_not_lost(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve()
    base = searched(client)
    answered = threading.Event()
    answers = []

    def accept() -> None:
        answers.append(decide(client, base, 0, "accepted").status_code)
        answered.set()

    class Slow(PlanDecisions):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            threading.Thread(target=accept).start()
            answered.wait(0.3)  # until the decision is made, or because it waits for this plan

    monkeypatch.setattr("embedkit.web.api.duplicates.PlanDecisions", Slow)
    assert searched(client) == base and answered.wait(20)
    assert answers == [200]
    assert client.get(f"{API}/duplicates").json()["totals"]["accepted"] == 1


def test_a_read_only_server_neither_searches_nor_decides(serve: Serve, copies: Path) -> None:
    client = serve(read_only=True)
    for path in ("duplicates", f"duplicates/{'0' * 12}/undo", f"quarantines/{'0' * 12}/undo"):
        assert client.post(f"{API}/{path}", json={}).status_code == 403
    assert serve().get(f"{API}/duplicates/{'0' * 12}/groups").status_code == 404
    assert copies.exists()


def test_verdicts_on_two_photos_are_stored_and_undone(
    workspace: Workspace, serve: Serve, copies: Path
) -> None:
    client = serve()
    one, other = (sha256_of(copies / f"red/{name}.jpg") for name in ("0", "3"))
    workspace.verdicts.set("duplicate", copies / "red/0.jpg", copies / "red/3.jpg")
    item = {"sha256": one, "other_sha256": other, "verdict": "different"}
    previous = client.post(f"{API}/verdicts", json={"items": [item]}).json()["previous"]
    assert verdicts(workspace) == {("different", frozenset(("0.jpg", "3.jpg")))}
    client.post(f"{API}/verdicts", json={"items": previous})
    assert verdicts(workspace) == {("duplicate", frozenset(("0.jpg", "3.jpg")))}
    cleared = client.post(f"{API}/verdicts", json={"items": [item | {"clear": True}]}).json()
    assert verdicts(workspace) == set()
    client.post(f"{API}/verdicts", json={"items": cleared["previous"]})
    assert verdicts(workspace) == {("duplicate", frozenset(("0.jpg", "3.jpg")))}
    for wrong in (item | {"other_sha256": one}, item | {"verdict": "keep"}):
        assert client.post(f"{API}/verdicts", json={"items": [wrong]}).status_code == 400
    swapped = {"sha256": other, "other_sha256": one, "verdict": "duplicate"}
    assert client.post(f"{API}/verdicts", json={"items": [item, swapped]}).status_code == 400
    wrong = item | {"other_sha256": "0" * 64}
    assert client.post(f"{API}/verdicts", json={"items": [wrong]}).status_code == 404
