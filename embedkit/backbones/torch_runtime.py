"""Networks run by torch: on CUDA or MPS when there is one, else on the CPU."""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch

from embedkit.backbones.network import Network, Normalised
from embedkit.records import EmbeddingSpec

CHANNELS_LAST = "torch channels-last"
EAGER = "torch"


class TorchRuntime:
    """A network as torch runs it; ``name`` is :data:`CHANNELS_LAST` or :data:`EAGER`."""

    def __init__(self, network: Network, spec: EmbeddingSpec, name: str = CHANNELS_LAST) -> None:
        self.name = name
        self.device = best_device()
        layout = torch.channels_last if name == CHANNELS_LAST else torch.contiguous_format
        network.module.to(self.device).to(memory_format=layout)
        self._layout = layout
        self._module = Normalised(network.module, spec).to(self.device).eval()

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Raw vectors, float32 (N, dim), of prepared pixels, uint8 (N, size, size, 3)."""
        with torch.inference_mode(), exact_float32():
            raw = self._module(torch.from_numpy(pixels).to(self.device), self._layout)
        return np.asarray(raw.to("cpu", torch.float32).numpy())


def best_device() -> torch.device:
    """CUDA, else MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@contextlib.contextmanager
def exact_float32() -> Iterator[None]:
    """Float32 that is float32: no TF32 on GPUs, and the same algorithm every time."""
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    ):
        yield
