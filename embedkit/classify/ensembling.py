"""Several trained heads made one, on what validation says of them."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from embedkit._internal.paths import shown
from embedkit.catalog import Catalog
from embedkit.classify.datasets import embedded_by_all, lesson
from embedkit.classify.head_building import ValidationScores, head_of
from embedkit.classify.heads.ensemble import (
    CALIBRATED,
    GREEDY,
    MEAN,
    METHODS,
    error_overlap,
    select,
)
from embedkit.classify.heads.head import ENSEMBLE, Head
from embedkit.classify.heads.store import check_name, digest_of, save_head
from embedkit.classify.leakage import check_untaught
from embedkit.errors import BadInput


def combine(catalog: Catalog, folder: Path, name: str, heads: Sequence[Head], method: str) -> Head:
    """The ensemble of ``heads``, saved in the ``folder`` of heads as ``name``.

    Raises :class:`BadInput` for what cannot be an ensemble.
    """
    check_name(name)
    if method not in METHODS:
        raise BadInput(f"ensembles are {', '.join(METHODS)}, not {shown(method)!r}")
    if len(heads) < 2:
        raise BadInput("an ensemble needs two heads or more")
    for head in heads:
        if head.kind == ENSEMBLE:
            raise BadInput(f"{shown(head.name)} is an ensemble itself; name its members instead")
        if head.classes_ != heads[0].classes_:
            raise BadInput(
                f"{shown(head.name)} and {shown(heads[0].name)} were taught different classes; "
                "train them on one split"
            )
    learnt = lesson(catalog)
    if learnt.classes != heads[0].classes_:
        raise BadInput(
            "the split's classes are no longer those of the heads; train them again first"
        )
    specs = {model.spec.digest for head in heads for model in head.models}
    found = embedded_by_all(catalog, specs, learnt.val)
    for head in heads:
        check_untaught(head, found.sha256)
    embedded, labels = found.embedded, found.images.labels

    as_they_go_in = MEAN if method == MEAN else CALIBRATED
    members = [head.models[0] for head in heads]
    told = [model.probabilities(model.scores(embedded), as_they_go_in) for model in members]
    names = [head.name for head in heads]
    steps = select(names, told, labels, until_none_helps=method == GREEDY)
    added = {step.member for step in steps}
    chosen = [place for place, head in enumerate(heads) if head.name in added]
    settings = {
        "method": method,
        "members": [
            {"name": names[place], "digest": digest_of(folder, names[place])} for place in chosen
        ],
        "selection": [asdict(step) for step in steps],
        "candidates": names,
        "error_overlap": error_overlap(told, labels),
    }
    models = [members[place] for place in chosen]
    validation = [
        ValidationScores(
            told[place],
            *model.distances(embedded[model.spec.digest], model.nearest(embedded)),
        )
        for place, model in zip(chosen, models, strict=True)
    ]
    made = head_of(name, ENSEMBLE, models, validation, labels, settings, as_they_go_in)
    save_head(folder, made)
    return made
