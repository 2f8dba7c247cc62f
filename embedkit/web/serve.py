"""Run the web app."""

import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from embedkit.errors import BadInput
from embedkit.web.app import create_app
from embedkit.web.security import Access
from embedkit.web.state import Server

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8899


@dataclass(frozen=True)
class Address:
    """The address of a running server."""

    url: str
    """Address of the pages, with the token in its fragment, which browsers do not send."""
    token: str
    port: int


def serve(
    workspace: Path,
    on_ready: Callable[[Address], None],
    *,
    host: str = DEFAULT_HOST,
    port: int | None = None,
    read_only: bool = False,
    api_only: bool = False,
) -> None:
    """Serve a workspace until the process is interrupted.

    Parameters
    ----------
    workspace : Path
        Folder of the workspace.
    on_ready : callable
        Called with the address as soon as the server answers.
    host : str
        Address or name to listen on.
    port : int, optional
        The port; 0 is a free one. Default: 8899, or a free one if it is in use.
    read_only : bool
        Whether to refuse every change.
    api_only : bool
        Whether to leave out the pages.

    Raises
    ------
    BadInput
        The address cannot be used.
    """
    listener = listen(host, port)
    with listener:
        address, server = server_on(
            listener, host, workspace, read_only=read_only, api_only=api_only
        )
        server.on_ready = lambda: on_ready(address)
        server.run(sockets=[listener])


def server_on(
    listener: socket.socket,
    host: str,
    workspace: Path,
    *,
    read_only: bool = False,
    api_only: bool = False,
) -> tuple[Address, "ReportingServer"]:
    """Return the address and the server of a workspace on a bound socket; it does not run yet."""
    port = int(listener.getsockname()[1])
    access = Access(secrets.token_urlsafe(32), host, port)
    app = create_app(Server.open(workspace, access, read_only=read_only), api_only=api_only)
    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=3,
    )
    url = f"http://{_reachable(host)}:{port}/#{access.token}"
    return Address(url, access.token, port), ReportingServer(config)


class ReportingServer(uvicorn.Server):
    """A server that reports when it answers."""

    on_ready: Callable[[], None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self.on_ready is not None:
            self.on_ready()


def _reachable(host: str) -> str:
    """Return the host of an address at which this machine reaches its own server."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{name}]" if ":" in name else name


def listen(host: str, port: int | None) -> socket.socket:
    """Return a socket that is bound to a host and a port; 0 is a free port.

    Without a port, it is the default one, or a free one if the default is in use. Raises
    :class:`BadInput` when the address cannot be used.
    """
    ports = [port] if port is not None else [DEFAULT_PORT, 0]
    error: OSError | UnicodeError | None = None
    for one in ports:
        try:
            family, *_, address = socket.getaddrinfo(host, one, type=socket.SOCK_STREAM)[0]
            listener = socket.socket(family, socket.SOCK_STREAM)
            try:
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
            except BaseException:
                listener.close()
                raise
        except (OSError, UnicodeError) as failed:  # a UnicodeError for a name such as "a..b"
            error = failed
        else:
            return listener
    assert error is not None
    reason = getattr(error, "strerror", None) or str(error)
    raise BadInput(
        f"cannot listen on {host}, port {ports[0]}: {reason}; choose another --port or --host"
    ) from error
