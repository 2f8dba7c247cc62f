"""Networks: torch modules that map pixels to vectors, and their preprocessing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from embedkit._internal.paths import shown
from embedkit.errors import BadWeights
from embedkit.results import EmbeddingSpec

MAX_RATIO = 10
MAX_EXTRA = 64_000_000
"""A weights file has at most MAX_RATIO times the bytes of its network, plus MAX_EXTRA."""


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing of a network; the fields are those of :class:`EmbeddingSpec`."""

    size: int
    resize: str
    crop: float
    interpolation: str
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Network:
    """A network and the provider's name of its architecture."""

    architecture: str
    module: torch.nn.Module
    """Maps normalised pixels, float32 (N, 3, size, size), to vectors (N, dim)."""
    embed_text: Callable[[list[str]], np.ndarray] | None = None
    """Maps N texts to float32 (N, dim) in the space of the images; None without a text tower."""
    is_registered: bool = False
    """Whether the module is registered: its code may change while its name stays the same."""
    is_normalised: bool = True
    """Whether the input of the module is normalised pixels; otherwise a transform returns it."""


def check_size(network: Network, file: Path) -> None:
    """Raise :class:`BadWeights` for a weights file that is far too large for a network.

    This keeps hostile files out of memory. A training checkpoint may contain the weights several
    times and the state of an optimiser.
    """
    expected = sum(item.nbytes for item in network.module.state_dict().values())
    size = file.stat().st_size
    if size > MAX_RATIO * expected + MAX_EXTRA:
        raise BadWeights(
            f"{shown(str(file))} is {size / 1e6:.0f} MB, but the weights of {network.architecture} "
            f"take {expected / 1e6:.0f} MB: it belongs to another network"
        )


class Transformed(torch.nn.Module):
    """A network whose input is the output of a transform."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(
        self, batch: torch.Tensor, layout: torch.memory_format = torch.contiguous_format
    ) -> torch.Tensor:
        """Return raw vectors (N, dim); floating-point input is converted to float32."""
        if batch.is_floating_point():
            batch = batch.to(torch.float32)
        if batch.ndim == 4:
            batch = batch.contiguous(memory_format=layout)
        raw: torch.Tensor = self.module(batch)
        return raw


class Normalised(torch.nn.Module):
    """A network that normalises its input, uint8 (N, size, size, 3), RGB."""

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
        """Return raw vectors (N, dim)."""
        planes = pixels.permute(0, 3, 1, 2).to(torch.float32)
        planes = (planes - self.mean) / self.std
        raw: torch.Tensor = self.module(planes.contiguous(memory_format=layout))
        return raw
