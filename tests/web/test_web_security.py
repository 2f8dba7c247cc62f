"""What the server refuses, and the headers of what it answers."""

import asyncio
import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from webserver import BEARER, HOST, TOKEN, Serve, filled, serve  # noqa: F401

from embedkit import Workspace
from embedkit.web.app import create_app
from embedkit.web.security import MAX_BODY, Access, Message
from embedkit.web.state import Server

ORIGIN = {"origin": f"http://{HOST}"}
WRITES = (
    ("POST", "/api/v1/session", {"token": TOKEN}),
    ("DELETE", "/api/v1/session", None),
    ("POST", "/api/v1/lists", {}),
    ("POST", "/api/v1/search", {"text": "cat"}),
    ("POST", "/api/v1/verdicts", {"items": []}),
    ("POST", "/api/v1/review", {}),
    ("POST", "/api/v1/evaluate", {"heads": ["probe"]}),
    ("POST", "/api/v1/classify", {"head": "probe"}),
)
READS = (
    "/api/v1/server",
    "/api/v1/workspace",
    "/api/v1/verdicts",
    "/api/v1/heads",
    "/api/v1/openapi.json",
)


@pytest.mark.parametrize("path", ["/", "/static/app.css", "/healthz", *READS])
@pytest.mark.parametrize(
    "host", ["evil.example:8899", "127.0.0.1", "127.0.0.1:80", "localhost.evil.example:8899", ""]
)
def test_a_foreign_host_is_refused_even_with_the_token_and_the_same_origin(
    serve: Serve, path: str, host: str
) -> None:
    client = serve()
    headers = {"host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}
    answer = client.get(path, headers=headers)
    assert answer.status_code == 403 and "host name" in answer.json()["detail"]


@pytest.mark.parametrize("host", ["127.0.0.1:8899", "LOCALHOST:8899", "[::1]:8899"])
def test_loopback_names_are_allowed(serve: Serve, host: str) -> None:
    assert serve().get("/api/v1/server", headers={"host": host}).status_code == 200


def test_only_addresses_are_allowed_on_all_interfaces() -> None:
    access = Access(TOKEN, "0.0.0.0", 8899)
    assert access.allows_host("192.168.1.7:8899") and access.allows_host("[fe80::1]:8899")
    assert not access.allows_host("evil.example:8899")
    assert Access(TOKEN, "photos.local", 8899).allows_host("photos.local:8899")
    assert not Access(TOKEN, "127.0.0.1", 8899).allows_host("192.168.1.7:8899")


@pytest.mark.parametrize("path", READS)
def test_every_read_of_the_api_needs_the_token(serve: Serve, path: str) -> None:
    client = serve(token=False)
    for headers in (
        {},
        {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {TOKEN}"},
        {"cookie": f"embedkit-8899={TOKEN}"},
        {"cookie": "embedkit-8899"},
    ):
        answer = client.get(path, headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


@pytest.mark.parametrize(("method", "path", "content"), WRITES)
def test_every_write_of_a_foreign_origin_is_refused(
    serve: Serve, method: str, path: str, content: object
) -> None:
    client = serve()
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9000"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site", **ORIGIN},
    ):
        answer = client.request(method, path, json=content, headers=headers)
        assert answer.status_code == 403 and "origin" in answer.json()["detail"]


def test_a_page_of_another_site_can_embed_no_photo_and_read_no_event(serve: Serve) -> None:
    client = serve()
    for mode in ("no-cors", "cors"):
        headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": mode}
        assert client.get("/api/v1/server", headers=headers).status_code == 403
        picture = f"/api/v1/photos/{'0' * 64}/picture"
        assert client.get(picture, headers=headers).status_code == 403


def test_the_token_is_exchanged_for_a_cookie_that_scripts_cannot_read(serve: Serve) -> None:
    client = serve(token=False)
    assert client.post("/api/v1/session", json={"token": "x"}, headers=ORIGIN).status_code == 401
    answer = client.post("/api/v1/session", json={"token": TOKEN}, headers=ORIGIN)
    cookie = answer.headers["set-cookie"]
    assert answer.status_code == 204 and TOKEN not in cookie
    assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower() and "Domain" not in cookie
    assert client.get("/api/v1/server").status_code == 200
    # Another page of this machine can send the cookie, but not the origin.
    assert client.post("/api/v1/lists", json={}).status_code == 403
    assert client.post("/api/v1/lists", json={}, headers=ORIGIN).status_code == 200
    client.delete("/api/v1/session", headers=ORIGIN)
    assert client.get("/api/v1/server").status_code == 401


@pytest.mark.parametrize("other", ['a={"b":"c d"}', "a[b]=1", "a b=1", "\xe9=1", "="])
def test_cookies_of_other_servers_of_this_machine_do_not_hide_ours(
    serve: Serve, other: str
) -> None:
    client = serve(token=False)
    own = f"embedkit-8899={Access(TOKEN, '127.0.0.1', 8899).cookie}"
    for cookies in (f"{other}; {own}", f"{own}; {other}"):
        headers = {"cookie": cookies.encode("latin-1")}
        assert client.get("/api/v1/server", headers=headers).status_code == 200
    headers = {"cookie": other.encode("latin-1")}
    assert client.get("/api/v1/server", headers=headers).status_code == 401


@pytest.mark.parametrize("path", ["/", "/search", "/static/ui.js", "/api/v1/server", "/nowhere"])
def test_every_answer_has_the_headers_that_keep_other_pages_out(serve: Serve, path: str) -> None:
    headers = serve().get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in headers
    assert "no-store" in headers["cache-control"] or path.startswith("/static")


def test_pages_need_no_token_and_contain_nothing_about_the_workspace(
    filled: Workspace, serve: Serve
) -> None:
    answer = serve(token=False).get("/")
    assert answer.status_code == 200
    assert "red" not in answer.text and str(filled.folder) not in answer.text
    assert "<script>" not in answer.text and "<style" not in answer.text
    assert " style=" not in answer.text and " onclick" not in answer.text


def test_a_large_request_is_refused_before_it_is_read(serve: Serve) -> None:
    client = serve()
    claimed = {"content-length": str(10**9), "content-type": "application/json"}
    assert client.post("/api/v1/search", content=b"", headers=claimed).status_code == 413

    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        while True:
            sent += 1_000_000
            yield b" " * 1_000_000
            if sent > 3 * MAX_BODY:
                return

    for path in ("/api/v1/search", "/api/v1/lists"):
        sent = 0
        answer = client.post(path, content=body(), headers={"content-type": "application/json"})
        assert answer.status_code == 413 and answer.headers["connection"] == "close"
    assert client.get("/healthz").text == "ok"


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("path", ["/api/v1/search", "/api/v1/lists"])
def test_a_client_that_leaves_while_it_sends_is_no_error_of_the_server(
    workspace: Workspace, path: str, kind: str
) -> None:
    app = create_app(Server.open(workspace.folder, Access(TOKEN, "127.0.0.1", 8899)))
    messages = [
        {"type": "http.request", "body": b"--x\r\n", "more_body": True},
        {"type": "http.disconnect"},
    ]
    sent = []

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    headers = {"host": HOST, "content-type": kind, **BEARER}
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 400


def bomb() -> bytes:
    """A PNG of 60,000 x 60,000 pixels in a few megabytes."""
    side = 60_000

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = zlib.compress(bytes(1 + side // 8) * side, 9)
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "content",
    [
        b"<html><script>alert(1)</script></html>",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"",
        b"GIF89a",
        bomb(),
    ],
    ids=["html", "svg", "empty", "cut", "bomb"],
)
@pytest.mark.usefixtures("filled")
def test_an_upload_that_is_no_photo_is_refused_on_one_line(serve: Serve, content: bytes) -> None:
    client = serve()
    answer = client.post("/api/v1/search", files={"image": ("../../a.jpg", content, "image/jpeg")})
    assert answer.status_code == 400 and "\n" not in answer.json()["detail"]
    assert client.get("/healthz").text == "ok"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../security.py",
        "/static/%2e%2e/security.py",
        "/static/..%2fsecurity.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/api/v1/photos/..%2f..%2fetc%2fpasswd/picture",
        "/api/v1/lists/..%2f..",
        "/api/v1/photos/" + "g" * 64 + "/picture",
    ],
)
def test_no_path_leads_out_of_the_static_files(serve: Serve, path: str) -> None:
    answer = serve().get(path)
    assert answer.status_code in (404, 422) and "def " not in answer.text


def test_a_photo_is_never_sent_as_its_file(
    workspace: Workspace, serve: Serve, photos: Path
) -> None:
    content = (photos / "red/0.jpg").read_bytes() + b"<script>alert(1)</script>"
    (photos / "red/0.jpg").write_bytes(content)
    (photos / "red/1.jpg").write_text("<script>alert(1)</script>")
    workspace.add(photos, fingerprints_only=True)
    client = serve()
    key = client.post("/api/v1/lists", json={}).json()["key"]
    for photo in client.get(f"/api/v1/lists/{key}").json()["photos"]:
        answer = client.get(f"/api/v1/photos/{photo['sha256']}/picture")
        assert answer.headers["content-type"] == "image/webp"
        assert answer.content[:4] == b"RIFF" and b"script" not in answer.content


def test_a_read_only_server_changes_nothing(filled: Workspace, serve: Serve) -> None:
    before = {path: path.stat().st_mtime_ns for path in filled.folder.rglob("*")}
    client = serve(read_only=True)
    key = client.post("/api/v1/lists", json={}).json()["key"]
    photos = client.get(f"/api/v1/lists/{key}").json()["photos"]
    assert client.get(f"/api/v1/lists/{key}/sheets/0").status_code == 200
    items = [{"sha256": photos[0]["sha256"], "verdict": "off-topic"}]
    answer = client.post("/api/v1/verdicts", json={"items": items})
    assert answer.status_code == 403 and "--read-only" in answer.json()["detail"]
    assert {path: path.stat().st_mtime_ns for path in filled.folder.rglob("*")} == before
    assert filled.verdicts.list() == []


def test_a_program_needs_only_the_token(filled: Workspace, serve: Serve) -> None:
    answer = serve(token=False).get("/api/v1/workspace", headers=BEARER)
    assert answer.json() == json.loads(json.dumps(filled.info().to_dict()))
