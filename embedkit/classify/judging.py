"""Heads put to the test part of the split, which nothing else looks at."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from embedkit.catalog import Catalog
from embedkit.classify.lesson import embedded_part, exam
from embedkit.classify.reasons import nearest_photos
from embedkit.errors import BadInput
from embedkit.evaluate.evaluation import evaluate
from embedkit.evaluate.figures import Evaluation
from embedkit.evaluate.inputs import GroundTruth, Predictions
from embedkit.evaluate.tables import write_classes, write_heads, write_predictions
from embedkit.heads.head import Head
from embedkit.heads.linear import Features
from embedkit.paths import shown


def judge(catalog: Catalog, heads: Sequence[Head], tables: Path | None) -> Evaluation:
    """The figures of ``heads`` on the test photos that all of them have an embedding of.

    With ``tables``, a folder, they are written there as CSV: heads, classes, and the predictions of
    each head. Raises :class:`BadInput` when they were taught different classes, or there is no test
    part.
    """
    first = heads[0]
    for head in heads:
        if head.classes_ != first.classes_:
            raise BadInput(
                f"{shown(head.name)} and {shown(first.name)} were taught different classes; train "
                "them on one split to compare them"
            )
    images, units = exam(catalog, first.classes_)
    specs = {model.spec.digest for head in heads for model in head.models}
    found = {spec: embedded_part(catalog, spec, images) for spec in specs}
    there = np.ones(len(images), bool)
    for some in found.values():
        there &= np.isin(images.ids, some.ids)
    kept = images[there]
    embedded = {spec: some.features[np.isin(some.ids, kept.ids)] for spec, some in found.items()}
    files = catalog.live_files(kept.ids.tolist())
    truth = GroundTruth(
        classes=first.classes_,
        truth=kept.labels,
        paths=tuple(files[one][0].path for one in kept.ids.tolist()),
        units=units[there],
    )
    told = [_told(catalog, head, embedded) for head in heads]
    evaluation = evaluate(truth, told)
    if tables is not None:
        write_heads(tables / "heads.csv", evaluation)
        write_classes(tables / "classes.csv", evaluation)
        for item in told:
            write_predictions(tables / f"predictions {item.head}.csv", truth, item)
    return evaluation


def _told(catalog: Catalog, head: Head, embedded: dict[str, Features]) -> Predictions:
    vectors = embedded[head.models[0].spec.digest].vectors
    history = head.settings.get("history", ())
    return Predictions(
        head=head.name,
        probabilities=head.predict_proba(embedded),
        history=tuple(epoch["validation_accuracy"] for epoch in history),
        nearest=lambda rows: nearest_photos(catalog, head, vectors[rows]),
    )
