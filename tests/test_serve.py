"""The command that serves the app."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from importlib import import_module
from pathlib import Path

import pytest
from click.testing import CliRunner

from embedkit.cli.app import embedkit


@pytest.mark.slow
def test_one_line_says_where_the_server_answers_and_an_interrupt_ends_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "embedkit", "serve", "--json", "--port", "0", "-w", "ws"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None and server.stderr is not None
        address = json.loads(server.stdout.readline())
        assert set(address) == {"url", "token", "port"}
        base, token = address["url"].split("/#")
        assert (base, token) == (f"http://127.0.0.1:{address['port']}", address["token"])
        request = urllib.request.Request(
            f"{base}/api/v1/server", headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["is_empty"] is True
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
        assert server.stdout.read() == server.stderr.read() == ""
    assert os.listdir(tmp_path) == []


def test_a_port_in_use_is_one_line_on_stderr(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        done = CliRunner().invoke(embedkit, ["serve", "--port", port, "-w", str(tmp_path / "w")])
    assert done.exit_code == 2 and done.stdout == ""
    assert "choose another --port" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("host", ["", "a..b", "a" * 70])
def test_a_host_that_is_no_name_is_one_line_on_stderr(tmp_path: Path, host: str) -> None:
    done = CliRunner().invoke(embedkit, ["serve", "--host", host, "-w", str(tmp_path / "w")])
    assert done.exit_code == 2 and done.stdout == ""
    assert "cannot listen on" in done.stderr and done.stderr.count("\n") == 1


def test_without_the_extra_the_command_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = sys.modules["embedkit"]
    monkeypatch.setattr(package, "web", import_module("embedkit.web"))  # restored at the end
    for name in [name for name in sys.modules if name.startswith("embedkit.web")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    done = CliRunner().invoke(embedkit, ["serve", "-w", str(tmp_path / "w")])
    assert done.exit_code == 1 and "pip install 'embedkit[web]'" in done.stderr


def test_the_secret_is_no_argument_of_the_browser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from embedkit.web import serve as web_serve
    from embedkit.web.serve import Address

    url = "http://127.0.0.1:1/#t0k3n"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(
        web_serve, "serve", lambda _, on_ready, **__: on_ready(Address(url, "t0k3n", 1))
    )
    opened: list[tuple[str, str, int]] = []

    def open_page(address: str) -> None:
        page = Path(address.removeprefix("file://"))
        opened.append((address, page.read_text(), page.stat().st_mode & 0o777))

    monkeypatch.setattr("webbrowser.open", open_page)
    done = CliRunner().invoke(embedkit, ["serve", "--open", "-w", str(tmp_path / "w")])
    ((address, content, mode),) = opened
    assert done.exit_code == 0 and "t0k3n" not in address and url in content and mode == 0o600
    assert list((tmp_path / "cache/embedkit").iterdir()) == []
