"""What a workspace holds, and what it was made to forget."""

from dataclasses import dataclass

from embedkit.results.ingest import ADD_ALL, AddOptions, Failure, TruncatedFile


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
class WorkspaceInfo:
    """What a workspace holds."""

    workspace: str
    sources: tuple[str, ...]
    """The photos and folders that were added."""
    files: int
    """Files that are there."""
    images: int
    """Distinct images that they hold."""
    missing: int
    """Files that are gone now, or were at the last add."""
    labels: dict[str, int]
    """Files by label."""
    specs: tuple[SpecInfo, ...]
    disk_bytes: int
    """Of everything in the workspace's folder."""
    failures: tuple[Failure, ...]
    options: AddOptions = ADD_ALL
    """What the next add leaves out and puts up with."""
    truncated: tuple[TruncatedFile, ...] = ()
    """Files that end early and were decoded as far as they go."""


@dataclass(frozen=True)
class RemovalReport:
    """How much :meth:`Workspace.remove` forgot; photos themselves are never touched."""

    files: int
    images: int
    embeddings: int
    kept: int = 0
    """Forgotten photos whose labels and other columns of tables are kept for their bytes: they
    come back when the photos are added again, under whatever name."""
    unlabelled: int = 0
    """Photos that other files still contain, and that lost their label with the forgotten ones."""


@dataclass(frozen=True)
class SkippedLine:
    """A line of a table of labels that gave no label."""

    line: int
    reason: str


@dataclass(frozen=True)
class LabelReport:
    """What labelling photos did."""

    labelled: int
    """Files that have a label from this."""
    skipped: tuple[SkippedLine, ...] = ()
    """Lines without a path or a label; the rest was taken."""
    unknown: tuple[str, ...] = ()
    """Paths that are not in the workspace; the rest was taken."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class RelocationReport:
    """What relocating a folder did."""

    files: int
    """Files that are at the new place, with their sizes."""
    absent: int
    """Files that are not: they count as missing."""
    changed: int
    """Files that have another size there: the next add reads them."""
    sources: tuple[str, ...]
    """New paths of the sources that moved."""
    warnings: tuple[str, ...] = ()
