"""The commands on a store: the output of those on a workspace."""

import json
import shutil
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from stores import inline  # noqa: F401

from embedkit import Store
from embedkit.cli.app import embedkit

pytestmark = pytest.mark.slow


def run(*words: object, status: int = 0) -> Any:
    """Run a command with --json; return its document, or the error."""
    done = CliRunner().invoke(embedkit, [*map(str, words), "--json", "--quiet"])
    assert done.exit_code == status, done.output
    return json.loads(done.stdout) if done.stdout else done.stderr


@pytest.mark.usefixtures("two_workers")
def test_a_store_answers_as_a_workspace_does(tmp_path: Path, photos: Path, tiny: str) -> None:
    (photos / "red/broken.jpg").write_bytes(b"broken")
    store = ["--store", tmp_path / "店 store"]
    workspace = ["--workspace", tmp_path / "workspace"]
    options = ["--backbone", tiny, "--labels-from-folders"]
    added = run("add", photos, *options, *store, "--on", "ray", "--workers", "1")
    local = run("add", photos, *options, *workspace)
    for name in ("files", "images", "embedded", "fingerprinted", "failed", "missing", "failures"):
        assert added[name] == local[name]

    for query in (
        [photos / "red/0.jpg", "-k", "4"],
        [photos / "blue/7.jpg", "--label", "red"],
        [photos / "red/0.jpg", "--folder", photos / "blue", "--max-distance", "0.5"],
    ):
        assert run("search", *query, *store) == run("search", *query, *workspace)
    assert "is not in the store" in run("search", "s3://bucket/1.jpg", *store, status=2)
    assert "--verify cannot be used" in run(
        "search", photos / "red/0.jpg", "--verify", "3", *store, status=2
    )

    shutil.copy(photos / "red/0.jpg", photos / "red/copy.jpg")
    run("add", photos, *options, *store, "--workers", "1")
    run("add", photos, *options, *workspace)
    copies = run("duplicates", *store, "--on", "ray", "--workers", "1")
    assert (copies["groups"], copies["copies"], copies["images"]) == (1, 1, 12)
    groups = [asdict(group) for group in Store(store[1]).duplicate_groups()]
    assert [[Path(item["path"]).name for item in group["members"]] for group in groups] == [
        [Path(item["path"]).name for item in group["members"]]
        for group in run("duplicates", *workspace)["groups"]
    ]

    assert run("index", *store, "--on", "ray")["images"] == 12
    info = run("info", *store)
    assert (info["files"], info["failed"], info["labels"]) == (13, 1, {"blue": 6, "red": 7})


@pytest.mark.usefixtures("inline")
def test_options_that_have_no_meaning_are_refused(tmp_path: Path, photos: Path) -> None:
    store = ["--store", tmp_path / "store"]
    assert "--min-size" in run("add", photos, "--min-size", "10", *store, status=2)
    assert "name it with --store" in run("add", photos, "--on", "ray", status=2)
    assert "takes no PATH" in run("classify", photos, "--head", "h", *store, status=2)
    assert "three most probable" in run("classify", "--head", "h", "-k", "5", *store, status=2)
    assert "name photos or folders" in run("classify", "--head", "h", status=2)
    assert "there is no store" in run("info", *store, status=1)
    assert "--sample too" in run("pull", "--seed", "1", *store, status=2)
    assert "--seed" in run("pull", "--sample", "1", "--seed", "-1", *store, status=2)


def test_a_cluster_that_does_not_answer_is_an_error(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    store = ["--store", tmp_path / "store", "--fingerprints-only"]
    found = run("add", photos, *store, "--on", f"ray://{address}", status=1)
    assert f"Ray does not answer at ray://{address}" in found
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert address in run("add", photos, *store, "--on", "ray", status=1)

    def started(address: str | None, **_: object) -> None:
        raise RuntimeError(f"started at {address}")

    monkeypatch.setenv("RAY_ADDRESS", "")  # as if it was not set
    monkeypatch.setattr("ray.init", started)
    found = run("add", photos, *store, "--on", "ray", status=1)
    assert "does not answer at this machine: started at None" in found


@pytest.mark.usefixtures("inline")
def test_a_file_that_cannot_be_read_decides_the_exit_status(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "list.csv").write_text(f"path\n{photos}/red/0.jpg\n{photos}/red/gone.jpg\n")
    store = ["--store", tmp_path / "store", "--fingerprints-only", "--workers", "1"]
    report = run("add", tmp_path / "list.csv", *store, status=1)
    assert [(item["stage"], Path(item["path"]).name) for item in report["failures"]] == [
        ("read", "gone.jpg")
    ]
    (tmp_path / "list.csv").write_text(f"path\n{photos}/red/0.jpg\n")
    assert run("add", tmp_path / "list.csv", *store)["failed"] == 0


@pytest.mark.parametrize("module", ["lance", "ray"])
def test_without_the_extra_the_error_names_it(tmp_path: Path, photos: Path, module: str) -> None:
    words = ["add", str(photos), "--store", str(tmp_path / "store"), "--fingerprints-only"]
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        f"sys.argv = ['embedkit', *{words!r}]\n"
        "from embedkit.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'embedkit[cluster]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "store").exists()
