"""Requests that the OpenAPI document allows, and others, never make the server fail."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import schemathesis
from webserver import BEARER, TOKEN, filled  # noqa: F401

from embedkit import Workspace
from embedkit.web.app import create_app
from embedkit.web.security import Access
from embedkit.web.state import Server

pytestmark = pytest.mark.slow


@pytest.fixture
def document(filled: Workspace) -> Iterator[Any]:
    app = create_app(Server.open(filled.folder, Access(TOKEN, "127.0.0.1", 80)))
    found = schemathesis.openapi.from_asgi(
        "/api/v1/openapi.json", app, headers={**BEARER, "host": "127.0.0.1"}
    )
    # Adding takes any folder of the machine, maps take long, and events may be endless.
    found = found.exclude(path="/api/v1/add").exclude(path="/api/v1/map", method="POST")
    yield found.exclude(path_regex="/events$")
    app.state.server.close()


def test_no_request_is_answered_with_a_server_error(document: Any) -> None:
    for found in document.get_all_operations():
        operation = found.ok()

        @hypothesis.settings(
            max_examples=25,
            derandomize=True,
            deadline=None,
            database=None,
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(case=operation.as_strategy())
        def check(case: Any) -> None:
            answer = case.call(headers={**BEARER, "host": "127.0.0.1"})
            assert answer.status_code < 500, (case, answer.text)

        check()


def test_the_document_describes_every_route(document: Any) -> None:
    raw = document.raw_schema
    assert raw["openapi"].startswith("3.1")
    for path, operations in raw["paths"].items():
        assert path.startswith("/api/v1/")
        for operation in operations.values():
            assert operation["summary"] and operation["description"]
            assert ":func:" not in operation["description"]
            assert "default" in operation["responses"] and "422" not in operation["responses"]
            assert operation.get("security") == (
                None if path == "/api/v1/session" else [{"token": []}]
            )
    (problem,) = raw["paths"]["/api/v1/heads"]["get"]["responses"]["default"]["content"].values()
    assert problem["schema"]["required"] == ["title", "status", "detail"]
    assert raw["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def test_the_guide_lists_every_request(document: Any) -> None:
    raw = document.raw_schema
    guide = (Path(__file__).parents[2] / "docs/guides/app.md").read_text("utf-8")
    documented = {
        request.replace("KEY", "{key}")
        .replace("POSITION", "{position}")
        .replace("SHA256", "{sha256}")
        .replace("NUMBER", "{number}")
        .replace("NAME", "{name}")
        .replace("ID", "{run_id}")
        for request in re.findall(r"`((?:GET|POST|DELETE) /(?!api)[\w/]+)`", guide)
    }
    assert documented == {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, operations in raw["paths"].items()
        for method in operations
    }
