"""What lies beside the files of an index and says what they hold."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from embedkit._internal.artifacts import DIGEST, read_json, with_digest, without_digest, write_json
from embedkit.catalog import Revision
from embedkit.errors import BadArtefact
from embedkit.results import EmbeddingSpec, SpecInfo

FILE_NAME = "manifest.json"


@dataclass(frozen=True)
class FileRecord:
    """A sealed file."""

    name: str
    digest: str
    """Of its checksums: see :class:`embedkit._internal.sealed.Sealed`."""


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
    """With ``stamp``, the revision of the spec's embeddings that the index has caught up with."""
    stamp: int
    trained: int
    """Vectors there were when FAISS's index was trained, if one was; exact search may win."""
    head: int
    """Bytes of the codes' file that are checked before FAISS reads it; the others are lists, which
    are checked when they are searched."""
    effort: int
    """``nprobe`` or ``efSearch`` of a search; 0 where there is neither."""
    recall_at_10: float
    """Measured against exact search; 1 for an exact index."""
    files: dict[str, FileRecord]
    """By role: ``ids``, ``vectors``, ``codes``, ``delta_ids``, ``delta_vectors``, ``removed``."""
    faiss: str
    """Version of FAISS that wrote the codes; empty for exact search."""

    @property
    def revision(self) -> Revision:
        """The revision that the index has caught up with."""
        return Revision(self.generation, self.stamp)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest in ``folder``; None when there is none, or one of an earlier version.

    Raises :class:`BadArtefact` for one that is damaged or cannot be understood.
    """
    try:
        content = read_json(folder / FILE_NAME)
    except OSError:
        return None
    if DIGEST not in content:
        return None
    content = without_digest(folder / FILE_NAME, content)
    try:
        files = {role: FileRecord(**record) for role, record in content["files"].items()}
        manifest = Manifest(**{**content, "files": files})
    except (AttributeError, KeyError, TypeError) as error:
        raise BadArtefact(f"{folder / FILE_NAME} is no manifest of an index") from error
    if not (_fits(manifest) and all(map(_fits, files.values()))):
        raise BadArtefact(f"{folder / FILE_NAME} is no manifest of an index")
    return manifest


def sound_manifest(folder: Path) -> Manifest | None:
    """The manifest in ``folder``; None when there is none that can be used."""
    try:
        return read_manifest(folder)
    except BadArtefact:
        return None


def spec_info(
    folder: Path, spec: EmbeddingSpec, names: tuple[str, ...], images: int, rate: float | None
) -> SpecInfo:
    """What to tell of a spec whose index is in ``folder``, used under some ``names``."""
    manifest = sound_manifest(folder)
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
    write_json(folder / FILE_NAME, with_digest(asdict(manifest)))


def _fits(item: Any) -> bool:
    kinds: dict[str, Any] = {"str": str, "int": int, "float": (int, float)}
    return all(
        isinstance(getattr(item, name), kinds[kind.__name__])
        for name, kind in type(item).__annotations__.items()
        if kind.__name__ in kinds
    )
