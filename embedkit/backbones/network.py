"""What a provider hands over: a module that turns normalised pixels into vectors."""

from dataclasses import dataclass

import torch


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
    """(N, 3, size, size) float32, normalised, to (N, dim); CLIP-like ones have ``embed_text``."""
