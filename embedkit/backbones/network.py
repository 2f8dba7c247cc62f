"""What a provider hands over: a module that turns normalised pixels into vectors."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from embedkit.records import EmbeddingSpec


@dataclass(frozen=True)
class Preprocessing:
    """How a network wants its pixels; the fields are those of :class:`EmbeddingSpec`."""

    size: int
    resize: str
    crop: float
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Network:
    """A built network and the provider's name of its architecture."""

    architecture: str
    module: torch.nn.Module
    """(N, 3, size, size) float32, normalised, to (N, dim)."""
    embed_text: Callable[[list[str]], np.ndarray] | None = None
    """N texts to float32 (N, dim) in the space of the images, for networks that have one."""


class Normalised(torch.nn.Module):
    """A network that takes pixels as they are stored: uint8 (N, size, size, 3), RGB."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, module: torch.nn.Module, spec: EmbeddingSpec) -> None:
        super().__init__()
        self.module = module
        shape = (1, 3, 1, 1)
        self.register_buffer("mean", torch.tensor(spec.mean).mul(255).reshape(shape))
        self.register_buffer("std", torch.tensor(spec.std).mul(255).reshape(shape))

    def forward(
        self, pixels: torch.Tensor, layout: torch.memory_format = torch.contiguous_format
    ) -> torch.Tensor:
        """(N, dim), not normalised."""
        planes = pixels.permute(0, 3, 1, 2).to(torch.float32)
        planes = (planes - self.mean) / self.std
        raw: torch.Tensor = self.module(planes.contiguous(memory_format=layout))
        return raw
