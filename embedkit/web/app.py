"""The web app: pages, their static files, and the JSON API that they use."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI, Response, Security
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import HTTPBearer
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.staticfiles import StaticFiles

from embedkit.version import __version__
from embedkit.web.api import (
    classify,
    compare,
    duplicates,
    photo_map,
    photos,
    review,
    runs,
    search,
    session,
    verdicts,
    workspace,
)
from embedkit.web.errors import ERRORS, add_error_handlers
from embedkit.web.metrics import Metrics
from embedkit.web.security import Gate
from embedkit.web.state import Server

PAGES = {
    "/": ("photos", "Photos"),
    "/search": ("search", "Search"),
    "/map": ("map", "Map"),
    "/duplicates": ("duplicates", "Duplicates"),
    "/review": ("review", "Review"),
    "/classify": ("classify", "Classify"),
    "/overview": ("overview", "Overview"),
}
"""Name of the script and title of each page, by path."""
_API = "/api/v1"
_IMPORT = re.compile(r'^(?:import|export) .*? from "\./(.+?)";$', re.MULTILINE)
"""An import of a module in the same folder, or below it."""
_TOKEN = HTTPBearer(
    scheme_name="token",
    description=(
        "The token that embedkit serve printed. Browsers exchange it for a cookie at "
        f"{_API}/session."
    ),
    auto_error=False,  # the gate checks it; this describes it
)
_KEEP_OPEN = 0.5
"""Seconds for which the catalog stays open after a request; opening takes some 20 ms."""


class Document(JSONResponse):
    """JSON in ASCII, as the command line prints it: names of files need not be valid Unicode."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def create_app(server: Server, *, api_only: bool = False) -> FastAPI:
    """Return the app of a server, without pages if ``api_only``."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app
        with server.catalog.keep_open(_KEEP_OPEN):
            yield
        server.close()

    app = FastAPI(
        title="embedkit",
        version=__version__,
        summary="Search, clean and classify the photos of a workspace.",
        openapi_url=f"{_API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        default_response_class=Document,
    )
    app.state.server = server
    api = APIRouter(prefix=_API, responses=ERRORS)
    api.include_router(session.router)
    for module in (
        workspace,
        photos,
        search,
        photo_map,
        compare,
        duplicates,
        verdicts,
        runs,
        review,
        classify,
    ):
        api.include_router(module.router, dependencies=[Security(_TOKEN)])
    app.include_router(api)
    add_error_handlers(app)
    metrics = Metrics()
    _add_health(app, server, metrics)
    if not api_only:
        _add_pages(app)
    app.add_middleware(metrics.measured)
    app.add_middleware(Gate, access=server.access)
    return app


def _add_health(app: FastAPI, server: Server, metrics: Metrics) -> None:
    @app.get("/healthz", include_in_schema=False)
    async def read_health() -> Response:  # async needs no thread: all may wait for the catalog
        return Response("ok", media_type="text/plain")

    @app.get("/readyz", include_in_schema=False)
    def read_readiness() -> Response:
        server.catalog.require()
        return Response("ready", media_type="text/plain")

    @app.get("/metrics", include_in_schema=False)
    def read_metrics() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")


def _add_pages(app: FastAPI) -> None:
    environment = Environment(
        loader=PackageLoader("embedkit.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    template = environment.get_template("page.html")
    folder = Path(str(files("embedkit.web") / "static"))

    def add_page(path: str, name: str, title: str) -> None:
        content = template.render(
            name=name,
            title=title,
            pages=PAGES,
            version=__version__,
            modules=imported_modules(folder, name),
        )

        @app.get(path, include_in_schema=False, response_class=HTMLResponse)
        def read_page() -> HTMLResponse:
            return HTMLResponse(content)

    for path, (name, title) in PAGES.items():
        add_page(path, name, title)
    app.mount("/static", _Static(directory=folder))


def imported_modules(folder: Path, name: str) -> list[str]:
    """Return the modules that a script imports, also indirectly: paths in the folder, sorted.

    A browser that knows them from the page requests all at once, not level by level.
    """
    found: set[str] = set()
    waiting = [f"{name}.js"]
    while waiting:
        text = (folder / waiting.pop()).read_text(encoding="utf-8")
        new = set(_IMPORT.findall(text)) - found
        found |= new
        waiting += new
    return sorted(found)


class _Static(StaticFiles):
    """Files that a browser stores, and uses only after it has checked that they are unchanged."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = "no-cache"
        return response
