"""``local/<folder>`` backbones: a manifest, ``backbone.json``, beside a weights or model file.

::

    {"architecture": "timm/resnet50", "weights": "weights.safetensors"}    a published network
    {"architecture": "my-net", "weights": "weights.safetensors"}           a registered module
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
    path, manifest = _read(name)
    if not isinstance(manifest.get("architecture"), str):
        raise BadArtefact(f"{path} has no 'architecture'")
    base = registry.parse(manifest["architecture"])
    if base.provider == "local":
        raise BadArtefact(
            f"{path}: its architecture must be a timm/, open_clip/ or registered name"
        )
    network = BackboneName(
        text=name.text,
        provider=base.provider,
        id=base.id,
        weights=name.weights or str(path.parent / manifest["weights"]),
        size=name.size,
        resize=name.resize,
        pool=name.pool or manifest.get("pool") or base.pool,
        precision=name.precision,
    )
    return network, manifest


def model_file(name: BackboneName) -> RegisteredModel | None:
    """Return the model file of a local backbone; None if its manifest describes a network.

    Also returns None for the names of other providers.
    """
    if name.provider != "local":
        return None
    path, manifest = _read(name)
    if "architecture" in manifest or not manifest["weights"].lower().endswith(MODEL_SUFFIXES):
        return None
    if (name.pool or manifest.get("pool", "native")) != "native":
        raise UnknownBackbone(f"{shown(name.text)}: the pooling of a model file is fixed")
    engine = FileEngine(name.text, name.weights or str(path.parent / manifest["weights"]))
    if manifest.get("sha256", engine.weights) != engine.weights:
        raise BadArtefact(
            f"{engine.stamp[0]} is not the file that its {registry.MANIFEST} describes"
        )
    return RegisteredModel(
        name.text,
        engine,
        size=manifest.get("size"),
        resize=manifest.get("resize", "crop"),
        crop=manifest.get("crop", CROP),
        interpolation=manifest.get("interpolation", "bilinear"),
        mean=manifest.get("mean", IMAGENET_MEAN),
        std=manifest.get("std", IMAGENET_STD),
    )


def architecture_of(backbone: str, spec: EmbeddingSpec) -> str:
    """Return the ``architecture`` for the manifest of a network fine-tuned from ``backbone``."""
    name = registry.parse(backbone)
    if name.provider == "local":
        return str(network_of(name)[1]["architecture"])
    return name.id if name.provider == registry.REGISTERED else spec.architecture


def registered_architecture(name: BackboneName) -> str | None:
    """Return the architecture, with its version, of a local backbone's registered module, if any.

    The architecture identifies the module in the digest of the environment.
    """
    try:
        base = registry.parse_syntax(str(_read(name)[1].get("architecture", "")))
    except (BadArtefact, UnknownBackbone):
        return None
    model = find(base.id) if base.provider == registry.REGISTERED else None
    return model.architecture if model is not None else None


def _read(name: BackboneName) -> tuple[Path, dict[str, Any]]:
    """Return the path and the content of a manifest, checked."""
    path = Path(absolute(name.id)) / registry.MANIFEST
    if not path.is_file():
        raise UnknownBackbone(f"{shown(name.text)}: there is no {shown(str(path))}")
    manifest = read_json(path)
    if not isinstance(manifest.get("weights"), str):
        missing = "weights" if "architecture" in manifest else "architecture"
        raise BadArtefact(f"{path} has no {missing!r}")
    _check(path, manifest)
    return path, manifest


def _check(path: Path, manifest: dict[str, Any]) -> None:
    """Raise :class:`BadArtefact` for an impossible value in a manifest."""

    def three(value: Any, positive: bool) -> bool:
        numbers = isinstance(value, list) and len(value) == 3
        return numbers and all(
            isinstance(item, (int, float)) and (item > 0 or not positive) for item in value
        )

    checks: dict[str, Callable[[Any], bool]] = {
        "size": lambda value: isinstance(value, int) and 16 <= value <= 4096,
        "resize": lambda value: value in registry.RESIZES,
        "pool": lambda value: value in registry.POOLS,
        "crop": lambda value: isinstance(value, (int, float)) and 0 < value <= 1,
        "interpolation": lambda value: value in INTERPOLATIONS,
        "mean": lambda value: three(value, positive=False),
        "std": lambda value: three(value, positive=True),
        "sha256": lambda value: isinstance(value, str),
    }
    for key, is_valid in checks.items():
        if key in manifest and not is_valid(manifest[key]):
            raise BadArtefact(f"{path}: {key} cannot be {manifest[key]!r}")
