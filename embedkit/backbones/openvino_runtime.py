"""The OpenVINO runtime: converted networks and model files, compiled for the CPU.

Converting a network needs torch; running one does not.
"""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from embedkit._internal.cores import core_share
from embedkit._internal.paths import shown
from embedkit._internal.telemetry import no_telemetry
from embedkit._internal.text import one_line
from embedkit.backbones.backbone import PassTooLarge, Runtime
from embedkit.errors import BadInput, BadWeights

with no_telemetry():
    import openvino

if TYPE_CHECKING:
    from embedkit.backbones.network import Network
    from embedkit.results import EmbeddingSpec

NAME = "openvino"
FILES = ("model.xml", "model.bin")
"""Files that :func:`convert` writes: the graph and its weights."""

_COMPILED = "compiled"
_PRECISIONS = {
    "float32": openvino.Type.f32,
    "bf16": openvino.Type.bf16,
    "fp16": openvino.Type.f16,
}


class OpenVinoRuntime:
    """A model, or a folder with a converted network, compiled for the CPU in a spec's precision.

    Several small passes run concurrently, each on its own cores, so that none waits for a core that
    is busy decoding. Raises RuntimeError when the processor does not support the precision.
    """

    name = NAME
    batch = 8

    def __init__(self, source: "Path | openvino.Model", precision: str) -> None:
        wanted, share = _PRECISIONS[precision], core_share()
        core = openvino.Core()
        if isinstance(source, Path):
            core.set_property({"CACHE_DIR": str(source / _COMPILED)})
        self._compiled = core.compile_model(
            str(source / FILES[0]) if isinstance(source, Path) else source,
            "CPU",
            {
                "PERFORMANCE_HINT": "THROUGHPUT",
                "INFERENCE_PRECISION_HINT": wanted,
                # Pinned threads of all workers of a machine would run on its first cores.
                **({"INFERENCE_NUM_THREADS": share, "ENABLE_CPU_PINNING": False} if share else {}),
            },
        )
        if self._compiled.get_property("INFERENCE_PRECISION_HINT") != wanted:
            raise RuntimeError(f"this processor does not compute in {precision}")
        requests = self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        self.concurrent_passes = 2 * int(requests)
        self._idle: list[openvino.InferRequest] = []

    def submit(self, pixels: np.ndarray) -> Callable[[], np.ndarray]:
        """Start a forward pass: see :class:`embedkit.backbones.backbone.Runtime`."""
        try:
            request = self._idle.pop()
        except IndexError:  # another thread may take the last one
            request = self._compiled.create_infer_request()
        if pixels.dtype.kind == "f":  # the output of a transform
            pixels = pixels.astype(np.float32, copy=False)
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
    """Return the files of OpenVINO's cache of a compiled network.

    OpenVINO does not check these files when it loads them.
    """
    return sorted(file for file in (folder / _COMPILED).glob("**/*") if file.is_file())


def convert(network: "Network", spec: "EmbeddingSpec", folder: Path) -> None:
    """Convert a network to OpenVINO's format, with a dynamic batch size, and save it."""
    import torch

    from embedkit.backbones.network import Normalised

    size = spec.size
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    fast_path = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the fused attention cannot be traced
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # deprecations in the tracer
            model = openvino.convert_model(
                Normalised(network.module, spec).eval(),
                example_input=example,
                input=[(-1, size, size, 3)],
            )
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    folder.mkdir(parents=True, exist_ok=True)
    openvino.save_model(model, str(folder / FILES[0]), compress_to_fp16=False)


class FileModel:
    """An ONNX or OpenVINO model file with one image input and one output.

    ``size`` is the side of its input in pixels, None where it takes any. Raises
    :class:`BadWeights` for a file that OpenVINO cannot read and for other inputs and outputs.
    """

    def __init__(self, name: str, path: Path) -> None:
        self._name, self._path = name, path
        model = self._read()
        if len(model.inputs) != 1 or len(model.outputs) != 1:
            raise BadWeights(
                f"{name}: {shown(path.name)} has {len(model.inputs)} inputs and "
                f"{len(model.outputs)} outputs; export it with one image input and one output"
            )
        shape = model.input(0).get_partial_shape()
        kind = model.input(0).get_element_type()
        self._rank = shape.rank.get_length() if shape.rank.is_static else None
        sides = [_fixed(shape, axis) for axis in (2, 3)] if self._rank == 4 else [None, None]
        self.size = sides[0]
        self._is_image = self._rank == 4 and _fixed(shape, 1) in (3, None)
        self._batch = _fixed(shape, 0) if self._rank else None
        if not kind.is_real():
            raise BadWeights(
                f"{name}: {shown(path.name)} takes {kind.to_string()}; export it with a float32 "
                "input (N, 3, H, W)"
            )
        if sides[0] != sides[1]:
            raise BadWeights(
                f"{name}: {shown(path.name)} takes images of shape {sides}; only square ones work"
            )

    def _read(self) -> "openvino.Model":
        try:
            return openvino.Core().read_model(str(self._path))
        except RuntimeError as error:
            raise BadWeights(
                f"{self._name}: OpenVINO cannot read {shown(str(self._path))}: {one_line(error)}"
            ) from error

    def compile(self, spec: "EmbeddingSpec") -> Runtime:
        """Return a runtime that normalises pixels of the spec's size and runs the model on them.

        With a transform, the model runs on its output. Raises :class:`BadInput` for a size that the
        model does not take, and :class:`BadWeights` for a model that does not take images.
        """
        model = self._read()
        if spec.resize != "transform":
            self._add_normalisation(model, spec)
        runtime = OpenVinoRuntime(model, spec.precision)
        return runtime if self._batch is None else FixedBatch(runtime, self._batch)

    def _add_normalisation(self, model: "openvino.Model", spec: "EmbeddingSpec") -> None:
        """Make uint8 (N, size, size, 3), RGB, the input of the model."""
        if not self._is_image:
            raise BadWeights(
                f"{self._name}: the input of {shown(self._path.name)} is not (N, 3, H, W); export "
                "it so, or register it with transform="
            )
        if self.size not in (None, spec.size):
            raise BadInput(
                f"{self._name}: {shown(self._path.name)} takes {self.size} pixels, not {spec.size}"
            )
        batch = -1 if self._batch is None else self._batch
        model.reshape([batch, 3, spec.size, spec.size])
        steps = openvino.preprocess.PrePostProcessor(model)
        pixels = steps.input()
        pixels.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
        pixels.model().set_layout(openvino.Layout("NCHW"))
        pixels.preprocess().convert_element_type(openvino.Type.f32)
        pixels.preprocess().mean([255 * value for value in spec.mean])
        pixels.preprocess().scale([255 * value for value in spec.std])
        steps.build()


class FixedBatch:
    """A runtime of a model whose batch size is fixed: passes are split and the last one padded."""

    name = NAME

    def __init__(self, runtime: OpenVinoRuntime, size: int) -> None:
        self._runtime, self._size = runtime, size
        self.batch = -(-OpenVinoRuntime.batch // size) * size
        self.concurrent_passes = runtime.concurrent_passes

    def submit(self, pixels: np.ndarray) -> Callable[[], np.ndarray]:
        """Start a forward pass: see :class:`embedkit.backbones.backbone.Runtime`."""
        missing = -len(pixels) % self._size
        padded = np.concatenate([pixels, np.repeat(pixels[-1:], missing, axis=0)])
        parts = np.split(padded, len(padded) // self._size)
        fetches = [self._runtime.submit(part) for part in parts]
        return lambda: np.concatenate([fetch() for fetch in fetches])[: len(pixels)]


def _fixed(shape: "openvino.PartialShape", axis: int) -> int | None:
    """Return the length of an axis; None if it is not fixed."""
    dimension = shape[axis]
    return int(dimension.get_length()) if dimension.is_static else None
