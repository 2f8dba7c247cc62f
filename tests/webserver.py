"""A server of a small workspace, asked in this process."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from embedkit import Workspace
from embedkit.web.app import create_app
from embedkit.web.security import Access
from embedkit.web.state import Server

TOKEN = "t" * 43
HOST = "127.0.0.1:8899"
BEARER = {"authorization": f"Bearer {TOKEN}"}

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
