"""The backbone of a head's model, as long as it is the one that the head was trained on."""

from embedkit._internal.paths import shown
from embedkit.classify.heads.head import Model
from embedkit.errors import BadInput
from embedkit.results import ResolvedName
from embedkit.search.embedding_store import EmbeddingStore


def backbone_of(model: Model, embeddings: EmbeddingStore) -> ResolvedName:
    """What embeds photos for a head's model; raises :class:`BadInput` when that has changed."""
    resolved = embeddings.resolve(model.backbone)
    if resolved.spec != model.spec:
        raise BadInput(
            f"the head was trained on embeddings of {shown(model.backbone)} with the spec "
            f"{model.spec.digest}, and that is {resolved.spec.digest} by now: its weights or "
            "settings have changed; train the head again"
        )
    return resolved
