"""Heads: their list, classification of photos and evaluation."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from embedkit.browse.ordering import digests_of
from embedkit.errors import BadInput
from embedkit.results.evaluation import PhotoPredictions
from embedkit.search.queries import stored_photo
from embedkit.web.api.parameters import Sha256, State, WritableState
from embedkit.web.runs import Run
from embedkit.web.state import Server
from embedkit.web.uploads import body_of, read_request
from embedkit.workspace import Workspace

router = APIRouter()

MAX_PHOTOS = 200
"""Maximum number of photos in one request."""


class ClassifyRequest(BaseModel):
    """The photos to classify, by ``sha256`` or as uploads, and a head."""

    head: str = Field(max_length=1000, description="Name of a head of the workspace.")
    sha256: list[Sha256] | None = Field(
        None, min_length=1, max_length=MAX_PHOTOS, description="Photos of the workspace."
    )
    k: int = Field(3, ge=1, le=1000, description="Number of classes of each photo.")


class ClassifyUpload(BaseModel):
    """A classification request as a form, with photos."""

    head: str
    k: int = 3
    image: list[bytes] = Field(description="Files of photos.")


class EvaluateRequest(BaseModel):
    """The heads to evaluate, which have the same classes."""

    heads: list[str] = Field(min_length=1, max_length=20)


@router.get("/heads", summary="The heads of the workspace")
def read_heads(server: State) -> dict[str, Any]:
    """Return the same as ``embedkit heads --json``."""
    return {"heads": [asdict(head) for head in server.workspace.heads.info()]}


@router.post(
    "/classify",
    summary="Classify photos",
    openapi_extra=body_of(ClassifyRequest, ClassifyUpload),
)
async def classify(server: State, request: Request) -> dict[str, Any]:
    """Return the same as ``embedkit classify --json``.

    Uploads are not kept; ``failures`` name them by their number in place of a path.
    """
    wanted, images = await read_request(request, ClassifyRequest, MAX_PHOTOS)
    if bool(wanted.sha256) == bool(images):
        raise BadInput("give either sha256 or image")
    return await run_in_threadpool(_classify, server, wanted, images)


def _classify(server: Server, wanted: ClassifyRequest, images: list[bytes]) -> dict[str, Any]:
    photos: Sequence[bytes | str] = images or [
        stored_photo(server.catalog, one) for one in wanted.sha256 or ()
    ]
    return server.heads.classify(wanted.head, photos, wanted.k).to_dict()


@router.post("/evaluate", status_code=202, summary="Evaluate heads on the test set")
def start_evaluate(server: WritableState, request: EvaluateRequest) -> Run:
    """Start ``embedkit evaluate``, and return the run.

    Its result is that of ``--json`` with one more field, ``predictions``: the predictions of each
    head for each test photo.
    """

    def evaluate(workspace: Workspace) -> dict[str, Any]:
        evaluation = workspace.heads.evaluate(request.heads)
        predictions = [_with_digests(server, one) for one in evaluation.predictions]
        return {**evaluation.to_dict(), "predictions": predictions}

    return server.start("evaluate", f"Evaluate {', '.join(request.heads)}", evaluate)


def _with_digests(server: Server, predictions: PhotoPredictions) -> dict[str, Any]:
    digests = digests_of(server.catalog, [path for path in predictions.paths if path is not None])
    document = asdict(predictions)
    document["sha256"] = [digests.get(path or "") for path in document.pop("paths")]
    return document
