"""A loaded backbone: images in, embeddings out."""

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from embedkit.artifacts import read_json, sha256_of
from embedkit.backbones import registry, weights
from embedkit.backbones.network import Network, Preprocessing
from embedkit.backbones.preprocess import prepare
from embedkit.backbones.registry import BackboneName
from embedkit.errors import BadArtefact, BadInput, UnknownBackbone
from embedkit.images.decode import Decoder, read_bytes
from embedkit.paths import absolute, shown
from embedkit.records import EmbeddingSpec, ResolvedName

MANIFEST = "backbone.json"
"""File of a ``local/<folder>`` backbone that says what its weights are for."""

BATCH = 32
"""Images in one forward pass."""


class Backbone:
    """A network with its weights, ready to embed.

    ``spec`` is all that decides its vectors; ``resolved`` adds the name and the weights file that
    it came from. Made by :func:`embedkit.load_backbone`.
    """

    def __init__(self, network: Network, resolved: ResolvedName) -> None:
        self.resolved = resolved
        self.spec = resolved.spec
        self._device = _best_device()
        self._module: Any = network.module.to(self._device).to(memory_format=torch.channels_last)
        shape = (1, 3, 1, 1)
        self._mean = torch.tensor(self.spec.mean, device=self._device).mul(255).reshape(shape)
        self._std = torch.tensor(self.spec.std, device=self._device).mul(255).reshape(shape)

    @property
    def dim(self) -> int:
        """Length of an embedding."""
        return self.spec.dim

    @property
    def embeds_text(self) -> bool:
        """Whether :meth:`embed_text` can be used."""
        return hasattr(self._module, "embed_text")

    def embed(
        self, images: Iterable[str | os.PathLike[str] | Image.Image | np.ndarray]
    ) -> np.ndarray:
        """The embeddings of images: float32, L2-normalised, shape (N, dim).

        An image is a path, a Pillow image or an RGB uint8 array of shape (H, W, 3). Raises
        :class:`UnreadableImage` for one that cannot be read.
        """
        vectors = [np.empty((0, self.dim), np.float32)]
        batch: list[np.ndarray] = []
        for image in images:
            batch.append(prepare(_decoder(image), self.spec))
            if len(batch) == BATCH:
                vectors.append(self.embed_pixels(np.stack(batch))[0])
                batch.clear()
        if batch:
            vectors.append(self.embed_pixels(np.stack(batch))[0])
        return np.concatenate(vectors)

    def embed_pixels(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings (N, dim) and their norms (N,) of prepared pixels, uint8 (N, size, size, 3).

        A vector that is not finite, or is zero, comes back as zeros with norm 0.
        """
        with torch.inference_mode(), _exact_float32():
            tensor = torch.from_numpy(pixels).to(self._device)
            tensor = tensor.permute(0, 3, 1, 2).to(torch.float32)
            tensor = tensor.sub(self._mean).div_(self._std)
            raw = self._module(tensor.contiguous(memory_format=torch.channels_last))
        return _normalised(raw)

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        """The embeddings of texts, in the space of the images: float32 (N, dim), L2-normalised.

        Raises :class:`BadInput` when the backbone embeds images only.
        """
        if not self.embeds_text:
            raise BadInput(
                f"{self.resolved.name} embeds images only; use one that embeds text too, "
                "like --backbone clip-vit-b-32"
            )
        with torch.inference_mode(), _exact_float32():
            raw = self._module.embed_text(list(texts))
        return _normalised(raw)[0]


def load(text: str) -> Backbone:
    """The backbone called ``text``, with its weights: see :func:`embedkit.load_backbone`."""
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
    )
    if wanted.get("sha256", spec.weights) != spec.weights:
        raise BadArtefact(f"{file} is not the file that its {MANIFEST} describes")
    return Backbone(
        network, ResolvedName(text, spec, str(file), status.st_size, status.st_mtime_ns)
    )


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
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise UnknownBackbone(f"{shown(name.text)}: there is no {shown(str(manifest))}")
    wanted = read_json(manifest)
    for key in ("architecture", "weights"):
        if not isinstance(wanted.get(key), str):
            raise BadArtefact(f"{manifest} has no {key!r}")
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
    )
    return chosen, wanted


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


def _decoder(image: str | os.PathLike[str] | Image.Image | np.ndarray) -> Decoder:
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise BadInput(
                f"an image array must be uint8 (H, W, 3), not {image.dtype} {image.shape}"
            )
        image = Image.fromarray(image)
    if isinstance(image, Image.Image):
        return Decoder.of(image)
    return Decoder(read_bytes(absolute(image)))


def _best_device() -> torch.device:
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@contextlib.contextmanager
def _exact_float32() -> Any:
    """Float32 that is float32: no TF32 on GPUs, and the same algorithm every time."""
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    ):
        yield


def _normalised(raw: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    vectors = raw.to("cpu", torch.float32).numpy()
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    usable = np.isfinite(norms) & (norms > 0)
    norms = np.where(usable, norms, 0.0)
    vectors = np.where(usable[:, None], vectors / np.where(usable, norms, 1.0)[:, None], 0.0)
    return vectors.astype(np.float32), norms.astype(np.float32)
