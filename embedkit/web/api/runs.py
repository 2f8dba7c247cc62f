"""Long operations: their state, and events while they run."""

import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from embedkit.web.state import Server, server_of, writable
from embedkit.workspace import Workspace

router = APIRouter()
State = Annotated[Server, Depends(server_of)]
Writable = Annotated[Server, Depends(writable)]


class AddRequest(BaseModel):
    """What to add: nothing for a new look at everything that was added before."""

    sources: list[Annotated[str, Field(pattern="^[^\\x00]+$")]] = []
    labels_from_folders: bool | None = None
    fingerprints_only: bool = False


@router.get("/runs", summary="The latest long operations")
def read_runs(server: State) -> list[dict[str, Any]]:
    """Return the runs of this server, the latest first."""
    return [run.document() for run in server.runs.all()]


@router.get("/runs/{run_id}", summary="A long operation")
def read_run(server: State, run_id: int) -> dict[str, Any]:
    """Return the state, the progress and the result of a run."""
    return server.runs.get(run_id).document()


@router.get(
    "/runs/{run_id}/events",
    summary="A long operation as server-sent events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
def read_events(server: State, run_id: int) -> StreamingResponse:
    """Send the run whenever it changes; the last event is that of the finished run."""
    events = server.runs.events(run_id)
    server.runs.get(run_id)

    async def lines() -> AsyncIterator[str]:
        async for document in events:
            yield ": waiting\n\n" if document is None else f"data: {json.dumps(document)}\n\n"

    return StreamingResponse(
        lines(), media_type="text/event-stream", headers={"cache-control": "no-store"}
    )


@router.post("/runs/{run_id}/stop", summary="Stop a long operation")
def stop_run(server: Writable, run_id: int) -> dict[str, Any]:
    """Stop a run soon; finished work is kept, and the same run continues it."""
    return server.runs.stop(run_id).document()


@router.post("/add", status_code=202, summary="Add photos")
def start_add(server: Writable, request: AddRequest) -> dict[str, Any]:
    """Start ``embedkit add``, and return the run."""
    title = ", ".join(request.sources) or "everything that was added before"

    def add(workspace: Workspace) -> dict[str, Any]:
        report = workspace.add(
            request.sources,
            labels_from_folders=request.labels_from_folders,
            fingerprints_only=request.fingerprints_only,
        )
        return asdict(report)

    return server.start("add", f"Add {title}", add).document()
