"""Decisions of a person about photos."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from embedkit.ingest.verdicts import Decision, decide
from embedkit.web.state import Server, server_of, writable

router = APIRouter()

MAX_DECISIONS = 20_000


class VerdictItem(BaseModel):
    """A verdict on a photo."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    verdict: str = Field(
        max_length=1000, description="As for ``embedkit verdict``: keep, relabel=LABEL, ..."
    )
    clear: bool = Field(False, description="Whether to remove the verdict on this subject.")


class VerdictRequest(BaseModel):
    """Verdicts that are stored completely or not at all."""

    items: list[VerdictItem] = Field(max_length=MAX_DECISIONS)
    new_label: bool = Field(False, description="Whether a label may be one that no photo has.")


class VerdictResponse(BaseModel):
    """The request that undoes the verdicts."""

    previous: list[VerdictItem]


@router.get("/verdicts", summary="The stored verdicts")
def read_verdicts(server: Annotated[Server, Depends(server_of)]) -> dict[str, Any]:
    """Return all verdicts, in the order of the decisions."""
    return server.workspace.verdicts.list().to_dict()


@router.post("/verdicts", summary="Store verdicts")
def store_verdicts(
    server: Annotated[Server, Depends(writable)], request: VerdictRequest
) -> VerdictResponse:
    """Store or remove verdicts on photos; the response contains the items that undo this."""
    decisions = [
        Decision(bytes.fromhex(one.sha256), one.verdict, one.clear) for one in request.items
    ]
    undo = decide(server.catalog, decisions, new_label=request.new_label)
    return VerdictResponse(
        previous=[
            VerdictItem(sha256=one.sha256.hex(), verdict=one.verdict, clear=one.is_cleared)
            for one in undo
        ]
    )
