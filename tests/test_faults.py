"""Files that interrupted commands leave on the disk, and how the next command treats them."""

import errno
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import faiss
import numpy as np
import pytest
import torch
from safetensors import SafetensorError

from embedkit import Workspace
from embedkit._internal.artifacts import sweep
from embedkit.catalog import lease
from embedkit.classify.heads.finetune import checkpoint
from embedkit.cleaning.plan import write_plan
from embedkit.errors import BadCatalog, StorageError
from embedkit.index import approximate

DEAD = "12345678.999999999.tmp"
LEFT = (
    f".catalog.duckdb.{DEAD}",
    f".catalog.duckdb.{DEAD}.wal",
    f".files.listing.{DEAD}",
    f"features/.0123.features.{DEAD}",
    f"heads/probe/.head.json.{DEAD}",
    f"index/0123/.manifest.json.{DEAD}",
    f"outliers/.0123.1.safetensors.{DEAD}",
    f"quarantine/0123/.plan.csv.{DEAD}",
    f"sheets/.red.html.{DEAD}",
)
"""Files that killed commands leave in a workspace."""


def add(workspace: Workspace) -> None:
    workspace.add()


def import_(workspace: Workspace) -> None:
    workspace.embeddings.import_(workspace.folder.parent / "vectors")


def split(workspace: Workspace) -> None:
    workspace.split(1, 1)


def train(workspace: Workspace) -> None:
    workspace.heads.train("knn", "first")


def ensemble(workspace: Workspace) -> None:
    workspace.heads.ensemble("both", ["one", "other"])


def remove(workspace: Workspace) -> None:
    workspace.remove(workspace.folder.parent / "photos/red")


def compact(workspace: Workspace) -> None:
    workspace.compact()


def apply(workspace: Workspace) -> None:
    workspace.load_plan(workspace.folder.parent / "plan.csv").apply()


def undo(workspace: Workspace) -> None:
    apply(workspace)
    leave(workspace)
    workspace.undo()


def empty(workspace: Workspace) -> None:
    apply(workspace)
    leave(workspace)
    workspace.quarantine.empty(workspace.quarantine.list()[0].id)


def leave(workspace: Workspace) -> None:
    """Put the files that killed commands leave into a workspace."""
    for name in LEFT:
        file = workspace.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"half")


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [add, import_, split, train, ensemble, remove, compact, apply, undo, empty],
    ids=lambda command: command.__name__,
)
def test_every_command_that_changes_a_workspace_removes_files_of_killed_processes(
    workspace: Workspace, photos: Path, tmp_path: Path, command: Callable[[Workspace], None]
) -> None:
    (photos / "copy.jpg").write_bytes((photos / "red/0.jpg").read_bytes())
    workspace.add([photos], labels_from_folders=True)
    workspace.embeddings.export(tmp_path / "vectors")
    write_plan(tmp_path / "plan.csv", workspace.clean(["exact"]))
    if command in (train, ensemble):
        workspace.split(1, 1)
    if command is ensemble:
        for name in ("one", "other"):
            workspace.heads.train("knn", name)
    leave(workspace)
    command(workspace)
    assert [name for name in LEFT if (workspace.folder / name).exists()] == []


def test_the_next_compact_removes_the_files_of_a_killed_one(
    workspace: Workspace, photos: Path
) -> None:
    workspace.add([photos])
    before = sorted(os.listdir(workspace.folder))
    (workspace.folder / LEFT[0]).write_bytes(
        workspace.folder.joinpath("catalog.duckdb").read_bytes()
    )
    (workspace.folder / LEFT[1]).write_bytes(b"a log")
    workspace.compact()
    assert sorted(os.listdir(workspace.folder)) == before
    assert workspace.info().images == 12


def test_a_full_disk_during_compact_keeps_the_old_catalog_and_suggests_a_remedy(
    workspace: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.add([photos])
    before = sorted(os.listdir(workspace.folder))

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("embedkit._internal.artifacts.os.fsync", full)
        with pytest.raises(StorageError, match="No space left on device; free some space"):
            workspace.compact()
    assert sorted(os.listdir(workspace.folder)) == before
    assert workspace.info().images == 12


def test_a_compact_that_failed_is_repeated_in_the_same_process(
    workspace: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.add([photos])
    with monkeypatch.context() as broken:
        broken.setattr(lease, "NAME", "missing")
        with pytest.raises(BadCatalog, match="missing"):
            workspace.compact()
    workspace.compact()
    assert workspace.info().images == 12


@pytest.mark.parametrize("cause", [errno.EIO, errno.ENOSPC])
def test_a_catalog_on_a_failing_disk_is_not_reported_as_damaged(
    workspace: Workspace, photos: Path, monkeypatch: pytest.MonkeyPatch, cause: int
) -> None:
    workspace.add([photos])

    def fail(*_: object, **__: object) -> None:
        raise duckdb.IOException(f'IO Error: Could not read from "x": {os.strerror(cause)}')

    monkeypatch.setattr(lease, "Database", fail)
    with pytest.raises(StorageError, match="then run the same command again"):
        workspace.info()


def test_a_full_disk_while_a_network_is_saved_leaves_nothing_and_prints_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object, file: Path, metadata: dict[str, str]) -> None:
        assert metadata
        file.with_name(".tmpABCDEF").touch()  # safetensors's own
        raise SafetensorError("Error while serializing: No space left on device (os error 28)")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(StorageError, match="no epoch is lost; free some space"):
        checkpoint.write(tmp_path / "checkpoint.safetensors", {"a": torch.zeros(2)}, {})
    assert os.listdir(tmp_path) == []


def test_sweep_removes_the_remains_of_an_interrupted_save_of_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(_: object, file: Path, metadata: dict[str, str]) -> None:
        assert metadata
        file.with_name(".tmpABCDEF").touch()
        left = tmp_path / file.parent.name.replace(str(os.getpid()), "999999999")
        file.parent.rename(left)
        assert left.joinpath(".tmpABCDEF").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save_file", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.write(tmp_path / "checkpoint.safetensors", {"a": torch.zeros(2)}, {})
    assert len(os.listdir(tmp_path)) == 1
    sweep(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("rows", [3, 20_000])
def test_a_full_disk_while_codes_are_written_is_an_error_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    index = faiss.IndexFlat(8)
    index.add(np.zeros((rows, 8), np.float32))

    class Full(io.FileIO):
        def write(self, _: Any, /) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def opened(file: Path, mode: str) -> Any:
        return io.BufferedWriter(Full(file, "w")) if mode == "wb" else open(file, mode)

    monkeypatch.setattr(approximate, "open", opened, raising=False)
    with pytest.raises(OSError, match="No space left"):
        approximate.write(tmp_path / "codes.faiss", approximate.ApproximateIndex(index, "Flat"))
    assert os.listdir(tmp_path) == []
