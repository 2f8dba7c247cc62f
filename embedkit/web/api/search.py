"""Search by a photo of the workspace, an upload or words."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from embedkit.errors import BadInput
from embedkit.web.api.parameters import Sha256, State
from embedkit.web.state import Server
from embedkit.web.uploads import body_of, read_request

router = APIRouter()

MAX_MATCHES = 1000
"""Maximum number of matches of a search."""


class SearchRequest(BaseModel):
    """A query, which is exactly one of ``sha256``, ``text`` and an upload, and filters."""

    sha256: Sha256 | None = Field(None, description="A photo of the workspace.")
    text: str | None = Field(
        None, min_length=1, max_length=1000, description="Words; needs a CLIP-like backbone."
    )
    k: int = Field(50, ge=1, le=MAX_MATCHES, description="Number of photos.")
    backbone: str | None = Field(None, description="Default: the first one of the workspace.")
    label: str | None = Field(None, description="Only photos with this label.")
    folder: str | None = Field(None, description="Only photos below this folder.")
    max_distance: float | None = Field(None, ge=0, le=2, description="Maximum cosine distance.")
    verify: int = Field(
        0, ge=0, le=100, description="Number of photos to compare with the query point by point."
    )


class SearchUpload(SearchRequest):
    """A search request as a form, with a photo."""

    image: bytes = Field(description="The file of a photo.")


@router.post(
    "/search",
    summary="Search for photos",
    openapi_extra=body_of(SearchRequest, SearchUpload),
)
async def search(server: State, request: Request) -> dict[str, Any]:
    """Return the same as ``embedkit search --json``: matches with distances, the nearest first."""
    wanted, images = await read_request(request, SearchRequest)
    image = images[0] if images else None
    if sum(one is not None for one in (wanted.sha256, wanted.text, image)) != 1:
        raise BadInput("give one of sha256, text and image")
    return await run_in_threadpool(_search, server, wanted, image)


def _search(server: Server, wanted: SearchRequest, image: bytes | None) -> dict[str, Any]:
    with server.networks:
        return server.workspace.search(
            image,
            wanted.k,
            sha256=wanted.sha256,
            text=wanted.text,
            backbone=wanted.backbone,
            max_distance=wanted.max_distance,
            label=wanted.label,
            folder=wanted.folder,
            verify=wanted.verify,
        ).to_dict()
