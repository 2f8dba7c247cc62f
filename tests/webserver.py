"""A server of a small workspace in this process, for a client or a browser."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from starlette.testclient import TestClient

from embedkit import Workspace
from embedkit.web.app import create_app
from embedkit.web.security import Access
from embedkit.web.serve import Address, listen, server_on
from embedkit.web.state import Server

TOKEN = "t" * 43
HOST = "127.0.0.1:8899"
BEARER = {"authorization": f"Bearer {TOKEN}"}

LAYOUTS = pytest.mark.parametrize(("scheme", "width"), [("dark", 390), ("light", 1280)])
"""Each colour scheme and each width of a page once."""

Serve = Callable[..., TestClient]


@pytest.fixture
def filled(workspace: Workspace, photos: Path) -> Workspace:
    """A workspace with six red and six blue photos, labelled by their folders."""
    workspace.add(photos, labels_from_folders=True)
    return workspace


@pytest.fixture
def serve(workspace: Workspace) -> Iterator[Serve]:
    """Return a client of a server of the workspace; by default with the token."""
    clients = []

    def serve(*, token: bool = True, host: str = "127.0.0.1", **options: bool) -> TestClient:
        access = Access(TOKEN, host, 8899)
        app = create_app(Server.open(workspace.folder, access, **options))
        client = TestClient(
            app,
            base_url=f"http://{HOST}",
            headers=BEARER if token else {},
            raise_server_exceptions=False,
        )
        client.__enter__()
        clients.append(client)
        return client

    yield serve
    for client in clients:
        client.__exit__(None, None, None)


def ended(client: TestClient, run: dict[str, Any]) -> dict[str, Any]:
    """A run when it has ended."""
    with client.stream("GET", f"/api/v1/runs/{run['id']}/events") as stream:
        lines = [line for line in stream.iter_lines() if line.startswith("data: ")]
    document: dict[str, Any] = json.loads(lines[-1].removeprefix("data: "))
    return document


def finished(client: TestClient, path: str, **request: object) -> dict[str, Any]:
    """The run that a request starts, when it has ended."""
    return ended(client, client.post(f"/api/v1/{path}", json=request).json())


@pytest.fixture
def running(workspace: Workspace) -> Iterator[Callable[..., Address]]:
    """Return the address of a server that runs in a thread of this process."""
    servers = []

    def running(**options: bool) -> Address:
        listener = listen("127.0.0.1", 0)
        address, server = server_on(listener, "127.0.0.1", workspace.folder, **options)
        ready = threading.Event()
        server.on_ready = ready.set
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        assert ready.wait(20)
        servers.append((server, thread, listener))
        return address

    yield running
    for server, thread, listener in servers:
        server.should_exit = True
        thread.join()
        listener.close()


Open = Callable[..., Any]


@pytest.fixture
def opened(browser: Any, running: Callable[..., Address]) -> Iterator[Open]:
    """Open a page of the app; check at the end that it had no error and used no other server.

    ``messages`` are parts of messages in the browser's console that are no errors.
    """
    complaints: list[str] = []
    expected = ["a status of 401", "GL Driver Message (OpenGL, Performance"]
    contexts = []

    def opened(
        path: str = "/", *, read_only: bool = False, messages: Sequence[str] = (), **options: Any
    ) -> Any:
        expected.extend(messages)
        address = running(read_only=read_only)
        options = {"viewport": {"width": 1280, "height": 820}, "accept_downloads": True, **options}
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        base = f"http://127.0.0.1:{address.port}"

        def on_request(request: Any) -> None:
            if not request.url.startswith((base, "blob:", "data:")):
                complaints.append(request.url)

        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", on_request)
        page.goto(f"{base}{path}#{address.token}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert [text for text in complaints if not any(part in text for part in expected)] == []


def drawn_again(page: Any) -> None:
    """Wait until the page had the time to show an answer that it has received."""
    page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    )


def record_status(page: Any) -> None:
    """Record from now on what the status of a page says to screen readers."""
    page.evaluate(
        """() => {
            globalThis.spoken = [];
            const status = document.getElementById("status");
            new MutationObserver((changes) => {
                for (const { addedNodes } of changes)
                    for (const node of addedNodes) globalThis.spoken.push(node.textContent);
            }).observe(status, { childList: true });
        }"""
    )


def spoken(page: Any) -> list[str]:
    """What the status has said since :func:`record_status`."""
    found: list[str] = page.evaluate("globalThis.spoken")
    return found


def violations(page: Any) -> list[str]:
    """The violations of accessibility rules on a page, of any severity."""
    found = Axe().run(page)
    return [
        f"{item['id']}: {node['html'][:200]}"
        for item in found.response["violations"]
        for node in item["nodes"]
    ]
