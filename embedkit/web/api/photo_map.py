"""The map: all photos as points of a plane."""

import json
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from embedkit.browse.colouring import group_numbers
from embedkit.browse.layout import require_umap
from embedkit.browse.projection import photo_map, project, read_projection
from embedkit.catalog import Catalog
from embedkit.results import ProgressCallback, ResolvedName
from embedkit.search.embedding_store import EmbeddingStore
from embedkit.search.queries import select_backbone
from embedkit.web.api.parameters import State, WritableState
from embedkit.web.api.photos import ListKey, PhotoList, described
from embedkit.web.runs import Run
from embedkit.web.state import Server

router = APIRouter()


class MapRequest(BaseModel):
    """The backbone of a map."""

    backbone: str | None = Field(None, description="Default: the first one of the workspace.")


class MapLabel(BaseModel):
    """A label of the map, and the number of its photos; null for photos without a label."""

    label: str | None
    count: int


class MapHeader(BaseModel):
    """The header of a map."""

    backbone: str
    is_current: bool = Field(description="Whether the map has the current embeddings.")
    photos: PhotoList
    labels: list[MapLabel] = Field(description="The most frequent first.")
    scores: str | None = Field(
        description="``labels`` or ``off-topic``: what the review with scores looked for."
    )
    groups: int | None = Field(description="Number of groups of the last search for duplicates.")


def _backbone(server: Server, name: str | None) -> ResolvedName:
    catalog = server.catalog
    known = catalog.backbone_snapshot().backbones if catalog.exists else ()
    return select_backbone(known, name, server.workspace.folder)


@router.get(
    "/map",
    summary="The points of the map",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {}}},
        204: {"description": "There is no map of this backbone yet."},
    },
)
def read_map(
    server: State,
    backbone: Annotated[str | None, Query(description="Default: the first one.")] = None,
) -> Response:
    """Return the photos of a list as points.

    The response begins with the length of a header as uint32, and the header: JSON with
    ``backbone``, ``is_current``, ``photos``, ``labels``, ``scores`` and ``groups``, padded with
    spaces to a multiple of 4 bytes. Then come the coordinates in [-1, 1], float32 (N, 2), and the
    position of the label of each photo among the labels, uint32 (N,). All numbers are
    little-endian.
    """
    resolved = _backbone(server, backbone)
    spec = resolved.spec.digest
    projection = read_projection(server.workspace.folder, spec)
    if projection is None:
        return Response(status_code=204)
    found = photo_map(server.catalog, projection)
    server.orderings.put(found.ordering)
    scores, plan = server.scores.found, server.plans.latest
    header = MapHeader(
        backbone=resolved.name,
        is_current=server.catalog.backbone_snapshot().revisions.get(spec) == projection.revision,
        photos=described(found.ordering),
        labels=[MapLabel(label=one.label, count=one.count) for one in found.labels],
        scores=None if scores is None else scores.what,
        groups=None if plan is None else len(plan),
    )
    text = json.dumps(header.model_dump()).encode("ascii")
    text += b" " * (-len(text) % 4)
    return _binary(
        len(text).to_bytes(4, "little"),
        text,
        np.ascontiguousarray(found.points, "<f4"),
        np.ascontiguousarray(found.codes, "<u4"),
    )


@router.get(
    "/lists/{key}/scores",
    summary="How suspicious the photos of a list are",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {}}},
        204: {"description": "No review of labels or of off-topic photos has ended yet."},
    },
)
def read_scores(server: State, key: ListKey) -> Response:
    """Return the scores of the last review of labels or of off-topic photos.

    They are float32 (N,), little-endian. Above 0 a photo is more likely wrong than right; a photo
    that was not scored, or had a verdict, is NaN.
    """
    ordering, scores = server.orderings.get(key), server.scores.found
    if scores is None:
        return Response(status_code=204)
    return _binary(np.ascontiguousarray(scores.of(ordering.ids), "<f4"))


@router.get(
    "/lists/{key}/groups",
    summary="The groups of duplicates of the photos of a list",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {}}},
        204: {"description": "Nobody has searched for duplicates yet."},
    },
)
def read_group_numbers(server: State, key: ListKey) -> Response:
    """Return the group of each photo in the last search for duplicates.

    They are uint32 (N,), little-endian: the number of the group from 1, or 0 without a group.
    """
    ordering, plan = server.orderings.get(key), server.plans.latest
    if plan is None:
        return Response(status_code=204)
    numbers = group_numbers(server.catalog, plan.digests(), ordering.ids)
    return _binary(np.ascontiguousarray(numbers, "<u4"))


def _binary(*parts: bytes | np.ndarray) -> Response:
    content = b"".join(part if isinstance(part, bytes) else part.tobytes() for part in parts)
    return Response(content, media_type="application/octet-stream")


@router.post("/map", status_code=202, summary="Make the map")
def start_map(server: WritableState, request: MapRequest) -> Run:
    """Start to project the embeddings of a backbone, and return the run.

    Its result has the number of photos ``count``.
    """
    require_umap()
    resolved = _backbone(server, request.backbone)
    folder = server.workspace.folder

    def work(progress: ProgressCallback) -> dict[str, Any]:
        index = EmbeddingStore(Catalog(folder), progress).index(resolved.name)
        return {"count": len(project(index, folder, progress).ids)}

    return server.runs.start("map", f"Map of {resolved.name}", work)
