"""The workspace: its content and its labels."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from embedkit.backbones.registry import embeds_text
from embedkit.version import __version__
from embedkit.web.api.parameters import State

router = APIRouter()


class ServerInfo(BaseModel):
    """The server and its workspace."""

    version: str
    read_only: bool
    is_empty: bool
    backbones: list[str]
    text_backbones: list[str]
    """The backbones that embed text too."""


@router.get("/workspace", summary="The content of the workspace")
def read_workspace(server: State) -> dict[str, Any]:
    """Return the same as ``embedkit info --json``."""
    return server.workspace.info().to_dict()


@router.get("/labels", summary="The labels")
def read_labels(server: State) -> dict[str, int]:
    """Return the number of files of each label, sorted by label."""
    with server.catalog.read() as reader:
        return reader.labels.counts()


@router.get("/server", summary="The server and the backbones of its workspace")
def read_server(server: State) -> ServerInfo:
    """Return the version of the server, and the properties of the workspace that pages need."""
    is_empty = not server.catalog.exists
    known = () if is_empty else server.catalog.backbone_snapshot().backbones
    return ServerInfo(
        version=__version__,
        read_only=server.read_only,
        is_empty=is_empty,
        backbones=[one.name for one in known],
        text_backbones=[one.name for one in known if embeds_text(one.spec)],
    )
