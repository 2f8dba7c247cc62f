"""What lies beside the files of an index and says what they hold."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from embedkit.artifacts import read_json, sha256_of, write_json
from embedkit.catalog.reader import Position
from embedkit.errors import BadArtefact
from embedkit.records import EmbeddingSpec, SpecInfo

FILE_NAME = "manifest.json"


@dataclass(frozen=True)
class FileRecord:
    """A file as it was written."""

    name: str
    bytes: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The description of a saved index."""

    kind: str
    """What the recipe asked for: ``auto``, ``exact`` or a FAISS factory string."""
    factory: str
    """FAISS factory string of what was built; ``Flat`` for exact search."""
    spec: str
    """Digest of the embedding spec."""
    dim: int
    count: int
    """Images in the index."""
    generation: int
    """With ``stamp``, the position of the spec's embeddings that the index has caught up with."""
    stamp: int
    trained: int
    """Vectors there were when FAISS's index was trained, if one was; exact search may win."""
    effort: int
    """``nprobe`` or ``efSearch`` of a search; 0 where there is neither."""
    recall_at_10: float
    """Measured against exact search; 1 for an exact index."""
    files: dict[str, FileRecord]
    """By role: ``ids``, ``vectors``, ``codes``, ``delta_ids``, ``delta_vectors``, ``removed``."""
    faiss: str
    """Version of FAISS that wrote the codes; empty for exact search."""

    @property
    def position(self) -> Position:
        """The position that the index has caught up with."""
        return Position(self.generation, self.stamp)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest in ``folder``; None when there is none, or none that can be understood."""
    try:
        content = read_json(folder / FILE_NAME)
        files = {role: FileRecord(**record) for role, record in content["files"].items()}
        manifest = Manifest(**{**content, "files": files})
    except (FileNotFoundError, BadArtefact, AttributeError, KeyError, TypeError):
        return None
    sound = _fits(manifest) and all(map(_fits, files.values()))
    return manifest if sound else None


def spec_info(
    folder: Path, spec: EmbeddingSpec, names: tuple[str, ...], images: int, rate: float | None
) -> SpecInfo:
    """What to tell of a spec whose index is in ``folder``, used under some ``names``."""
    manifest = read_manifest(folder)
    return SpecInfo(
        spec=spec.digest,
        backbones=names,
        architecture=spec.architecture,
        size=spec.size,
        dim=spec.dim,
        images=images,
        images_per_second=rate,
        index=manifest.factory if manifest else None,
        indexed=manifest.count if manifest else 0,
        recall_at_10=manifest.recall_at_10 if manifest else None,
    )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest to ``folder``, whole or not at all."""
    write_json(folder / FILE_NAME, asdict(manifest))


def record(file: Path) -> FileRecord:
    """What there is to say of a file just written."""
    status = file.stat()
    return FileRecord(file.name, status.st_size, status.st_mtime_ns, sha256_of(file))


def checked(folder: Path, records: Iterable[FileRecord]) -> list[FileRecord]:
    """The records of files in ``folder`` as they are now; raises ValueError for a file that is not.

    A file of the recorded size and time is taken as it is. One of another time, as in a workspace
    that was copied, is read through once: files of gigabytes take seconds.
    """
    found = []
    for known in records:
        file = folder / Path(known.name).name
        status = file.stat()
        if status.st_size != known.bytes or (
            status.st_mtime_ns != known.mtime_ns and sha256_of(file) != known.sha256
        ):
            raise ValueError(f"{file} is not the one that its manifest describes")
        found.append(replace(known, mtime_ns=status.st_mtime_ns))
    return found


def _fits(item: Any) -> bool:
    kinds: dict[str, Any] = {"str": str, "int": int, "float": (int, float)}
    return all(
        isinstance(getattr(item, name), kinds[kind.__name__])
        for name, kind in type(item).__annotations__.items()
        if kind.__name__ in kinds
    )
