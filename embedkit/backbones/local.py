"""``local/<folder>`` backbones: a manifest, ``backbone.json``, beside a weights or model file.

::

    {"architecture": "timm/resnet50", "weights": "weights.safetensors"}    a network with weights
    {"architecture": "my-net", "weights": "weights.safetensors"}           of a registered module
    {"weights": "model.onnx", "size": 224}                                 a model file

``size``, ``resize``, ``crop``, ``interpolation``, ``mean``, ``std``, ``pool`` and ``sha256`` are
optional.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from embedkit._internal.artifacts import read_json
from embedkit._internal.paths import absolute, shown
from embedkit.backbones import registry
from embedkit.backbones.engines import MODEL_SUFFIXES, FileEngine
from embedkit.backbones.preprocess import INTERPOLATIONS
from embedkit.backbones.registered import CROP, IMAGENET_MEAN, IMAGENET_STD, RegisteredModel, find
from embedkit.backbones.registry import BackboneName
from embedkit.errors import BadArtefact, UnknownBackbone
from embedkit.results import EmbeddingSpec


def network_of(name: BackboneName) -> tuple[BackboneName, dict[str, Any]]:
    """Return the name of the network that a manifest describes, and the manifest."""
    manifest, wanted = _read(name)
    if not isinstance(wanted.get("architecture"), str):
        raise BadArtefact(f"{manifest} has no 'architecture'")
    base = registry.parse(wanted["architecture"])
    if base.provider == "local":
        raise BadArtefact(
            f"{manifest}: its architecture must be a timm/, open_clip/ or registered name"
        )
    chosen = BackboneName(
        text=name.text,
        provider=base.provider,
        id=base.id,
        weights=name.weights or str(manifest.parent / wanted["weights"]),
        size=name.size,
        resize=name.resize,
        pool=name.pool or wanted.get("pool") or base.pool,
        precision=name.precision,
    )
    return chosen, wanted


def model_file(name: BackboneName) -> RegisteredModel | None:
    """Return the model of a local backbone whose manifest names an ONNX or OpenVINO file."""
    if name.provider != "local":
        return None
    manifest, wanted = _read(name)
    if "architecture" in wanted or not wanted["weights"].lower().endswith(MODEL_SUFFIXES):
        return None
    if (name.pool or wanted.get("pool", "native")) != "native":
        raise UnknownBackbone(f"{shown(name.text)}: the pooling of a model file is fixed")
    engine = FileEngine(name.text, name.weights or str(manifest.parent / wanted["weights"]))
    if wanted.get("sha256", engine.weights) != engine.weights:
        raise BadArtefact(
            f"{engine.stamp[0]} is not the file that its {registry.MANIFEST} describes"
        )
    return RegisteredModel(
        name.text,
        engine,
        size=wanted.get("size"),
        resize=wanted.get("resize", "crop"),
        crop=wanted.get("crop", CROP),
        interpolation=wanted.get("interpolation", "bilinear"),
        mean=wanted.get("mean", IMAGENET_MEAN),
        std=wanted.get("std", IMAGENET_STD),
    )


def architecture_of(backbone: str, spec: EmbeddingSpec) -> str:
    """Return the ``architecture`` that a manifest has for a network trained from ``backbone``."""
    name = registry.parse(backbone)
    if name.provider == "local":
        return str(network_of(name)[1]["architecture"])
    return name.id if name.provider == registry.REGISTERED else spec.architecture


def registered_architecture(name: BackboneName) -> str | None:
    """Return the identity of the registered module that a local backbone is built with."""
    try:
        base = registry.parse_syntax(str(_read(name)[1].get("architecture", "")))
    except (BadArtefact, UnknownBackbone):
        return None
    own = find(base.id) if base.provider == registry.REGISTERED else None
    return own.architecture if own is not None else None


def _read(name: BackboneName) -> tuple[Path, dict[str, Any]]:
    """Return the path and the content of a manifest, checked."""
    manifest = Path(absolute(name.id)) / registry.MANIFEST
    if not manifest.is_file():
        raise UnknownBackbone(f"{shown(name.text)}: there is no {shown(str(manifest))}")
    wanted = read_json(manifest)
    if not isinstance(wanted.get("weights"), str):
        missing = "weights" if "architecture" in wanted else "architecture"
        raise BadArtefact(f"{manifest} has no {missing!r}")
    _check(manifest, wanted)
    return manifest, wanted


def _check(manifest: Path, wanted: dict[str, Any]) -> None:
    """Raise :class:`BadArtefact` for an impossible value in a manifest."""

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
