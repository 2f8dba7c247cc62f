"""The content of a workspace, and the reports of changing it."""

from dataclasses import dataclass

from embedkit.results.classification import HeadInfo
from embedkit.results.ingest import ADD_ALL, AddOptions, Failure, TruncatedFile
from embedkit.results.result import FLOAT, INT, PATH, TEXT, TEXTS, Result, Table, table_of
from embedkit.results.spec import ProjectionInfo
from embedkit.results.split import Split
from embedkit.results.wording import counted

_SPEC_COLUMNS = {
    "spec": TEXT,
    "backbones": TEXTS,
    "architecture": TEXT,
    "size": INT,
    "dim": INT,
    "images": INT,
    "images_per_second": FLOAT,
    "index": TEXT,
    "indexed": INT,
    "recall_at_10": FLOAT,
}


@dataclass(frozen=True)
class SpecInfo:
    """An embedding spec of a workspace, and its index.

    Attributes
    ----------
    spec : str
        Digest of the spec.
    backbones : tuple of str
        Names of the backbones with this spec.
    architecture : str
        Provider and network.
    size, dim : int
        Input size in pixels, and embedding dimension.
    images : int
        Images with an embedding.
    images_per_second : float or None
        Rate of the whole ingest, the last time that images were embedded.
    index : str or None
        FAISS factory string of the saved index; None if there is none.
    indexed : int
        Images in the saved index.
    recall_at_10 : float or None
        Share of the ten nearest images that the index finds, measured against exact search.
    dtype : {'float32', 'float16'}
        Number format to which the embeddings are rounded.
    projection : ProjectionInfo or None
        The projection of a backbone with ``dims=``, and what it keeps.
    """

    spec: str
    backbones: tuple[str, ...]
    architecture: str
    size: int
    dim: int
    images: int
    images_per_second: float | None
    index: str | None
    indexed: int
    recall_at_10: float | None
    dtype: str = "float32"
    projection: ProjectionInfo | None = None


@dataclass(frozen=True, repr=False)
class WorkspaceInfo(Result):
    """The content of a workspace.

    Attributes
    ----------
    workspace : str
        Absolute path of its folder.
    sources : tuple of str
        Photos and folders that were added.
    files : int
        Files that are on disk.
    images : int
        Distinct images that these files contain.
    missing : int
        Files that are missing.
    labels : dict of str to int
        Number of files by label.
    specs : tuple of SpecInfo
        Embedding specs and their indexes.
    disk_bytes : int
        Size of the workspace's folder.
    failures : tuple of Failure
        Files that could not be used.
    options : AddOptions
        Options of the next ``add``.
    truncated : tuple of TruncatedFile
        Truncated files that were decoded as far as possible.
    split : Split or None
        The stored split; None if there is none.
    heads : tuple of HeadInfo
        The heads, by name.
    relabelled : int
        Number of files with a label from a verdict.
    """

    workspace: str
    sources: tuple[str, ...]
    files: int
    images: int
    missing: int
    labels: dict[str, int]
    specs: tuple[SpecInfo, ...]
    disk_bytes: int
    failures: tuple[Failure, ...]
    options: AddOptions = ADD_ALL
    truncated: tuple[TruncatedFile, ...] = ()
    split: Split | None = None
    heads: tuple[HeadInfo, ...] = ()
    relabelled: int = 0

    def _tables(self) -> dict[str, Table]:
        return {
            "specs": table_of(self.specs, _SPEC_COLUMNS),
            "labels": Table({"label": TEXT, "files": INT}, self.labels.items()),
            "failures": table_of(self.failures, {"path": PATH, "stage": TEXT, "reason": TEXT}),
        }

    def _summary(self) -> str:
        return (
            f"{counted(self.files, 'file')}, {counted(self.images, 'image')}, {self.missing} "
            f"missing, {counted(len(self.labels), 'label')}, "
            f"{counted(len(self.specs), 'embedding spec')} in {self.workspace!r}"
        )


@dataclass(frozen=True)
class RemovalReport:
    """The result of forgetting photos or embeddings. The photos themselves are not touched.

    Attributes
    ----------
    files, images, embeddings : int
        Numbers of forgotten files, images and embeddings.
    kept : int
        Forgotten photos whose labels and other columns are kept until the photos are added again.
    unlabelled : int
        Photos with other files that lost their label with the forgotten ones.
    """

    files: int
    images: int
    embeddings: int
    kept: int = 0
    unlabelled: int = 0


@dataclass(frozen=True)
class SkippedLine:
    """A line of a label table that was skipped.

    Attributes
    ----------
    line : int
        Number of the line, from 1.
    reason : str
        The problem, as a clause.
    """

    line: int
    reason: str


@dataclass(frozen=True)
class LabelReport:
    """The result of labelling files.

    Attributes
    ----------
    labelled : int
        Files that got a label.
    skipped : tuple of SkippedLine
        Lines without a path or a label.
    unknown : tuple of str
        Paths that are not in the workspace.
    warnings : tuple of str
        Problems that did not stop the operation.
    """

    labelled: int
    skipped: tuple[SkippedLine, ...] = ()
    unknown: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class RelocationReport:
    """The result of relocating a folder.

    Attributes
    ----------
    files : int
        Files in the new folder with the stored size.
    missing : int
        Files that do not exist in the new folder.
    changed : int
        Files with another size; the next ``add`` reads them.
    sources : tuple of str
        New paths of the sources that moved.
    warnings : tuple of str
        Problems that did not stop the operation.
    """

    files: int
    missing: int
    changed: int
    sources: tuple[str, ...]
    warnings: tuple[str, ...] = ()
