"""The workspace: its content and its labels."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from embedkit.version import __version__
from embedkit.web.state import Server, server_of

router = APIRouter()
State = Annotated[Server, Depends(server_of)]


class ServerInfo(BaseModel):
    """The server and its workspace."""

    version: str
    read_only: bool
    is_empty: bool
    backbones: list[str]
    images: int
    files: int


@router.get("/workspace", summary="The content of the workspace")
def read_workspace(server: State) -> dict[str, Any]:
    """Return the same as ``embedkit info --json``."""
    return server.workspace.info().to_dict()


@router.get("/labels", summary="The labels, and the number of files of each")
def read_labels(server: State) -> dict[str, int]:
    """Return all labels, sorted."""
    with server.catalog.read() as reader:
        return reader.labels.counts()


@router.get("/server", summary="The server, and the size of its workspace")
def read_server(server: State) -> ServerInfo:
    """Return what every page needs, without opening any photo."""
    is_empty = not server.catalog.exists
    counts = {"files": 0, "images": 0}
    backbones: list[str] = []
    if not is_empty:
        with server.catalog.read() as reader:
            counts = reader.files.counts()
        backbones = [one.name for one in server.catalog.backbone_snapshot().backbones]
    return ServerInfo(
        version=__version__,
        read_only=server.read_only,
        is_empty=is_empty,
        backbones=backbones,
        images=counts["images"],
        files=counts["files"],
    )
