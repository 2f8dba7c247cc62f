"""Backbones in the ingest pipeline: opened when needed, timed, and checked for collapse."""

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from embedkit.backbones import (
    LOADING,
    is_current,
    last_resolved,
    load_with_projection,
    open_backbone,
    prepare_function,
)
from embedkit.backbones.backbone import Backbone
from embedkit.backbones.projection import FindProjection, projection_of
from embedkit.backbones.reduced import reduced
from embedkit.backbones.registry import network_name
from embedkit.backbones.runtime_choice import precision_warning
from embedkit.errors import BadInput
from embedkit.images.decode import Decoder
from embedkit.index.metric import COLLAPSE_SAMPLE, collapse_warning
from embedkit.results import (
    EmbeddingSpec,
    Progress,
    ProgressCallback,
    ResolvedName,
    no_progress,
)

CHOICE_FILES = 256
"""Minimum number of files for timing the runtimes."""

FIRST_BATCH = 32
"""Images in the first pass of a network that is not open yet; enough to time the runtimes."""


def resolve_without_network(
    name: str, known: Sequence[ResolvedName], find: FindProjection | None = None
) -> ResolvedName | None:
    """Resolve a backbone name without loading its network; return None if that is not possible.

    ``known`` are the resolved names in the catalog, which are used while they are current. ``find``
    finds the projection of a name with ``dims=``; raises :class:`BadInput` when there is none, and
    :class:`BadArtefact` when that of a known name is missing.
    """
    for item in known:
        if item.name == name:
            if is_current(item):
                return item
            projection_of(item, find)  # with another one, its embeddings could not be compared
    if (network := network_name(name)) == name:
        return last_resolved(name)
    found = resolve_without_network(network, known)
    return None if found is None else reduced(name, found, find)[0]


def resolve(
    name: str,
    known: Sequence[ResolvedName],
    progress: ProgressCallback = no_progress,
    find: FindProjection | None = None,
) -> ResolvedName:
    """Resolve a backbone name; load its network, temporarily, only if necessary.

    Raises as :func:`resolve_without_network` and :func:`embedkit.load_backbone` do.
    """
    if (resolved := resolve_without_network(name, known, find)) is not None:
        return resolved
    progress(LOADING)
    return load_with_projection(name, find).resolved


class IngestNetwork:
    """A backbone in the pipeline.

    If it is resolved, its network is loaded for the first image to embed, otherwise at once.
    ``find`` finds the projection of a name with ``dims=``.
    """

    def __init__(
        self,
        name: str,
        resolved: ResolvedName | None,
        progress: ProgressCallback = no_progress,
        find: FindProjection | None = None,
    ) -> None:
        self.name = name
        self._progress = progress
        self._find = find
        self.rate = 0.0
        """Images per second through the whole pipeline, without loading; 0 if none was embedded."""
        self.waited = 0.0
        """Seconds spent opening the network and choosing its runtime."""
        self._backbone: Backbone | None = None
        self._may_choose_runtime = False
        self._images = 0
        self._sample: list[np.ndarray] = []
        if resolved is not None:
            self.resolved = resolved
        else:
            progress(LOADING)
            self._backbone = load_with_projection(name, find)
            self.resolved = self._backbone.resolved
        self._prepare = prepare_function(self.resolved)

    @property
    def spec(self) -> EmbeddingSpec:
        """The embedding spec."""
        return self.resolved.spec

    def prepare(self, decoder: Decoder) -> np.ndarray:
        """Return the network input of one image: see :meth:`Backbone.prepare`."""
        return self._prepare(decoder)

    @property
    def input_bytes(self) -> int:
        """Bytes of the network input of an image; a transform may return floats."""
        return (12 if self.spec.resize == "transform" else 3) * self.spec.size**2

    @property
    def batch(self) -> int:
        """Images in a forward pass."""
        return self._backbone.batch if self._backbone is not None else FIRST_BATCH

    @property
    def concurrent_passes(self) -> int:
        """Number of concurrent forward passes."""
        return self._backbone.concurrent_passes if self._backbone is not None else 1

    def expect(self, files: int) -> None:
        """Set the maximum number of files to come: timing the runtimes does not pay for few."""
        self._may_choose_runtime = files >= CHOICE_FILES or self.spec.precision != "float32"

    def submit(self, pixels: list[np.ndarray]) -> Callable[[], tuple[np.ndarray, np.ndarray]]:
        """Start a forward pass on prepared pixels: see :meth:`Backbone.submit`."""
        batch = np.stack(pixels)
        started = time.monotonic()
        if self._backbone is None:
            self._progress(LOADING)
            self._backbone = open_backbone(self.resolved, self._find)
            if self._backbone.spec != self.resolved.spec:
                raise BadInput(f"{self.name} has changed during this add; add the photos again")
        if self._may_choose_runtime and len(batch) > 1:
            self._progress(Progress("timing runtimes"))
            self._backbone.choose_runtime(batch)
            self._may_choose_runtime = False
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
        """Compute the rate from the duration of the run, in seconds."""
        if self._images:
            self.rate = self._images / (seconds - self.waited)

    def warnings(self) -> Iterator[str]:
        """Yield warnings about the new embeddings."""
        if not self._images:
            return
        if text := precision_warning(self.spec.network):
            yield f"{self.name}: {text}"
        if self._sample and (text := collapse_warning(np.stack(self._sample))):
            yield f"{self.name}: the new embeddings have {text}"
