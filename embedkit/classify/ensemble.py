"""Build an ensemble of heads, with members selected on the validation set."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from embedkit._internal.paths import shown
from embedkit.catalog import Catalog
from embedkit.classify.datasets import load_joint_embeddings, load_training_data
from embedkit.classify.head_building import ValidationScores, build_head
from embedkit.classify.head_checks import check_validation_photos
from embedkit.classify.heads.embedding_head import ENSEMBLE, EmbeddingHead
from embedkit.classify.heads.ensemble import (
    CALIBRATED,
    GREEDY,
    MEAN,
    METHODS,
    error_overlap,
    select_members,
)
from embedkit.classify.heads.store import check_name, digest_of, save_head
from embedkit.errors import BadInput


def build_ensemble(
    catalog: Catalog, folder: Path, name: str, heads: Sequence[EmbeddingHead], method: str
) -> EmbeddingHead:
    """Build the ensemble of ``heads`` and save it as ``name`` in the ``folder`` of heads.

    Raises :class:`BadInput` for an unknown method, and for heads that cannot be combined.
    """
    check_name(name)
    if method not in METHODS:
        raise BadInput(f"unknown method {shown(method)!r}; use {', '.join(METHODS)}")
    if len(heads) < 2:
        raise BadInput("an ensemble needs two heads or more")
    for head in heads:
        if head.kind == ENSEMBLE:
            raise BadInput(f"{shown(head.name)} is an ensemble itself; name its members instead")
        if head.classes_ != heads[0].classes_:
            raise BadInput(
                f"{shown(head.name)} and {shown(heads[0].name)} have different classes; train them "
                "on the same split"
            )
    data = load_training_data(catalog)
    if data.classes != heads[0].classes_:
        raise BadInput(
            "the classes of the split are no longer those of the heads; train the heads again"
        )
    specs = {model.spec.digest for head in heads for model in head.models}
    val = load_joint_embeddings(catalog, specs, data.val)
    for head in heads:
        check_validation_photos(head, val.sha256)
    embedded, labels = val.embedded, val.images.labels

    member_method = MEAN if method == MEAN else CALIBRATED
    members = [head.models[0] for head in heads]
    probabilities = [
        model.probabilities(model.scores(embedded), member_method) for model in members
    ]
    names = [head.name for head in heads]
    steps = select_members(names, probabilities, labels, stop_early=method == GREEDY)
    added = {step.member for step in steps}
    selected = [index for index, head in enumerate(heads) if head.name in added]
    settings = {
        "method": method,
        "members": [
            {"name": names[index], "digest": digest_of(folder, names[index])} for index in selected
        ],
        "selection": [asdict(step) for step in steps],
        "candidates": names,
        "error_overlap": error_overlap(probabilities, labels),
    }
    models = [members[index] for index in selected]
    validation = [
        ValidationScores(
            probabilities[index],
            *model.distance_measures(embedded[model.spec.digest], model.nearest(embedded)),
        )
        for index, model in zip(selected, models, strict=True)
    ]
    ensemble = build_head(name, ENSEMBLE, models, validation, labels, settings, member_method)
    save_head(folder, ensemble)
    return ensemble
