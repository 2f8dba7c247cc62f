"""Names to networks: the registry, the weights, the preprocessing, the forward pass.

Reading names, specs and the table of known backbones is light; :func:`load_backbone` imports torch.
"""

import os
from typing import TYPE_CHECKING

from embedkit.records import ResolvedName

if TYPE_CHECKING:
    from embedkit.backbones.backbone import Backbone


def load_backbone(name: str = "efficientnet_lite0") -> "Backbone":
    """The backbone called ``name``, with its weights loaded, on the best device there is.

    ``name`` is a known name (``embedkit backbones`` lists them), ``timm/<model[.tag]>``,
    ``open_clip/<arch>/<pretrained>`` or ``local/<folder>``, with overrides as in
    ``resnet50?weights=FILE&size=448&resize=pad&pool=gem``. Weights are taken from the given file
    only, if one is given; else from an installed package, the hub's cache, or the hub.

    Raises :class:`UnknownBackbone` for a name that cannot be built, :class:`WeightsMissing` when
    no weights are found and :class:`BadWeights` when they do not fit.
    """
    from embedkit.backbones.backbone import load

    return load(name)


def is_current(resolved: ResolvedName) -> bool:
    """Whether the weights file that a name was resolved to is still there, unchanged."""
    try:
        status = os.stat(resolved.weights_path)
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (
        resolved.weights_bytes,
        resolved.weights_mtime_ns,
    )
