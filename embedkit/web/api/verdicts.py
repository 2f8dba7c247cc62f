"""Verdicts of a person on photos."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from embedkit.ingest.verdicts import Decision, decide
from embedkit.web.api.parameters import Sha256, State, WritableState

router = APIRouter()

MAX_VERDICTS = 20_000
"""Maximum number of verdicts in one request."""


class VerdictItem(BaseModel):
    """A verdict on a photo, or on two."""

    sha256: Sha256
    other_sha256: Sha256 | None = Field(
        None, description="The second photo of duplicate and different."
    )
    verdict: str = Field(
        max_length=1000, description="As for ``embedkit verdict``: keep, relabel=LABEL, ..."
    )
    clear: bool = Field(
        False,
        description="Whether to remove the stored verdict on the same subject as ``verdict``.",
    )


class VerdictRequest(BaseModel):
    """Verdicts that are all stored or, if one is wrong, none."""

    items: list[VerdictItem] = Field(max_length=MAX_VERDICTS)
    new_label: bool = Field(False, description="Whether a label may be one that no photo has.")


class VerdictResponse(BaseModel):
    """The items of the request that undoes the verdicts."""

    previous: list[VerdictItem]


@router.get("/verdicts", summary="The stored verdicts")
def read_verdicts(server: State) -> dict[str, Any]:
    """Return all verdicts, the earliest first."""
    return server.workspace.verdicts.list().to_dict()


@router.post("/verdicts", summary="Store verdicts")
def store_verdicts(server: WritableState, request: VerdictRequest) -> VerdictResponse:
    """Store or remove verdicts on photos. The items of the response undo this."""
    undo = decide(
        server.catalog, [_decision(one) for one in request.items], new_label=request.new_label
    )
    return VerdictResponse(previous=[_item(one) for one in undo])


def _decision(item: VerdictItem) -> Decision:
    other = None if item.other_sha256 is None else bytes.fromhex(item.other_sha256)
    return Decision(bytes.fromhex(item.sha256), item.verdict, item.clear, other)


def _item(one: Decision) -> VerdictItem:
    return VerdictItem(
        sha256=one.sha256.hex(),
        other_sha256=None if one.other is None else one.other.hex(),
        verdict=one.verdict,
        clear=one.is_cleared,
    )
