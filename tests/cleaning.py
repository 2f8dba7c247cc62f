"""Shared parts of tests of plans: files, plans, devices, and processes that are killed."""

import builtins
import errno
import hashlib
import os
import shutil
import signal
import subprocess
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from embedkit import Workspace
from embedkit._internal.artifacts import sha256_of
from embedkit.cleaning.plan import PlanRow, write_plan
from embedkit.cli.app import embedkit


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put(path: Path | str, content: bytes, mtime_ns: int = 1_500_000_000_123_456_789) -> str:
    """Write a file with a given modification time; return its path."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return str(path)


def row(group: int, action: str, path: str, content: bytes = b"", **values: object) -> PlanRow:
    plain = PlanRow(group, action, path, sha256(content), "exact", 1.0, "cat", "the same bytes")
    return replace(plain, **values)  # type: ignore[arg-type]


def planned(workspace: Workspace, folder: Path, **options: object) -> dict[str, PlanRow]:
    """Return the rows of a plan for a folder's files, by name."""
    workspace.add([folder])
    return by_name(workspace.clean(**options))  # type: ignore[arg-type]


def by_name(rows: list[PlanRow]) -> dict[str, PlanRow]:
    return {Path(row.path).name: row for row in rows}


def actions(rows: dict[str, PlanRow] | list[PlanRow]) -> dict[str, str]:
    """Return the planned action of each file, by name."""
    named = rows if isinstance(rows, dict) else by_name(rows)
    return {name: row.action for name, row in named.items()}


def contents(folder: Path) -> dict[bytes, tuple[object, ...]]:
    """Return everything in a folder: content, mode and time of each file, target of each link."""
    found: dict[bytes, tuple[object, ...]] = {}
    for place, _, names in os.walk(os.fsencode(folder)):
        for name in names:
            path = os.path.join(place, name)
            status = os.lstat(path)
            if os.path.islink(path):
                found[path] = (os.readlink(path),)
            else:
                digest = sha256(Path(os.fsdecode(path)).read_bytes())
                found[path] = (digest, status.st_mode, status.st_mtime_ns)
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder of quarantines."""
    return tmp_path / "workspace/quarantine"


@pytest.fixture(params=["one device", "two devices", "no hard links"])
def device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The devices of photos and quarantine relative to each other."""
    link = os.link

    def across(source: str, target: str) -> None:
        if os.path.dirname(source) != os.path.dirname(target):
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        link(source, target)

    def refused(_source: str, _target: str) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if request.param == "two devices":
        monkeypatch.setattr(os, "link", across)
    if request.param == "no hard links":
        monkeypatch.setattr(os, "link", refused)
    return str(request.param)


@pytest.fixture
def mount() -> Iterator[Callable[[Path, str], None]]:
    """Mount a file system of a given size in memory; skip where that is not allowed."""
    mounted: list[Path] = []

    def mount(folder: Path, size: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("no file system can be mounted here")
        mounted.append(folder)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str, list[PlanRow]]:
    """A file to keep, its copy to remove, and the plan."""
    keep, copy = (put(tmp_path / f"photos/{name}.jpg", b"picture") for name in ("keep", "copy"))
    return keep, copy, [row(1, "keep", keep, b"picture"), row(1, "remove", copy, b"picture")]


STEPS = [(builtins, "open")] + [
    (os, name)
    for name in ("link", "unlink", "rename", "replace", "fsync", "mkdir", "utime", "chmod")
]


def killed_at(step: int, act: Callable[[], object]) -> bool:
    """Run ``act`` in a process that is killed before its ``step``-th change; return False if the
    process ended before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about threads; the child needs none
        child = os.fork()
    if child == 0:
        count = 0

        def counted(module: object, name: str) -> Callable[..., object]:
            change = getattr(module, name)

            def count_and_change(*args: object, **options: object) -> object:
                nonlocal count
                count += 1
                if count == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                return change(*args, **options)

            return count_and_change

        for module, name in STEPS:
            setattr(module, name, counted(module, name))
        try:
            act()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def check_nothing_is_lost(folder: Path, root: Path, rows: list[PlanRow]) -> None:
    """Check that every file is whole in its place or in quarantine, and no group lost its kept
    file."""
    stored = {values[0] for path, values in contents(root).items() if b"/files/0" in path}
    for item in rows:
        if os.path.lexists(item.path):
            assert sha256(Path(item.path).read_bytes()) == item.sha256
        else:
            assert item.action == "remove" and item.sha256 in stored
    assert folder.is_dir()


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[PlanRow]]:
    """A group of three files, and a ``drop-all`` group of a single file."""
    monkeypatch.setattr(os, "fsync", lambda _: None)  # a kill loses nothing that was written
    folder = tmp_path / "photos"
    rows = [
        row(1, action, put(folder / f"a/{name}.jpg", b"one"), b"one")
        for name, action in (("k", "keep"), ("r", "remove"), ("日\n", "remove"))
    ]
    rows.append(row(2, "remove", put(folder / "b/x.jpg", b"two"), b"two", rule="drop-all"))
    return folder, rows


@pytest.fixture
def filled(workspace: Workspace, photos: Path) -> tuple[Workspace, Path]:
    """A workspace of twelve photos, one of which has a copy, and a plan to remove the copy."""
    shutil.copy2(photos / "red/0.jpg", photos / "blue/copy of 0.jpg")
    workspace.add([photos], labels_from_folders=True)
    digest = sha256_of(photos / "red/0.jpg")
    rows = [
        row(1, "keep", str(photos / "red/0.jpg"), sha256=digest, label="red"),
        row(1, "remove", str(photos / "blue/copy of 0.jpg"), sha256=digest, label="blue"),
    ]
    write_plan(photos.parent / "plan.csv", rows)
    return workspace, photos.parent / "plan.csv"


def run(workspace: Workspace, *words: object, status: int = 0) -> Result:
    done = CliRunner().invoke(embedkit, [*map(str, words), "-w", str(workspace.folder)])
    assert done.exit_code == status, done.output
    return done
