"""``embedkit`` for tests that run many commands, each in a process of its own.

A command spends most of its time with imports: PyTorch, torchvision, timm and scikit-learn take
seconds. One process of the tests imports them, and forks a child for each command. The child gets
the arguments, the folder, the environment and the standard streams of the program that a test
started, and runs as ``python -m embedkit`` would. At its end it calls what is registered to be
called then, but does not destroy the modules, which would take longer than most commands.

Tests whose subject is the process itself start a real one: those of its streams, of signals and of
what is imported. What Python or a library reads from the environment when it starts (PYTHONPATH,
HF_HUB_OFFLINE, OMP_NUM_THREADS) is that of the tests.
"""

import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


@pytest.fixture(scope="session")
def programs() -> Iterator[Path]:
    """A folder with the program ``embedkit``, whose commands need no time for imports."""
    python = sys.executable
    environment = {
        **os.environ,
        "PYTHONPATH": str(TESTS.parent),
        "JE_ARROW_MALLOC_CONF": "background_thread:false",  # PyArrow starts no thread
    }
    with tempfile.TemporaryDirectory(prefix="embedkit-") as name:
        socket = f"{name}/socket"  # short: a path has at most 107 bytes
        client = shlex.join([python, "-I", "-S", str(TESTS / "preloaded_client.py"), socket])
        program = Path(name, "embedkit")
        program.write_text(f'#!/bin/sh\nexec {client} "$@"\n')
        program.chmod(0o755)
        with subprocess.Popen(
            [python, str(TESTS / "preloaded_server.py"), socket],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        ) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == b"listening\n"
            yield Path(name)
            server.communicate()  # the end of its stdin ends it
