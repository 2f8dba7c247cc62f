"""What a workspace holds, and what it was made to forget."""

from dataclasses import dataclass

from embedkit.records.ingest import Failure


@dataclass(frozen=True)
class SpecInfo:
    """One embedding spec of a workspace, and what was built for it."""

    spec: str
    """Digest."""
    backbones: tuple[str, ...]
    """The names it is used under."""
    architecture: str
    size: int
    dim: int
    images: int
    """Images that have an embedding."""
    images_per_second: float | None
    """Through the whole ingest, the last time that something was embedded."""
    index: str | None
    """FAISS factory string of the saved index; None when there is none yet."""
    indexed: int
    """Images in the saved index."""
    recall_at_10: float | None
    """Measured against exact search; 1 for an exact index."""


@dataclass(frozen=True)
class Info:
    """What a workspace holds."""

    workspace: str
    sources: tuple[str, ...]
    """The photos and folders that were added."""
    files: int
    images: int
    missing: int
    labels: dict[str, int]
    """Files by label."""
    specs: tuple[SpecInfo, ...]
    disk_bytes: int
    """Of everything in the workspace's folder."""
    failures: tuple[Failure, ...]


@dataclass(frozen=True)
class Removal:
    """How much :meth:`Workspace.remove` forgot; photos themselves are never touched."""

    files: int
    images: int
    embeddings: int
