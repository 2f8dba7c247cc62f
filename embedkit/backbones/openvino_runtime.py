"""Networks compiled by OpenVINO for the CPU; torch is needed to convert one, not to run it."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import openvino

from embedkit.backbones.runtime import PassTooLarge

if TYPE_CHECKING:
    from embedkit.backbones.network import Network
    from embedkit.results import EmbeddingSpec

NAME = "openvino"
FILES = ("model.xml", "model.bin")
"""What :func:`convert` writes; the first one names the model."""

_COMPILED = "compiled"
_PRECISIONS = {
    "float32": openvino.Type.f32,
    "bf16": openvino.Type.bf16,
    "fp16": openvino.Type.f16,
}


class OpenVinoRuntime:
    """A converted network, compiled for this machine's CPU in a precision of the specs.

    Several small passes run beside each other, each on its own cores, so that none waits for a
    core that is busy decoding. Raises RuntimeError when the processor lacks the precision.
    """

    name = NAME
    batch = 8

    def __init__(self, folder: Path, precision: str) -> None:
        wanted = _PRECISIONS[precision]
        core = openvino.Core()
        core.set_property({"CACHE_DIR": str(folder / _COMPILED)})
        self._compiled = core.compile_model(
            str(folder / FILES[0]),
            "CPU",
            {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": wanted},
        )
        if self._compiled.get_property("INFERENCE_PRECISION_HINT") != wanted:
            raise RuntimeError(f"this processor does not compute in {precision}")
        self.passes = 2 * int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self._idle: list[openvino.InferRequest] = []

    def submit(self, pixels: np.ndarray) -> Callable[[], np.ndarray]:
        """Start a forward pass: see :class:`embedkit.backbones.runtime.Runtime`."""
        request = self._idle.pop() if self._idle else self._compiled.create_infer_request()
        request.start_async({0: np.ascontiguousarray(pixels)})

        def fetch() -> np.ndarray:
            try:
                request.wait()
            except RuntimeError as error:
                if "bad_alloc" not in str(error) and "allocate" not in str(error):
                    raise
                raise PassTooLarge(str(error)) from error
            vectors = np.array(request.get_output_tensor().data, np.float32)
            self._idle.append(request)
            return vectors

        return fetch


def compiled_files(folder: Path) -> list[Path]:
    """What OpenVINO keeps beside a converted network so that it need not compile it again.

    It takes these files as they are, whatever has happened to them.
    """
    return sorted(file for file in (folder / _COMPILED).glob("**/*") if file.is_file())


def convert(network: "Network", spec: "EmbeddingSpec", folder: Path) -> None:
    """Write a network as OpenVINO's own files into ``folder``; the batch size stays free."""
    import torch

    from embedkit.backbones.network import Normalised

    size = spec.size
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the fused attention cannot be traced
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer's own deprecations
            model = openvino.convert_model(
                Normalised(network.module, spec).eval(),
                example_input=example,
                input=[(-1, size, size, 3)],
            )
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    folder.mkdir(parents=True, exist_ok=True)
    openvino.save_model(model, str(folder / FILES[0]), compress_to_fp16=False)
