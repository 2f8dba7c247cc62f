"""Predictions of a head for every image of a store, from the stored embeddings.

The predictions are a Lance dataset beside the others, which is replaced whole.
"""

from collections import Counter

import numpy as np
import pyarrow as pa

from embedkit._internal.paths import as_argument
from embedkit.classify.heads.embedding_head import EmbeddingHead
from embedkit.classify.heads.linear import Features
from embedkit.cluster.store import StoreContent, common_rows
from embedkit.cluster.tables import SHA256, Dataset
from embedkit.cluster.workers import Workers
from embedkit.errors import BadInput
from embedkit.results import Progress, ProgressCallback, StorePredictions

BLOCK_IMAGES = 16_384
"""Images that a worker classifies at once."""
CLASSES = 3
"""Number of the most probable classes that are stored for each image."""
PREDICTIONS = pa.schema(
    [
        SHA256,
        ("label", pa.string()),  # the most probable class
        ("probability", pa.float64()),
        ("labels", pa.list_(pa.string())),  # the most probable classes, in this order
        ("probabilities", pa.list_(pa.float64())),
        ("unknown", pa.bool_()),
        ("ood_score", pa.float64()),
        ("unknown_by", pa.string()),  # the measure that makes the image unknown
    ]
)


def predictions_of(store: StoreContent, head: str) -> Dataset:
    """Return the dataset of the predictions of a head, by its name."""
    return store.dataset(store.location / f"predictions-{head}.lance", PREDICTIONS)


def classify_store(
    store: StoreContent, head: EmbeddingHead, workers: Workers, progress: ProgressCallback
) -> StorePredictions:
    """Classify every image that has the embeddings of all models of a head.

    The caller holds the lease of the store. Raises :class:`BadInput` when no image has them.
    """
    specs = {model.spec.digest: model for model in head.models}
    known = {item.spec.digest for item in store.backbones()}
    for digest, model in specs.items():
        if digest not in known:
            raise BadInput(
                f"the head {head.name} uses embeddings of {model.backbone} that the store does not "
                f"have; run 'embedkit add PHOTOS --store {store.argument} -b "
                f"{as_argument(model.backbone)}'. A "
                "fine-tuned head has embeddings of its own and classifies photos in a workspace"
            )
    progress(Progress("reading the store"))
    rows = common_rows([store.embeddings(model.spec) for model in specs.values()])
    if not rows.num_rows:
        raise BadInput(f"{store.location} has no image with all embeddings of {head.name}")
    target = predictions_of(store, head.name)
    fragments: list[str] = []
    counts: Counter[str] = Counter()
    unknown = done = 0
    blocks = (
        rows.slice(start, BLOCK_IMAGES).combine_chunks()
        for start in range(0, rows.num_rows, BLOCK_IMAGES)
    )
    for written in workers.map_blocks(_Classifier, (store.location.place, head), blocks):
        fragments += written["fragments"]
        counts.update(dict(written["counts"]))
        unknown += written["unknown"]
        done += written["images"]
        progress(Progress("classifying", done, rows.num_rows))
    target.replace(fragments)
    target.tidy()  # of earlier predictions, and of runs that were killed
    return StorePredictions(
        head=head.name,
        dataset=target.location.place,
        images=done,
        without_embedding=max(0, store.images.count() - done),
        unknown=unknown,
        labels={name: counts[name] for name in head.classes_},
    )


class _Classifier:
    """The worker: classifies blocks of images, given by the rows of their embeddings."""

    def __init__(self, place: str, head: EmbeddingHead) -> None:
        self._store = StoreContent(place)
        self._head = head

    def __call__(self, rows: pa.Table) -> pa.Table:
        embedded, sha256 = {}, None
        specs = {model.spec.digest: model.spec for model in self._head.models}
        for spec, column in zip(specs.values(), rows.column_names, strict=True):
            found = self._store.embeddings(spec).take(rows[column].to_numpy())
            vectors = np.asarray(found["vector"].combine_chunks().flatten(), np.float32)
            embedded[spec.digest] = Features(
                vectors.reshape(len(found), spec.dim), found["norm"].to_numpy()
            )
            sha256 = found["sha256"]
        probabilities = self._head.predict_proba(embedded)
        rejection = self._head.rejection_scores(
            embedded, self._head.nearest(embedded), probabilities
        )
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, :CLASSES]
        names = np.array(self._head.classes_, object)[best]
        likely = np.take_along_axis(probabilities, best, axis=1)
        table = pa.Table.from_arrays(
            [
                sha256,
                pa.array(names[:, 0], pa.string()),
                pa.array(likely[:, 0]),
                pa.array(names.tolist(), pa.list_(pa.string())),
                pa.array(likely.tolist(), pa.list_(pa.float64())),
                pa.array(rejection.unknown),
                pa.array(rejection.ood_scores),
                pa.array(
                    [rejection.deciding_measure(row) for row in range(len(best))], pa.string()
                ),
            ],
            schema=PREDICTIONS,
        )
        fragments = predictions_of(self._store, self._head.name).write_fragments(
            table, replacing=True
        )
        result = {
            "fragments": fragments,
            "counts": list(Counter(names[:, 0].tolist()).items()),
            "unknown": int(rejection.unknown.sum()),
            "images": len(best),
        }
        return pa.Table.from_pylist([result], _RESULT)


_RESULT = pa.schema(
    [
        ("fragments", pa.list_(pa.string())),
        ("counts", pa.map_(pa.string(), pa.int64())),
        ("unknown", pa.int64()),
        ("images", pa.int64()),
    ]
)
