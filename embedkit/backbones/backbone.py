"""A backbone ready to embed: images in, embeddings out."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from embedkit.backbones import resolutions
from embedkit.backbones.preprocess import Prepare, prepare
from embedkit.backbones.runtime import PassTooLarge, Runtime, overlapped
from embedkit.errors import BadInput, OutOfMemory
from embedkit.images.decode import Decoder, ImageInput, decoder_of
from embedkit.results import ResolvedName

if TYPE_CHECKING:
    from embedkit.backbones.network import Network


class Backbone:
    """A network with its weights, ready to embed.

    ``spec`` is all that decides its vectors; ``resolved`` adds the name and the weights file that
    it came from. Made by :func:`embedkit.load_backbone`.
    """

    def __init__(
        self,
        resolved: ResolvedName,
        runtime: Runtime,
        network: "Network | None" = None,
        transform: Prepare | None = None,
    ) -> None:
        self.resolved = resolved
        self.spec = resolved.spec
        self._runtime = runtime
        self._network = network  # None when the runtime needs no torch
        self._transform = transform
        self._fitting: int | None = None

    @property
    def runtime(self) -> str:
        """What runs the network: ``torch channels-last``, ``torch`` or ``openvino``."""
        return self._runtime.name

    @property
    def batch(self) -> int:
        """Images in one forward pass; less than the runtime likes once that was too large."""
        return min(self._runtime.batch, self._fitting or self._runtime.batch)

    @property
    def passes(self) -> int:
        """Forward passes that should be under way at once."""
        return self._runtime.passes

    def settle_runtime(self, pixels: np.ndarray) -> None:
        """Time the runtimes on prepared pixels and go on with the fastest, if never done here.

        Where the cache folder cannot be written, or the probe does not fit the memory, the network
        goes on as it is.
        """
        from embedkit.backbones.choice import choose, remembered

        # A damaged converted network is not what runs now, though it was chosen: it is made anew.
        if self._network is None:
            return
        if remembered(self.spec) != self.runtime:
            with contextlib.suppress(OSError, PassTooLarge):
                self._runtime = choose(self._network, self.spec, pixels)
        if self._runtime.name == remembered(self.spec):
            resolutions.note(self.resolved)

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self.spec.dim

    def embed(self, images: Iterable[ImageInput]) -> np.ndarray:
        """The embeddings of images: float32, L2-normalised, shape (N, dim).

        An image is a path, a Pillow image or an RGB uint8 array of shape (H, W, 3). Raises
        :class:`UnreadableImage` for one that cannot be read.
        """
        batches = overlapped(self.submit, self._prepared(images), self.passes)
        none = np.empty((0, self.dim), np.float32)
        return np.concatenate([none, *(vectors for vectors, _ in batches)])

    def _prepared(self, images: Iterable[ImageInput]) -> Iterator[np.ndarray]:
        rest = iter(images)
        while batch := [self.prepare(decoder_of(item)) for item in islice(rest, self.batch)]:
            yield np.stack(batch)

    def prepare(self, decoder: Decoder) -> np.ndarray:
        """Return the network input of one image: uint8 (size, size, 3), RGB, or a transform's.

        Raises :class:`UnreadableImage` when the image does not decode.
        """
        return self._transform(decoder) if self._transform else prepare(decoder, self.spec)

    def submit(self, pixels: np.ndarray) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
        """Start a forward pass over prepared pixels, uint8 (N, size, size, 3).

        The call that is returned waits for the embeddings (N, dim) and their norms (N,). A vector
        that is not finite, or is zero, comes back as zeros with norm 0. A pass that does not fit
        the memory is halved until it does; raises :class:`OutOfMemory` for one image that does not.
        """
        try:
            fetch = self._runtime.submit(pixels)
        except PassTooLarge as error:
            vectors = _normalised(self._halved(pixels, error))
            return lambda: vectors

        def fetch_embeddings() -> tuple[np.ndarray, np.ndarray]:
            try:
                return _normalised(fetch())
            except PassTooLarge as error:
                return _normalised(self._halved(pixels, error))

        return fetch_embeddings

    def _halved(self, pixels: np.ndarray, error: PassTooLarge) -> np.ndarray:
        """Raw vectors of a pass that was too large, as two smaller ones."""
        half = len(pixels) // 2
        if not half:
            raise OutOfMemory(
                f"{self.resolved.name} does not fit the memory of the device with a single image; "
                "close other programs, or take a smaller backbone or size="
            ) from error
        self._fitting = min(half, self._fitting or half)
        halves = []
        for part in (pixels[:half], pixels[half:]):
            try:
                halves.append(self._runtime.submit(part)())
            except PassTooLarge as smaller:
                halves.append(self._halved(part, smaller))
        return np.concatenate(halves)

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
            raise self.images_only()
        return _normalised(self._network.embed_text(list(texts)))[0]

    def images_only(self) -> BadInput:
        """Return the error for a text when the backbone embeds images only."""
        return BadInput(
            f"{self.resolved.name} embeds images only; use one that embeds text too, "
            "like --backbone clip-vit-b-32"
        )


def _normalised(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    norms = np.linalg.norm(raw.astype(np.float64), axis=1)
    usable = np.isfinite(norms) & (norms > 0)
    norms = np.where(usable, norms, 0.0)
    vectors = np.where(usable[:, None], raw / np.where(usable, norms, 1.0)[:, None], 0.0)
    return vectors.astype(np.float32), norms.astype(np.float32)
