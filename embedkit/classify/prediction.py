"""Classify new photos: probabilities, rejection of unknown photos, nearest training photos."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import numpy as np

from embedkit._internal.cores import usable_cores
from embedkit.backbones.backbone import Backbone
from embedkit.backbones.preprocess import allow_reduced_decode
from embedkit.catalog import Catalog
from embedkit.classify.heads.head import Embedded, Head, Model, Nearest
from embedkit.classify.heads.linear import Features
from embedkit.errors import UnreadableImage
from embedkit.images.decode import decoding
from embedkit.images.faults import file_errors
from embedkit.images.scan import FoundFile, scan
from embedkit.results import (
    Failure,
    LabelProbability,
    Neighbour,
    Prediction,
    Predictions,
    Progress,
    ProgressCallback,
)

BATCH = 128
"""Photos that are read, embedded and classified together."""

LoadBackbone = Callable[[Model], Backbone]
_Photo = tuple[str, list[np.ndarray]]
"""A path, and the network input for each backbone."""


def classify(
    catalog: Catalog,
    head: Head,
    sources: Sequence[str],
    k: int,
    load: LoadBackbone,
    progress: ProgressCallback,
) -> Predictions:
    """Classify the photos at ``sources``, absolute paths of photos and folders.

    ``k`` is the number of classes in each prediction; ``load`` loads the backbone of a model.
    Photos that cannot be read are returned as failures. Raises :class:`BadInput` for a source that
    does not exist.
    """
    scanned = [item for source in sources for item in scan(source)]
    failures = [item for item in scanned if isinstance(item, Failure)]
    scan_failures = len(failures)
    paths = list(dict.fromkeys(item.path for item in scanned if isinstance(item, FoundFile)))
    models = {model.spec.digest: model for model in head.models}
    backbones = {digest: load(model) for digest, model in models.items()} if paths else {}
    predictions: list[Prediction] = []
    for photos in _batches(paths, list(backbones.values()), failures):
        embedded = {}
        for index, (digest, backbone) in enumerate(backbones.items()):
            fetch = backbone.submit(np.stack([pixels[index] for _, pixels in photos]))
            embedded[digest] = Features(*fetch())
        predictions += _predict(catalog, head, [path for path, _ in photos], embedded, k)
        done = len(predictions) + len(failures) - scan_failures
        progress(Progress("classifying", done, len(paths)))
    return Predictions(head.name, head.thresholds, tuple(predictions), tuple(failures))


def nearest_photos(catalog: Catalog, head: Head, nearest: Nearest) -> list[tuple[Neighbour, ...]]:
    """Return the training photos nearest to each photo, nearest first.

    ``nearest`` are rows of the gallery of the head's first model, with their distances.
    """
    gallery = head.models[0].gallery
    rows, distances = nearest
    path_of = _current_paths(catalog, gallery.sha256[np.unique(rows)])
    return [
        tuple(
            Neighbour(
                path_of.get(gallery.sha256[row].tobytes()),
                head.classes_[gallery.labels[row]],
                float(distance),
            )
            for row, distance in zip(photo_rows, photo_distances, strict=True)
        )
        for photo_rows, photo_distances in zip(rows, distances, strict=True)
    ]


def _current_paths(catalog: Catalog, digests: np.ndarray) -> dict[bytes, str]:
    """Return the path of each image that the workspace still has, by SHA-256."""
    if not catalog.exists:
        return {}
    with catalog.read() as reader:
        ids = reader.images.ids([row.tobytes() for row in digests])
        files = reader.files.of_images(list(ids.values()))
    return {
        digest: files[image_id][0].path for digest, image_id in ids.items() if image_id in files
    }


def _predict(
    catalog: Catalog, head: Head, paths: Sequence[str], embedded: Embedded, k: int
) -> list[Prediction]:
    probabilities = head.predict_proba(embedded)
    nearest = head.nearest(embedded)
    rejection = head.rejection_scores(embedded, nearest, probabilities)
    neighbours = nearest_photos(catalog, head, nearest[0])
    predictions = []
    for row, path in enumerate(paths):
        best = np.argsort(-probabilities[row], kind="stable")[:k]
        predictions.append(
            Prediction(
                path,
                tuple(
                    LabelProbability(head.classes_[number], float(probabilities[row, number]))
                    for number in best.tolist()
                ),
                bool(rejection.unknown[row]),
                float(rejection.ood_scores[row]),
                rejection.deciding_measure(row),
                neighbours[row],
            )
        )
    return predictions


def _batches(
    paths: Sequence[str], backbones: Sequence[Backbone], failures: list[Failure]
) -> Iterator[list[_Photo]]:
    """Yield batches of up to :data:`BATCH` photos; add unreadable ones to ``failures``."""
    reduced = allow_reduced_decode(backbone.spec for backbone in backbones)

    def read(path: str) -> _Photo | Failure:
        try:
            with file_errors(), decoding(path, reduced=reduced) as decoder:
                return path, [backbone.prepare(decoder) for backbone in backbones]
        except UnreadableImage as error:
            return Failure(path, error.stage, error.reason)

    remaining = iter(paths)
    with ThreadPoolExecutor(usable_cores()) as pool:
        while batch := list(islice(remaining, BATCH)):
            results = list(pool.map(read, batch))
            failures += [item for item in results if isinstance(item, Failure)]
            if photos := [item for item in results if not isinstance(item, Failure)]:
                yield photos
