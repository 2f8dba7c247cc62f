"""Long operations: their state, and events while they run."""

import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from embedkit.web.api.parameters import State, WritableState
from embedkit.web.runs import Run
from embedkit.workspace import Workspace

router = APIRouter()


class AddRequest(BaseModel):
    """The photos to add, with the options of ``embedkit add``."""

    sources: list[Annotated[str, Field(pattern="^[^\\x00]+$")]] = Field(
        [], description="Folders and files. Default: everything that was added before."
    )
    labels_from_folders: bool | None = None
    fingerprints_only: bool = False


@router.get("/runs", summary="The latest long operations")
def read_runs(server: State) -> list[Run]:
    """Return the runs of this server, the latest first."""
    return server.runs.all()


@router.get("/runs/{run_id}", summary="A long operation")
def read_run(server: State, run_id: int) -> Run:
    """Return the state and the progress of a run, and its result when the state is done."""
    return server.runs.get(run_id)


@router.get(
    "/runs/{run_id}/events",
    summary="A long operation as server-sent events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
def read_events(server: State, run_id: int) -> StreamingResponse:
    """Send the run whenever it changes; the last event is that of the finished run."""
    server.runs.get(run_id)  # refuse an unknown run before the response starts
    events = server.runs.events(run_id)

    async def lines() -> AsyncIterator[str]:
        async for run in events:
            yield ": waiting\n\n" if run is None else f"data: {_text(run)}\n\n"

    return StreamingResponse(
        lines(), media_type="text/event-stream", headers={"cache-control": "no-store"}
    )


def _text(run: Run) -> str:
    # asdict(run) would copy the result, which may be large.
    return json.dumps({**vars(run), "progress": asdict(run.progress)}, allow_nan=False)


@router.post("/runs/{run_id}/stop", summary="Stop a long operation")
def stop_run(server: WritableState, run_id: int) -> Run:
    """Stop a run at its next step. Finished work is kept; the same request continues it."""
    return server.runs.stop(run_id)


@router.post("/add", status_code=202, summary="Add photos")
def start_add(server: WritableState, request: AddRequest) -> Run:
    """Start ``embedkit add``, and return the run. Its result is that of ``--json``."""
    title = ", ".join(request.sources) or "everything that was added before"

    def add(workspace: Workspace) -> dict[str, Any]:
        report = workspace.add(
            request.sources,
            labels_from_folders=request.labels_from_folders,
            fingerprints_only=request.fingerprints_only,
        )
        return asdict(report)

    return server.start("add", f"Add {title}", add)
