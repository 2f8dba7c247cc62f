"""Build the network that a name stands for, with its weights. Imports torch."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from embedkit._internal.artifacts import read_json, sha256_of
from embedkit._internal.paths import absolute, shown, stamp
from embedkit.backbones import evidence, registry, weights
from embedkit.backbones.network import Network, Preprocessing
from embedkit.backbones.preprocess import INTERPOLATIONS
from embedkit.backbones.registry import BackboneName
from embedkit.errors import BadArtefact, UnknownBackbone
from embedkit.results import EmbeddingSpec, ResolvedName


def load_network(text: str) -> tuple[Network, ResolvedName]:
    """The network called ``text``, with its weights: see :func:`embedkit.load_backbone`."""
    name = registry.parse(text)
    wanted: dict[str, Any] = {}
    if name.provider == "local":
        name, wanted = _read_local(name)
    provider = _provider(name)
    provider.check(name.id)
    size = name.size or (name.known.size if name.known else None) or wanted.get("size")
    preprocessing: Preprocessing = provider.preprocessing(name.id, size)
    pool = name.pool or wanted.get("pool", "native")
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
    resolved = ResolvedName(text, spec, str(file), *stamp(status), evidence(text))
    return network, resolved


def _provider(name: BackboneName) -> Any:
    if name.provider == "open_clip":
        from embedkit.backbones import open_clip_networks

        return open_clip_networks
    from embedkit.backbones import timm_networks

    return timm_networks


def _read_local(name: BackboneName) -> tuple[BackboneName, dict[str, Any]]:
    """The base name and the manifest of a ``local/<folder>`` backbone.

    The manifest names the architecture (``timm/...`` or ``open_clip/...``) and the weights file
    beside it; size, resize, crop, interpolation, mean, std, pool and sha256 are optional.
    """
    folder = Path(absolute(name.id))
    manifest = folder / registry.MANIFEST
    if not manifest.is_file():
        raise UnknownBackbone(f"{shown(name.text)}: there is no {shown(str(manifest))}")
    wanted = read_json(manifest)
    for key in ("architecture", "weights"):
        if not isinstance(wanted.get(key), str):
            raise BadArtefact(f"{manifest} has no {key!r}")
    _check_manifest(manifest, wanted)
    base = registry.parse(wanted["architecture"])
    if base.provider == "local":
        raise BadArtefact(f"{manifest}: its architecture must be a timm/ or open_clip/ name")
    chosen = BackboneName(
        text=name.text,
        provider=base.provider,
        id=base.id,
        weights=name.weights or str(folder / wanted["weights"]),
        size=name.size,
        resize=name.resize,
        pool=name.pool,
        precision=name.precision,
    )
    return chosen, wanted


def _check_manifest(manifest: Path, wanted: dict[str, Any]) -> None:
    """Raise :class:`BadArtefact` for a value in a manifest that cannot be."""

    def three(value: Any, positive: bool) -> bool:
        numbers = isinstance(value, list) and len(value) == 3
        return numbers and all(
            isinstance(item, (int, float)) and (item > 0 or not positive) for item in value
        )

    tests: dict[str, Callable[[Any], bool]] = {
        "size": lambda value: isinstance(value, int) and 16 <= value <= 4096,
        "resize": lambda value: value in registry.RESIZES,
        "pool": lambda value: value in registry.POOLS,
        "crop": lambda value: isinstance(value, (int, float)) and 0 < value <= 1,
        "interpolation": lambda value: value in INTERPOLATIONS,
        "mean": lambda value: three(value, positive=False),
        "std": lambda value: three(value, positive=True),
        "sha256": lambda value: isinstance(value, str),
    }
    for key, is_good in tests.items():
        if key in wanted and not is_good(wanted[key]):
            raise BadArtefact(f"{manifest}: {key} cannot be {wanted[key]!r}")


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
        raise UnknownBackbone(f"{name.text} gives {tuple(output.shape)}, not one vector an image")
    return int(output.shape[1])


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
