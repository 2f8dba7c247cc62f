"""Reviews: the photos that are most probably wrong."""

from typing import Any, Literal

import numpy as np
from fastapi import APIRouter
from pydantic import BaseModel, Field

from embedkit.browse.colouring import PhotoScores
from embedkit.browse.ordering import Ordering, digests_of
from embedkit.reports.review_page import CHOICES, verdicts_of
from embedkit.results import LABELS, OFF_TOPIC
from embedkit.web.api.parameters import WritableState
from embedkit.web.runs import Run
from embedkit.workspace import Workspace

router = APIRouter()

MAX_SUSPECTS = 2000
"""Maximum number of photos that a review lists."""


class ReviewRequest(BaseModel):
    """The review to make, with the options of ``embedkit review``."""

    what: Literal["labels", "off-topic", "quality"] = "labels"
    k: int | None = Field(
        None,
        ge=1,
        le=MAX_SUSPECTS,
        description="Number of photos. Default: up to 50 that are probably wrong.",
    )
    backbones: list[str] = Field([], description="Default: all of the workspace.")
    text: str | None = Field(
        None, min_length=1, max_length=1000, description="The topic, for off-topic."
    )


@router.post("/review", status_code=202, summary="Review the photos")
def start_review(server: WritableState, request: ReviewRequest) -> Run:
    """Start ``embedkit review``, and return the run.

    Its result is that of ``--json`` with four more fields: ``choices``, the decisions that a person
    can make; ``verdicts``, the verdict of each choice for each item; ``ask_sha256``, the digest of
    ``ask``; and ``ranking``, a key with which ``POST /lists`` orders photos.
    """

    def review(workspace: Workspace) -> dict[str, Any]:
        found = workspace.review(
            request.what, request.k, backbones=request.backbones, text=request.text
        )
        assert found.order is not None and found.order_scores is not None
        ids = np.array(found.order, np.int64)
        ranking = Ordering.of(ids)
        server.rankings.put(ranking)
        if found.what in (LABELS, OFF_TOPIC):
            server.scores.found = PhotoScores(found.what, ids, np.array(found.order_scores))
        asked = digests_of(server.catalog, [found.ask]) if found.ask is not None else {}
        return {
            **found.to_dict(),
            "choices": [choice._asdict() for choice in CHOICES[found.what]],
            "verdicts": [verdicts_of(found.what, item) for item in found.items],
            "ask_sha256": next(iter(asked.values()), None),
            "ranking": ranking.key,
        }

    return server.start("review", f"Review: {request.what}", review)
