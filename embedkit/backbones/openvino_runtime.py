"""Networks compiled by OpenVINO for the CPU; torch is needed to convert one, not to run it."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import openvino

if TYPE_CHECKING:
    from embedkit.backbones.network import Network
    from embedkit.records import EmbeddingSpec

NAME = "openvino"
FILES = ("model.xml", "model.bin")
"""What :func:`convert` writes; the first one names the model."""


class OpenVinoRuntime:
    """A converted network, compiled for this machine's CPU in float32."""

    name = NAME

    def __init__(self, folder: Path) -> None:
        core = openvino.Core()
        core.set_property({"CACHE_DIR": str(folder / "compiled")})
        compiled = core.compile_model(
            str(folder / FILES[0]),
            "CPU",
            {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"},
        )
        self._request = compiled.create_infer_request()

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Raw vectors, float32 (N, dim), of prepared pixels, uint8 (N, size, size, 3)."""
        outputs = self._request.infer({0: np.ascontiguousarray(pixels)})
        return np.array(next(iter(outputs.values())), np.float32)


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
