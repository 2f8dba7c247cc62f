"""The map: all photos as points of a plane."""

import json
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from embedkit.browse.layout import require_umap
from embedkit.browse.projection import photo_map, project, read_projection
from embedkit.catalog import Catalog
from embedkit.results import ProgressCallback, ResolvedName
from embedkit.search.embedding_store import EmbeddingStore
from embedkit.search.queries import select_backbone
from embedkit.web.api.parameters import State, WritableState
from embedkit.web.api.photos import PhotoList, described
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
    ``backbone``, ``is_current``, ``photos`` and ``labels``, padded with spaces to a multiple of 4
    bytes. Then come the coordinates in [-1, 1], float32 (N, 2), and the position of the label of
    each photo among the labels, uint32 (N,). All numbers are little-endian.
    """
    resolved = _backbone(server, backbone)
    spec = resolved.spec.digest
    projection = read_projection(server.workspace.folder, spec)
    if projection is None:
        return Response(status_code=204)
    found = photo_map(server.catalog, projection)
    server.orderings.put(found.ordering)
    header = MapHeader(
        backbone=resolved.name,
        is_current=server.catalog.backbone_snapshot().revisions.get(spec) == projection.revision,
        photos=described(found.ordering),
        labels=[MapLabel(label=one.label, count=one.count) for one in found.labels],
    )
    text = json.dumps(header.model_dump()).encode("ascii")
    text += b" " * (-len(text) % 4)
    parts = (
        len(text).to_bytes(4, "little"),
        text,
        np.ascontiguousarray(found.points, "<f4").tobytes(),
        np.ascontiguousarray(found.codes, "<u4").tobytes(),
    )
    return Response(b"".join(parts), media_type="application/octet-stream")


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
