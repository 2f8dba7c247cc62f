"""The backbone: it prepares images, runs its network and normalises the vectors."""

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from embedkit.backbones.preprocess import Prepare, prepare
from embedkit.errors import BadInput, OutOfMemory
from embedkit.images.decode import Decoder, ImageInput, decoder_of
from embedkit.results import ResolvedName

if TYPE_CHECKING:
    from embedkit.backbones.network import Network

_Out = TypeVar("_Out")


class Runtime(Protocol):
    """A network with its weights on the device that runs it."""

    name: str
    batch: int
    """Preferred number of images per forward pass on the device."""
    concurrent_passes: int
    """Number of concurrent forward passes that keep the device busy."""

    def submit(self, pixels: np.ndarray) -> Callable[[], np.ndarray]:
        """Start a forward pass on prepared pixels, uint8 (N, size, size, 3).

        The returned function waits for the raw vectors, float32 (N, dim). Both may raise
        :class:`PassTooLarge`.
        """


class PassTooLarge(Exception):
    """A forward pass does not fit the device's memory; a smaller one may."""


def overlapped(
    submit: Callable[[np.ndarray], Callable[[], _Out]],
    batches: Iterable[np.ndarray],
    concurrent_passes: int,
) -> Iterator[_Out]:
    """Yield the results of forward passes over ``batches``, in order."""
    pending: deque[Callable[[], _Out]] = deque()
    for batch in batches:
        if len(pending) == concurrent_passes:
            yield pending.popleft()()
        pending.append(submit(batch))
    while pending:
        yield pending.popleft()()


class Backbone:
    """A network with its weights, which maps images to embeddings.

    :func:`embedkit.load_backbone` creates backbones.

    Attributes
    ----------
    spec : EmbeddingSpec
        Everything that determines the embeddings.
    resolved : ResolvedName
        The name and the weights file of the backbone, with its spec.
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
        self._max_batch: int | None = None  # set after a pass that did not fit into memory

    @property
    def runtime(self) -> str:
        """Name of the runtime: ``torch channels-last``, ``torch``, ``openvino`` or ``python``."""
        return self._runtime.name

    @property
    def batch(self) -> int:
        """Number of images per forward pass; smaller than the runtime's if memory is short."""
        return min(self._runtime.batch, self._max_batch or self._runtime.batch)

    @property
    def concurrent_passes(self) -> int:
        """Number of concurrent forward passes."""
        return self._runtime.concurrent_passes

    def choose_runtime(self, pixels: np.ndarray) -> None:
        """Use the fastest runtime; find it by timing the runtimes on prepared pixels if needed.
        Keeps the current runtime if the cache folder is not writable or the pixels do not fit into
        memory.

        Parameters
        ----------
        pixels : numpy.ndarray
            Prepared pixels of real images, uint8 (N, size, size, 3).
        """
        from embedkit.backbones.runtime_choice import choose, chosen_runtime, save_resolved

        if self._network is None:
            return
        # They differ before the first choice, and when the chosen converted network is damaged.
        if chosen_runtime(self.spec) != self.runtime:
            with contextlib.suppress(OSError, PassTooLarge):
                self._runtime = choose(self._network, self.spec, pixels)
        if self._runtime.name == chosen_runtime(self.spec):
            save_resolved(self.resolved)

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self.spec.dim

    def embed(self, images: Iterable[ImageInput]) -> np.ndarray:
        """Embed images.

        Parameters
        ----------
        images : iterable of path, PIL.Image.Image or numpy.ndarray
            Arrays are uint8 (H, W, 3), RGB.

        Returns
        -------
        numpy.ndarray
            float32 (N, dim), L2-normalised, except that a vector that is zero or not finite becomes
            zeros.

        Raises
        ------
        UnreadableImage
            When an image cannot be read.
        OutOfMemory
            When a single image does not fit the device's memory.
        """
        batches = overlapped(self.submit, self._prepared(images), self.concurrent_passes)
        empty = np.empty((0, self.dim), np.float32)
        return np.concatenate([empty, *(vectors for vectors, _ in batches)])

    def _prepared(self, images: Iterable[ImageInput]) -> Iterator[np.ndarray]:
        rest = iter(images)
        while batch := [self.prepare(decoder_of(item)) for item in islice(rest, self.batch)]:
            yield np.stack(batch)

    def prepare(self, decoder: Decoder) -> np.ndarray:
        """Return the network input of one image.

        Parameters
        ----------
        decoder : Decoder
            Decoder of the image.

        Returns
        -------
        numpy.ndarray
            uint8 (size, size, 3), RGB; with a transform, the array that it returns.

        Raises
        ------
        UnreadableImage
            When the image does not decode.
        """
        return self._transform(decoder) if self._transform else prepare(decoder, self.spec)

    def submit(self, pixels: np.ndarray) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
        """Start a forward pass.

        A pass that does not fit into memory is halved until it does.

        Parameters
        ----------
        pixels : numpy.ndarray
            Prepared pixels: N results of :meth:`prepare`.

        Returns
        -------
        callable
            Function without parameters that waits for the embeddings, float32 (N, dim), and their
            norms before normalising, float32 (N,). A vector that is zero or not finite becomes
            zeros with norm 0.

        Raises
        ------
        OutOfMemory
            When a single image does not fit into memory; the returned function may raise it too.
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
        """Return the raw vectors of a pass that was too large, computed in two smaller ones."""
        half = len(pixels) // 2
        if not half:
            raise OutOfMemory(
                f"{self.resolved.name} does not fit the memory of the device with a single image; "
                "close other programs, or use a smaller backbone or size="
            ) from error
        self._max_batch = min(half, self._max_batch or half)
        halves = []
        for part in (pixels[:half], pixels[half:]):
            try:
                halves.append(self._runtime.submit(part)())
            except PassTooLarge as smaller:
                halves.append(self._halved(part, smaller))
        return np.concatenate(halves)

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        """Embed texts in the space of the images.

        Parameters
        ----------
        texts : sequence of str

        Returns
        -------
        numpy.ndarray
            float32 (N, dim), L2-normalised.

        Raises
        ------
        BadInput
            When the backbone embeds images only.
        """
        if self._network is None:
            from embedkit.backbones.loading import load_network

            network, loaded = load_network(self.resolved.name)
            if loaded.spec != self.spec:
                raise BadInput(f"{self.resolved.name} has changed; add the photos again")
            self._network = network
        if self._network.embed_text is None:
            raise self.text_not_supported()
        return _normalised(self._network.embed_text(list(texts)))[0]

    def text_not_supported(self) -> BadInput:
        """Return the error for a text when the backbone embeds images only."""
        return BadInput(
            f"{self.resolved.name} embeds images only; use a backbone that embeds text too, "
            "such as clip-vit-b-32"
        )


def _normalised(raw: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    norms = np.linalg.norm(raw.astype(np.float64), axis=1)
    usable = np.isfinite(norms) & (norms > 0)
    norms = np.where(usable, norms, 0.0)
    vectors = np.where(usable[:, None], raw / np.where(usable, norms, 1.0)[:, None], 0.0)
    return vectors.astype(np.float32), norms.astype(np.float32)
