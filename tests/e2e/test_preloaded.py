"""A command that a forked process runs does what it does in a process of its own."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import draw_photo

REAL = (sys.executable, "-m", "embedkit")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a workspace of two photos."""
    folder = tmp_path_factory.mktemp("folder")
    (folder / "photos").mkdir()
    for number in range(2):
        draw_photo(number).save(folder / f"photos/{number}.jpg")
    command = [*REAL, "add", "photos", "--fingerprints-only", "-w", "写真"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["--version", "info", "info --json", "info --workspace nowhere", "frobnicate"]
)
def test_status_and_output_are_those_of_a_real_process(
    folder: Path, programs: Path, command: str
) -> None:
    environment = {**os.environ, "EMBEDKIT_WORKSPACE": "写真"}
    real, forked = (
        subprocess.run(
            [*program, *command.split()], cwd=folder, env=environment, capture_output=True
        )
        for program in (REAL, (programs / "embedkit",))
    )
    assert (forked.returncode, forked.stdout, forked.stderr) == (
        real.returncode,
        real.stdout,
        real.stderr,
    )


@pytest.mark.slow
def test_the_streams_are_those_of_the_program(folder: Path, programs: Path) -> None:
    done = subprocess.run(
        f"{programs}/embedkit info -w 写真 > out 2> err && {programs}/embedkit info 2>> err",
        shell=True, cwd=folder, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")
    assert (folder / "out").read_text()
    assert (folder / "err").read_text().startswith("embedkit: ")


@pytest.mark.slow
def test_a_command_that_is_killed_fails(tmp_path: Path, programs: Path) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, bytes(4096))  # full, so the command waits until it is killed
    client = subprocess.Popen([programs / "embedkit", "--help"], cwd=tmp_path, stdout=writing)
    found = False
    while client.poll() is None and not found:
        for link in Path("/proc").glob("[0-9]*/cwd"):
            number = int(link.parent.name)
            if number != client.pid and os.path.realpath(link) == str(tmp_path):
                os.kill(number, signal.SIGKILL)
                found = True
    os.close(writing)
    os.close(reading)
    assert client.wait() == 128 + signal.SIGKILL
