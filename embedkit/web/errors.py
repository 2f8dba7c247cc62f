"""Errors as HTTP responses, in the form of RFC 9457."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from embedkit._internal.paths import shown
from embedkit.errors import (
    BadInput,
    CatalogBusy,
    EmbedkitError,
    EmptyWorkspace,
    HeadBusy,
    NotInWorkspace,
    OutOfMemory,
    QuarantineBusy,
    StorageError,
)
from embedkit.web.security import MAX_BODY, BodyTooLarge, problem

_STATUSES: tuple[tuple[type[EmbedkitError], int], ...] = (
    (NotInWorkspace, 404),
    (BadInput, 400),
    (EmptyWorkspace, 409),
    (CatalogBusy, 503),
    (QuarantineBusy, 409),
    (HeadBusy, 409),
    (OutOfMemory, 503),
    (StorageError, 507),
)
_RETRY_SECONDS = "5"


class ReadOnly(BadInput):
    """The server was started with --read-only."""


def add_error_handlers(app: FastAPI) -> None:
    """Make an app answer errors with one line that says what to do."""

    @app.exception_handler(EmbedkitError)
    def handle_expected(request: Request, error: EmbedkitError) -> JSONResponse:
        del request
        status = next((code for kind, code in _STATUSES if isinstance(error, kind)), 422)
        if isinstance(error, ReadOnly):
            status = 403
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
        return _response(error.status_code, "Refused", str(error.detail))

    @app.exception_handler(BodyTooLarge)
    def handle_large(request: Request, error: BodyTooLarge) -> JSONResponse:
        del request, error
        detail = f"a request may have at most {MAX_BODY // 1_000_000} MB"
        return _response(413, "Refused", detail, {"connection": "close"})


def _response(
    status: int, title: str, detail: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    return JSONResponse(
        problem(status, title, shown(detail)),
        status,
        headers=headers,
        media_type="application/problem+json",
    )
