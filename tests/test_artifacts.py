import json
import os
from pathlib import Path

import pytest

from embedkit._internal.artifacts import (
    atomic_write,
    read_json,
    sweep,
    temporary_beside,
    write_json,
)
from embedkit.errors import BadArtefact


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "manifest.json"
    write_json(target, {"a": 1})
    with pytest.raises(RuntimeError), atomic_write(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert json.loads(target.read_text()) == {"a": 1}
    assert os.listdir(tmp_path) == ["manifest.json"]


def test_concurrent_writes_of_one_file_are_atomic(tmp_path: Path) -> None:
    target = tmp_path / "listing"
    with atomic_write(target) as one, atomic_write(target) as other:
        one.write_text("one")
        other.write_text("other")
    assert target.read_text() == "one"
    assert os.listdir(tmp_path) == ["listing"]


def test_sweep_removes_only_files_of_dead_processes(tmp_path: Path) -> None:
    dead = tmp_path / ".index.faiss.12345678.999999999.tmp"
    parent = tmp_path / f".index.faiss.12345678.{os.getppid()}.tmp"
    dead.touch()
    parent.touch()
    with temporary_beside(tmp_path / "index.faiss") as own:
        own.touch()
        sweep(tmp_path)
        assert sorted(os.listdir(tmp_path)) == sorted([parent.name, own.name])


def test_sweep_removes_files_of_an_earlier_process_with_the_same_id(tmp_path: Path) -> None:
    (tmp_path / f".catalog.duckdb.12345678.{os.getpid()}.tmp").touch()
    sweep(tmp_path)
    assert os.listdir(tmp_path) == []


def test_sweep_removes_the_log_and_the_spilled_folder_of_a_database(tmp_path: Path) -> None:
    (tmp_path / ".catalog.duckdb.12345678.999999999.tmp.wal").touch()
    spilled = tmp_path / ".catalog.duckdb.12345679.999999999.tmp"
    spilled.mkdir()
    (spilled / "block").touch()
    sweep(tmp_path)
    assert os.listdir(tmp_path) == []


def test_sweep_searches_only_the_given_trees(tmp_path: Path) -> None:
    name = ".manifest.json.12345678.999999999.tmp"
    for folder in ("index/0123", "photos"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / name).touch()
    sweep(tmp_path, ["index", "heads"])
    assert os.listdir(tmp_path / "index/0123") == []
    assert os.listdir(tmp_path / "photos") == [name]


def test_sweep_keeps_other_files(tmp_path: Path) -> None:
    (tmp_path / ".folder.1.tmp").mkdir()
    (tmp_path / ".notes.tmp").touch()
    sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".folder.1.tmp", ".notes.tmp"]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_nan_and_infinity_are_not_written_as_json(tmp_path: Path, number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "m.json", {"a": number})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00"])
def test_text_that_is_not_a_json_object_is_reported_as_damaged(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(BadArtefact, match="damaged"):
        read_json(tmp_path / "m.json")
