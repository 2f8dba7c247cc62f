"""Build the network of a backbone name with its weights. Imports torch."""

from collections.abc import Sequence
from typing import Any

import torch

from embedkit._internal.artifacts import sha256_of
from embedkit._internal.paths import size_and_mtime
from embedkit.backbones import registry, weights
from embedkit.backbones.local import model_file, network_of
from embedkit.backbones.network import Network, Preprocessing
from embedkit.backbones.providers import environment_digest
from embedkit.backbones.registered import require
from embedkit.backbones.registry import BackboneName
from embedkit.errors import BadArtefact, UnknownBackbone
from embedkit.results import EmbeddingSpec, ResolvedName


def load_network(text: str) -> tuple[Network, ResolvedName]:
    """Build the network of a backbone name with its weights.

    Raises as :func:`embedkit.load_backbone` does, and :class:`BadInput` for a registered backbone
    or model file that is not a torch module.
    """
    name = registry.parse(text)
    if name.provider == registry.REGISTERED:
        own = require(text)
        return own.network(text), own.resolved(name)
    if (own_file := model_file(name)) is not None:
        return own_file.network(text), own_file.resolved(name)
    wanted: dict[str, Any] = {}
    if name.provider == "local":
        name, wanted = network_of(name)
    provider = _provider(name)
    provider.check(name.id)
    size = name.size or (name.known.size if name.known else None) or wanted.get("size")
    preprocessing: Preprocessing = provider.preprocessing(name.id, size)
    pool = name.pool or "native"
    found = weights.find(name, provider.hub_file(name.id))
    file = found.path
    network: Network = provider.build(name.id, size, pool)
    provider.load(network, found)

    status = file.stat()
    spec = EmbeddingSpec(
        architecture=network.architecture,
        weights=sha256_of(file),
        dim=_dim(network, preprocessing.size, name),
        size=preprocessing.size,
        resize=name.resize or wanted.get("resize", preprocessing.resize),
        crop=float(wanted.get("crop", preprocessing.crop)),
        interpolation=wanted.get("interpolation", preprocessing.interpolation),
        mean=_three(wanted.get("mean", preprocessing.mean)),
        std=_three(wanted.get("std", preprocessing.std)),
        pool=pool,
        precision=name.precision,
    )
    if wanted.get("sha256", spec.weights) != spec.weights:
        raise BadArtefact(f"{file} is not the file that its {registry.MANIFEST} describes")
    resolved = ResolvedName(
        text, spec, str(file), *size_and_mtime(status), environment_digest(text)
    )
    return network, resolved


def _provider(name: BackboneName) -> Any:
    if name.provider == registry.REGISTERED:
        from embedkit.backbones.module_engine import ModuleProvider

        return ModuleProvider(require(name.id))
    if name.provider == "open_clip":
        from embedkit.backbones import open_clip_networks

        return open_clip_networks
    from embedkit.backbones import timm_networks

    return timm_networks


def _dim(network: Network, size: int, name: BackboneName) -> int:
    try:
        with torch.inference_mode():
            output = network.module(torch.zeros(1, 3, size, size))
    except (AssertionError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UnknownBackbone(
            f"{name.text} cannot take {size} x {size} pixels: {reason}"
        ) from error
    if output.ndim != 2:
        raise UnknownBackbone(f"{name.text} gives {tuple(output.shape)}, not one vector per image")
    return int(output.shape[1])


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
