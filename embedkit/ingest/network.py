"""A backbone as the pass uses it: opened when it is needed, timed, and watched for collapse."""

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from embedkit.backbones import (
    is_current,
    last_resolved,
    load_backbone,
    open_backbone,
    preparation,
)
from embedkit.backbones.backbone import Backbone
from embedkit.backbones.choice import doubt
from embedkit.errors import BadInput
from embedkit.images.decode import Decoder
from embedkit.index.metric import COLLAPSE_SAMPLE, collapse
from embedkit.results import EmbeddingSpec, ResolvedName

CHOICE_FILES = 256
"""With this many files to read, it pays to find out which runtime is the fastest."""

FIRST_BATCH = 32
"""Images in the first pass of a network that is not open yet: enough to time the runtimes on."""


def recalled(name: str, known: Sequence[ResolvedName]) -> ResolvedName | None:
    """What a backbone name stands for, where that is found without its network; else None.

    ``known`` is what the catalog has; it counts while the weights file is the same.
    """
    there = next((item for item in known if item.name == name and is_current(item)), None)
    return there or last_resolved(name)


def resolve(name: str, known: Sequence[ResolvedName]) -> ResolvedName:
    """What a backbone name stands for; its network is loaded to find that only if it has to be.

    It is not kept. Raises as :func:`embedkit.load_backbone` does.
    """
    return recalled(name, known) or load_backbone(name).resolved


class IngestNetwork:
    """A backbone that is loaded when the first image needs it, and not otherwise."""

    def __init__(self, name: str, remembered: ResolvedName | None) -> None:
        self.name = name
        self.rate = 0.0
        """Images a second through the whole pass, the network's own loading aside; 0 for none."""
        self.waited = 0.0
        """Seconds that opening it and choosing its runtime took."""
        self._backbone: Backbone | None = None
        self._settled = True
        self._images = 0
        self._sample: list[np.ndarray] = []
        if remembered is not None:
            self.resolved = remembered
        else:
            self._backbone = load_backbone(name)
            self.resolved = self._backbone.resolved
        self._prepare = preparation(self.resolved)

    @property
    def spec(self) -> EmbeddingSpec:
        """What decides its embeddings."""
        return self.resolved.spec

    def prepare(self, decoder: Decoder) -> np.ndarray:
        """Return the network input of one image: see :meth:`Backbone.prepare`."""
        return self._prepare(decoder)

    @property
    def batch(self) -> int:
        """Images in a forward pass."""
        return self._backbone.batch if self._backbone is not None else FIRST_BATCH

    @property
    def passes(self) -> int:
        """Forward passes that should be under way at once."""
        return self._backbone.passes if self._backbone is not None else 1

    def expect(self, files: int) -> None:
        """Note how many files are about to come, at the most."""
        self._settled = files < CHOICE_FILES and self.spec.precision == "float32"

    def submit(self, pixels: list[np.ndarray]) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
        """Start a pass over prepared pixels: see :meth:`Backbone.submit`."""
        batch = np.stack(pixels)
        started = time.monotonic()
        if self._backbone is None:
            self._backbone = open_backbone(self.resolved)
            if self._backbone.spec != self.resolved.spec:
                raise BadInput(f"{self.name} has changed just now; add the photos again")
        if not self._settled and len(batch) > 1:
            self._backbone.settle_runtime(batch)
            self._settled = True
        self.waited += time.monotonic() - started
        fetch = self._backbone.submit(batch)

        def fetch_embeddings() -> tuple[np.ndarray, np.ndarray]:
            vectors, norms = fetch()
            self._images += len(vectors)
            if len(self._sample) < COLLAPSE_SAMPLE:
                self._sample.extend(vectors[norms > 0])
            return vectors, norms

        return fetch_embeddings

    def finish(self, seconds: float) -> None:
        """Note how long the pass took that this network was part of."""
        if self._images:
            self.rate = self._images / (seconds - self.waited)

    def warnings(self) -> Iterator[str]:
        """What to say of the embeddings just made."""
        if not self._images:
            return
        if text := doubt(self.spec):
            yield f"{self.name}: {text}"
        if self._sample and (text := collapse(np.stack(self._sample))):
            yield f"{self.name}: the embeddings just made have {text}"
