"""Commands whose stdout is closed, full, or cannot encode every character."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import draw_photo, take_toys

from embedkit import Workspace

NAMES = ("写真.png", "with\nnewline.png", os.fsdecode(b"latin-\xe9.png"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a workspace ``ws`` with hostile names, each photo beside a copy."""
    folder = tmp_path_factory.mktemp("streams")
    (folder / "photos").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        take_toys(patch)
        for number, name in enumerate(NAMES):
            draw_photo(number).save(folder / "photos" / name)
            shutil.copy(folder / "photos" / name, folder / "photos" / f"copy of {name}")
        Workspace(folder / "ws").add([folder / "photos"])
    return folder


def embedkit(
    home: Path, command: list[str], redirection: str = "", **options: str
) -> tuple[int, str, str]:
    """Status, stdout and stderr of a command whose streams a shell redirects."""
    done = subprocess.run(
        ["/bin/sh", "-c", f'"$@" {redirection}', "sh", sys.executable, "-m", "embedkit", *command],
        cwd=home, capture_output=True, env={**os.environ, **options}, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["info", "-w", "ws"],
        ["info", "-w", "ws", "--json"],
        ["labels", "-w", "ws", "--json"],
        ["--help"],
        ["--version"],
    ],
)
@pytest.mark.parametrize(
    ("redirection", "reason"),
    [(">&-", "Bad file descriptor"), ("> /dev/full", "No space left on device")],
)
def test_an_unwritable_stdout_is_an_error_of_one_line(
    home: Path, command: list[str], redirection: str, reason: str
) -> None:
    status, out, err = embedkit(home, command, redirection)
    assert (status, out, err) == (1, "", f"embedkit: cannot write to stdout: {reason}\n")


def test_a_closed_pipe_is_an_error_of_one_line(home: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as stdout:
        done = subprocess.run(
            [sys.executable, "-m", "embedkit", "info", "-w", "ws"],
            cwd=home, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "embedkit: cannot write to stdout: Broken pipe\n"


@pytest.mark.parametrize("redirection", ["2>&-", "2> /dev/full"])
def test_an_unwritable_stderr_does_not_stop_a_command(home: Path, redirection: str) -> None:
    status, out, _ = embedkit(home, ["info", "-w", "ws"], redirection)
    assert status == 0
    assert "6 files, 3 images" in out


def test_no_file_gets_the_descriptor_of_a_closed_stream(home: Path) -> None:
    code = (
        "from embedkit.cli.streams import prepare; prepare()\n"
        "with open('x', 'w') as file: print(file.fileno())"
    )
    done = subprocess.run(
        ["/bin/sh", "-c", '"$0" -c "$1" <&- 2>&-', sys.executable, code],
        cwd=home, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(done.stdout) > 2


@pytest.mark.slow
@pytest.mark.parametrize("command", ["search photos/写真.png", "duplicates", "add photos", "clean"])
@pytest.mark.parametrize(
    "options",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_characters_outside_the_encoding_of_stdout_are_escaped(
    home: Path, command: str, options: dict[str, str]
) -> None:
    words = command.split()
    words += ["--plan", "写真-plan.csv"] if words == ["clean"] else []
    status, out, err = embedkit(home, [*words, "-w", "ws"], **options)
    assert status == 0, err
    is_reduced = "PYTHONIOENCODING" in options
    if words[0] != "add":
        assert (r"\u5199\u771f" if is_reduced else "写真") in out
    if words[0] in ("search", "duplicates"):
        assert r"latin-\xe9.png" in out
        assert r"with\nnewline.png" in out
