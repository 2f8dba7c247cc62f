"""Build the network of a backbone name with its weights. Imports torch."""

import logging
from collections.abc import Sequence
from typing import Any

import torch

from embedkit._internal.artifacts import sha256_of
from embedkit._internal.paths import size_and_mtime
from embedkit._internal.text import one_line
from embedkit.backbones import registry, weights
from embedkit.backbones.local import model_file, network_of
from embedkit.backbones.network import Network, Preprocessing
from embedkit.backbones.providers import environment_digest
from embedkit.backbones.registered import require
from embedkit.backbones.registry import BackboneName
from embedkit.errors import BadArtefact, UnknownBackbone
from embedkit.results import EmbeddingSpec, ResolvedName

logger = logging.getLogger(__name__)


def load_network(text: str) -> tuple[Network, ResolvedName]:
    """Build the network of a backbone name with its weights.

    Raises as :func:`embedkit.load_backbone` does, and :class:`BadInput` for a registered backbone
    or model file that is not a torch module.
    """
    name = registry.parse(text)
    model = require(text) if name.provider == registry.REGISTERED else model_file(name)
    if model is not None:
        return model.network(text), model.resolved(name)
    manifest: dict[str, Any] = {}
    if name.provider == "local":
        name, manifest = network_of(name)
    builder = _builder(name)
    builder.check(name.id)
    size = name.size or (name.known.size if name.known else None) or manifest.get("size")
    preprocessing: Preprocessing = builder.preprocessing(name.id, size)
    pool = name.pool or "native"
    found = weights.find(name, builder.hub_file(name.id))
    file = found.path
    network: Network = builder.build(name.id, size, pool)
    builder.load(network, found)

    status = file.stat()
    spec = EmbeddingSpec(
        architecture=network.architecture,
        weights=sha256_of(file),
        dim=_measured_dim(network, preprocessing.size, name),
        size=preprocessing.size,
        resize=name.resize or manifest.get("resize", preprocessing.resize),
        crop=float(manifest.get("crop", preprocessing.crop)),
        interpolation=manifest.get("interpolation", preprocessing.interpolation),
        mean=_three(manifest.get("mean", preprocessing.mean)),
        std=_three(manifest.get("std", preprocessing.std)),
        pool=pool,
        precision=name.precision,
    )
    if manifest.get("sha256", spec.weights) != spec.weights:
        raise BadArtefact(f"{file} is not the file that its {registry.MANIFEST} describes")
    resolved = ResolvedName(
        text, spec, str(file), *size_and_mtime(status), environment_digest(text)
    )
    logger.debug("%s: weights %s", text, file)
    return network, resolved


def _builder(name: BackboneName) -> Any:
    """Return the module or object with the functions that build and load a network."""
    if name.provider == registry.REGISTERED:
        from embedkit.backbones.module_engine import ModuleBuilder

        return ModuleBuilder(require(name.id))
    if name.provider == "open_clip":
        from embedkit.backbones import open_clip_networks

        return open_clip_networks
    from embedkit.backbones import timm_networks

    return timm_networks


def _measured_dim(network: Network, size: int, name: BackboneName) -> int:
    try:
        with torch.inference_mode():
            output = network.module(torch.zeros(1, 3, size, size))
    except (AssertionError, RuntimeError) as error:
        raise UnknownBackbone(
            f"{name.text} cannot take {size} x {size} pixels: {one_line(error)}"
        ) from error
    if output.ndim != 2:
        raise UnknownBackbone(
            f"{name.text} returns shape {tuple(output.shape)}, not one vector per image"
        )
    return int(output.shape[1])


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
