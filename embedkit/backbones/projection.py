"""Projections: linear maps from the embeddings of a network to shorter ones.

A projection consists of the top N right singular vectors of L2-normalised embeddings, without
centring. Among all linear maps to N dimensions it keeps the inner products of these embeddings
best, in the sum of squares: Eckart and Young, "The approximation of one matrix by another of lower
rank", Psychometrika 1, 1936. It is fitted on some photos, and stored: another fit would give other
vectors. Its digest is part of the embedding spec.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import numpy as np

from embedkit._internal.artifacts import (
    regular_file_size,
    storage_errors,
    with_digest,
    without_digest,
    write_file,
)
from embedkit._internal.locks import exclusive_lock
from embedkit._internal.paths import shown
from embedkit._internal.text import one_line
from embedkit.errors import BadArtefact, BadInput, StorageError
from embedkit.results import EmbeddingSpec, ProjectionInfo, ResolvedName

FOLDER = "projections"
"""Folder of the projections in a workspace and in a store."""
MIN_PHOTOS_PER_DIM = 4
"""Minimum number of photos to fit and measure a projection with, in units of its dimension."""
MIN_PHOTOS = 100
"""Minimum number of photos, whatever the dimension: the tenth nearest needs others to be near."""
MAX_PHOTOS = 10_000
"""Maximum number of photos that a projection is fitted on and measured with."""
NEIGHBOURS = 10

REMEDY = (
    "restore it from a copy; between a workspace and a store with the same embeddings, 'embedkit "
    "push --store URI' or 'embedkit pull --store URI' does so. If it is lost, delete the file; "
    "'embedkit remove --backbone NAME' forgets the embeddings of a workspace, and 'embedkit add' "
    "makes new ones; in a store, use another dims="
)
"""What to do about a file that is damaged or missing."""

_FORMAT = 1
_TENSOR, _DESCRIPTION = "projection", "embedkit"
_HELD_OUT = 5
"""One photo in _HELD_OUT is not fitted on but measured with."""
_QUERIES_AT_ONCE = 256
_PATIENCE = 60.0
"""Seconds to wait for another process that stores a projection."""


@dataclass(frozen=True, eq=False)
class Projection:
    """A linear map from the embeddings of a network to shorter ones.

    Attributes
    ----------
    network : EmbeddingSpec
        Spec of the embeddings that it is applied to.
    matrix : numpy.ndarray
        Orthonormal columns, float32 (network.dim, dims).
    info : ProjectionInfo
        The photos that it was fitted on, and what it keeps.
    """

    network: EmbeddingSpec
    matrix: np.ndarray
    info: ProjectionInfo

    @property
    def dims(self) -> int:
        """Dimension of the projected embeddings."""
        return self.info.dims

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 of the matrix: its numbers as little-endian float32, row by row."""
        return sha256(np.ascontiguousarray(self.matrix, "<f4").tobytes()).hexdigest()

    def __call__(self, vectors: np.ndarray, norms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Project embeddings.

        Parameters
        ----------
        vectors : numpy.ndarray
            Embeddings of the network, float32 (n, network.dim), L2-normalised.
        norms : numpy.ndarray
            Their norms before normalising, float32 (n,).

        Returns
        -------
        vectors : numpy.ndarray
            float32 (n, dims), L2-normalised; a vector that would be zero is zeros.
        norms : numpy.ndarray
            Norms before normalising, those of the projected outputs of the network, float32 (n,).
        """
        projected, lengths = project(vectors, self.matrix)
        return projected, (norms * lengths).astype(np.float32)

    def to_bytes(self) -> bytes:
        """Return the content of the projection's file, in the safetensors format."""
        from safetensors.numpy import save

        description = {
            "format": _FORMAT,
            "network": json.loads(self.network.canonical_json),
            "sha256": self.digest,
            **asdict(self.info),
        }
        text = json.dumps(with_digest(description), sort_keys=True)
        content: bytes = save(
            {_TENSOR: np.ascontiguousarray(self.matrix, np.float32)}, {_DESCRIPTION: text}
        )
        return content

    @classmethod
    def from_bytes(cls, content: bytes, source: object) -> "Projection":
        """Return the projection in a file's content.

        Raises :class:`BadArtefact`, which names the ``source``, when it is damaged.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            matrix = load(content)[_TENSOR]
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            text = header["__metadata__"][_DESCRIPTION]
            description = without_digest(source, json.loads(text))
            if description["format"] != _FORMAT:
                raise BadArtefact(
                    f"{source} has format {description['format']!r}, and this embedkit knows "
                    f"{_FORMAT}; run 'pip install --upgrade embedkit'"
                )
            projection = cls(
                network=EmbeddingSpec.from_json(json.dumps(description["network"])),
                matrix=matrix,
                info=ProjectionInfo(
                    dims=int(description["dims"]),
                    photos=int(description["photos"]),
                    norm_kept=float(description["norm_kept"]),
                    neighbours_kept=float(description["neighbours_kept"]),
                    others=int(description["others"]),
                ),
            )
            shape = (projection.network.dim, projection.dims)
            if matrix.dtype != np.float32 or matrix.shape != shape or not 0 < shape[1] < shape[0]:
                raise ValueError(f"its matrix is {matrix.dtype} {matrix.shape}, not {shape}")
            if not np.isfinite(matrix).all() or projection.digest != description["sha256"]:
                raise ValueError("its matrix is not the one that was written")
        except BadArtefact as error:
            raise BadArtefact(f"{error}; {REMEDY}") from error
        except (SafetensorError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise BadArtefact(f"{source} is damaged: {one_line(error)}; {REMEDY}") from error
        return projection


FindProjection = Callable[[EmbeddingSpec, int], Projection | None]
"""Returns the projection of a network's embeddings to a dimension; None if there is none."""


def projection_of(resolved: ResolvedName, find: FindProjection | None) -> Projection | None:
    """Return the projection of a backbone; None for one without ``dims=``.

    Raises :class:`BadArtefact` when it is missing or damaged, or was replaced.
    """
    spec = resolved.spec
    if not spec.projection:
        return None
    try:
        projection = None if find is None else find(spec.network, spec.dim)
    except BadArtefact as error:
        raise BadArtefact(f"{resolved.name}: {error}") from error
    if projection is None or projection.digest != spec.projection:
        problem = "is missing" if projection is None else "is not the one of the stored embeddings"
        raise BadArtefact(
            f"{resolved.name}: its projection {FOLDER}/{_file_name(spec.network, spec.dim)} "
            f"{problem}; {REMEDY}"
        )
    return projection


class ProjectionFile(Protocol):
    """A file of a workspace or a store."""

    def read(self) -> bytes | None:
        """Return its content; None if there is no such file."""

    def write(self, content: bytes) -> None:
        """Write it whole."""

    def remove(self) -> None:
        """Remove it, if there is one."""


class Projections:
    """The projections of a workspace or a store: at most one for each network and dimension.

    Parameters
    ----------
    locate : callable
        Returns the file of a name.
    """

    def __init__(self, locate: Callable[[str], ProjectionFile]) -> None:
        self._locate = locate

    def find(self, network: EmbeddingSpec, dims: int) -> Projection | None:
        """Return the projection of a network's embeddings to some dimensions, if there is one.

        Raises :class:`BadArtefact` when its file is damaged, and :class:`StorageError`.
        """
        file = self._file(network, dims)
        content = file.read()
        if content is None:
            return None
        projection = Projection.from_bytes(content, file)
        if (projection.network, projection.dims) != (network, dims):
            raise BadArtefact(f"{file} is the projection of another network; {REMEDY}")
        return projection

    def add(self, projection: Projection) -> Projection:
        """Store a projection, unless there is one already; return the stored one."""
        stored = self.find(projection.network, projection.dims)
        if stored is not None:
            return stored
        self._file(projection.network, projection.dims).write(projection.to_bytes())
        return projection

    def copy(self, projection: Projection, known: Iterable[EmbeddingSpec]) -> None:
        """Store a projection from another place.

        ``known`` are the specs of the embeddings here. A file that is not the projection of these,
        because it is damaged or was replaced, is replaced by the one to copy if that is.

        Raises :class:`BadInput` when there is another one for this network and dimension, or when
        the embeddings here were made with another one, and :class:`BadArtefact` for a damaged file
        without embeddings.
        """
        network, dims = projection.network, projection.dims
        file = self._file(network, dims)
        used = {spec.projection for spec in known if (spec.network, spec.dim) == (network, dims)}
        if used == {projection.digest} and not self._is_usable(projection):
            file.remove()
        if not used <= {projection.digest} or self.add(projection).digest != projection.digest:
            raise BadInput(
                f"{file} is another projection to {dims} dimensions than the one to copy, and "
                "their vectors cannot be compared; copy to a workspace or store that has none"
            )

    def _is_usable(self, projection: Projection) -> bool:
        """Return whether the stored file, if there is one, is this projection."""
        try:
            found = self.find(projection.network, projection.dims)
        except BadArtefact:
            return False
        return found is None or found.digest == projection.digest

    def remove(self, spec: EmbeddingSpec) -> None:
        """Remove the projection of a reduced spec."""
        self._file(spec.network, spec.dim).remove()

    def _file(self, network: EmbeddingSpec, dims: int) -> ProjectionFile:
        return self._locate(_file_name(network, dims))


def _file_name(network: EmbeddingSpec, dims: int) -> str:
    # A projection does not depend on how photos are decoded, so all pipeline versions share it.
    return f"{network.version_1.digest}-{dims}.safetensors"


class WorkspaceProjections(Projections):
    """The projections in the folder of a workspace."""

    def __init__(self, workspace: Path) -> None:
        self._folder = workspace / FOLDER
        super().__init__(lambda name: _LocalFile(self._folder / name))

    def add(self, projection: Projection) -> Projection:
        """Store a projection: see :meth:`Projections.add`. Of two processes, the first one does."""
        busy = StorageError(f"{shown(str(self._folder))} is locked by another process; try again")
        with storage_errors(f"cannot write to {shown(str(self._folder))}"):
            self._folder.mkdir(parents=True, exist_ok=True)
            with exclusive_lock(self._folder / ".lock", busy, _PATIENCE):
                return super().add(projection)


class _LocalFile:
    """A :class:`ProjectionFile` on this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return shown(str(self._path))

    def read(self) -> bytes | None:
        with storage_errors(f"cannot read {self}"):
            try:
                regular_file_size(self._path)
                return self._path.read_bytes()
            except FileNotFoundError:
                return None

    def write(self, content: bytes) -> None:
        write_file(self._path, content)

    def remove(self) -> None:
        with storage_errors(f"cannot remove {self}"):
            self._path.unlink(missing_ok=True)


def fit_projection(network: EmbeddingSpec, vectors: np.ndarray, dims: int) -> Projection:
    """Fit a projection and measure what it keeps.

    Parameters
    ----------
    network : EmbeddingSpec
        Spec of the embeddings.
    vectors : numpy.ndarray
        Embeddings of distinct photos in random order, float32 (n, network.dim), L2-normalised.
        The last fifth is not fitted on: the neighbours of these photos among each other are
        compared. Photos that it is fitted on keep more of their neighbours than others do.
    dims : int
        Dimension of the projected embeddings, below ``network.dim`` and the number of photos.

    Returns
    -------
    Projection
        The projection. The sign of each column makes its largest component positive.
    """
    held_out = len(vectors) // _HELD_OUT
    fitted, others = np.split(vectors, [len(vectors) - held_out])
    matrix, norm_kept = top_directions(fitted, dims)
    kept = neighbours_kept(others, project(others, matrix)[0], np.arange(held_out))
    return Projection(network, matrix, ProjectionInfo(dims, len(fitted), norm_kept, kept, held_out))


def project(vectors: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the normalised products of vectors with a matrix, and their norms.

    Parameters
    ----------
    vectors : numpy.ndarray
        float32 (n, dim).
    matrix : numpy.ndarray
        float32 (dim, dims).

    Returns
    -------
    projected : numpy.ndarray
        float32 (n, dims), L2-normalised; a product that is zero stays zero.
    norms : numpy.ndarray
        float64 (n,).
    """
    # In float64 the rounding to float32 hides how many vectors are projected together.
    products = vectors.astype(np.float64) @ matrix.astype(np.float64)
    norms = np.linalg.norm(products, axis=1)
    return (products / np.where(norms > 0, norms, 1.0)[:, None]).astype(np.float32), norms


def top_directions(vectors: np.ndarray, dims: int) -> tuple[np.ndarray, float]:
    """Return the top right singular vectors of a matrix.

    Parameters
    ----------
    vectors : numpy.ndarray
        float32 (n, dim).
    dims : int
        Number of singular vectors.

    Returns
    -------
    directions : numpy.ndarray
        float32 (dim, dims), with the largest component of each column positive.
    share : float
        Share of the squared norm of the matrix in these directions.
    """
    rows = vectors.astype(np.float64)
    # The eigenvectors of the Gram matrix, in ascending order of the squared singular values.
    squares, directions = np.linalg.eigh(rows.T @ rows)
    top = directions[:, : -dims - 1 : -1]
    largest = np.take_along_axis(top, np.abs(top).argmax(axis=0)[None], axis=0)
    top = top * np.where(largest < 0, -1.0, 1.0)
    share = float(squares[-dims:].clip(0).sum() / squares.clip(0).sum())
    return np.ascontiguousarray(top, np.float32), share


def neighbours_kept(
    before: np.ndarray, after: np.ndarray, queries: np.ndarray, k: int = NEIGHBOURS
) -> float:
    """Return the mean share of the nearest neighbours that are still nearest after a reduction.

    Parameters
    ----------
    before, after : numpy.ndarray
        Embeddings of the same photos, float32 (n, dim) and (n, dims), L2-normalised.
    queries : numpy.ndarray
        Rows of the photos whose ``k`` nearest others are compared, int64 (q,).
    k : int, default 10
        Number of neighbours.

    Returns
    -------
    float
        The share, 0 to 1; NaN without queries.
    """
    shares = [
        float(len(np.intersect1d(*pair)) / len(pair[0]))
        for start in range(0, len(queries), _QUERIES_AT_ONCE)
        for pair in zip(
            *(
                _nearest(vectors, queries[start : start + _QUERIES_AT_ONCE], k)
                for vectors in (before, after)
            ),
            strict=True,
        )
    ]
    return float(np.mean(shares)) if shares else float("nan")


def _nearest(vectors: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """Return the rows nearest to those of some queries, int64 (q, k); never the query itself."""
    products = vectors[queries] @ vectors.T
    products[np.arange(len(queries)), queries] = -np.inf
    k = min(k, len(vectors) - 1)
    return np.argpartition(-products, k - 1, axis=1)[:, :k]
