"""Networks of open_clip: CLIP, SigLIP and similar ones, which embed texts too."""

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import open_clip
import torch
from timm.layers import resample_abs_pos_embed

from embedkit._internal.text import one_line
from embedkit.backbones.network import Network, Preprocessing, check_size
from embedkit.backbones.torch_runtime import exact_float32
from embedkit.backbones.weights import HUB_FILENAMES, HubFile, Weights, cache_folder, download
from embedkit.errors import BadWeights, MissingExtra, UnknownBackbone, WeightsMissing

_RESIZE_MODES = {"shortest": "crop", "longest": "pad", "squash": "squash"}
# A repository may also contain the network as transformers or timm names its tensors.
_FILENAMES = tuple(sorted(HUB_FILENAMES, key=lambda name: not name.startswith("open_clip")))
_TOKENIZER_FILENAMES = ("tokenizer_config.json", "tokenizer.json")


def _split(identifier: str) -> tuple[str, str]:
    """Return the architecture and the tag of ``<arch>/<pretrained>``."""
    architecture, _, tag = identifier.partition("/")
    return architecture, tag


def _configuration(architecture: str, tag: str) -> dict[str, Any]:
    """Return open_clip's configuration of the weights; empty if it has none."""
    return (open_clip.get_pretrained_cfg(architecture, tag) if tag else None) or {}


def hub_file(identifier: str) -> HubFile | None:
    """Return the location of the weights on the hub; None if the hub does not have them."""
    location = _configuration(*_split(identifier)).get("hf_hub") or ""
    owner, _, rest = location.partition("/")
    repository, _, filename = rest.partition("/")
    if not repository:
        return None
    filenames = (filename, *_FILENAMES) if filename else _FILENAMES
    return HubFile(f"{owner}/{repository}", filenames)


def check(identifier: str) -> None:
    """Raise :class:`UnknownBackbone` unless open_clip has this architecture and these weights."""
    architecture, tag = _split(identifier)
    if architecture not in open_clip.list_models():
        raise UnknownBackbone(
            f"open_clip has no architecture {architecture!r}; "
            "python -c 'import open_clip; print(open_clip.list_models())' lists them"
        )
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag and tag not in tags:
        known = ", ".join(tags) or "none"
        raise UnknownBackbone(f"open_clip's {architecture} has no weights {tag!r}; it has: {known}")


def preprocessing(identifier: str, size: int | None) -> Preprocessing:
    """Return the evaluation preprocessing in the configuration of the weights."""
    architecture, tag = _split(identifier)
    configuration = _configuration(architecture, tag)
    native = open_clip.get_model_config(architecture)["vision_cfg"].get("image_size", 224)
    return Preprocessing(
        size=size or (native if isinstance(native, int) else native[0]),
        resize=_RESIZE_MODES[configuration.get("resize_mode", "shortest")],
        crop=1.0,
        interpolation=configuration.get("interpolation", "bicubic"),
        mean=tuple(configuration.get("mean", open_clip.OPENAI_DATASET_MEAN)),
        std=tuple(configuration.get("std", open_clip.OPENAI_DATASET_STD)),
    )


def build(identifier: str, size: int | None, pool: str) -> Network:
    """Build the network with open_clip's random parameters.

    Raises :class:`UnknownBackbone` when it cannot be built, and for any pooling but ``native``.
    """
    architecture, tag = _split(identifier)
    if pool != "native":
        raise UnknownBackbone(f"open_clip/{identifier}: its pooling is fixed; omit pool={pool}")
    configuration = _configuration(architecture, tag)
    try:
        with _quiet():
            module = open_clip.create_model(
                architecture,
                pretrained=None,
                force_image_size=size,
                force_quick_gelu=bool(configuration.get("quick_gelu", False)),
            )
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise UnknownBackbone(f"open_clip/{architecture} cannot be built: {error}") from error
    suffix = "-quickgelu" if configuration.get("quick_gelu") else ""
    name = architecture.removesuffix(suffix) + suffix
    trunk: Any = getattr(module.visual, "trunk", None)  # an image tower of timm
    if getattr(trunk, "pos_embed", None) is not None:
        trunk.register_load_state_dict_pre_hook(_resample_positions)
    embedder = _Embedder(module, architecture).eval()
    return Network(f"open_clip/{name}", embedder, embedder.embed_text)


def load(network: Network, weights: Weights) -> None:
    """Load a weights file into a network built by :func:`build`.

    Raises :class:`BadWeights` when the file does not have every parameter.
    """
    embedder = network.module
    assert isinstance(embedder, _Embedder)
    check_size(network, weights.path)
    try:
        open_clip.load_checkpoint(embedder.body, str(weights.path), strict=True, weights_only=True)
    except Exception as error:  # torch, safetensors and open_clip each raise their own
        raise BadWeights(
            f"{weights.path} does not fit {network.architecture}: {one_line(error)}"
        ) from error


def _resample_positions(trunk: Any, state: dict[str, torch.Tensor], prefix: str, *_: Any) -> None:
    """Resample the position embeddings in a state dict to the input size of an image tower.

    open_clip does so for its own towers only.
    """
    key = f"{prefix}pos_embed"
    if key in state:
        state[key] = resample_abs_pos_embed(
            state[key],
            new_size=trunk.patch_embed.grid_size,
            num_prefix_tokens=0 if trunk.no_embed_class else trunk.num_prefix_tokens,
        )


def _tokenizer(architecture: str) -> Any:
    """Return the tokenizer of an architecture's texts.

    open_clip contains the tokenizer of CLIP; those of SigLIP and others are on the hub. Raises
    :class:`MissingExtra` without transformers, which reads them, and :class:`WeightsMissing` when
    one is neither in the hub's cache nor on the hub.
    """
    repository = open_clip.get_model_config(architecture)["text_cfg"].get("hf_tokenizer_name")
    if not repository:
        return open_clip.get_tokenizer(architecture)
    try:
        with contextlib.suppress(OSError):
            # Without a request: transformers repeats failed requests for most of a minute.
            return open_clip.get_tokenizer(architecture, local_files_only=True)
    except ImportError as error:
        raise MissingExtra(
            f"the texts of {architecture} need a tokenizer: pip install 'embedkit[text]'"
        ) from error
    try:
        download(HubFile(repository, _TOKENIZER_FILENAMES))
        return open_clip.get_tokenizer(architecture)
    except OSError as error:
        raise WeightsMissing(
            f"no tokenizer for the texts of {architecture}. Tried: cache {cache_folder()} (no "
            f"{repository}); hub {repository} ({one_line(error)}). What to do: go online and run "
            f"again, or copy the folder models--{repository.replace('/', '--')} into this cache "
            "from another computer"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress open_clip's warning about random weights, which :func:`load` replaces."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


class _Embedder(torch.nn.Module):
    """An open_clip model whose forward pass is that of its image tower."""

    def __init__(self, body: Any, architecture: str) -> None:
        super().__init__()
        self.body = body
        self._architecture = architecture

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the vectors (N, dim) of normalised pixels (N, 3, H, W)."""
        embedding: torch.Tensor = self.body.encode_image(pixels)
        return embedding

    def embed_text(self, texts: list[str]) -> np.ndarray:
        """Return the vectors of ``texts`` in the space of the images, float32 (N, dim).

        Raises as :func:`_tokenizer` does.
        """
        tokens = _tokenizer(self._architecture)(texts)
        with torch.inference_mode(), exact_float32():
            raw = self.body.encode_text(tokens.to(next(self.parameters()).device))
        return np.asarray(raw.to("cpu", torch.float32).numpy())
