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
    labels: dict[str, int]
    images: int
    files: int


@router.get("/workspace", summary="The content of the workspace")
def read_workspace(server: State) -> dict[str, Any]:
    """Return the same as ``embedkit info --json``."""
    return server.workspace.info().to_dict()


@router.get("/server", summary="The server, its backbones and labels")
def read_server(server: State) -> ServerInfo:
    """Return what every page needs, without opening any photo."""
    is_empty = not server.catalog.exists
    counts, labels = {"files": 0, "images": 0}, {}
    backbones: list[str] = []
    if not is_empty:
        with server.catalog.read() as reader:
            counts, labels = reader.files.counts(), reader.labels.counts()
        backbones = [one.name for one in server.catalog.backbone_snapshot().backbones]
    return ServerInfo(
        version=__version__,
        read_only=server.read_only,
        is_empty=is_empty,
        backbones=backbones,
        labels=labels,
        images=counts["images"],
        files=counts["files"],
    )
