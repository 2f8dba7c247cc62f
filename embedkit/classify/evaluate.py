"""Evaluate heads of a workspace on the test set, which nothing else uses."""

from collections.abc import Sequence

from embedkit._internal.paths import shown
from embedkit.catalog import Catalog
from embedkit.classify.datasets import load_joint_embeddings, load_test_data
from embedkit.classify.evaluation.evaluation import evaluate
from embedkit.classify.evaluation.inputs import GroundTruth, HeadPredictions
from embedkit.classify.head_checks import check_test_photos
from embedkit.classify.heads.embedding_head import EmbeddingHead
from embedkit.classify.heads.linear import Features
from embedkit.classify.prediction import nearest_photos
from embedkit.classify.stored_photos import StoredPhotos
from embedkit.errors import BadInput
from embedkit.results.evaluation import Evaluation


def evaluate_heads(catalog: Catalog, heads: Sequence[EmbeddingHead]) -> Evaluation:
    """Return the metrics of heads on the test photos that have all embeddings the heads need.

    Raises :class:`BadInput` when the heads have different classes, when
    one was trained or validated on a test photo, or when there is no test set.
    """
    first = heads[0]
    for head in heads:
        if head.classes_ != first.classes_:
            raise BadInput(
                f"{shown(head.name)} and {shown(first.name)} have different classes; train them on "
                "the same split to compare them"
            )
    data = load_test_data(catalog, first.classes_)
    specs = {model.spec.digest for head in heads for model in head.models}
    test = load_joint_embeddings(catalog, specs, data.images)
    for head in heads:
        check_test_photos(head, test.sha256)
    images = test.images
    files = catalog.live_files(images.ids.tolist())
    truth = GroundTruth(
        classes=first.classes_,
        truth=images.labels,
        paths=tuple(files[image_id][0].path for image_id in images.ids.tolist()),
        groups=images.groups,
        left_out=data.split_size - len(images),
    )
    predictions = [_predictions(catalog, head, test.embedded) for head in heads]
    return evaluate(truth, predictions)


def _predictions(
    catalog: Catalog, head: EmbeddingHead, embedded: dict[str, Features]
) -> HeadPredictions:
    probabilities, nearest = head.predict_proba(embedded), head.nearest(embedded)
    rows_of_first, distances_of_first = nearest[0]
    history = head.settings.get("history", ())
    return HeadPredictions(
        head=head.name,
        probabilities=probabilities,
        unknown=head.rejection_scores(embedded, nearest, probabilities).unknown,
        thresholds=head.thresholds,
        history=tuple(epoch["validation_accuracy"] for epoch in history),
        nearest=lambda rows: nearest_photos(
            head, (rows_of_first[rows], distances_of_first[rows]), StoredPhotos(catalog)
        ),
    )
