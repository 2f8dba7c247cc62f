"""What a command prints, where the stream does not take it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import draw_photo

EMBEDKIT = f"{sys.executable} -m embedkit"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the workspace ``ws`` of a few photos with names that not every stream takes."""
    folder = tmp_path_factory.mktemp("home")
    names = ["写真 a\nb.jpg", os.fsdecode(b"\xff\xfe.jpg"), "plain.jpg"]
    (folder / "photos").mkdir()
    for name in names:
        draw_photo(1).save(folder / "photos/saved.jpg")
        os.rename(folder / "photos/saved.jpg", folder / "photos" / name)
    assert shell(folder, f"{EMBEDKIT} add photos --fingerprints-only -w ws").returncode == 0
    return folder


def shell(folder: Path, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", ["info", "duplicates", "info --json", "--help"])
@pytest.mark.parametrize(
    ("stdout", "reason"),
    [(">&-", "Bad file descriptor"), ("> /dev/full", "No space left on device")],
)
def test_a_stdout_that_takes_nothing_is_one_line_and_a_failure(
    home: Path, command: str, stdout: str, reason: str
) -> None:
    workspace = "" if command == "--help" else " -w ws"
    done = shell(home, f"{EMBEDKIT} {command}{workspace} {stdout}")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"embedkit: cannot write to stdout: {reason}"
    assert "Traceback" not in done.stderr


def test_a_stderr_that_takes_nothing_stops_nothing(home: Path) -> None:
    done = shell(home, f"{EMBEDKIT} add photos --fingerprints-only -w ws 2>&-")
    assert (done.returncode, done.stdout[:16]) == (0, "3 files, 1 image")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_characters_that_a_stream_lacks_are_escaped(home: Path, encoding: str) -> None:
    done = shell(home, f"{EMBEDKIT} duplicates -w ws", PYTHONIOENCODING=encoding)
    assert done.returncode == 0
    assert "\\u5199\\u771f a\\nb.jpg" in done.stdout
    assert "\\xff\\xfe.jpg" in done.stdout
