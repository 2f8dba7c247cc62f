"""The features of images that a head needs, computed by its backbones or read from the catalog."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice

import numpy as np

from embedkit._internal.cores import usable_cores
from embedkit._internal.paths import absolute
from embedkit.backbones import open_backbone
from embedkit.backbones.backbone import Backbone
from embedkit.backbones.preprocess import allow_reduced_decode
from embedkit.classify.head_checks import check_spec
from embedkit.classify.heads.embedding_head import Embedded, Model
from embedkit.classify.heads.linear import Features
from embedkit.classify.stored_photos import StoredPhotos
from embedkit.errors import UnreadableImage
from embedkit.images.decode import ImageInput, decoding, is_path, read_bytes
from embedkit.images.faults import file_errors
from embedkit.ingest.network import resolve

BATCH = 128
"""Images that are read and embedded together."""

OpenBackbone = Callable[[Model], Backbone]


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
        if not self._opened:
            self._opened = {spec: self._open_model(one) for spec, one in self._models.items()}
        return self._opened

    def batches(self, images: Iterable[ImageInput]) -> Iterator[ExtractedBatch]:
        """Yield the features of images in batches.

        The next batch is read while the networks compute the last one.
        """
        pending: deque[Callable[[], ExtractedBatch]] = deque()
        remaining, start = iter(images), 0
        with ThreadPoolExecutor(usable_cores()) as pool:
            while batch := list(islice(remaining, BATCH)):
                # A pool only delays a single image.
                run = map if len(batch) == 1 else pool.map
                pending.append(self._submit(batch, start, run))
                start += len(batch)
                if len(pending) > 1:
                    yield pending.popleft()()
        while pending:
            yield pending.popleft()()

    def _submit(
        self, batch: Sequence[ImageInput], start: int, run: Callable[..., Iterable[object]]
    ) -> Callable[[], ExtractedBatch]:
        """Read a batch and start the forward passes; return a function that waits for them."""
        known, stored = self._stored_features(batch, run)
        new = [number for number in range(len(batch)) if number not in known]
        read = list(run(self._prepare, [batch[number] for number in new]))
        unreadable = {
            start + number: found
            for number, found in zip(new, read, strict=True)
            if isinstance(found, UnreadableImage)
        }
        pixels = [found for found in read if isinstance(found, list)]
        readable = [number for number in new if start + number not in unreadable]
        fetches = {}
        if pixels:
            for index, (spec, backbone) in enumerate(self.backbones.items()):
                fetches[spec] = backbone.submit(np.stack([one[index] for one in pixels]))

        def fetch() -> ExtractedBatch:
            embedded = {spec: Features(*wait()) for spec, wait in fetches.items()}
            rows = [*known, *readable]
            order = np.argsort(rows, kind="stable")
            return ExtractedBatch(
                [start + rows[one] for one in order.tolist()],
                {spec: _joined(stored, embedded, spec)[order] for spec in self._models}
                if rows
                else {},
                unreadable,
            )

        return fetch

    def _stored_features(
        self, batch: Sequence[ImageInput], run: Callable[..., Iterable[object]]
    ) -> tuple[list[int], Mapping[str, Features]]:
        """Return the positions of the photos with stored embeddings, and these embeddings."""
        if self._stored is None:
            return [], {}
        digests = list(run(_digest, batch))
        wanted = [one for one in digests if isinstance(one, bytes)]
        keys, features = self._stored.features(self._models, wanted)
        row_of = {key: row for row, key in enumerate(keys)}
        known = {
            number: row_of[one]
            for number, one in enumerate(digests)
            if isinstance(one, bytes) and one in row_of
        }
        rows = np.array(list(known.values()), np.int64)
        return list(known), {spec: some[rows] for spec, some in features.items()}

    def _prepare(self, image: ImageInput) -> list[np.ndarray] | UnreadableImage:
        """Return the pixels of an image for each backbone."""
        backbones = list(self.backbones.values())
        reduced = allow_reduced_decode(item.spec for item in backbones)
        try:
            with file_errors(), decoding(image, reduced=reduced) as decoder:
                return [item.prepare(decoder) for item in backbones]
        except UnreadableImage as error:
            return error


def open_own(model: Model) -> Backbone:
    """Open the backbone of a model without a workspace.

    Raises :class:`BadInput` if its spec has changed, and as :func:`embedkit.load_backbone` does.
    """
    resolved = resolve(model.backbone, ())
    check_spec(model, resolved.spec)
    backbone = open_backbone(resolved)
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
            return sha256(read_bytes(absolute(image))).digest()
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
