"""A web site on loopback with several hosts, one a port, and a log of its requests."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """The answer to a request."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    """Time before the answer."""
    cut: bool = False
    """Whether the connection ends in the middle of the body."""


@dataclass(frozen=True)
class Hit:
    """A request that a host got."""

    time: float
    path: str
    headers: Mapping[str, str]
    status: int
    bytes: int


Route = Reply | Callable[["Host", Mapping[str, str]], Reply]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Clients that are killed reset their connections."""


class Host:
    """One host: replies by path, and the requests it got."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        self.routes: dict[str, Route] = {}
        self.hits: list[Hit] = []
        self._lock = threading.Lock()
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                host.answer(self)

            def log_message(self, *_: Any) -> None: ...

        self.server = _Server((address, port), Handler)
        self.port = self.server.server_address[1]
        self.name = address if port == 80 else f"{address}:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://{self.name}{path}"

    def page(self, path: str, html: str, **reply: Any) -> None:
        """Serve HTML at a path."""
        headers = {"Content-Type": "text/html; charset=utf-8", **reply.pop("headers", {})}
        self.routes[path] = Reply(html.encode(), headers=headers, **reply)

    def image(self, path: str, data: bytes, **reply: Any) -> None:
        """Serve an image at a path, with an ETag."""
        headers = {
            "Content-Type": "image/jpeg",
            "ETag": f'"{len(data)}"',
            **reply.pop("headers", {}),
        }
        self.routes[path] = Reply(data, headers=headers, **reply)

    def robots(self, text: str) -> None:
        """Serve a robots.txt."""
        self.routes["/robots.txt"] = Reply(text.encode(), headers={"Content-Type": "text/plain"})

    def paths(self) -> list[str]:
        """Return the paths of the requests so far, without robots.txt."""
        return [hit.path for hit in self.hits if hit.path != "/robots.txt"]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        now = time.time()
        headers = {name.lower(): value for name, value in handler.headers.items()}
        route = self.routes.get(handler.path, Reply(b"nothing here", 404))
        reply = route if isinstance(route, Reply) else route(self, headers)
        tag = reply.headers.get("ETag")
        if tag and headers.get("if-none-match") == tag and reply.status == 200:
            reply = Reply(status=304, headers={"ETag": tag}, seconds=reply.seconds)
        with self._lock:
            self.hits.append(Hit(now, handler.path, headers, reply.status, len(reply.body)))
        time.sleep(reply.seconds)
        try:
            handler.send_response(reply.status)
            for name, value in reply.headers.items():
                handler.send_header(name, value)
            if reply.status != 304:
                handler.send_header("Content-Length", str(len(reply.body)))
            handler.end_headers()
            body = reply.body[: len(reply.body) // 2] if reply.cut else reply.body
            handler.wfile.write(body)
            if reply.cut:
                handler.wfile.flush()
                handler.connection.close()
                handler.close_connection = True
        except OSError:
            handler.close_connection = True

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@contextmanager
def hosts(count: int, port: int = 0) -> Iterator[list[Host]]:
    """Yield running hosts, on free ports of one address or on one port of several addresses."""
    running = [Host(f"127.0.0.{2 + n if port else 1}", port) for n in range(count)]
    try:
        yield running
    finally:
        for host in running:
            host.close()
