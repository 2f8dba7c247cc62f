"""Checks on every request before the app sees it, and headers of every response.

While the server runs, the browser also opens pages of other sites, and other users of the machine
can connect to its port. Therefore a request needs

- an allowed ``Host``: a name that another site resolves to this machine (DNS rebinding) is refused,
  even if its ``Origin`` is the same name;
- for the API and the metrics, the token, or the cookie for which it was exchanged;
- for the API and the metrics, the same origin: browsers send it in ``Sec-Fetch-Site`` and
  ``Origin``. Programs send neither.
"""

import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

API = "/api/"
SESSION = "/api/v1/session"
"""Where the token is exchanged for the cookie."""
PROTECTED = (API, "/metrics")
"""Beginnings of the paths that need the token. Others contain nothing about the workspace."""
MAX_BODY = 64_000_000
"""Maximum size of a request, bytes: a photo of 60 MB."""
_TOO_LARGE = f"a request may have at most {MAX_BODY // 1_000_000} MB"

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1"})
_SAFE_METHODS = frozenset({"GET", "HEAD"})
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""Headers of every response."""
NOT_STORED = {"cache-control": "no-store"}
"""Further headers of a response without a Cache-Control."""
PROBLEM = "application/problem+json"
"""Media type of an error."""


@dataclass(frozen=True)
class Access:
    """Who may use the server."""

    token: str
    host: str
    """Address or name that the server listens on."""
    port: int

    @property
    def cookie_name(self) -> str:
        """Name of the cookie. Cookies do not depend on the port, so the name does."""
        return f"embedkit-{self.port}"

    @property
    def cookie(self) -> str:
        """Value of the cookie; the token cannot be computed from it."""
        return hmac.new(self.token.encode(), b"cookie", sha256).hexdigest()

    def is_token(self, text: str) -> bool:
        """Return whether a text is the token, in constant time."""
        return hmac.compare_digest(text.encode(), self.token.encode())

    def allows_host(self, header: str) -> bool:
        """Return whether a ``Host`` header names this server.

        Loopback names do. So does the name that the server listens on. A server on all interfaces
        also accepts any IP address: other sites can only rebind names.
        """
        name, port = _split_host(header)
        if port not in ((self.port,) if self.port != 80 else (80, None)):
            return False
        own = self.host.lower().strip("[]")
        if name in _LOOPBACK or name == own:
            return True
        return _is_any_address(own) and _is_address(name)

    def allows_origin(self, origin: str, host: str) -> bool:
        """Return whether an ``Origin`` is that of the pages at an allowed ``Host``."""
        return origin.lower() in (f"http://{host}".lower(), f"https://{host}".lower())

    def is_known(self, headers: dict[str, str]) -> bool:
        """Return whether a request has the token or the cookie."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self.is_token(given.strip())
        # Unlike the standard library, this parser accepts any cookies of other servers beside ours.
        cookie = cookie_parser(headers.get("cookie", "")).get(self.cookie_name, "")
        return hmac.compare_digest(cookie.encode(), self.cookie.encode())


class Gate:
    """ASGI middleware that refuses requests which are not allowed: see the module."""

    def __init__(self, app: App, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            refusal = self._refusal(scope)
            if refusal is None:
                await self._app(scope, _limited(scope, receive), _with_headers(send))
            else:
                await _refuse(_with_headers(send), *refusal)
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Return status and reason of a refusal; None for an allowed request."""
        names = [name for name, _ in scope["headers"]]
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        host = headers.get("host", "")
        if names.count(b"host") != 1 or not self._access.allows_host(host):
            return 403, "this host name is not allowed; use the address that embedkit serve printed"
        path, method = scope["path"], scope["method"]
        if not path.startswith(PROTECTED):
            if method not in _SAFE_METHODS:
                return 405, "only GET is allowed here"
            return None
        site = headers.get("sec-fetch-site", "none")
        origin = headers.get("origin")
        if site not in ("same-origin", "none") or (
            origin is not None and not self._access.allows_origin(origin, host)
        ):
            return 403, "a page of another origin sent this request"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY:
            return 413, _TOO_LARGE
        if path != SESSION and not self._access.is_known(headers):
            return 401, "the token is missing or wrong; open the link that embedkit serve printed"
        is_write = method not in _SAFE_METHODS
        if is_write and not {"authorization", "origin", "sec-fetch-site"} & headers.keys():
            return 403, "a request with a cookie needs an Origin; programs send the token"
        return None


class BodyTooLarge(HTTPException):
    """A request has more than :data:`MAX_BODY` bytes."""

    def __init__(self) -> None:
        super().__init__(413, _TOO_LARGE, {"connection": "close"})


def _limited(scope: Scope, receive: Receive) -> Receive:
    """Return ``receive`` with a limit on the bytes, for requests without a Content-Length."""
    total = 0

    async def limited() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > MAX_BODY:
            raise BodyTooLarge
        return message

    return limited if scope["method"] not in _SAFE_METHODS else receive


def _with_headers(send: Send) -> Send:
    async def with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", []))
            present = {name.lower() for name, _ in headers}
            more = HEADERS if b"cache-control" in present else HEADERS | NOT_STORED
            headers += [(name.encode(), value.encode()) for name, value in more.items()]
            message = {**message, "headers": headers}
        await send(message)

    return with_headers


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = json.dumps(problem(status, "Refused", reason)).encode()
    headers = [
        (b"content-type", PROBLEM.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def problem(status: int, title: str, detail: str) -> dict[str, Any]:
    """Return an error as the document of RFC 9457."""
    return {"title": title, "status": status, "detail": detail}


def _split_host(header: str) -> tuple[str, int | None]:
    """Return the name, in lower case without brackets, and the port of a ``Host``."""
    text = header.strip().lower()
    if text.startswith("["):
        name, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            return "", None
        port = rest[1:]
    else:
        name, _, port = text.partition(":")
    if not port:
        return name, None
    return (name, int(port)) if port.isascii() and port.isdigit() else ("", None)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_any_address(name: str) -> bool:
    """Return whether this is the address of all interfaces."""
    return _is_address(name) and ipaddress.ip_address(name).is_unspecified
