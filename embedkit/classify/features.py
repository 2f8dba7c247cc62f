"""The features of images that a head needs, computed by its backbones or read from the catalog."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Any

import numpy as np

from embedkit._internal.cores import usable_cores
from embedkit._internal.paths import absolute
from embedkit.backbones import open_backbone
from embedkit.backbones.backbone import Backbone, overlapped
from embedkit.backbones.preprocess import allow_reduced_decode
from embedkit.classify.head_checks import check_spec
from embedkit.classify.heads.embedding_head import Embedded, Model
from embedkit.classify.heads.linear import Features
from embedkit.classify.stored_photos import StoredPhotos
from embedkit.errors import UnreadableImage
from embedkit.images.decode import ImageInput, decoding, file_digest, is_path
from embedkit.images.faults import file_errors
from embedkit.ingest.network import resolve

BATCH = 128
"""Images that are read and embedded together."""

_opening = threading.Lock()

OpenBackbone = Callable[[Model], Backbone]
Run = Callable[..., Iterable[Any]]
"""Like :func:`map`, on one thread or several."""


@dataclass(frozen=True)
class ExtractedBatch:
    """The features of a batch of images, in the order of the batch."""

    rows: list[int]
    """Positions of the readable images among all images."""
    embedded: Embedded
    """Their features."""
    unreadable: dict[int, UnreadableImage]
    """The errors of the other images, by position."""


class FeatureExtractor:
    """Computes the features of images under all specs of a head.

    Backbones are opened when an image has to be embedded, and stay open. With ``stored``, photos
    whose bytes the workspace has embedded are not decoded.
    """

    def __init__(
        self, models: Iterable[Model], open_model: OpenBackbone, stored: StoredPhotos | None = None
    ) -> None:
        self._models = {model.spec.digest: model for model in models}
        self._open_model = open_model
        self._stored = stored
        self._opened: dict[str, Backbone] = {}

    @property
    def backbones(self) -> dict[str, Backbone]:
        """The open backbones, by the digest of their spec."""
        with _opening:
            if not self._opened:
                self._opened = {spec: self._open_model(one) for spec, one in self._models.items()}
        return self._opened

    def batches(self, images: Iterable[ImageInput]) -> Iterator[ExtractedBatch]:
        """Yield the features of images in batches.

        The next batch is read while the networks compute the last one.
        """
        remaining, start = iter(images), 0
        started: Callable[[], ExtractedBatch] | None = None
        with ThreadPoolExecutor(usable_cores()) as pool:
            while batch := list(islice(remaining, BATCH)):
                # A pool only delays a single image.
                following = self._start(batch, start, map if len(batch) == 1 else pool.map)
                if started is not None:
                    yield started()
                started, start = following, start + len(batch)
            if started is not None:
                yield started()

    def _start(
        self, batch: Sequence[ImageInput], start: int, run: Run
    ) -> Callable[[], ExtractedBatch]:
        """Start to read a batch; return a function that returns its features."""
        reading = run(self._prepare if self._stored is None else _digest, batch)

        def extract() -> ExtractedBatch:
            known: list[int] = []
            stored: Mapping[str, Features] = {}
            read = reading
            if self._stored is not None:
                known, stored = self._stored_features(list(reading))
            new = sorted(set(range(len(batch))) - set(known))
            if self._stored is not None:
                read = run(self._prepare, [batch[number] for number in new])
            found = dict(zip(new, read, strict=True))
            pixels = {number: one for number, one in found.items() if isinstance(one, list)}
            embedded = self._embedded(list(pixels.values())) if pixels else {}
            rows = [*known, *pixels]
            order = np.argsort(rows, kind="stable")
            return ExtractedBatch(
                [start + rows[one] for one in order.tolist()],
                {spec: _joined(stored, embedded, spec)[order] for spec in self._models if rows},
                {start + number: one for number, one in found.items() if number not in pixels},
            )

        return extract

    def _stored_features(self, digests: Sequence[Any]) -> tuple[list[int], Mapping[str, Features]]:
        """Return the positions of the photos with stored embeddings, and these embeddings.

        ``digests`` are the SHA-256 of the photos; None for an image without one.
        """
        assert self._stored is not None
        keys, features = self._stored.features(self._models, [one for one in digests if one])
        row_of = {key: row for row, key in enumerate(keys)}
        known = {number: row_of[one] for number, one in enumerate(digests) if one in row_of}
        rows = np.array(list(known.values()), np.int64)
        return list(known), {spec: some[rows] for spec, some in features.items()}

    def _embedded(self, pixels: Sequence[list[np.ndarray]]) -> dict[str, Features]:
        """Return the features of images under each spec; ``pixels`` has one array a backbone."""
        found = {}
        for index, (spec, backbone) in enumerate(self.backbones.items()):
            size = backbone.batch
            passes = (
                np.stack([one[index] for one in pixels[begin : begin + size]])
                for begin in range(0, len(pixels), size)
            )
            results = list(overlapped(backbone.submit, passes, backbone.concurrent_passes))
            found[spec] = Features(*(np.concatenate(some) for some in zip(*results, strict=True)))
        return found

    def _prepare(self, image: ImageInput) -> list[np.ndarray] | UnreadableImage:
        """Return the pixels of an image for each backbone."""
        backbones = list(self.backbones.values())
        reduced = allow_reduced_decode(item.spec for item in backbones)
        try:
            with file_errors(), decoding(image, reduced=reduced) as decoder:
                return [item.prepare(decoder) for item in backbones]
        except UnreadableImage as error:
            # A new one: the traceback of the caught one would keep the bytes of the file.
            return UnreadableImage(error.stage, error.reason)


def open_own(model: Model) -> Backbone:
    """Open the backbone of a model without a workspace.

    Raises :class:`BadInput` if its spec has changed, and as :func:`embedkit.load_backbone` does.
    """
    resolved = resolve(model.backbone, (), find=model.find_projection)
    check_spec(model, resolved.spec)
    backbone = open_backbone(resolved, model.find_projection)
    check_spec(model, backbone.spec)
    return backbone


def _digest(image: ImageInput) -> bytes | None:
    """Return the SHA-256 of an image's bytes; None if it has none or they cannot be read."""
    if isinstance(image, bytes):
        return sha256(image).digest()
    if not is_path(image):
        return None
    try:
        with file_errors():
            return file_digest(absolute(image))
    except UnreadableImage:
        return None


def _joined(
    stored: Mapping[str, Features], embedded: Mapping[str, Features], spec: str
) -> Features:
    """Return the stored features under a spec, followed by the computed ones."""
    parts = [some[spec] for some in (stored, embedded) if spec in some]
    return Features(
        np.concatenate([one.vectors for one in parts]), np.concatenate([one.norms for one in parts])
    )
