"""Networks that timm builds: ResNet, EfficientNet, VGG, Inception, MobileNet, DINO, ..."""

import difflib
import sys
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import resolve_data_config
from timm.models import load_checkpoint

from embedkit._internal.text import one_line
from embedkit.backbones.network import Network, Preprocessing, check_size
from embedkit.backbones.weights import HUB_FILENAMES, PINNED, HubFile, Weights
from embedkit.errors import BadWeights, UnknownBackbone
from embedkit.results.wording import counted

_CROP_MODES = {"center": "crop", "squash": "squash", "border": "pad"}


def hub_file(identifier: str) -> HubFile | None:
    """Return the location of a model's weights on the hub; None if timm does not publish them."""
    configuration = timm.get_pretrained_cfg(identifier)
    if configuration is None or not configuration.hf_hub_id:
        return None
    named = configuration.hf_hub_filename
    filenames = (named, *HUB_FILENAMES) if named else HUB_FILENAMES
    return HubFile(configuration.hf_hub_id, filenames)


def check(identifier: str) -> None:
    """Raise :class:`UnknownBackbone` unless timm has a model of this name and tag."""
    model, _, tag = identifier.partition(".")
    if not timm.is_model(model):
        close = difflib.get_close_matches(model, timm.list_models(), n=3)
        hint = f"; close: {', '.join(close)}" if close else ""
        raise UnknownBackbone(f"timm has no model called {model!r}{hint}")
    tags = [name.partition(".")[2] for name in timm.list_models(f"{model}.*", pretrained=True)]
    if tag and tag not in tags:
        raise UnknownBackbone(f"timm's {model} has no weights {tag!r}; it has: {', '.join(tags)}")


def preprocessing(identifier: str, size: int | None) -> Preprocessing:
    """Return the evaluation preprocessing in the configuration of the weights."""
    configuration = timm.get_pretrained_cfg(identifier)
    config = resolve_data_config(
        pretrained_cfg=configuration.to_dict() if configuration is not None else None
    )
    return Preprocessing(
        size=size or config["input_size"][-1],
        resize=_CROP_MODES[config["crop_mode"]],
        crop=float(config["crop_pct"]),
        interpolation=config["interpolation"],
        mean=tuple(float(value) for value in config["mean"]),
        std=tuple(float(value) for value in config["std"]),
    )


def build(identifier: str, size: int | None, pool: str) -> Network:
    """Build the network with timm's random parameters.

    Raises :class:`UnknownBackbone` when it does not support the input size or the pooling.
    """
    extra: dict[str, Any] = {}
    model, _, _ = identifier.partition(".")
    configuration = timm.get_pretrained_cfg(identifier)
    if configuration is not None and configuration.fixed_input_size and size is not None:
        extra["img_size"] = size
    try:
        module = timm.create_model(model, pretrained=False, num_classes=0, **extra)
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise UnknownBackbone(f"timm/{model} cannot be built at {size} pixels: {error}") from error
    if pool == "token" and getattr(module, "cls_token", None) is None:
        raise UnknownBackbone(
            f"timm/{model} has no class token; omit pool=token, or choose pool=avg, max or gem"
        )
    return Network(f"timm/{model}", _Embedder(module, pool).eval())


def load(network: Network, weights: Weights) -> None:
    """Load a weights file into a network built by :func:`build`.

    The file must have every parameter, and may also have a classifier. Raises
    :class:`BadWeights` when it does not fit or is not the published file of its package.
    """
    embedder = network.module
    assert isinstance(embedder, _Embedder)
    if weights.package is not None:
        _load_packaged(embedder.body, weights.path, weights.package)
        return
    check_size(network, weights.path)
    misfit = f"{weights.path} does not fit {network.architecture}"
    try:
        module = sys.modules[type(embedder.body).__module__]
        filter_fn = getattr(module, "checkpoint_filter_fn", None)
        outcome = load_checkpoint(
            embedder.body, str(weights.path), strict=False, filter_fn=filter_fn, weights_only=True
        )
    except Exception as error:  # torch, safetensors and the filters each raise their own
        raise BadWeights(f"{misfit}: {one_line(error)}") from error
    if missing := outcome.missing_keys:
        raise BadWeights(
            f"{misfit}: {counted(len(missing), 'missing tensor')}, the first is {missing[0]!r}"
        )
    classifiers = _classifier_prefixes(embedder.body)
    if surplus := [key for key in outcome.unexpected_keys if not key.startswith(classifiers)]:
        raise BadWeights(
            f"{misfit}: {counted(len(surplus), 'unexpected tensor')}, the first is {surplus[0]!r}"
        )


def _classifier_prefixes(body: torch.nn.Module) -> tuple[str, ...]:
    """Return prefixes of the names of tensors that belong to a classifier."""
    named = getattr(body, "pretrained_cfg", {}).get("classifier") or ()
    named = (named,) if isinstance(named, str) else tuple(named)
    return (*named, "head", "fc", "classifier", "AuxLogits", "pre_logits")


def _load_packaged(body: torch.nn.Module, weights: Path, package: str) -> None:
    """Load the weights file of a package.

    It has the same tensors in the same order under other names.
    """
    from embedkit._internal.artifacts import sha256_of

    if sha256_of(weights) != PINNED[package]:
        raise BadWeights(f"{weights} is not the file that {package} published; reinstall it")
    tensors = torch.load(weights, map_location="cpu", weights_only=True)
    # The last two tensors belong to the classifier, which the network does not have.
    renamed = dict(zip(body.state_dict(), tensors.values(), strict=False))
    body.load_state_dict(renamed, strict=True)


class _Embedder(torch.nn.Module):
    """A timm model that ends in its embedding instead of class scores."""

    def __init__(self, body: Any, pool: str) -> None:
        super().__init__()
        self.body = body
        self.pool = pool
        # The head of VGG maps the pooled features to 4096 numbers that depend on its classes.
        self.headless = type(body).__name__ == "VGG"
        if self.headless:
            body.pre_logits = torch.nn.Identity()
            body.head = torch.nn.Identity()

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the vectors (N, dim) of normalised pixels (N, 3, H, W)."""
        features = self.body.forward_features(pixels)
        if self.headless or self.pool != "native":
            features = _pooled(features, "avg" if self.pool == "native" else self.pool, self.body)
            if self.headless or features.ndim == 2:
                return features.flatten(1)
        embedding: torch.Tensor = self.body.forward_head(features, pre_logits=True)
        return embedding


def _pooled(features: torch.Tensor, pool: str, body: torch.nn.Module) -> torch.Tensor:
    """Pool a feature map to (N, C, 1, 1), which the network's average pool leaves unchanged.

    Tokens of a transformer (N, T, C) are pooled to (N, C) without the prefix tokens. ``token`` is
    the class token, which is the first one.
    ``gem`` is generalised-mean pooling with p = 3 (Radenovic et al. 2018).
    """
    if pool == "token":
        fc_norm = getattr(body, "fc_norm", None)  # the last norm of networks that pool before it
        return features[:, 0] if fc_norm is None else fc_norm(features[:, 0])
    if features.ndim == 3:
        tokens = features[:, getattr(body, "num_prefix_tokens", 0) :]
        return _pool_map(tokens.transpose(1, 2).unsqueeze(-1), pool).flatten(1)
    if str(getattr(body, "output_fmt", "NCHW")).endswith("NHWC"):
        return _pool_map(features.permute(0, 3, 1, 2), pool).permute(0, 2, 3, 1)
    return _pool_map(features, pool)


def _pool_map(features: torch.Tensor, pool: str) -> torch.Tensor:
    if pool == "max":
        return features.amax((2, 3), keepdim=True)
    if pool == "gem":
        return features.clamp(min=1e-6).pow(3).mean((2, 3), keepdim=True).pow(1 / 3)
    return features.mean((2, 3), keepdim=True)
