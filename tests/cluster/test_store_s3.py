"""A store and its photos on object storage: a real server on this machine, and a real worker."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from click.testing import CliRunner
from stores import run_inline

from embedkit.cli.app import embedkit

pytestmark = pytest.mark.slow

SECRET = "not-to-be-shown"


@pytest.fixture
def environment(photos: Path) -> Iterator[dict[str, str]]:
    """The environment of commands: a server with the photos in s3://bucket/photos."""
    moto = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    server = moto.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        bucket = s3fs.S3FileSystem(skip_instance_cache=True)
        bucket.mkdir("bucket")
        bucket.put(str(photos), "bucket/photos", recursive=True)
        yield {**os.environ}
        fsspec.get_filesystem_class("s3").clear_instance_cache()
    server.stop()


def test_photos_are_added_searched_and_pulled_from_object_storage(
    tmp_path: Path,
    photos: Path,
    tiny: str,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run_process(*words: object) -> Any:
        command = [sys.executable, "-m", "embedkit", *map(str, words), "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert SECRET not in done.stdout + done.stderr
        return json.loads(done.stdout)

    def run(*words: object) -> Any:
        done = CliRunner().invoke(embedkit, [*map(str, words), "--json"])
        assert done.exit_code == 0, done.output
        assert SECRET not in done.output
        return json.loads(done.stdout)

    store = ["--store", "s3://bucket/store"]
    options = ["--backbone", tiny, "--labels-from-folders", "--on", "ray", "--workers", "1"]
    added = run_process("add", "s3://bucket/photos", *options, *store)
    assert (added["files"], added["images"], added["embedded"], added["failed"]) == (12, 12, 12, 0)
    run_inline(monkeypatch)
    assert run("add", "s3://bucket/photos", *options, *store)["reused"] == 12

    matches = run("search", photos / "red/0.jpg", "-k", "3", *store)["matches"]
    assert [matches[0]["path"], matches[0]["label"]] == ["s3://bucket/photos/red/0.jpg", "red"]
    assert matches[0]["distance"] == 0

    pulled = run("pull", *store, "--workspace", tmp_path / "workspace")
    assert (pulled["images"], pulled["files"]) == (12, 12)
    info = run("info", "--workspace", tmp_path / "workspace")
    assert info["labels"] == {"blue": 6, "red": 6}

    import s3fs

    bucket = s3fs.S3FileSystem(skip_instance_cache=True)
    stored = [bucket.cat_file(path) for path in bucket.find("bucket/store")]
    assert stored
    assert not any(SECRET.encode() in content for content in stored)
