"""Reduced backbones: a network whose embeddings are projected to fewer dimensions, or rounded."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from embedkit._internal.paths import as_argument
from embedkit.backbones.backbone import Backbone
from embedkit.backbones.projection import FindProjection, Projection
from embedkit.backbones.registry import network_name, parse_syntax
from embedkit.errors import BadInput, UnknownBackbone
from embedkit.images.decode import Decoder
from embedkit.results import EmbeddingSpec, ResolvedName


def check_dims(name: str, network: EmbeddingSpec) -> int | None:
    """Return the dimension in a backbone name, if there is one.

    Raises :class:`UnknownBackbone` unless it is below that of the network.
    """
    dims = parse_syntax(name).dims
    if dims is not None and dims >= network.dim:
        raise UnknownBackbone(
            f"{name}: dims must be below {network.dim}, the dimension of its network"
        )
    return dims


def not_fitted(name: str) -> BadInput:
    """Return the error for a name with ``dims=`` where there is no projection for it."""
    return BadInput(
        f"{name}: the projection of dims= belongs to a workspace or store, and there is none here; "
        f"'embedkit add PHOTOS --backbone {as_argument(name)}' fits it to the photos and stores "
        "it, and commands on that workspace or store use it"
    )


def reduced(
    name: str, network: ResolvedName, find: FindProjection | None = None
) -> tuple[ResolvedName, Projection | None]:
    """Return the resolved backbone of a name, given its resolved network, and its projection.

    Raises :class:`BadInput` when the name has dimensions and there is no projection to them.
    """
    dims = check_dims(name, network.spec)
    spec = replace(network.spec, dtype=parse_syntax(name).dtype)
    projection = None
    if dims is not None:
        projection = None if find is None else find(network.spec, dims)
        if projection is None:
            raise not_fitted(name)
        spec = _projected(spec, projection)
    return replace(network, name=name, spec=spec), projection


def network_of(resolved: ResolvedName) -> ResolvedName:
    """Return the resolved network of a backbone: itself, unless it is reduced."""
    return replace(resolved, name=network_name(resolved.name), spec=resolved.spec.network)


def _projected(spec: EmbeddingSpec, projection: Projection) -> EmbeddingSpec:
    return replace(spec, dim=projection.dims, network_dim=spec.dim, projection=projection.digest)


class ReducedBackbone(Backbone):
    """A backbone whose embeddings are projected, rounded, or both.

    Parameters
    ----------
    resolved : ResolvedName
        The reduced backbone.
    network : Backbone
        Its network.
    projection : Projection, optional
        The projection of its spec, if that has one.
    """

    def __init__(
        self, resolved: ResolvedName, network: Backbone, projection: Projection | None
    ) -> None:
        self._whole = network
        self._projection = projection
        # The weights may have changed since the name was resolved, and the spec with them.
        spec = replace(network.spec, dtype=resolved.spec.dtype)
        self.spec = spec if projection is None else _projected(spec, projection)
        self.resolved = replace(network.resolved, name=resolved.name, spec=self.spec)

    @property
    def runtime(self) -> str:
        """Name of the network's runtime."""
        return self._whole.runtime

    @property
    def batch(self) -> int:
        """Number of images per forward pass."""
        return self._whole.batch

    @property
    def concurrent_passes(self) -> int:
        """Number of concurrent forward passes."""
        return self._whole.concurrent_passes

    def choose_runtime(self, pixels: np.ndarray) -> None:
        """Use the fastest runtime of the network: see :meth:`Backbone.choose_runtime`."""
        self._whole.choose_runtime(pixels)

    def prepare(self, decoder: Decoder) -> np.ndarray:
        """Return the network input of one image: see :meth:`Backbone.prepare`."""
        return self._whole.prepare(decoder)

    def submit(self, pixels: np.ndarray) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
        """Start a forward pass: see :meth:`Backbone.submit`."""
        fetch = self._whole.submit(pixels)
        return lambda: reduce(self.spec, self._projection, *fetch())

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts in the space of the reduced images: see :meth:`Backbone.embed_text`."""
        vectors = self._whole.embed_text(texts)
        return reduce(self.spec, self._projection, vectors, np.ones(len(vectors), np.float32))[0]

    def text_not_supported(self) -> BadInput:
        """Return the error for a text when the network embeds images only."""
        return self._whole.text_not_supported()


def reduce(
    spec: EmbeddingSpec, projection: Projection | None, vectors: np.ndarray, norms: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Reduce the embeddings of a network.

    Parameters
    ----------
    spec : EmbeddingSpec
        The reduced spec.
    projection : Projection or None
        Its projection, if it has one.
    vectors : numpy.ndarray
        Embeddings of the network, float32 (n, network_dim), L2-normalised.
    norms : numpy.ndarray
        Their norms before normalising, float32 (n,).

    Returns
    -------
    vectors : numpy.ndarray
        float32 (n, dim), L2-normalised, then rounded to the spec's ``dtype``.
    norms : numpy.ndarray
        Norms before normalising, float32 (n,).
    """
    if projection is not None:
        vectors, norms = projection(vectors, norms)
    return vectors.astype(spec.dtype).astype(np.float32), norms
