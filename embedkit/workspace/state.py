"""The objects that a workspace shares with its namespaces."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image

from embedkit._internal.artifacts import sweep
from embedkit.catalog import Catalog
from embedkit.results import ProgressCallback
from embedkit.search.embedding_store import EmbeddingStore

StrPath: TypeAlias = str | os.PathLike[str]
ImageLike: TypeAlias = str | os.PathLike[str] | bytes | Image.Image | np.ndarray

_SUBFOLDERS = (
    "index",
    "features",
    "heads",
    "map",
    "outliers",
    "projections",
    "quarantine",
    "sheets",
)
"""The folders that embedkit creates in a workspace."""


@dataclass(frozen=True)
class State:
    """The folder of a workspace, its catalog, its embeddings and the progress callback."""

    folder: Path
    catalog: Catalog
    embeddings: EmbeddingStore
    progress: ProgressCallback

    @property
    def quarantine_folder(self) -> Path:
        """Folder of the files that plans moved to quarantine."""
        return self.folder / "quarantine"

    @property
    def heads_folder(self) -> Path:
        """Folder of the trained heads."""
        return self.folder / "heads"

    @property
    def features_folder(self) -> Path:
        """Folder of the cached local features."""
        return self.folder / "features"

    @property
    def outliers_folder(self) -> Path:
        """Folder of the cached embeddings of synthetic outliers."""
        return self.folder / "outliers"

    def sweep(self) -> None:
        """Remove temporary files that killed commands left behind."""
        sweep(self.folder, _SUBFOLDERS)


class WorkspaceBase:
    """Base class of :class:`Workspace`, of the groups of its methods, and of its namespaces."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._catalog = state.catalog
        self._embeddings = state.embeddings
        self._progress = state.progress
