"""Heads put to the test part of the split, which nothing else looks at."""

from collections.abc import Sequence
from pathlib import Path

from embedkit._internal.paths import shown
from embedkit.catalog import Catalog
from embedkit.classify.datasets import embedded_by_all, exam
from embedkit.classify.evaluation.evaluation import evaluate
from embedkit.classify.evaluation.figures import Evaluation
from embedkit.classify.evaluation.inputs import GroundTruth, Predictions
from embedkit.classify.evaluation.tables import write_classes, write_heads, write_predictions
from embedkit.classify.heads.head import Head
from embedkit.classify.heads.linear import Features
from embedkit.classify.leakage import check_unseen
from embedkit.classify.neighbours import nearest_photos
from embedkit.errors import BadInput


def judge(catalog: Catalog, heads: Sequence[Head], tables: Path | None) -> Evaluation:
    """The figures of ``heads`` on the test photos that all of them have an embedding of.

    With ``tables``, a folder, they are written there as CSV: heads, classes, and the predictions of
    each head. Raises :class:`BadInput` when they were taught different classes, when test photos
    taught one of them, or when there is no test part.
    """
    first = heads[0]
    for head in heads:
        if head.classes_ != first.classes_:
            raise BadInput(
                f"{shown(head.name)} and {shown(first.name)} were taught different classes; train "
                "them on one split to compare them"
            )
    asked = exam(catalog, first.classes_)
    specs = {model.spec.digest for head in heads for model in head.models}
    found = embedded_by_all(catalog, specs, asked.images)
    for head in heads:
        check_unseen(head, found.sha256)
    images = found.images
    files = catalog.live_files(images.ids.tolist())
    truth = GroundTruth(
        classes=first.classes_,
        truth=images.labels,
        paths=tuple(files[one][0].path for one in images.ids.tolist()),
        units=images.units,
        left_out=asked.drawn - len(images),
    )
    told = [_told(catalog, head, found.embedded) for head in heads]
    evaluation = evaluate(truth, told)
    if tables is not None:
        write_heads(tables / "heads.csv", evaluation)
        write_classes(tables / "classes.csv", evaluation)
        for item in told:
            write_predictions(tables / f"predictions {item.head}.csv", truth, item)
    return evaluation


def _told(catalog: Catalog, head: Head, embedded: dict[str, Features]) -> Predictions:
    probabilities, nearest = head.predict_proba(embedded), head.nearest(embedded)
    first_rows, first_distances = nearest[0]
    history = head.settings.get("history", ())
    return Predictions(
        head=head.name,
        probabilities=probabilities,
        unknown=head.judge(embedded, nearest, probabilities).unknown,
        thresholds=head.thresholds,
        history=tuple(epoch["validation_accuracy"] for epoch in history),
        nearest=lambda rows: nearest_photos(
            catalog, head, (first_rows[rows], first_distances[rows])
        ),
    )
