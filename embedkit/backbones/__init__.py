"""Backbones: names, weights, preprocessing and the networks that embed images.

Parsing names, reading specs and listing the known backbones import nothing heavy. Neither does
:func:`open_backbone` for a network that was converted before. :func:`load_backbone` imports torch,
except for registered functions and model files.
"""

from typing import TYPE_CHECKING

from embedkit.backbones import registry
from embedkit.results import Progress, ResolvedName

if TYPE_CHECKING:
    from embedkit.backbones.backbone import Backbone
    from embedkit.backbones.preprocess import Prepare
    from embedkit.backbones.projection import FindProjection
    from embedkit.backbones.providers import Provider


LOADING = Progress("loading the network")
"""The progress to report before a network is loaded."""


def load_backbone(name: str = registry.DEFAULT) -> "Backbone":
    """Load a backbone with its weights on the best device available.

    Parameters
    ----------
    name : str
        A known name (``embedkit backbones`` lists them), ``timm/<model[.tag]>``,
        ``open_clip/<arch>/<pretrained>``, ``local/<folder>``, or a name passed to
        :func:`embedkit.register_backbone`, with overrides as in
        ``resnet50?weights=FILE&size=448&resize=pad&pool=gem``. Weights come from the file in the
        name, if it has one; otherwise from an installed package, the hub's cache, or the hub.
        ``dtype=float16`` rounds the embeddings. ``dims=N`` needs a projection, which belongs to a
        workspace or a store.

    Returns
    -------
    Backbone
        ``embed(images)`` returns float32 embeddings (N, dim), L2-normalised.

    Raises
    ------
    UnknownBackbone
        When the name cannot be built.
    WeightsMissing
        When no weights are found.
    BadWeights
        When the weights do not fit the network.
    BadInput
        When the name has ``dims=``.
    """
    return load_with_projection(name)


def load_with_projection(name: str, find: "FindProjection | None" = None) -> "Backbone":
    """Load a backbone as :func:`load_backbone` does; ``find`` finds the projection of ``dims=``."""
    from embedkit.backbones.reduced import ReducedBackbone, not_fitted, reduced

    network = registry.network_name(name)
    if network == name:
        return provider_of(name).load(name)
    if find is None and registry.parse(name).dims is not None:
        raise not_fitted(name)
    backbone = provider_of(network).load(network)
    resolved, projection = reduced(name, backbone.resolved, find)
    return ReducedBackbone(resolved, backbone, projection)


def open_backbone(resolved: ResolvedName, find: "FindProjection | None" = None) -> "Backbone":
    """Open a resolved backbone, without torch if its network was converted before.

    Falls back on :func:`load_backbone` and raises as it does. The caller compares the specs: the
    weights may have changed. ``find`` finds the projection of a backbone with ``dims=`` in a
    workspace or store; raises :class:`BadArtefact` if it is not there.
    """
    from embedkit.backbones.projection import projection_of
    from embedkit.backbones.reduced import ReducedBackbone, network_of

    network = network_of(resolved)
    if network == resolved:
        return provider_of(resolved.name).open(resolved)
    projection = projection_of(resolved, find)
    return ReducedBackbone(resolved, provider_of(network.name).open(network), projection)


def last_resolved(name: str) -> ResolvedName | None:
    """Return the resolved backbone of a name without loading a network; None if impossible."""
    return provider_of(name).last_resolved(name)


def is_current(resolved: ResolvedName) -> bool:
    """Return whether a resolved backbone is current, without loading its network."""
    from embedkit.backbones.reduced import network_of

    network = network_of(resolved)
    return provider_of(network.name).is_current(network)


def prepare_function(resolved: ResolvedName) -> "Prepare":
    """Return the function that prepares an image for the network. Does not open the network.

    Raises :class:`UnknownBackbone` for a registered backbone that is not registered here.
    """
    return provider_of(resolved.name).prepare_function(resolved)


def provider_of(name: str) -> "Provider":
    """Return the provider of a backbone name. Raises as :func:`registry.parse_syntax` does."""
    from embedkit.backbones.providers import PublishedNetworks, RegisteredModels

    is_registered = registry.parse_syntax(name).provider == registry.REGISTERED
    return RegisteredModels() if is_registered else PublishedNetworks()
