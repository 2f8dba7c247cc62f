"""Compare two photos point by point, with pictures that show the comparison."""

import base64
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from PIL import Image
from pydantic import BaseModel, Field

from embedkit.errors import BadInput
from embedkit.images.thumbnail import webp
from embedkit.search.queries import open_query, stored_photo
from embedkit.search.verification.photos import compare_pair
from embedkit.web.api.parameters import Sha256, State
from embedkit.web.api.photos import paths_of
from embedkit.web.state import Server
from embedkit.web.uploads import body_of, read_request

router = APIRouter()


class CompareRequest(BaseModel):
    """Two photos: the first by ``sha256`` or as an upload, the other by ``other``."""

    sha256: Sha256 | None = Field(None, description="The first photo.")
    other: Sha256 = Field(description="The photo to compare it with.")


class CompareUpload(BaseModel):
    """A comparison as a form, with the first photo."""

    other: str
    image: bytes = Field(description="The file of the first photo.")


class ComparisonDocument(BaseModel):
    """The result of a comparison. Pictures are WebP in base64, all of one size."""

    verified: bool | None = Field(
        description="Whether the photos show the same object; null if the other cannot be read."
    )
    inliers: int = Field(description="Local features that both photos have at the same place.")
    agreement: float = Field(description="Agreement where the photos agree least, 0 to 1.")
    first: str = Field(description="The first photo.")
    aligned: str | None = Field(description="The other photo, moved onto the first one.")
    differences: str | None = Field(description="The differences, in red.")


@router.post(
    "/compare", summary="Compare two photos", openapi_extra=body_of(CompareRequest, CompareUpload)
)
async def compare(server: State, request: Request) -> ComparisonDocument:
    """Compare two photos by local features, as ``embedkit search --verify`` does."""
    wanted, images = await read_request(request, CompareRequest)
    if (wanted.sha256 is None) == (not images):
        raise BadInput("give either sha256 or image, and other")
    return await run_in_threadpool(_compare, server, wanted, images)


def _compare(server: Server, wanted: CompareRequest, images: list[bytes]) -> ComparisonDocument:
    photo: Any = images[0] if images else stored_photo(server.catalog, str(wanted.sha256))
    folder = server.workspace.folder / "features"
    found = compare_pair(open_query(photo), paths_of(server, wanted.other), wanted.other, folder)
    verification = found.verification
    return ComparisonDocument(
        verified=None if verification is None else verification.verified,
        inliers=0 if verification is None else verification.inliers,
        agreement=0.0 if verification is None else verification.agreement,
        first=_encoded(found.first),
        aligned=None if found.aligned is None else _encoded(found.aligned),
        differences=None if found.differences is None else _encoded(found.differences),
    )


def _encoded(pixels: np.ndarray) -> str:
    return base64.b64encode(webp(Image.fromarray(pixels), 85)).decode("ascii")
