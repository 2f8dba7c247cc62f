"""What lies beside an index file and says what it holds."""

from dataclasses import asdict, dataclass
from pathlib import Path

from embedkit.artifacts import read_json, write_json
from embedkit.catalog.reader import Position
from embedkit.errors import BadArtefact

FILE_NAME = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """The description of a saved index."""

    factory: str
    """FAISS factory string."""
    spec: str
    """Digest of the embedding spec."""
    dim: int
    count: int
    """Images in the index."""
    generation: int
    """With ``stamp``, the position of the spec's embeddings that the index has caught up with."""
    stamp: int
    recall_at_10: float
    """Measured against exact search; 1 for an exact index."""
    file: str
    """Name of the index file in the same folder."""
    sha256: str
    """Of the index file."""
    faiss: str
    """Version of FAISS that wrote it."""

    @property
    def position(self) -> Position:
        """The position that the index has caught up with."""
        return Position(self.generation, self.stamp)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest in ``folder``; None when there is none, or none that can be understood."""
    try:
        return Manifest(**read_json(folder / FILE_NAME))
    except (FileNotFoundError, BadArtefact, TypeError):
        return None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest to ``folder``, whole or not at all."""
    write_json(folder / FILE_NAME, asdict(manifest))
