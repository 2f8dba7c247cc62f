"""The torch runtime: CUDA or MPS when available, otherwise the CPU."""

import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import torch

from embedkit.backbones.backbone import PassTooLarge
from embedkit.backbones.network import Network, Normalised, Transformed
from embedkit.results import EmbeddingSpec

CHANNELS_LAST = "torch channels-last"
EAGER = "torch"

_DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Images in a pass and concurrent passes, by device. CUDA runs a pass asynchronously while the next
# one is copied and queued; on the CPU a pass has finished when it is submitted.
_BATCH = {"cuda": 128, "mps": 64, "cpu": 32}
_PASSES = {"cuda": 3}


class TorchRuntime:
    """A network run by torch; ``name`` is :data:`CHANNELS_LAST` or :data:`EAGER`.

    ``device`` is the best one by default. ``precision`` (``float32``, ``bf16``, ``fp16``) is the
    spec's by default; the reduced ones are torch's autocast.
    """

    def __init__(
        self,
        network: Network,
        spec: EmbeddingSpec,
        name: str = CHANNELS_LAST,
        device: torch.device | None = None,
        precision: str | None = None,
    ) -> None:
        self.name = name
        self.device = device or best_device()
        self.batch = _BATCH[self.device.type]
        self.concurrent_passes = _PASSES.get(self.device.type, 1)
        layout = torch.channels_last if name == CHANNELS_LAST else torch.contiguous_format
        network.module.to(self.device).to(memory_format=layout)
        self._layout = layout
        self._dtype = _DTYPES[precision or spec.precision]
        self._module: Normalised | Transformed = Normalised(network.module, spec)
        if not network.is_normalised:
            self._module = Transformed(network.module)
        self._module.to(self.device).eval()

    def submit(self, pixels: np.ndarray) -> Callable[[], np.ndarray]:
        """Start a forward pass: see :class:`embedkit.backbones.backbone.Runtime`."""
        with memory_errors(), torch.inference_mode(), exact_float32(), self._autocast():
            staged = torch.from_numpy(pixels)
            if self.device.type != "cuda":
                vectors = self._module(staged.to(self.device), self._layout).float().cpu().numpy()
                return lambda: vectors
            staged = staged.pin_memory().to(self.device, non_blocking=True)
            raw = self._module(staged, self._layout).float()
            fetched = torch.empty(raw.shape, dtype=torch.float32, pin_memory=True)
            fetched.copy_(raw, non_blocking=True)
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record()

        def fetch() -> np.ndarray:
            with memory_errors():
                done.synchronize()
            return np.asarray(fetched.numpy())

        return fetch

    def _autocast(self) -> contextlib.AbstractContextManager[object]:
        if self._dtype == torch.float32:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self._dtype)


def best_device() -> torch.device:
    """Return CUDA if available, else MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@contextlib.contextmanager
def exact_float32() -> Iterator[None]:
    """Compute in full float32 and deterministically: no TF32, no benchmarking of algorithms."""
    matmul = torch.backends.cuda.matmul
    before, matmul.allow_tf32 = matmul.allow_tf32, False
    try:
        with torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        ):
            yield
    finally:
        matmul.allow_tf32 = before


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Convert out-of-memory errors of a device to :class:`PassTooLarge`."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise PassTooLarge(str(error)) from error
    except RuntimeError as error:  # of the allocators of the CPU and MPS
        if "out of memory" not in str(error) and "can't allocate memory" not in str(error):
            raise
        raise PassTooLarge(str(error)) from error
