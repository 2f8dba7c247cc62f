"""What all tasks of a search for duplicates know."""

from dataclasses import dataclass
from typing import Any

from embedkit.cluster.duplicates.exchange import Exchange
from embedkit.cluster.store import StoreContent
from embedkit.cluster.tables import Dataset
from embedkit.results import EmbeddingSpec


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a fragment of a dataset."""

    fragment: int
    start: int
    rows: int


@dataclass(frozen=True)
class Run:
    """A search in one version of the datasets of a store."""

    place: str
    folder: str
    """Where the files of the run are."""
    spec: EmbeddingSpec | None
    """The spec of the compared embeddings; None to compare none."""
    files: int
    images: int
    embeddings: int
    """Versions of the datasets; 0 for one that does not exist."""

    @property
    def exchange(self) -> Exchange:
        """The files of the run."""
        return Exchange(self.folder)

    @property
    def store(self) -> StoreContent:
        """The store."""
        return StoreContent(self.place)

    def opened(self, name: str) -> Any:
        """Return a dataset: ``files``, ``images`` or ``embeddings``; None if it does not exist."""
        version = getattr(self, name)
        return self._dataset(name).open(version) if version else None

    def _dataset(self, name: str) -> Dataset:
        store = self.store
        if name != "embeddings":
            return store.files if name == "files" else store.images
        if self.spec is None:
            raise ValueError("the run compares no embeddings")
        return store.embeddings(self.spec)

    def read_block(self, name: str, block: Block, columns: list[str]) -> Any:
        """Return some columns of a block, in the order of the rows."""
        dataset = self.opened(name)
        scanner = dataset.scanner(
            columns=columns,
            fragments=[dataset.get_fragment(block.fragment)],
            offset=block.start,
            limit=block.rows,
            scan_in_order=True,
        )
        return scanner.to_table()
