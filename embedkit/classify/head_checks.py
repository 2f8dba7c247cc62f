"""Checks that a head matches the workspace: the same embeddings, and no leaks between sets."""

import numpy as np

from embedkit._internal.paths import shown
from embedkit.classify.heads.embedding_head import EmbeddingHead, Model
from embedkit.errors import BadInput
from embedkit.results import EmbeddingSpec, ResolvedName
from embedkit.search.embedding_store import EmbeddingStore


def backbone_of(model: Model, embeddings: EmbeddingStore) -> ResolvedName:
    """Return the backbone of a model, whose projection the workspace then has.

    Raises :class:`BadInput` if its spec has changed.
    """
    if model.projection is not None:
        embeddings.projections.add(model.projection)
    resolved = embeddings.resolve(model.backbone)
    check_spec(model, resolved.spec)
    return resolved


def check_spec(model: Model, spec: EmbeddingSpec) -> None:
    """Raise :class:`BadInput` if ``spec``, that of a model's backbone now, has changed."""
    if spec != model.spec:
        raise BadInput(
            f"the head was trained on embeddings of {shown(model.backbone)} with the spec "
            f"{model.spec.digest}, and the spec is now {spec.digest} because its weights or "
            "settings changed; train the head again"
        )


def check_test_photos(head: EmbeddingHead, sha256: np.ndarray) -> None:
    """Raise :class:`BadInput` when a head was fitted or selected on one of the test photos.

    ``sha256`` are the digests of the test photos: uint8 (N, 32).
    """
    used = [digests for model in head.models for digests in (model.fitted_on, model.selected_on)]
    count = _count_used(sha256, used)
    if count:
        raise BadInput(
            f"{shown(head.name)} was trained or validated on {count} of {len(sha256)} test photos, "
            "because the split has changed since; train it again"
        )


def check_validation_photos(head: EmbeddingHead, sha256: np.ndarray) -> None:
    """Raise :class:`BadInput` when a head was fitted on one of the validation photos.

    Its probabilities for photos that it was fitted on cannot be used to select ensemble members.
    """
    count = _count_used(sha256, [model.fitted_on for model in head.models])
    if count:
        raise BadInput(
            f"{shown(head.name)} was trained on {count} of {len(sha256)} validation photos, so it "
            "cannot be a member of an ensemble: the split has changed since, or its preset refits "
            "on the validation set; train it again with the default preset"
        )


def _count_used(sha256: np.ndarray, used: list[np.ndarray]) -> int:
    """Return how many of the photos are among the used ones."""
    used_digests = {row.tobytes() for digests in used for row in digests}
    return sum(row.tobytes() in used_digests for row in sha256)
