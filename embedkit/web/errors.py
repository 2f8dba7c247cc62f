"""Errors as HTTP responses, in the form of RFC 9457."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from embedkit._internal.paths import shown
from embedkit.errors import (
    BadInput,
    CatalogBusy,
    EmbedkitError,
    EmptyWorkspace,
    HeadBusy,
    MissingExtra,
    NotInWorkspace,
    OutOfMemory,
    QuarantineBusy,
    StorageError,
    WeightsMissing,
)
from embedkit.web.security import HEADERS, NOT_STORED, PROBLEM, problem


class ReadOnly(BadInput):
    """The server was started with --read-only."""


class PlanChanged(EmbedkitError):
    """A request is based on decisions that have changed since."""


_STATUSES: tuple[tuple[type[EmbedkitError], int], ...] = (
    (ReadOnly, 403),
    (NotInWorkspace, 404),
    (BadInput, 400),
    (EmptyWorkspace, 409),
    (PlanChanged, 409),
    (QuarantineBusy, 409),
    (HeadBusy, 409),
    (MissingExtra, 422),
    (WeightsMissing, 422),
    (CatalogBusy, 503),
    (OutOfMemory, 503),
    (StorageError, 507),
    (EmbedkitError, 500),
)
"""The status of each kind of error; the first one that fits counts."""
_RETRY_SECONDS = "5"


class Problem(BaseModel):
    """An error."""

    title: str = Field(description="Kind of the error.")
    status: int
    detail: str = Field(description="One line that says what is wrong and what to do.")


ERRORS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": (
            "An error. 400 or 422: the request is wrong, or needs something that is not installed. "
            "401: the token is missing or wrong. 403: another origin or host, or a change with "
            "--read-only. 404: unknown. 409: the workspace is empty, another operation runs, "
            "or the decisions have changed. 413: the request is too large. 503: try again after "
            "Retry-After seconds. 507: the disk is full or read-only."
        ),
        "content": {PROBLEM: {"schema": Problem.model_json_schema()}},
    }
}
"""The errors of all routes, for the OpenAPI document."""


def add_error_handlers(app: FastAPI) -> None:
    """Make an app answer errors with one line that says what to do."""

    @app.exception_handler(EmbedkitError)
    def handle_expected(request: Request, error: EmbedkitError) -> JSONResponse:
        del request
        status = next(code for kind, code in _STATUSES if isinstance(error, kind))
        headers = {"retry-after": _RETRY_SECONDS} if status == 503 else {}
        return _response(status, type(error).__name__, str(error), headers)

    @app.exception_handler(RequestValidationError)
    def handle_invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        del request
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return _response(422, "BadRequest", f"{shown(place)}: {first['msg']}")

    @app.exception_handler(HTTPException)
    def handle_http(request: Request, error: HTTPException) -> JSONResponse:
        del request
        return _response(error.status_code, "Refused", str(error.detail), error.headers)

    @app.exception_handler(ClientDisconnect)
    def handle_disconnect(request: Request, error: ClientDisconnect) -> JSONResponse:
        del request, error
        return _response(400, "Refused", "the request ended before its body was complete")

    @app.exception_handler(Exception)
    def handle_unexpected(request: Request, error: Exception) -> JSONResponse:
        del request
        detail = f"unexpected error: {type(error).__name__}; the server has printed the details"
        # Starlette sends this response outside the gate, which adds the headers to all others.
        return _response(500, "Unexpected", detail, HEADERS | NOT_STORED)


def _response(
    status: int, title: str, detail: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    content = problem(status, title, shown(detail))
    return JSONResponse(content, status, headers=headers, media_type=PROBLEM)
