"""Lists of photos in a fixed order, their details and their pictures."""

import base64
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from embedkit._internal.paths import shown
from embedkit.browse.ordering import (
    Ordering,
    details,
    given_photos,
    order_photos,
    part_of,
)
from embedkit.browse.thumbnails import Side
from embedkit.errors import NotInWorkspace
from embedkit.web.api.parameters import Sha256, State
from embedkit.web.state import Server

router = APIRouter()
Digest = Annotated[Sha256, Path(description="SHA-256 of the photo, hex.")]
ListKey = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="Key of the list.")]

MAX_GIVEN = 20_000
"""Maximum number of SHA-256 in one request."""
MAX_RANGE = 500
"""Maximum number of photos in one response."""
MAX_SELECTION = 1_000_000
"""Maximum number of photos in one selection."""
SHEET_COLUMNS, SHEET_ROWS = 8, 6
SHEET_PHOTOS = SHEET_COLUMNS * SHEET_ROWS
"""Photos in one sheet of thumbnails."""
_IMMUTABLE = {"cache-control": "private, max-age=31536000, immutable"}


class ListRequest(BaseModel):
    """The photos to list, and their order."""

    order: Literal["added", "label", "path"] = "added"
    label: str | None = Field(None, description="Only photos with a file of this label.")
    folder: str | None = Field(None, description="Only photos with a file below this folder.")
    ranking: str | None = Field(
        None,
        pattern="^[0-9a-f]{32}$",
        description="Key of a review's ranking, which replaces ``order``.",
    )
    sha256: list[Sha256] | None = Field(
        None,
        max_length=MAX_GIVEN,
        description="These photos in this order; the other fields are ignored.",
    )


class ListSection(BaseModel):
    """The photos of one label in a list ordered by label."""

    label: str | None
    first: int
    count: int


class PhotoList(BaseModel):
    """A list of photos in a fixed order."""

    key: str
    count: int
    sections: list[ListSection]
    sheet_photos: int = Field(description="Photos in one sheet.")
    sheet_columns: int = Field(description="Columns of a sheet.")


class SelectionRequest(BaseModel):
    """The photos to select from a list."""

    positions: list[Annotated[int, Field(ge=0, lt=1 << 40)]] = Field(max_length=MAX_SELECTION)


class Photo(BaseModel):
    """A photo of a list."""

    sha256: str
    path: str
    files: int
    labels: list[str]
    width: int
    height: int
    placeholder: str = Field(description="Luma at 8 x 8 pixels, base64; empty if unknown.")
    mark: str | None = Field(description="The verdict keep, off-topic or poor.")
    caption: str | None = Field(description="Caption of the photo, at most 200 characters.")


class PhotoRange(BaseModel):
    """Consecutive photos of a list; null for a photo that has no file any more."""

    first: int
    photos: list[Photo | None]


@router.post("/lists", summary="List photos in a fixed order")
def make_list(server: State, request: ListRequest) -> PhotoList:
    """Return the key and the size of a list. The list does not change when photos are added."""
    label, folder = request.label, request.folder
    if not server.catalog.exists:
        ordering = Ordering.of(np.empty(0, np.int64))
    elif request.sha256 is not None:
        ordering = given_photos(server.catalog, request.sha256)
    elif request.ranking is not None:
        ordering = part_of(server.catalog, server.rankings.get(request.ranking), label, folder)
    else:
        ordering = order_photos(server.catalog, request.order, label, folder)
    server.orderings.put(ordering)
    return described(ordering)


@router.get("/lists/{key}/summary", summary="The size of a list")
def read_list(server: State, key: ListKey) -> PhotoList:
    """Return the key, the size and the sections of a list, as when it was made."""
    return described(server.orderings.get(key))


@router.post("/lists/{key}/selection", summary="Select photos of a list")
def select_from_list(server: State, key: ListKey, request: SelectionRequest) -> PhotoList:
    """Return a new list of the photos at these positions, in the order of the first list."""
    ids = server.orderings.get(key).ids
    positions = np.unique(np.array(request.positions, np.int64))
    if len(positions) and positions[-1] >= len(ids):
        raise NotInWorkspace("the list has no such position")
    ordering = Ordering.of(ids[positions])
    server.orderings.put(ordering)
    return described(ordering)


def described(ordering: Ordering) -> PhotoList:
    """Return the description of a list."""
    return PhotoList(
        key=ordering.key,
        count=len(ordering),
        sections=[
            ListSection(label=one.label, first=one.first, count=one.count)
            for one in ordering.sections
        ],
        sheet_photos=SHEET_PHOTOS,
        sheet_columns=SHEET_COLUMNS,
    )


@router.get("/lists/{key}", summary="Consecutive photos of a list")
def read_range(
    server: State,
    key: ListKey,
    first: Annotated[int, Query(ge=0, lt=1 << 40)] = 0,
    count: Annotated[int, Query(ge=1, le=MAX_RANGE)] = 100,
) -> PhotoRange:
    """Return the photos from position ``first``."""
    ids = server.orderings.get(key).ids[first : first + count].tolist()
    photos = [
        None
        if found is None
        else Photo(
            sha256=found.sha256,
            path=shown(found.path),
            files=found.files,
            labels=list(found.labels),
            width=found.width,
            height=found.height,
            placeholder=base64.b64encode(found.placeholder).decode("ascii"),
            mark=found.mark,
            caption=found.caption,
        )
        for found in details(server.catalog, ids)
    ]
    return PhotoRange(first=first, photos=photos)


@router.get(
    "/lists/{key}/sheets/{number}",
    summary="Thumbnails of consecutive photos as one WebP",
    response_class=Response,
    responses={200: {"content": {"image/webp": {}}}},
)
def read_sheet(
    server: State,
    key: ListKey,
    number: Annotated[int, Path(ge=0, lt=1 << 40)],
    side: Annotated[Side, Query(description="Side of a thumbnail, pixels.")] = Side.SMALL,
) -> Response:
    """Return the sheet with the photos from position ``number * sheet_photos``."""
    ids = server.orderings.get(key).ids[number * SHEET_PHOTOS : (number + 1) * SHEET_PHOTOS]
    if not len(ids):
        raise NotInWorkspace("the list has no such sheet")
    with server.catalog.read() as reader:
        files = reader.files.of_images(ids.tolist())
    digests = [files[one][0].sha256 if one in files else "" for one in ids.tolist()]
    sources = {of_image[0].sha256: [file.path for file in of_image] for of_image in files.values()}
    sheet, is_whole = server.thumbnails.sheet(sources, digests, side, SHEET_COLUMNS)
    return Response(sheet, media_type="image/webp", headers=_IMMUTABLE if is_whole else None)


@router.get(
    "/photos/{sha256}/picture",
    summary="One photo as WebP",
    response_class=Response,
    responses={200: {"content": {"image/webp": {}}}},
)
def read_picture(
    server: State,
    sha256: Digest,
    side: Annotated[
        Side | None, Query(description="Longest side, pixels. Default: up to 2048.")
    ] = None,
) -> Response:
    """Return a photo. It is encoded anew: the bytes of a file are never sent."""
    paths = paths_of(server, sha256)
    if side is None:
        picture = server.thumbnails.enlarged(sha256, paths)
    else:
        picture = server.thumbnails.of({sha256: paths}, side).get(sha256)
    if picture is None:
        raise NotInWorkspace("no file of this photo can be shown; each is missing or damaged")
    return Response(picture, media_type="image/webp", headers=_IMMUTABLE)


def paths_of(server: Server, sha256: str) -> list[str]:
    """Return the paths of a photo; raises :class:`NotInWorkspace` if there is none."""
    digest = bytes.fromhex(sha256)
    with server.catalog.read() as reader:
        of_images = reader.files.of_images(list(reader.images.ids([digest]).values()))
    if not of_images:
        raise NotInWorkspace("the workspace has no such photo")
    return [file.path for files in of_images.values() for file in files]
