"""The manifest of a saved index, which describes its files."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from embedkit._internal.artifacts import DIGEST, read_json, with_digest, without_digest, write_json
from embedkit.catalog import Revision
from embedkit.errors import BadArtefact
from embedkit.results import EmbeddingSpec, ProjectionInfo, SpecInfo

FILE_NAME = "manifest.json"


@dataclass(frozen=True)
class FileRecord:
    """A sealed file."""

    name: str
    digest: str
    """Digest of its checksums: see :class:`embedkit._internal.sealed.SealedFile`."""


@dataclass(frozen=True)
class Manifest:
    """The description of a saved index."""

    kind: str
    """Kind in the recipe: ``auto``, ``exact`` or a FAISS factory string."""
    factory: str
    """FAISS factory string of the codes; ``Flat`` for exact search."""
    spec: str
    """Digest of the embedding spec."""
    dim: int
    """Dimension of the embeddings."""
    count: int
    """Number of images."""
    generation: int
    """With ``stamp``, the revision of the spec's embeddings that the index contains."""
    stamp: int
    trained: int
    """Number of vectors at the last training of FAISS, even if exact search was faster; else 0."""
    head: int
    """Bytes at the start of the file of codes that are checked before FAISS reads it. The rest are
    inverted lists, which are checked when they are searched."""
    effort: int
    """``nprobe`` or ``efSearch`` of a search; 0 where there is neither."""
    recall_at_10: float
    """Recall at 10, measured against exact search; 1 for exact search."""
    faiss: str
    """Version of FAISS that wrote the codes; empty for exact search."""
    files: dict[str, FileRecord] = field(default_factory=dict)
    """Files by role: ``ids``, ``vectors``, ``codes``, ``delta_ids``, ``delta_vectors``,
    ``removed``."""

    @property
    def revision(self) -> Revision:
        """Revision of the spec's embeddings that the index contains."""
        return Revision(self.generation, self.stamp)


def read_manifest(folder: Path) -> Manifest | None:
    """Read the manifest in ``folder``; None when there is none, or one of an earlier version.

    Raises :class:`BadArtefact` for a manifest that is damaged or malformed.
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
        raise BadArtefact(f"{folder / FILE_NAME} is not the manifest of an index") from error
    if not (_has_declared_types(manifest) and all(map(_has_declared_types, files.values()))):
        raise BadArtefact(f"{folder / FILE_NAME} is not the manifest of an index")
    return manifest


def usable_manifest(folder: Path) -> Manifest | None:
    """Read the manifest in ``folder``; None when there is no usable one."""
    try:
        return read_manifest(folder)
    except BadArtefact:
        return None


def spec_info(
    folder: Path,
    spec: EmbeddingSpec,
    names: tuple[str, ...],
    images: int,
    rate: float | None,
    projection: ProjectionInfo | None,
) -> SpecInfo:
    """Describe a spec whose index is in ``folder`` and whose backbones have these ``names``."""
    manifest = usable_manifest(folder)
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
        dtype=spec.dtype,
        projection=projection,
    )


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest to ``folder`` atomically."""
    write_json(folder / FILE_NAME, with_digest(asdict(manifest)))


def _has_declared_types(item: Any) -> bool:
    """Return whether the simple fields of a dataclass have the declared types."""
    kinds: dict[str, Any] = {"str": str, "int": int, "float": (int, float)}
    return all(
        isinstance(getattr(item, name), kinds[kind.__name__])
        for name, kind in type(item).__annotations__.items()
        if kind.__name__ in kinds
    )
