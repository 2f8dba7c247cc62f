"""Predictions for images from their features: classes, rejection, nearest training photos."""

from collections.abc import Sequence

import numpy as np

from embedkit.classify.heads.embedding_head import Embedded, EmbeddingHead, Nearest
from embedkit.classify.stored_photos import StoredPhotos
from embedkit.results import LabelProbability, Neighbour, Prediction


def predict(
    head: EmbeddingHead,
    embedded: Embedded,
    paths: Sequence[str | None],
    k: int,
    stored: StoredPhotos | None,
) -> list[Prediction]:
    """Return the prediction for each of N images.

    ``embedded`` are their features and ``paths`` their paths, if they have one. A prediction has
    ``k`` classes. ``stored`` knows the current paths of the training photos.
    """
    probabilities = head.predict_proba(embedded)
    nearest = head.nearest(embedded)
    rejection = head.rejection_scores(embedded, nearest, probabilities)
    neighbours = nearest_photos(head, nearest[0], stored)
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


def nearest_photos(
    head: EmbeddingHead, nearest: Nearest, stored: StoredPhotos | None
) -> list[tuple[Neighbour, ...]]:
    """Return the training photos nearest to each image, nearest first.

    ``nearest`` are rows of the gallery of the head's first model, with their distances.
    """
    gallery = head.models[0].gallery
    rows, distances = nearest
    digests = {row: gallery.sha256[row].tobytes() for row in np.unique(rows).tolist()}
    path_of = {} if stored is None else stored.paths(digests.values())
    return [
        tuple(
            Neighbour(
                path_of.get(digests[row]),
                digests[row].hex(),
                head.classes_[gallery.labels[row]],
                float(distance),
            )
            for row, distance in zip(of_image.tolist(), far, strict=True)
        )
        for of_image, far in zip(rows, distances, strict=True)
    ]
