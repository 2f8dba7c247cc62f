"""A backbone ready to embed: images in, embeddings out."""

import contextlib
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from embedkit.backbones.choice import Runtime
from embedkit.backbones.preprocess import prepare
from embedkit.errors import BadInput, UnreadableImage
from embedkit.images.decode import Decoder, read_bytes
from embedkit.paths import absolute, shown
from embedkit.records import ResolvedName

if TYPE_CHECKING:
    from embedkit.backbones.network import Network

BATCH = 32
"""Images in one forward pass."""


class Backbone:
    """A network with its weights, ready to embed.

    ``spec`` is all that decides its vectors; ``resolved`` adds the name and the weights file that
    it came from. Made by :func:`embedkit.load_backbone`.
    """

    def __init__(
        self, resolved: ResolvedName, runtime: Runtime, network: "Network | None" = None
    ) -> None:
        self.resolved = resolved
        self.spec = resolved.spec
        self._runtime = runtime
        self._network = network  # None when the runtime needs no torch

    @property
    def runtime(self) -> str:
        """What runs the network: ``torch channels-last``, ``torch`` or ``openvino``."""
        return self._runtime.name

    def settle_runtime(self, pixels: np.ndarray) -> None:
        """Time the runtimes on prepared pixels and go on with the fastest, if never done here.

        Where the cache folder cannot be written, the network goes on as it is.
        """
        from embedkit.backbones.choice import choose, remembered

        if self._network is not None and remembered(self.spec) is None:
            with contextlib.suppress(OSError):
                self._runtime = choose(self._network, self.spec, pixels)

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self.spec.dim

    def embed(
        self, images: Iterable[str | os.PathLike[str] | Image.Image | np.ndarray]
    ) -> np.ndarray:
        """The embeddings of images: float32, L2-normalised, shape (N, dim).

        An image is a path, a Pillow image or an RGB uint8 array of shape (H, W, 3). Raises
        :class:`UnreadableImage` for one that cannot be read.
        """
        vectors = [np.empty((0, self.dim), np.float32)]
        batch: list[np.ndarray] = []
        for image in images:
            batch.append(prepare(_decoder(image), self.spec))
            if len(batch) == BATCH:
                vectors.append(self.embed_pixels(np.stack(batch))[0])
                batch.clear()
        if batch:
            vectors.append(self.embed_pixels(np.stack(batch))[0])
        return np.concatenate(vectors)

    def embed_pixels(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings (N, dim) and their norms (N,) of prepared pixels, uint8 (N, size, size, 3).

        A vector that is not finite, or is zero, comes back as zeros with norm 0.
        """
        return _normalised(self._runtime.run(pixels))

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        """The embeddings of texts, in the space of the images: float32 (N, dim), L2-normalised.

        Raises :class:`BadInput` when the backbone embeds images only.
        """
        if self._network is None:
            from embedkit.backbones.loading import load_network

            network, loaded = load_network(self.resolved.name)
            if loaded.spec != self.spec:
                raise BadInput(f"{self.resolved.name} has changed; add the photos again")
            self._network = network
        if self._network.embed_text is None:
            raise BadInput(
                f"{self.resolved.name} embeds images only; use one that embeds text too, "
                "like --backbone clip-vit-b-32"
            )
        return _normalised(self._network.embed_text(list(texts)))[0]


def _decoder(image: str | os.PathLike[str] | Image.Image | np.ndarray) -> Decoder:
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise BadInput(
                f"an image array must be uint8 (H, W, 3), not {image.dtype} {image.shape}"
            )
        image = Image.fromarray(image)
    if isinstance(image, Image.Image):
        return Decoder.of(image)
    path = absolute(image)
    try:
        return Decoder(read_bytes(path))
    except UnreadableImage as error:
        raise UnreadableImage(error.stage, error.reason, shown(path)) from error


def _normalised(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    norms = np.linalg.norm(raw.astype(np.float64), axis=1)
    usable = np.isfinite(norms) & (norms > 0)
    norms = np.where(usable, norms, 0.0)
    vectors = np.where(usable[:, None], raw / np.where(usable, norms, 1.0)[:, None], 0.0)
    return vectors.astype(np.float32), norms.astype(np.float32)
