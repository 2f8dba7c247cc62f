"""Long operations of the server: progress, stopping, failing."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from conftest import draw_photo
from webserver import Serve, serve  # noqa: F401

from embedkit import BadInput, Workspace
from embedkit.results import Progress, ProgressCallback
from embedkit.web.runs import Run, Runs


def events_of(runs: Runs, run: Run) -> list[Run]:
    async def collect() -> list[Run]:
        return [found async for found in runs.events(run.id) if found is not None]

    return asyncio.run(collect())


def test_photos_are_added_in_the_background_with_progress(
    workspace: Workspace, serve: Serve, photos: Path
) -> None:
    client = serve()
    (photos / "broken.jpg").write_text("no photo")
    request = {"sources": [str(photos)], "labels_from_folders": True}
    answer = client.post("/api/v1/add", json=request)
    run = answer.json()
    assert answer.status_code == 202 and run["kind"] == "add"
    with client.stream("GET", f"/api/v1/runs/{run['id']}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in stream.iter_lines() if line.startswith("data: ")]
    last = json.loads(lines[-1].removeprefix("data: "))
    assert last["state"] == "done"
    assert [Path(one["path"]).name for one in last["result"]["failures"]] == ["broken.jpg"]
    assert client.get(f"/api/v1/runs/{run['id']}").json() == last
    assert client.get("/api/v1/labels").json() == {"blue": 6, "red": 6}
    assert workspace.info().images == 12


def test_the_progress_of_a_finished_run_is_complete_and_that_of_a_failed_one_is_not() -> None:
    runs = Runs()

    def work(report: ProgressCallback) -> dict[str, Any]:
        report(Progress("comparing", 3, 18, 1.5, 10.0))
        return {}

    def fail(report: ProgressCallback) -> dict[str, Any]:
        report(Progress("comparing", 3, 18))
        raise BadInput("no")

    finished, failed = (events_of(runs, runs.start("a", "one", one))[-1] for one in (work, fail))
    assert finished.progress == Progress("finished", 18, 18, 1.5, 0.0)
    assert failed.progress == Progress("comparing", 3, 18)
    runs.close()


def test_a_failed_run_says_why(serve: Serve, tmp_path: Path) -> None:
    client = serve()
    run = client.post("/api/v1/add", json={"sources": [str(tmp_path / "nowhere")]}).json()
    with client.stream("GET", f"/api/v1/runs/{run['id']}/events") as stream:
        list(stream.iter_lines())
    found = client.get(f"/api/v1/runs/{run['id']}").json()
    assert found["state"] == "failed" and "nowhere" in found["error"]
    assert client.get("/api/v1/runs/999").status_code == 404


def test_a_read_only_server_starts_no_run(serve: Serve, photos: Path) -> None:
    client = serve(read_only=True)
    assert client.post("/api/v1/add", json={"sources": [str(photos)]}).status_code == 403
    assert client.get("/api/v1/runs").json() == []


def test_runs_are_executed_one_after_the_other() -> None:
    runs, order = Runs(), []
    may_finish = threading.Event()

    def first(_: ProgressCallback) -> dict[str, Any]:
        order.append("first starts")
        may_finish.wait(20)
        order.append("first ends")
        return {}

    def second(_: ProgressCallback) -> dict[str, Any]:
        order.append("second")
        return {"answer": 1}

    runs.start("a", "first", first)
    later = runs.start("b", "second", second)
    assert runs.get(later.id).state == "waiting"
    may_finish.set()
    assert events_of(runs, later)[-1].result == {"answer": 1}
    assert order == ["first starts", "first ends", "second"]
    assert [run.title for run in runs.all()] == ["second", "first"]
    runs.close()


def test_a_stopped_run_ends_at_its_next_report_and_a_waiting_one_never_starts() -> None:
    runs, started = Runs(), threading.Event()
    stopped = threading.Event()

    def work(report: ProgressCallback) -> dict[str, Any]:
        started.set()
        stopped.wait(20)
        report(Progress("one more"))
        raise AssertionError("the report did not stop the run")

    run = runs.start("a", "running", work)
    waiting = runs.start("b", "waiting", lambda _: {"started": True})
    started.wait(20)
    runs.stop(waiting.id)
    runs.stop(run.id)
    stopped.set()
    assert events_of(runs, run)[-1].state == "stopped"
    assert events_of(runs, waiting)[-1].state == "stopped"
    assert runs.get(waiting.id).result is None
    runs.close()


def test_closing_stops_the_current_run_and_starts_no_other() -> None:
    runs, started, closing = Runs(), threading.Event(), threading.Event()

    def work(report: ProgressCallback) -> dict[str, Any]:
        started.set()
        while True:
            closing.wait(0.01)
            report(Progress("working"))

    run = runs.start("a", "endless", work)
    runs.start("b", "next", lambda _: {"started": True})
    started.wait(20)
    runs.close()
    assert runs.get(run.id).state == "stopped"
    with pytest.raises(BadInput, match="stopping"):
        runs.start("c", "late", work)


def test_a_run_that_was_read_never_changes_so_its_state_and_result_agree() -> None:
    runs, may_finish = Runs(), threading.Event()

    def work(report: ProgressCallback) -> dict[str, Any]:
        report(Progress("working"))
        may_finish.wait(20)
        return {"answer": 1}

    started = runs.start("a", "one", work)
    before = runs.get(started.id)
    may_finish.set()
    assert events_of(runs, started)[-1].state == "done"
    assert (started.state, started.result, before.result) == ("waiting", None, None)
    assert (runs.get(started.id).state, runs.get(started.id).result) == ("done", {"answer": 1})
    runs.close()


def test_an_unexpected_error_fails_the_run_and_not_the_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", reported.append)
    runs = Runs()

    def work(_: ProgressCallback) -> dict[str, Any]:
        raise OSError("no space")

    run = runs.start("a", "broken", work)
    assert events_of(runs, run)[-1].error == "unexpected OSError: no space"
    assert [one.exc_type for one in reported] == [OSError]
    next_run = runs.start("b", "next", lambda _: {"well": True})
    assert events_of(runs, next_run)[-1].state == "done"
    runs.close()


def test_an_interrupted_add_continues(workspace: Workspace, serve: Serve, photos: Path) -> None:
    for number in range(12, 20):
        draw_photo(number).save(photos / f"{number}.jpg")
    client = serve()
    first = client.post("/api/v1/add", json={"sources": [str(photos)]}).json()
    client.post(f"/api/v1/runs/{first['id']}/stop")
    with client.stream("GET", f"/api/v1/runs/{first['id']}/events") as stream:
        list(stream.iter_lines())
    again = client.post("/api/v1/add", json={"sources": [str(photos)]}).json()
    with client.stream("GET", f"/api/v1/runs/{again['id']}/events") as stream:
        list(stream.iter_lines())
    assert client.get(f"/api/v1/runs/{again['id']}").json()["state"] == "done"
    assert workspace.info().images == 20
