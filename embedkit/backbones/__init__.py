"""Names to networks: the registry, the weights, the preprocessing, the forward pass.

Reading names, specs and the table of known backbones is light, and so is :func:`open_backbone` of
a network that was converted before; :func:`load_backbone` imports torch.
"""

import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from embedkit._internal.paths import absolute, stamp
from embedkit.backbones import registry
from embedkit.results import PIPELINE_VERSION, ResolvedName

if TYPE_CHECKING:
    from embedkit.backbones.backbone import Backbone


def load_backbone(name: str = registry.DEFAULT) -> "Backbone":
    """The backbone called ``name``, with its weights loaded, on the best device there is.

    ``name`` is a known name (``embedkit backbones`` lists them), ``timm/<model[.tag]>``,
    ``open_clip/<arch>/<pretrained>`` or ``local/<folder>``, with overrides as in
    ``resnet50?weights=FILE&size=448&resize=pad&pool=gem``. Weights are taken from the given file
    only, if one is given; else from an installed package, the hub's cache, or the hub.

    Raises :class:`UnknownBackbone` for a name that cannot be built, :class:`WeightsMissing` when
    no weights are found and :class:`BadWeights` when they do not fit.
    """
    from embedkit.backbones import weights

    weights.given(registry.parse(name))  # refuse what is none before torch is imported
    from embedkit.backbones.backbone import Backbone
    from embedkit.backbones.choice import open_converted, remembered
    from embedkit.backbones.loading import load_network
    from embedkit.backbones.torch_runtime import CHANNELS_LAST, EAGER, TorchRuntime

    network, resolved = load_network(name)
    runtime = open_converted(resolved.spec)
    if runtime is None:
        eager = remembered(resolved.spec) == EAGER
        runtime = TorchRuntime(network, resolved.spec, EAGER if eager else CHANNELS_LAST)
    return Backbone(resolved, runtime, network)


def open_backbone(resolved: ResolvedName) -> "Backbone":
    """The backbone that a name was resolved to, without torch where it was converted before.

    Falls back on :func:`load_backbone`, and raises as it does; the caller compares the specs, for
    the weights may have changed.
    """
    from embedkit.backbones.backbone import Backbone
    from embedkit.backbones.choice import open_converted

    runtime = open_converted(resolved.spec) if is_current(resolved) else None
    return Backbone(resolved, runtime) if runtime is not None else load_backbone(resolved.name)


def last_resolved(name: str) -> ResolvedName | None:
    """What a name stands for, if its network was converted here and nothing changed since."""
    from embedkit.backbones import resolutions

    resolved = resolutions.noted(name)
    return resolved if resolved is not None and is_current(resolved) else None


def is_current(resolved: ResolvedName) -> bool:
    """Whether what a name was resolved from is still there, unchanged."""
    # What an earlier version of the pipeline noted is good: its specs are upgraded when read.
    versions = range(PIPELINE_VERSION, 0, -1)
    if all(resolved.evidence != evidence(resolved.name, version) for version in versions):
        return False
    try:
        status = os.stat(resolved.weights_path)
    except OSError:
        return False
    return stamp(status) == (
        resolved.weights_bytes,
        resolved.weights_mtime_ns,
    )


def evidence(name: str, pipeline: int = PIPELINE_VERSION) -> str:
    """Digest of all but the weights file that decides what a backbone name stands for.

    That is the version of our own ``pipeline``, of the providers, what our table says of the name,
    and the manifest of a local backbone.
    """
    from importlib.metadata import version

    parsed = registry.parse(name)
    known = [str(pipeline), version("timm"), version("open_clip_torch"), repr(parsed)]
    if parsed.provider == "local":
        manifest = Path(absolute(parsed.id)) / registry.MANIFEST
        known.append(manifest.read_text("utf-8", "replace") if manifest.is_file() else "")
    return sha256("\n".join(known).encode("utf-8", "replace")).hexdigest()[:16]
